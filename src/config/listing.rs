//! The accounts in force as operators see them: each value with the file and line, or the table and row, of its source.

use super::effective::{self, Effective, Listed};
use crate::accounts::{self, Accounts, Incremental};
use crate::document::Fault;
use crate::domain::{AccountId, WebhookName};
use crate::inspect::accounts::{AccountLine, AccountView, FaultView};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

/// The accounts in force.
#[derive(Clone, Debug)]
pub struct Listing {
    accounts: Accounts,
    effective: Arc<Effective>,
    /// The rows, if the accounts are in a database.
    rows: Option<Incremental>,
}

impl Listing {
    /// Lists the accounts of a file, or those of a database with their `rows`.
    #[must_use]
    pub fn new(accounts: Accounts, effective: Arc<Effective>, rows: Option<Incremental>) -> Self {
        Self { accounts, effective, rows }
    }

    /// Returns at most `max` accounts in the order of their ids, from the first one behind `after` on.
    #[must_use]
    pub fn lines(&self, after: Option<AccountId>, max: usize) -> Vec<AccountLine> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let accounts = self.accounts.accounts.range((from, Bound::Unbounded)).take(max);
        let mut webhooks: BTreeMap<AccountId, usize> = BTreeMap::new();
        for (webhook, _) in self.accounts.webhooks.values() {
            *webhooks.entry(webhook.account).or_default() += 1;
        }
        let line = |(id, account): (&AccountId, &crate::domain::AccountPolicy)| AccountLine {
            id: id.0,
            notify_on_delivery: account.notify_on_delivery,
            attach_flow_keys: account.attach_flow_keys,
            webhook_enabled: account.webhook_enabled,
            default_webhook: account.default_webhook.as_ref().map(ToString::to_string),
            webhooks: webhooks.get(id).copied().unwrap_or_default(),
            flows: account.flows.len(),
            rules: account.rules.len(),
            faults: self.faults_of(*id).len(),
        };
        accounts.map(line).collect()
    }

    /// Returns the settings of `account`, or `None` if there is no such account.
    #[must_use]
    pub fn view(&self, account: AccountId) -> Option<AccountView> {
        let is_configured = self.accounts.accounts.contains_key(&account);
        let entries = match &self.rows {
            None => self.of_file(account),
            Some(rows) => rows.kept(account)?.entries().map_or_else(Vec::new, |entries| {
                let schema = accounts::schema();
                effective::collect(&entries.0, Path::new(""), schema, &[], Listed::InForce)
            }),
        };
        if entries.is_empty() && self.rows.is_none() {
            return None;
        }
        let settings = self.effective.with_accounts(entries).account_settings();
        let faults = self.faults_of(account).iter().map(view).collect();
        Some(AccountView { id: account.0, is_configured, settings, faults })
    }

    /// Returns the faults of all rows.
    #[must_use]
    pub fn faults(&self) -> Vec<FaultView> {
        self.rows.iter().flat_map(Incremental::faults).map(view).collect()
    }

    fn faults_of(&self, account: AccountId) -> &[Fault] {
        let kept = self.rows.as_ref().and_then(|rows| rows.kept(account));
        kept.map_or(&[], accounts::Kept::faults)
    }

    /// Returns the entries of the file that belong to `account`.
    fn of_file(&self, account: AccountId) -> Vec<effective::Entry> {
        let mut found = Vec::new();
        let all = &self.effective.accounts;
        // The entries of an item are next to each other. An item with the same label begins with the same key again.
        let mut start = 0;
        while let Some(first) = all.get(start) {
            let label = |entry: &effective::Entry| {
                entry.key.split_once(']').map(|(label, _)| label.to_owned())
            };
            let of_first = label(first);
            let rest = all.iter().skip(start + 1);
            let more = rest.take_while(|entry| label(entry) == of_first && entry.key != first.key);
            let end = start + 1 + more.count();
            let item = all.get(start..end).unwrap_or_default();
            if self.owner(item) == Some(account) {
                found.extend_from_slice(item);
            }
            start = end;
        }
        found
    }

    /// Returns the account that an item belongs to.
    fn owner(&self, item: &[effective::Entry]) -> Option<AccountId> {
        let value = |name: &str| {
            let entry = item.iter().find(|entry| entry.key.ends_with(name))?;
            entry.value.as_i64().map(AccountId)
        };
        let first = item.first()?;
        if first.key.starts_with("account[") {
            return value("].id");
        }
        let name = first.key.strip_prefix("webhook[").and_then(|rest| rest.split_once(']'));
        match name.and_then(|(name, _)| WebhookName::new(name)) {
            Some(name) => self.accounts.webhooks.get(&name).map(|(webhook, _)| webhook.account),
            None => value("].account"),
        }
    }
}

fn view(fault: &Fault) -> FaultView {
    let row = fault.origin.row();
    FaultView {
        table: row.map_or_else(String::new, |row| row.table.to_string()),
        row: row.map_or_else(String::new, |row| row.row.to_string()),
        column: row.and_then(|row| row.column.as_ref()).map(ToString::to_string),
        key: fault.key.clone(),
        problem: fault.problem.clone(),
        fix: fault.fix.clone(),
    }
}

//! Keeps the accounts of a database built: only those whose rows have changed are built again.

use super::entry::webhook_name;
use super::read::Reading;
use super::row::{Kind, Row};
use super::settle::Candidate;
use crate::accounts::{Accounts, Basis, Entries};
use crate::delivery::Webhook;
use crate::document::{Fault, Variables};
use crate::domain::{AccountId, WebhookName};
use imbl::OrdMap;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// How often an account is built because of one reading. Names that accounts take from each other need more than one.
const BUILDS_MAX: u8 = 4;

/// The rows of an account.
type Rows = Arc<[Arc<Row>]>;

/// What accounts are built with.
pub struct Building<'a> {
    pub basis: Basis<'a>,
    /// The environment that secrets may refer to.
    pub variables: &'a Variables,
    /// Creates the endpoint of a webhook. The error says why that is impossible.
    pub check: &'a mut dyn FnMut(&Arc<Webhook>) -> Result<(), String>,
}

/// The accounts and webhooks that a reading has changed, added or removed.
#[derive(Debug, Default)]
pub struct Changes {
    pub accounts: BTreeSet<AccountId>,
    pub webhooks: BTreeSet<WebhookName>,
    /// The faults that the reading has added.
    pub faults: Vec<Fault>,
}

impl Changes {
    /// Returns whether nothing in force has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.webhooks.is_empty()
    }
}

/// The rows of an account, as they were read and as they are in force.
#[derive(Debug)]
pub struct Kept {
    pub(super) read: Rows,
    /// Differs from `read` where rows are wrong: the last good row of each stays in force.
    pub(super) in_force: Rows,
    webhooks: Vec<WebhookName>,
    faults: Vec<Fault>,
}

impl Kept {
    /// Returns the faults of the rows that were read.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Returns the entries in force.
    #[must_use]
    pub fn entries(&self) -> Option<Entries> {
        super::entry::tree(&self.in_force, &mut Vec::new()).map(Entries)
    }
}

/// The accounts of a database. A clone is cheap, and does not follow later changes.
#[derive(Clone, Debug, Default)]
pub struct Incremental {
    pub(super) accounts: Accounts,
    pub(super) kept: OrdMap<AccountId, Arc<Kept>>,
    /// The faults of rows that belong to no account.
    strays: Vec<Fault>,
    /// The accounts that were looked up, and when that began.
    found: BTreeMap<AccountId, Option<Instant>>,
    /// The accounts with a webhook whose name another account has.
    waits: BTreeMap<WebhookName, BTreeSet<AccountId>>,
}

impl Incremental {
    /// Returns the accounts in force.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Returns the rows of `account`.
    #[must_use]
    pub fn kept(&self, account: AccountId) -> Option<&Kept> {
        self.kept.get(&account).map(AsRef::as_ref)
    }

    /// Returns the faults of all rows.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.kept.values().flat_map(|kept| &kept.faults).chain(&self.strays)
    }

    /// Builds the accounts whose rows differ from those of the reading before.
    pub fn apply(&mut self, mut reading: Reading, with: &mut Building<'_>) -> Changes {
        let mut changes = Changes::default();
        let newer = self.newer_than(&mut reading);
        self.place_strays(&mut reading, &mut changes);
        let is_gone = |id: &&AccountId| !reading.rows.contains_key(id);
        let gone: Vec<AccountId> = match &reading.only {
            None => {
                let is_gone = |id: &&AccountId| is_gone(id) && !newer.contains(*id);
                self.kept.keys().filter(is_gone).copied().collect()
            }
            Some(asked) => asked.iter().filter(is_gone).copied().collect(),
        };
        for id in gone {
            self.remove(id, &mut changes);
        }
        let mut dirty: BTreeMap<AccountId, Rows> = BTreeMap::new();
        for (id, rows) in reading.rows {
            let rows: Rows = rows.into();
            match self.kept.get(&id) {
                Some(kept) if is_same(&kept.read, &rows) => self.adopt(id, rows),
                Some(_) | None => drop(dirty.insert(id, rows)),
            }
        }
        self.settle_all(dirty, with, &mut changes);
        changes
    }

    /// Returns the accounts that were looked up after a reading of all rows had begun, and removes their rows from it.
    fn newer_than(&mut self, reading: &mut Reading) -> BTreeSet<AccountId> {
        match &reading.only {
            Some(_) => {
                let found = reading.rows.keys().map(|id| (*id, reading.begun));
                self.found.extend(found);
            }
            None => self.found.retain(|_, begun| reading.begun.is_some() && *begun > reading.begun),
        }
        let newer: BTreeSet<AccountId> = match reading.only {
            Some(_) => BTreeSet::new(),
            None => self.found.keys().copied().collect(),
        };
        reading.rows.retain(|id, _| !newer.contains(id));
        newer
    }

    /// Builds all accounts again, because the settings have changed.
    pub fn rebuild(&mut self, with: &mut Building<'_>) -> Changes {
        let mut changes = Changes::default();
        let all = self.kept.iter().map(|(id, kept)| (*id, kept.read.clone())).collect();
        self.settle_all(all, with, &mut changes);
        changes
    }

    /// Uses the memory of newer rows that are the same, so that the older ones are freed.
    fn adopt(&mut self, id: AccountId, rows: Rows) {
        let Some(kept) = self.kept.get(&id) else { return };
        let is_shared = kept.read.iter().zip(&*rows).all(|(a, b)| Arc::ptr_eq(a, b));
        if is_shared || !kept.faults.is_empty() {
            return;
        }
        let (webhooks, faults) = (kept.webhooks.clone(), Vec::new());
        let kept = Kept { read: rows.clone(), in_force: rows, webhooks, faults };
        self.kept.insert(id, Arc::new(kept));
    }

    fn settle_all(
        &mut self,
        mut dirty: BTreeMap<AccountId, Rows>,
        with: &mut Building<'_>,
        changes: &mut Changes,
    ) {
        // A name may move from an account to another one, so that all are released before any is taken.
        for (id, rows) in &dirty {
            let names: BTreeSet<String> = rows.iter().filter_map(|row| webhook_name(row)).collect();
            let webhooks = self.kept.get(id).map(|kept| kept.webhooks.clone()).unwrap_or_default();
            for webhook in webhooks.iter().filter(|name| !names.contains(name.as_str())) {
                self.remove_webhook(webhook, *id, changes);
            }
        }
        let mut builds: HashMap<AccountId, u8> = HashMap::new();
        loop {
            for id in self.take_waiting() {
                if let Some(kept) = self.kept.get(&id) {
                    dirty.entry(id).or_insert_with(|| kept.read.clone());
                }
            }
            let Some((id, rows)) = dirty.pop_first() else { return };
            let count = builds.entry(id).or_default();
            *count += 1;
            if *count <= BUILDS_MAX {
                self.settle(id, rows, with, changes);
            }
        }
    }

    /// Takes the accounts that wait for a name which no account has now.
    fn take_waiting(&mut self) -> BTreeSet<AccountId> {
        let webhooks = &self.accounts.webhooks;
        let free: Vec<_> =
            self.waits.keys().filter(|name| !webhooks.contains_key(*name)).cloned().collect();
        free.iter().filter_map(|name| self.waits.remove(name)).flatten().collect()
    }

    /// Builds an account, with the last good row in the place of each wrong one.
    fn settle(
        &mut self,
        id: AccountId,
        read: Rows,
        with: &mut Building<'_>,
        changes: &mut Changes,
    ) {
        let kept = self.kept.get(&id);
        let former = kept.map(|kept| kept.in_force.clone()).unwrap_or_default();
        let known = kept.map(|kept| kept.faults.clone()).unwrap_or_default();
        let mut candidate = Candidate::new(&read, former);
        let built = loop {
            if !candidate.has_account() {
                break Accounts::default();
            }
            let taken = self.taken(id, candidate.rows());
            match if taken.is_empty() { candidate.build(with) } else { Err(taken) } {
                Ok(built) => break built,
                Err(faults) => candidate.correct(faults),
            }
        };
        let (in_force, faults) = candidate.end(&read);
        let is_new = |fault: &&Fault| !known.contains(fault);
        changes.faults.extend(faults.iter().filter(is_new).cloned());
        let in_force: Rows = if is_same(&in_force, &read) { read.clone() } else { in_force.into() };
        self.install(id, built, Kept { read, in_force, webhooks: Vec::new(), faults }, changes);
    }

    /// Returns faults of the webhooks whose names other accounts have.
    fn taken(&mut self, id: AccountId, rows: &[Arc<Row>]) -> Vec<Fault> {
        let mut faults = Vec::new();
        for row in rows.iter().filter(|row| row.kind() == Kind::Webhook) {
            let Some(name) = webhook_name(row) else { continue };
            let Some(webhook) = WebhookName::new(&name) else { continue };
            let Some((other, _)) = self.accounts.webhooks.get(&webhook) else { continue };
            if other.account != id {
                let problem =
                    format!("account {} has a webhook of this name already", other.account);
                let (key, fix) = (format!("webhook[{name}].name"), "give it another name");
                faults.push(row.origin(Some(&"name".into())).fault(&key, problem, fix));
                self.waits.entry(webhook).or_default().insert(id);
            }
        }
        faults
    }

    fn install(&mut self, id: AccountId, built: Accounts, kept: Kept, changes: &mut Changes) {
        let former = self.kept.get(&id).map(|kept| kept.webhooks.clone()).unwrap_or_default();
        for webhook in former.iter().filter(|name| !built.webhooks.contains_key(*name)) {
            self.remove_webhook(webhook, id, changes);
        }
        let webhooks: Vec<WebhookName> = built.webhooks.keys().cloned().collect();
        for (name, webhook) in built.webhooks {
            self.accounts.definitions.take_from(&built.definitions, &name);
            changes.webhooks.insert(name.clone());
            self.accounts.webhooks.insert(name, webhook);
        }
        let (policy, rate) = (built.accounts.get(&id), built.account_rates.get(&id));
        if policy != self.accounts.accounts.get(&id)
            || rate != self.accounts.account_rates.get(&id)
            || !webhooks.is_empty()
        {
            changes.accounts.insert(id);
        }
        match policy {
            Some(policy) => drop(self.accounts.accounts.insert(id, policy.clone())),
            None => drop(self.accounts.accounts.remove(&id)),
        }
        match rate {
            Some(rate) => drop(self.accounts.account_rates.insert(id, *rate)),
            None => drop(self.accounts.account_rates.remove(&id)),
        }
        self.accounts.secret_files.extend(built.secret_files);
        self.kept.insert(id, Arc::new(Kept { webhooks, ..kept }));
    }

    fn remove(&mut self, id: AccountId, changes: &mut Changes) {
        let Some(kept) = self.kept.remove(&id) else { return };
        for webhook in &kept.webhooks {
            self.remove_webhook(webhook, id, changes);
        }
        self.accounts.accounts.remove(&id);
        self.accounts.account_rates.remove(&id);
        changes.accounts.insert(id);
    }

    fn remove_webhook(&mut self, webhook: &WebhookName, id: AccountId, changes: &mut Changes) {
        let is_its = |(webhook, _): &(Arc<Webhook>, _)| webhook.account == id;
        if self.accounts.webhooks.get(webhook).is_some_and(is_its) {
            self.accounts.webhooks.remove(webhook);
            self.accounts.definitions.take_from(&Default::default(), webhook);
            changes.webhooks.insert(webhook.clone());
        }
    }

    /// Handles the rows that belong to no account. If such a row belonged to an account before, its last good state
    /// stays in force there.
    fn place_strays(&mut self, reading: &mut Reading, changes: &mut Changes) {
        let is_account = |row: &Arc<Row>| row.kind() == Kind::Account;
        if reading.only.is_some() {
            reading.rows.retain(|_, rows| rows.iter().any(is_account));
            return;
        }
        let (mut accounts, mut strays): (Vec<_>, Vec<_>) =
            std::mem::take(&mut reading.strays).into_iter().partition(is_account);
        let is_stray = |rows: &[Arc<Row>]| !rows.iter().any(is_account);
        if accounts.is_empty() && strays.is_empty() && !reading.rows.values().any(|it| is_stray(it))
        {
            self.strays.clear();
            return;
        }
        let homes = self.homes();
        // A webhook's row may have got another id.
        let named: HashMap<String, &(AccountId, Arc<Row>)> =
            homes.values().filter_map(|home @ (_, row)| Some((webhook_name(row)?, home))).collect();
        let mut faults = Vec::new();
        let mut place = |row: &Arc<Row>, rows: &mut BTreeMap<AccountId, Vec<Arc<Row>>>| {
            faults.push(fault_of_stray(row));
            let of_id = homes.get(&(row.kind(), row.id()));
            let of_name = || named.get(&webhook_name(row)?).copied();
            let Some((home, former)) = of_id.or_else(of_name) else { return };
            let name = webhook_name(former);
            let is_its = |row: &Arc<Row>| name.is_some() && webhook_name(row) == name;
            if let Some(rows) = rows.get_mut(home) {
                // Another row may describe the webhook, too.
                if !rows.iter().any(is_its) {
                    rows.push(former.clone());
                }
            } else if is_account(row) {
                rows.insert(*home, vec![former.clone()]);
            }
        };
        for row in accounts.drain(..) {
            place(&row, &mut reading.rows);
        }
        let lost: Vec<AccountId> =
            reading.rows.iter().filter(|(_, rows)| is_stray(rows)).map(|(id, _)| *id).collect();
        strays.extend(lost.iter().filter_map(|id| reading.rows.remove(id)).flatten());
        for row in strays.drain(..) {
            place(&row, &mut reading.rows);
        }
        changes.faults.extend(faults.iter().filter(|it| !self.strays.contains(it)).cloned());
        self.strays = faults;
    }

    /// Returns the account and the row in force of each row's id.
    fn homes(&self) -> HashMap<(Kind, Box<str>), (AccountId, Arc<Row>)> {
        let rows =
            self.kept.iter().flat_map(|(id, kept)| kept.in_force.iter().map(move |row| (id, row)));
        rows.map(|(id, row)| ((row.kind(), row.id()), (*id, row.clone()))).collect()
    }
}

fn is_same(some: &[Arc<Row>], others: &[Arc<Row>]) -> bool {
    some.len() == others.len() && some.iter().zip(others).all(|(a, b)| a.hash == b.hash)
}

fn fault_of_stray(row: &Row) -> Fault {
    let key = row.kind().key();
    let column: Arc<str> = row.shape.account_column().into();
    let (problem, fix) = match row.account() {
        Some(account) => (
            format!("account {account} is not configured"),
            "add a row of this account, or write the id of another one",
        ),
        None => ("is no account's id".to_owned(), "write the id of the account"),
    };
    row.origin(Some(&column)).fault(key, problem, fix)
}

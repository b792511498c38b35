//! `accounts.toml` as the daemon uses it: accounts, their webhooks and their flows, parsed once.

mod auth;
mod definition;
pub(super) mod file;
mod response;
mod rule;
mod tls;
mod url;
mod webhook;

use super::check;
use super::context::{self, Context};
use super::document::{Document, Node, Place, Value};
use super::effective::{self, Entry, Listed};
use super::environment::{self, Variables};
use super::fault::{Fault, Faults};
use super::rate;
use super::schema;
use super::settings::Settings;
use crate::definition::Defined;
use crate::delivery::{PerSecond, Webhook};
use crate::domain::{
    AccountId, AccountPolicy, Definitions as _, FlowId, Rule, Trigger, WebhookName, WebhookPolicy,
};
use file::{AccountEntry, AccountsFile, FlowEntry, RuleEntry, WebhookEntry};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// Everything that the accounts file says.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// The accounts, with their flows and their default webhooks.
    pub accounts: BTreeMap<AccountId, AccountPolicy>,
    /// The accounts whose attempts per second are limited.
    pub account_rates: BTreeMap<AccountId, PerSecond>,
    /// The webhooks: how to call them, and how often.
    pub webhooks: BTreeMap<WebhookName, (Arc<Webhook>, WebhookPolicy)>,
    /// What they say and save.
    pub definitions: Defined,
    /// The files that hold their secrets.
    pub secret_files: BTreeSet<PathBuf>,
}

/// What was read of the accounts file.
#[derive(Default)]
pub(super) struct Read {
    pub(super) accounts: Accounts,
    /// Each key.
    pub(super) entries: Vec<Entry>,
    pub(super) faults: Vec<Fault>,
}

impl Accounts {
    /// Reads the accounts file of `settings`, with secrets of the environment of this process.
    ///
    /// # Errors
    /// With everything that is wrong in it.
    pub fn load(settings: &Settings) -> Result<Self, Faults> {
        Self::load_with(settings, &environment::of_process())
    }

    /// Reads the accounts file of `settings`, with secrets of the environment `variables`.
    ///
    /// # Errors
    /// With everything that is wrong in it.
    pub fn load_with(settings: &Settings, variables: &Variables) -> Result<Self, Faults> {
        let Read { accounts, faults, .. } = Self::read(settings, variables);
        Faults::or(faults, accounts)
    }

    /// The name of a webhook that `name` most likely means.
    #[must_use]
    pub fn nearest_webhook(&self, name: &str) -> Option<&str> {
        check::nearest(name, self.webhooks.keys().map(WebhookName::as_str))
    }

    /// What can be read, and everything that is wrong with the rest.
    pub(super) fn read(settings: &Settings, variables: &Variables) -> Read {
        let file = &settings.accounts_file;
        let mut document = match Document::read(file) {
            Ok(document) => document,
            Err(mut fault) => {
                if fault.line.is_none() {
                    fault.mend = format!(
                        "create it, or name another one: `accounts.file` of {}",
                        settings.file.display()
                    );
                }
                return Read { faults: vec![fault], ..Read::default() };
            }
        };
        let mut faults = Vec::new();
        flatten_dotted_keys(&mut document, &mut faults);
        let schema = schema::of::<AccountsFile>();
        faults.extend(check::prune(&mut document, &schema));
        let mut context = Context::new(file, variables, faults);
        let written: AccountsFile = context.typed(&document);
        let mut reader = Reader {
            settings,
            context,
            read: Self::default(),
            http_enabled: BTreeMap::new(),
            lines: BTreeMap::new(),
        };
        let place = document.place();
        for (index, entry) in written.account.iter().enumerate() {
            reader.account(entry, &place.key("account").item(index));
        }
        for (index, entry) in written.webhook.iter().enumerate() {
            reader.webhook(entry, &place.key("webhook").item(index));
        }
        for (index, entry) in written.flow.iter().enumerate() {
            reader.flow(entry, &place.key("flow").item(index));
        }
        for (index, entry) in written.rule.iter().enumerate() {
            reader.rule(entry, &place.key("rule").item(index));
        }
        reader.order_rules();
        let Context { faults, secret_files, referred, .. } = reader.context;
        let entries = effective::collect(&document, &schema, &referred, Listed::InForce);
        Read { accounts: Self { secret_files, ..reader.read }, entries, faults }
    }
}

/// `account.sms.notifyOnDelivery = true` without quotes is nested tables for TOML and one setting for the platform.
fn flatten_dotted_keys(document: &mut Document, faults: &mut Vec<Fault>) {
    let Some(Node { value: Value::List(accounts), .. }) = document.root.get_mut("account") else {
        return;
    };
    for account in accounts {
        if let Value::Table(table) = &mut account.value {
            context::flatten(&document.file, table, |key| key.starts_with("account"), faults);
        }
    }
}

/// Reads entry by entry, accounts first, since the others name them.
struct Reader<'a> {
    settings: &'a Settings,
    context: Context<'a>,
    read: Accounts,
    http_enabled: BTreeMap<AccountId, bool>,
    /// Where each thing that must be unique was first seen.
    lines: BTreeMap<String, Option<usize>>,
}

impl Reader<'_> {
    fn account(&mut self, entry: &AccountEntry, place: &Place<'_>) {
        // Where an id is missing, the check said so.
        let Some(id) = entry.id.map(AccountId) else { return };
        if !self.is_first(&format!("account {id}"), &place.key("id"), "give it another id") {
            return;
        }
        let rules = AccountPolicy {
            notify_on_delivery: entry.notify_on_delivery,
            attach_flow_keys: entry.attach_flow_keys,
            webhook_enabled: entry.webhook_enabled,
            default_webhook: None,
            flows: BTreeMap::new(),
            rules: Vec::new(),
            uses_variables: false,
        };
        self.read.accounts.insert(id, rules);
        self.http_enabled.insert(id, entry.http_enabled);
        let rate = rate::read(
            Some(entry.rate_per_second),
            entry.rate.as_deref(),
            place,
            &mut self.context,
        );
        self.read.account_rates.extend(rate.map(|rate| (id, rate)));
    }

    fn webhook(&mut self, entry: &WebhookEntry, place: &Place<'_>) {
        let account = entry.account.map(AccountId);
        let known = account.is_some_and(|id| self.is_known(id, &place.key("account")));
        let name = entry.name.as_deref().and_then(|name| self.webhook_name(name, place));
        // Without its account a webhook's scheme cannot be judged.
        let http = account.filter(|_| known).and_then(|id| self.http_enabled.get(&id)).copied();
        let parts = webhook::read(entry, http, self.settings, place, &mut self.context);
        let (Some(account), Some(name), Some(parts)) = (account, name, parts) else { return };
        if entry.default && known {
            self.default_webhook(account, &name, place);
        }
        let (webhook, rules, definition) = parts.build(name.clone(), account);
        if definition.uses_variables()
            && let Some(account) = self.read.accounts.get_mut(&account)
        {
            account.uses_variables = true;
        }
        let saves = webhook.response.iter().flat_map(|response| response.save_in.clone()).collect();
        self.read.definitions.insert(name.clone(), definition, saves);
        self.read.webhooks.insert(name, (Arc::new(webhook), rules));
    }

    fn rule(&mut self, entry: &RuleEntry, place: &Place<'_>) {
        let on = rule::triggers(entry, place, &mut self.context);
        let when = rule::conditions(entry, place, &mut self.context);
        let Some(id) = entry.account.map(AccountId) else { return };
        if !self.is_known(id, &place.key("account")) {
            return;
        }
        let about_reports = |trigger: &Trigger| {
            matches!(trigger, Trigger::Sms(_) | Trigger::SmsFinal | Trigger::ReportTimedOut)
        };
        let notified =
            self.read.accounts.get(&id).is_some_and(|account| account.notify_on_delivery);
        if on.iter().any(about_reports) && !notified {
            let problem =
                format!("account {id} ignores delivery reports, so that this never comes");
            let mend = "set \"account.sms.notifyOnDelivery\" = true at the [[account]]";
            self.context.fault(&place.key("on"), problem, mend);
        }
        if on.contains(&Trigger::FlowStarted) && self.settings.topics.flow_started.is_empty() {
            let problem = "no topic is named that call begin records come from";
            let mend = format!(
                "set topics.flow_started in {}; a daemon needs a restart for it",
                self.settings.file.display()
            );
            self.context.fault(&place.key("on"), problem, mend);
        }
        let Some(name) = entry.webhook.as_deref() else { return };
        let webhook = WebhookName::new(name).filter(|name| {
            self.read.webhooks.get(name).is_some_and(|(webhook, _)| webhook.account == id)
        });
        let Some(webhook) = webhook else {
            // One that is there, and can't be read, has its faults already.
            if !self.lines.contains_key(&format!("webhook {name}")) || self.is_anothers(name) {
                let own =
                    self.read.webhooks.iter().filter(|(_, (webhook, _))| webhook.account == id);
                let nearest = check::nearest(name, own.map(|(name, _)| name.as_str()));
                let mend = match nearest {
                    Some(nearest) => format!("write `{nearest}`"),
                    None => format!("add a [[webhook]] of account {id}, and name it here"),
                };
                let problem = format!("account {id} has no webhook `{name}`");
                self.context.fault(&place.key("webhook"), problem, mend);
            }
            return;
        };
        if let Some(account) = self.read.accounts.get_mut(&id) {
            account.uses_variables |= !when.is_empty();
            account.rules.push((entry.flow.map(FlowId), Rule { on, when, webhook }));
        }
    }

    /// Whoever gives a variable a value stands before those that use it, wherever the file has it; a circle stays as it is.
    fn order_rules(&mut self) {
        let definitions = &self.read.definitions;
        let gives = |one: &Rule, other: &Rule| {
            let uses = |variable: &Box<str>| definitions.uses(&other.webhook, variable);
            one.webhook != other.webhook && definitions.saves(&one.webhook).iter().any(uses)
        };
        for account in self.read.accounts.values_mut() {
            let mut left = std::mem::take(&mut account.rules);
            while !left.is_empty() {
                let is_free = |(_, rule): &(_, Rule)| !left.iter().any(|(_, it)| gives(it, rule));
                let next = left.iter().position(is_free).unwrap_or(0);
                account.rules.push(left.remove(next));
            }
        }
    }

    fn is_anothers(&self, name: &str) -> bool {
        WebhookName::new(name).is_some_and(|name| self.read.webhooks.contains_key(&name))
    }

    fn default_webhook(&mut self, account: AccountId, name: &WebhookName, place: &Place<'_>) {
        let Some(rules) = self.read.accounts.get_mut(&account) else { return };
        match &rules.default_webhook {
            None => rules.default_webhook = Some(name.clone()),
            Some(other) => {
                let problem = format!("webhook {other} is the default of account {account} too");
                self.context.fault(
                    &place.key("default"),
                    problem,
                    "keep `default = true` at one of them",
                );
            }
        }
    }

    fn webhook_name(&mut self, text: &str, place: &Place<'_>) -> Option<WebhookName> {
        let place = place.key("name");
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let name = WebhookName::new(text).filter(|_| text.bytes().all(letters));
        let Some(name) = name else {
            self.context.fault(
                &place,
                "is not a webhook's name",
                "use 1 to 64 letters, digits, dots, hyphens and underscores",
            );
            return None;
        };
        self.is_first(&format!("webhook {text}"), &place, "give it another name").then_some(name)
    }

    fn flow(&mut self, entry: &FlowEntry, place: &Place<'_>) {
        let Some(account) = entry.account.map(AccountId) else { return };
        let known = self.is_known(account, &place.key("account"));
        let (Some(id), Some(enabled)) = (entry.id, entry.webhook_enabled) else { return };
        let name = format!("flow {id} of account {account}");
        if known
            && self.is_first(&name, &place.key("id"), "remove one of them")
            && let Some(rules) = self.read.accounts.get_mut(&account)
        {
            rules.flows.insert(FlowId(id), enabled);
        }
    }

    fn is_known(&mut self, account: AccountId, place: &Place<'_>) -> bool {
        let known = self.read.accounts.contains_key(&account);
        if !known {
            let accounts: Vec<_> =
                self.read.accounts.keys().take(8).map(ToString::to_string).collect();
            let mend = match accounts.as_slice() {
                [] => format!("add an [[account]] with id = {account}"),
                some => format!(
                    "add an [[account]] with id = {account}, or name one that is there: {}",
                    some.join(", ")
                ),
            };
            self.context.fault(place, format!("there is no account {account}"), mend);
        }
        known
    }

    /// Whether `what` was not seen before.
    fn is_first(&mut self, what: &str, place: &Place<'_>, mend: &str) -> bool {
        let Some(first) = self.lines.get(what) else {
            self.lines.insert(what.to_owned(), place.line());
            return true;
        };
        let problem = match first {
            Some(line) => format!("{what} is already at line {line}"),
            None => format!("{what} is already there"),
        };
        self.context.fault(place, problem, mend);
        false
    }
}

//! Checks the entries of any source, and builds accounts from them.

mod graph;
mod notices;
mod order;
mod rules;
mod warnings;

use super::entry::{AccountEntry, AccountsFile, BodyName, FlowEntry, TemplateEntry, WebhookEntry};
use super::template::{self, Templates};
use super::webhook::{self, Owner};
use super::{Accounts, Bounds, Entries, Retry, definition, rate, tokens};
use crate::definition::catalogue::Methods;
use crate::delivery::{BreakerPolicy, Proxy};
use crate::document::{
    self, Context, Fault, Node, Note, Origin, Place, Referred, Reserved, Value, Variables, Warning,
    schema_of,
};
use crate::domain::{AccountId, AccountPolicy, Computed, FlowId, StatusTable, WebhookName};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The values of keys that a webhook does not set.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// The limit from the first byte sent to the last byte read.
    pub request_timeout: Duration,
    /// The limit for name look-up, TCP connect and TLS handshake together.
    pub connect_timeout: Duration,
    /// The maximum age of a connection that gets another request.
    pub connection_max_age: Duration,
    /// The maximum number of unanswered requests of a webhook.
    pub in_flight_max: u32,
    /// The proxy for requests, if there is one.
    pub proxy: Option<Proxy>,
    /// Bounds of deliveries and endpoints.
    pub bounds: Bounds,
    /// The intervals between attempts.
    pub retry: Retry,
    /// When the circuit breaker opens, and for how long.
    pub breaker: BreakerPolicy,
}

/// The settings that the builder needs.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    /// The file of the settings. Relative paths of values that come from no file start at its folder.
    pub file: &'a Path,
    pub defaults: &'a Defaults,
    /// Whether a topic of call begin records is configured.
    pub has_flow_started: bool,
    /// The known statuses of reports.
    pub statuses: &'a StatusTable,
    /// The functions of the platform.
    pub methods: &'a Methods,
    /// The files and variables to which entries can't refer.
    pub reserved: Option<Reserved<'a>>,
}

/// The result of the builder.
pub struct Built {
    /// The accounts, without entries that have faults.
    pub accounts: Accounts,
    pub faults: Vec<Fault>,
    /// What is valid and should be changed all the same.
    pub warnings: Vec<Warning>,
    /// Explanations for those who check the entries.
    pub notes: Vec<Note>,
    /// The entries, without values that the check removed.
    pub(crate) entries: Node,
    /// Digests of the files and variables that entries refer to.
    pub(crate) referred: Vec<Referred>,
}

/// Returns the schema of the entries.
pub(crate) fn schema() -> &'static Json {
    static SCHEMA: LazyLock<Json> = LazyLock::new(schema_of::<AccountsFile>);
    &SCHEMA
}

/// Builds accounts from all entries without faults, and reports the faults of the others.
pub(super) fn build(entries: Entries, basis: &Basis<'_>, variables: &Variables) -> Built {
    let Entries(mut entries) = entries;
    let mut faults = Vec::new();
    flatten_dotted_keys(&mut entries, &mut faults);
    let schema = schema();
    faults.extend(document::prune(&mut entries, schema));
    let base = basis.file.parent().unwrap_or(Path::new(""));
    let mut context = Context::new(base, variables, faults).reserving(basis.reserved);
    let written: AccountsFile = context.typed(&entries);
    let mut builder = Builder {
        basis,
        context,
        built: Accounts::default(),
        owners: BTreeMap::new(),
        templates: Templates::new(),
        seen: BTreeMap::new(),
        named: BTreeMap::new(),
        calls: BTreeSet::new(),
        entries: BTreeMap::new(),
    };
    builder.all(&written, &Place::root(&entries));
    let Builder { context, built, .. } = builder;
    let Context { faults, warnings, notes, secret_files, referred, .. } = context;
    let accounts = Accounts { secret_files, ..built };
    Built { accounts, faults, warnings, notes, entries, referred }
}

/// Joins dotted keys. TOML reads an unquoted `account.sms.notifyOnDelivery` as nested tables; in the platform it is one
/// setting.
fn flatten_dotted_keys(entries: &mut Node, faults: &mut Vec<Fault>) {
    let Some(Node { value: Value::List(accounts), .. }) = entries.get_mut("account") else {
        return;
    };
    for account in accounts {
        if let Value::Table(table) = &mut account.value {
            document::flatten(table, |key| key.starts_with("account"), faults);
        }
    }
}

/// Builds entry by entry. Accounts come first, because the others refer to them.
struct Builder<'a> {
    basis: &'a Basis<'a>,
    context: Context<'a>,
    built: Accounts,
    owners: BTreeMap<AccountId, Owner>,
    templates: Templates,
    /// The origin of the first occurrence of each thing that must be unique.
    seen: BTreeMap<String, Origin>,
    /// The variables that URL, query, headers and body of each webhook name.
    named: BTreeMap<WebhookName, BTreeSet<String>>,
    /// The webhooks that call functions of the platform.
    calls: BTreeSet<WebhookName>,
    /// The indexes of the entries of each account's rules.
    entries: BTreeMap<AccountId, Vec<usize>>,
}

impl Builder<'_> {
    fn all(&mut self, written: &AccountsFile, place: &Place<'_>) {
        for (index, entry) in written.account.iter().enumerate() {
            self.account(entry, &place.key("account").item(index));
        }
        for (index, entry) in written.template.iter().enumerate() {
            self.template(entry, &place.key("template").item(index));
        }
        for (index, entry) in written.webhook.iter().enumerate() {
            self.webhook(entry, &place.key("webhook").item(index));
        }
        self.unused_templates(written, place);
        for (index, entry) in written.flow.iter().enumerate() {
            self.flow(entry, &place.key("flow").item(index));
        }
        for (index, entry) in written.rule.iter().enumerate() {
            self.rule(index, entry, &place.key("rule").item(index));
        }
        for (index, entry) in written.account.iter().enumerate() {
            self.notices(entry, written, &place.key("account").item(index));
        }
        self.order_rules(written, place);
        self.warn(written, place);
    }

    fn account(&mut self, entry: &AccountEntry, place: &Place<'_>) {
        // The check reports a missing id.
        let Some(id) = entry.id.map(AccountId) else { return };
        if !self.is_first(&format!("account {id}"), &place.key("id"), "give it another id") {
            return;
        }
        let policy = AccountPolicy {
            notify_on_delivery: entry.notify_on_delivery,
            attach_flow_keys: entry.attach_flow_keys,
            webhook_enabled: entry.webhook_enabled,
            default_webhook: None,
            flows: BTreeMap::new(),
            rules: Vec::new(),
            uses_variables: false,
            relations: Computed::default(),
            notices: None,
        };
        self.built.accounts.insert(id, policy);
        let constants = tokens::constants(&entry.values, &place.key("values"), &mut self.context);
        let (http_enabled, group) = (entry.http_enabled, entry.group.clone());
        self.owners.insert(id, Owner { http_enabled, group, constants });
        let rate = rate::read(
            Some(entry.rate_per_second),
            entry.rate.as_deref(),
            place,
            &mut self.context,
        );
        self.built.account_rates.extend(rate.map(|rate| (id, rate)));
    }

    fn template(&mut self, entry: &TemplateEntry, place: &Place<'_>) {
        // The check reports a missing name.
        let Some(name) = entry.name.as_deref() else { return };
        let what = format!("template {name}");
        let template = template::read(entry, place, &mut self.context);
        if self.is_first(&what, &place.key("name"), "give it another name") {
            self.templates.extend(template.map(|template| (name.to_owned(), template)));
        }
    }

    fn unused_templates(&mut self, written: &AccountsFile, place: &Place<'_>) {
        let used: BTreeSet<&str> = written.webhook.iter().filter_map(definition::named).collect();
        for (index, entry) in written.template.iter().enumerate() {
            let name = entry.name.as_deref().filter(|name| !used.contains(name));
            if let Some(template) = name.and_then(|name| self.templates.get(name)) {
                let place = place.key("template").item(index);
                template::check_unused(template, &place, &mut self.context);
            }
        }
    }

    fn webhook(&mut self, entry: &WebhookEntry, place: &Place<'_>) {
        let account = entry.account.map(AccountId);
        let known = account.is_some_and(|id| self.is_known(id, &place.key("account")));
        let name = entry.name.as_deref().and_then(|name| self.webhook_name(name, place));
        // Without its account, a webhook's scheme can't be checked.
        let owner = account.filter(|_| known).and_then(|id| self.owners.get(&id));
        let (templates, basis) = (&self.templates, self.basis);
        let before = self.context.referred.len();
        let parts = webhook::read(entry, owner, templates, basis, place, &mut self.context);
        let (Some(account), Some(name), Some(parts)) = (account, name, parts) else { return };
        if entry.default && known {
            self.default_webhook(account, &name, place);
        }
        let referred = self.context.referred.get(before..).unwrap_or_default();
        let (webhook, policy, definition) = parts.build(name.clone(), account, place, referred);
        if definition.uses_variables()
            && let Some(account) = self.built.accounts.get_mut(&account)
        {
            account.uses_variables = true;
        }
        self.named.insert(name.clone(), definition.variables().clone());
        self.calls.extend((entry.body == BodyName::Internal).then(|| name.clone()));
        let mut saves: Vec<Box<str>> = webhook
            .response
            .iter()
            .flat_map(|response| response.save_in.iter().flatten())
            .cloned()
            .collect();
        saves.extend(definition.answers().map(Box::from));
        self.built.definitions.insert(name.clone(), definition, saves);
        self.built.webhooks.insert(name, (Arc::new(webhook), policy));
    }

    fn default_webhook(&mut self, account: AccountId, name: &WebhookName, place: &Place<'_>) {
        let Some(policy) = self.built.accounts.get_mut(&account) else { return };
        match &policy.default_webhook {
            None => policy.default_webhook = Some(name.clone()),
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
            && let Some(policy) = self.built.accounts.get_mut(&account)
        {
            policy.flows.insert(FlowId(id), enabled);
        }
    }

    fn is_known(&mut self, account: AccountId, place: &Place<'_>) -> bool {
        let known = self.built.accounts.contains_key(&account);
        if !known {
            let accounts: Vec<_> =
                self.built.accounts.keys().take(8).map(ToString::to_string).collect();
            let fix = match accounts.as_slice() {
                [] => format!("add an [[account]] with id = {account}"),
                some => format!(
                    "add an [[account]] with id = {account}, or name an existing one: {}",
                    some.join(", ")
                ),
            };
            self.context.fault(place, format!("account {account} is not configured"), fix);
        }
        known
    }

    /// Returns whether this is the first occurrence of `what`, and reports the others.
    fn is_first(&mut self, what: &str, place: &Place<'_>, fix: &str) -> bool {
        let Some(first) = self.seen.get(what) else {
            self.seen.insert(what.to_owned(), place.origin().clone());
            return true;
        };
        let problem = match first.line() {
            Some(line) if first.file() == place.origin().file() => {
                format!("{what} is already defined in line {line}")
            }
            Some(_) | None => format!("{what} is already defined: {first}"),
        };
        self.context.fault(place, problem, fix);
        false
    }
}

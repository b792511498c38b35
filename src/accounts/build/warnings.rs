//! Warnings about entries that are valid and hardly meant, and explanations for those who check them.

use super::Builder;
use crate::accounts::entry::{AccountsFile, BodyName, RuleEntry};
use crate::definition::catalogue;
use crate::document::{Place, nearest};
use crate::domain::{AccountId, FlowId, WebhookName};
use std::collections::BTreeSet;

impl Builder<'_> {
    pub(super) fn warn(&mut self, written: &AccountsFile, place: &Place<'_>) {
        self.warn_of_webhooks(written, &place.key("webhook"));
        self.warn_of_missing_defaults(written, place);
        for (index, entry) in written.rule.iter().enumerate() {
            let place = place.key("rule").item(index);
            self.warn_of_early_rule(entry, &place);
            self.warn_of_statuses(entry, &place);
        }
        self.explain_scope(written, &place.key("rule"));
    }

    /// Warns of webhooks that nothing sends, and of default webhooks without a body.
    fn warn_of_webhooks(&mut self, written: &AccountsFile, place: &Place<'_>) {
        let rules = written.rule.iter().filter_map(|rule| rule.webhook.as_deref());
        let notices = written.account.iter().filter_map(|account| account.notify.as_deref());
        let used: BTreeSet<&str> = rules.chain(notices).collect();
        for (index, entry) in written.webhook.iter().enumerate() {
            let place = place.item(index);
            let Some(name) = entry.name.as_deref() else { continue };
            if !entry.default && !used.contains(name) {
                let problem = "is sent by nothing: it is no default webhook, and neither a rule nor notify names it";
                let fix = "write default = true, add a [[rule]], or remove it";
                self.context.warn(&place.key("name"), problem, fix);
            }
            if entry.default && entry.body == BodyName::None {
                let problem = "leaves both phases without a body";
                let fix = "remove it, or write \"predefined\": this is what the platform calls body type None";
                self.context.warn(&place.key("body"), problem, fix);
            }
        }
    }

    /// Warns of accounts and flows that are enabled, although their account has no default webhook.
    fn warn_of_missing_defaults(&mut self, written: &AccountsFile, place: &Place<'_>) {
        let accounts = written.account.iter().enumerate().map(|(index, entry)| {
            (entry.id, entry.webhook_enabled, place.key("account").item(index))
        });
        let flows = written.flow.iter().enumerate().map(|(index, entry)| {
            (entry.account, entry.webhook_enabled, place.key("flow").item(index))
        });
        for (id, enabled, place) in accounts.chain(flows) {
            let Some(id) = id.map(AccountId).filter(|_| enabled == Some(true)) else { continue };
            let policy = self.built.accounts.get(&id);
            if policy.is_some_and(|policy| policy.default_webhook.is_none()) {
                let problem = format!(
                    "enables the default webhook, and account {id} has none: no phase is sent"
                );
                let fix = "write default = true at one of its webhooks; rules alone need any_flow = true instead";
                self.context.warn(&place.key("webhook_enabled"), problem, fix);
            }
        }
    }

    /// Warns of rules on call begin records that use what is known later.
    fn warn_of_early_rule(&mut self, entry: &RuleEntry, place: &Place<'_>) {
        if !entry.on.iter().any(|on| on == "flow_started") {
            return;
        }
        let name = entry.webhook.as_deref().and_then(WebhookName::new);
        let named = name.and_then(|name| self.named.get(&name)).into_iter().flatten();
        let asked = entry.when.iter().filter_map(|condition| condition.variable.as_ref());
        let mut late: BTreeSet<String> = BTreeSet::new();
        for variable in named.chain(asked) {
            let mut tokens = catalogue::call_end().iter();
            let token = tokens.find(|(_, known)| known.to_string() == *variable);
            if let Some((token, _)) = token {
                late.insert(format!("{variable} (%{token}%)"));
            } else if variable.starts_with("$sms.") {
                late.insert(variable.clone());
            }
        }
        if !late.is_empty() {
            let late: Vec<&str> = late.iter().map(String::as_str).collect();
            let problem = format!(
                "is sent when the call begins, and uses what is known later: {}",
                late.join(", ")
            );
            let fix = "send it on flow_complete or on sms:final, or remove the variables";
            self.context.warn(&place.key("on"), problem, fix);
        }
    }

    /// Warns of words that are no known status.
    fn warn_of_statuses(&mut self, entry: &RuleEntry, place: &Place<'_>) {
        let statuses = self.basis.statuses;
        for (index, text) in entry.on.iter().enumerate() {
            let Some(word) = text.strip_prefix("sms:").map(str::trim).filter(|it| *it != "final")
            else {
                continue;
            };
            if word.is_empty() || statuses.meaning(word).is_some() {
                continue;
            }
            let near = nearest(&word.to_ascii_uppercase(), statuses.words());
            // Of several spellings of a status, rules are written with its name.
            let fix = match near.map(|near| statuses.read(near).name) {
                Some(near) => {
                    format!("did you mean sms:{near}? A gateway's own word belongs into [statuses]")
                }
                None => {
                    "name a status that gateways report, or add the word to [statuses]".to_owned()
                }
            };
            let problem =
                format!("`{word}` is no known status, so that the rule may never be triggered");
            self.context.warn(&place.key("on").item(index), problem, fix);
        }
    }

    /// Explains once for each account that its rules hold only for flows that enable the default webhook.
    fn explain_scope(&mut self, written: &AccountsFile, place: &Place<'_>) {
        let mut explained = BTreeSet::new();
        for (index, entry) in written.rule.iter().enumerate() {
            let Some(id) = entry.account.map(AccountId) else { continue };
            let policy = self.built.accounts.get(&id);
            let is_enabled = entry.flow.is_some_and(|flow| {
                policy.is_some_and(|policy| policy.flows.get(&FlowId(flow)) == Some(&true))
            });
            if entry.any_flow.is_some() || is_enabled || !explained.insert(id) {
                continue;
            }
            let problem = format!(
                "not given: the rule is sent only for flows that enable the default webhook of account {id}, by a \
                 [[flow]], by the record's webhookEnabled, or by the account's webhook_enabled, whichever comes first"
            );
            let fix = "write any_flow = true to send it for every flow, or any_flow = false to keep it so";
            self.context.note(&place.item(index).key("any_flow"), problem, fix);
        }
    }
}

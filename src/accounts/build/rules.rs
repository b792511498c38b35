//! Builds rules, and puts them into the order in which their webhooks depend on each other.

use super::Builder;
use crate::accounts::entry::{AccountsFile, RuleEntry};
use crate::accounts::rule;
use crate::document::{Place, nearest};
use crate::domain::{
    AccountId, AccountPolicy, Definitions as _, FlowId, Rule, Trigger, WebhookName,
};
use imbl::OrdMap;
use std::collections::BTreeMap;

impl Builder<'_> {
    pub(super) fn rule(&mut self, entry: &RuleEntry, place: &Place<'_>) {
        let on = rule::triggers(entry, place, &mut self.context);
        let when = rule::conditions(entry, place, &mut self.context);
        let Some(id) = entry.account.map(AccountId) else { return };
        if !self.is_known(id, &place.key("account")) {
            return;
        }
        self.refuse_what_never_comes(id, &on, place);
        let webhook = self.webhook_of(id, entry.webhook.as_deref(), &place.key("webhook"));
        let after = self.webhook_of(id, entry.after.as_deref(), &place.key("after"));
        for (index, text) in entry.on.iter().enumerate() {
            let name = text.strip_prefix("webhook:").and_then(|it| it.rsplit_once(':'));
            self.webhook_of(id, name.map(|(name, _)| name), &place.key("on").item(index));
        }
        let Some(webhook) = webhook else { return };
        if let Some(account) = self.built.accounts.get_mut(&id) {
            account.uses_variables |= !when.is_empty();
            let any_flow = entry.any_flow.unwrap_or(false);
            let rule = Rule { on, when, webhook, after, any_flow };
            account.rules.push((entry.flow.map(FlowId), rule));
        }
    }

    fn refuse_what_never_comes(&mut self, id: AccountId, on: &[Trigger], place: &Place<'_>) {
        let about_reports = |trigger: &Trigger| {
            matches!(trigger, Trigger::Sms(_) | Trigger::SmsFinal | Trigger::ReportTimedOut)
        };
        let notified =
            self.built.accounts.get(&id).is_some_and(|account| account.notify_on_delivery);
        if on.iter().any(about_reports) && !notified {
            let problem = format!("account {id} ignores delivery reports, so this never happens");
            let fix = "set \"account.sms.notifyOnDelivery\" = true at the [[account]]";
            self.context.fault(&place.key("on"), problem, fix);
        }
        if on.contains(&Trigger::FlowStarted) && !self.basis.has_flow_started {
            let problem = "no input topic for call begin records is configured";
            let fix = format!(
                "set topics.flow_started in {}; a daemon needs a restart for it",
                self.basis.file.display()
            );
            self.context.fault(&place.key("on"), problem, fix);
        }
    }

    /// Returns the webhook `name` of the account `id`, and reports a fault if there is none.
    fn webhook_of(
        &mut self,
        id: AccountId,
        name: Option<&str>,
        place: &Place<'_>,
    ) -> Option<WebhookName> {
        let name = name?;
        let webhook = WebhookName::new(name).filter(|name| {
            self.built.webhooks.get(name).is_some_and(|(webhook, _)| webhook.account == id)
        });
        // A webhook that has faults is reported already.
        let is_reported = self.seen.contains_key(&format!("webhook {name}"));
        if webhook.is_none() && (!is_reported || self.is_anothers(name)) {
            let own = self.built.webhooks.iter().filter(|(_, (webhook, _))| webhook.account == id);
            let nearest = nearest(name, own.map(|(name, _)| name.as_str()));
            let fix = match nearest {
                Some(nearest) => format!("write `{nearest}`"),
                None => format!("add a [[webhook]] of account {id}, and name it here"),
            };
            let problem = format!("account {id} has no webhook `{name}`");
            self.context.fault(place, problem, fix);
        }
        webhook
    }

    fn is_anothers(&self, name: &str) -> bool {
        WebhookName::new(name).is_some_and(|name| self.built.webhooks.contains_key(&name))
    }

    /// Reports each rule whose webhook comes after one that comes after it.
    pub(super) fn refuse_cycles(&mut self, written: &AccountsFile, place: &Place<'_>) {
        let mut edges: BTreeMap<AccountId, Vec<(WebhookName, WebhookName)>> = BTreeMap::new();
        for (index, entry) in written.rule.iter().enumerate() {
            let name = |text: &Option<String>| text.as_deref().and_then(WebhookName::new);
            let (Some(id), Some(webhook)) = (entry.account.map(AccountId), name(&entry.webhook))
            else {
                continue;
            };
            let place = place.key("rule").item(index);
            let after = name(&entry.after).map(|after| (after, place.key("after")));
            let upon = entry.on.iter().enumerate().filter_map(|(number, text)| {
                let (name, _) = text.strip_prefix("webhook:")?.rsplit_once(':')?;
                Some((WebhookName::new(name)?, place.key("on").item(number)))
            });
            for (before, place) in after.into_iter().chain(upon) {
                let known = edges.entry(id).or_default();
                let cycle = self.path(id, known, &webhook, &before);
                match cycle {
                    Some(path) => {
                        let path: Vec<&str> = path.iter().map(WebhookName::as_str).collect();
                        let problem = format!(
                            "makes a cycle: `{webhook}` would come after itself ({}, {webhook})",
                            path.join(", ")
                        );
                        let fix = "remove it, or what makes the other webhook come after this one";
                        self.context.fault(&place, problem, fix);
                    }
                    None => known.push((before, webhook.clone())),
                }
            }
        }
    }

    /// Returns the webhooks from `from` to `to`, each of which comes after the one before it: because of `edges`, or
    /// because it uses a value of the other's answer.
    fn path(
        &self,
        id: AccountId,
        edges: &[(WebhookName, WebhookName)],
        from: &WebhookName,
        to: &WebhookName,
    ) -> Option<Vec<WebhookName>> {
        let rules = self.built.accounts.get(&id).map_or(&[][..], |account| &account.rules[..]);
        let mut found: Vec<Vec<WebhookName>> = vec![vec![from.clone()]];
        let mut seen = vec![from.clone()];
        while let Some(path) = found.pop() {
            let last = path.last()?;
            if last == to {
                return Some(path);
            }
            let by_edge = edges.iter().filter(|(before, _)| before == last).map(|(_, after)| after);
            let by_value = rules.iter().filter(|(_, rule)| self.gives(last, rule));
            let next = by_edge.chain(by_value.map(|(_, rule)| &rule.webhook));
            for next in next {
                if !seen.contains(next) {
                    seen.push(next.clone());
                    found.push([path.as_slice(), std::slice::from_ref(next)].concat());
                }
            }
        }
        None
    }

    /// Returns whether the answer of `webhook` gives a value to a variable of `rule`.
    fn gives(&self, webhook: &WebhookName, rule: &Rule) -> bool {
        let definitions = &self.built.definitions;
        let asks = |variable: &str| rule.when.iter().any(|it| it.is_about(variable));
        *webhook != rule.webhook
            && definitions
                .saves(webhook)
                .iter()
                .any(|variable| definitions.uses(&rule.webhook, variable) || asks(variable))
    }

    /// Moves rules before those that come after them or use their values. Rules that depend on each other keep their
    /// order.
    pub(super) fn order_rules(&mut self) {
        let mut ordered: OrdMap<AccountId, AccountPolicy> = OrdMap::new();
        for (id, account) in &self.built.accounts {
            let mut left: Vec<_> = account.rules.iter().collect();
            let mut rules = Vec::with_capacity(left.len());
            let comes_first = |one: &Rule, other: &Rule| {
                other.after.as_ref() == Some(&one.webhook) || self.gives(&one.webhook, other)
            };
            while !left.is_empty() {
                let is_free = |rule: &&(Option<FlowId>, Rule)| {
                    !left.iter().any(|(_, one)| comes_first(one, &rule.1))
                };
                let next = left.iter().position(is_free).unwrap_or(0);
                rules.push(left.remove(next).clone());
            }
            ordered.insert(*id, AccountPolicy { rules, ..account.clone() });
        }
        self.built.accounts = ordered;
    }
}

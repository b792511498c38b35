//! Builds rules.

use super::Builder;
use crate::accounts::entry::RuleEntry;
use crate::accounts::rule;
use crate::document::{Place, nearest};
use crate::domain::{AccountId, FlowId, Rule, Trigger, WebhookName};

impl Builder<'_> {
    /// Builds the rule of the entry with this index.
    pub(super) fn rule(&mut self, index: usize, entry: &RuleEntry, place: &Place<'_>) {
        let on = rule::triggers(entry, place, &mut self.context);
        let when = rule::conditions(entry, place, &mut self.context);
        let Some(id) = entry.account.map(AccountId) else { return };
        if !self.is_known(id, &place.key("account")) {
            return;
        }
        self.refuse_what_never_comes(id, &on, place);
        let webhook = self.webhook_of(id, entry.webhook.as_deref(), &place.key("webhook"));
        let after = self.webhook_of(id, entry.after.as_deref(), &place.key("after"));
        for (number, text) in entry.on.iter().enumerate() {
            let name = text.strip_prefix("webhook:").and_then(|it| it.rsplit_once(':'));
            self.webhook_of(id, name.map(|(name, _)| name), &place.key("on").item(number));
        }
        let Some(webhook) = webhook else { return };
        if let Some(account) = self.built.accounts.get_mut(&id) {
            account.uses_variables |= !when.is_empty();
            let any_flow = entry.any_flow.unwrap_or(false);
            let rule = Rule { on, when, webhook, after, any_flow };
            account.rules.push((entry.flow.map(FlowId), rule));
            self.entries.entry(id).or_default().push(index);
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
    pub(super) fn webhook_of(
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
}

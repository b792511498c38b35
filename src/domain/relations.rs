//! The relations among the rules and webhooks of an account: which rules wait for the end of a webhook, and whose
//! outcome a webhook may use. They follow from the configuration alone, so that they are computed once, and not at each
//! delivery.

use super::{
    AccountPolicy, Definitions, FlowId, OUTCOME_VARIABLES, Rule, Scope, Trigger, WebhookName,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// The relations of one account. Rules have their number in [`AccountPolicy::rules`].
#[derive(Debug, Default)]
pub(super) struct Relations {
    /// The rules about the end of each webhook.
    upon_end_of: BTreeMap<WebhookName, Vec<usize>>,
    /// The rules that send each webhook.
    sending: BTreeMap<WebhookName, Vec<usize>>,
    /// The webhooks that each rule derives from the variables that it uses.
    derived: Vec<Vec<WebhookName>>,
    /// The same for a phase that is sent to the default webhook.
    derived_of_phase: Vec<WebhookName>,
    /// The webhooks whose outcome a rule or a phase may use.
    wanted: BTreeSet<WebhookName>,
}

impl Relations {
    fn of(account: &AccountPolicy, definitions: &dyn Definitions) -> Self {
        let mut relations = Self::default();
        for (number, (_, rule)) in account.rules.iter().enumerate() {
            relations.sending.entry(rule.webhook.clone()).or_default().push(number);
            let upon: BTreeSet<_> = rule.on.iter().filter_map(Trigger::webhook).collect();
            for webhook in upon {
                relations.wanted.insert(webhook.clone());
                relations.upon_end_of.entry(webhook.clone()).or_default().push(number);
            }
            let derived = match &rule.after {
                Some(after) => vec![after.clone()],
                None => derived(account, definitions, &rule.webhook, Some(rule)),
            };
            relations.wanted.extend(derived.iter().cloned());
            relations.derived.push(derived);
        }
        if let Some(webhook) = &account.default_webhook {
            relations.derived_of_phase = derived(account, definitions, webhook, None);
            relations.wanted.extend(relations.derived_of_phase.iter().cloned());
        }
        relations
    }

    /// Returns whether a rule or a phase may use the outcome of `webhook`.
    pub(super) fn is_wanted(&self, webhook: &WebhookName) -> bool {
        self.wanted.contains(webhook)
    }

    /// Returns the webhooks whose outcome the rule with this number may use: the one that it names, or those that give
    /// values to its variables.
    pub(super) fn outcome_of(&self, rule: usize) -> &[WebhookName] {
        self.derived.get(rule).map_or(&[], Vec::as_slice)
    }

    /// Returns the webhooks whose outcome a phase may use that is sent to the default webhook.
    pub(super) fn outcome_of_phase(&self) -> &[WebhookName] {
        &self.derived_of_phase
    }
}

/// Relations that are computed at their first use. A copy is computed anew, because it belongs to another
/// configuration, or to one that is being changed.
#[derive(Debug, Default)]
pub struct Computed(OnceLock<Relations>);

impl Clone for Computed {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Computed {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Computed {}

impl AccountPolicy {
    /// Returns the relations. `definitions` are those of the configuration to which the account belongs.
    pub(super) fn relations(&self, definitions: &dyn Definitions) -> &Relations {
        self.relations.0.get_or_init(|| Relations::of(self, definitions))
    }

    /// Returns the rules about the end of `webhook`.
    pub(super) fn upon_end_of<'a>(
        &'a self,
        webhook: &WebhookName,
        definitions: &dyn Definitions,
    ) -> impl Iterator<Item = &'a (Option<FlowId>, Rule)> {
        let numbers = self.relations(definitions).upon_end_of.get(webhook);
        numbers.into_iter().flatten().filter_map(|number| self.rules.get(*number))
    }

    /// Returns the rules that send `webhook` and apply to a flow.
    pub(super) fn sending<'a>(
        &'a self,
        webhook: &WebhookName,
        scope: Scope,
        definitions: &dyn Definitions,
    ) -> impl Iterator<Item = (usize, &'a Rule)> {
        let numbers = self.relations(definitions).sending.get(webhook);
        let rules = numbers.into_iter().flatten();
        let rules = rules.filter_map(|number| Some((*number, self.rules.get(*number)?)));
        rules
            .filter(move |(_, (of, rule))| scope.includes(*of, rule))
            .map(|(n, (_, rule))| (n, rule))
    }
}

/// Returns the webhooks whose answers give values to `webhook` or to the conditions of `rule`, if one of the two uses
/// an outcome.
pub(super) fn derived(
    account: &AccountPolicy,
    definitions: &dyn Definitions,
    webhook: &WebhookName,
    rule: Option<&Rule>,
) -> Vec<WebhookName> {
    let asks = |variable: &str| {
        rule.is_some_and(|rule| rule.when.iter().any(|condition| condition.is_about(variable)))
    };
    if !definitions.takes_outcome(webhook) && !OUTCOME_VARIABLES.into_iter().any(asks) {
        return Vec::new();
    }
    let uses = |variable: &str| definitions.uses(webhook, variable) || asks(variable);
    let sent: BTreeSet<_> = account
        .rules
        .iter()
        .map(|(_, rule)| &rule.webhook)
        .chain(&account.default_webhook)
        .collect();
    let gives = |other: &&&WebhookName| {
        **other != webhook && definitions.saves(other).iter().any(|variable| uses(variable))
    };
    sent.iter().filter(gives).map(|other| (*other).clone()).collect()
}

//! The webhooks that a webhook comes after, and their outcomes, which its variables have.

use crate::domain::{
    AccountId, AccountPolicy, DeadLetterReason, Delivery, DeliveryId, EndedWebhook, ErrorReason,
    Event, Mapped, OUTCOME_VARIABLES, Policy, Rendering, Rule, State, WebhookName,
};

/// The webhooks that a delivery comes after.
#[derive(Clone, Debug, Default)]
pub(super) struct After<'a> {
    /// The webhook that the rule names. The delivery waits for it.
    pub(super) named: Option<&'a WebhookName>,
    /// The webhooks whose outcome the variables have.
    pub(super) outcome_of: Vec<WebhookName>,
}

impl<'a> After<'a> {
    /// Returns what the webhook of `rule` comes after: the webhook that the rule names. If it names none, and the rule
    /// uses an outcome, these are the webhooks whose answers give values to its variables.
    pub(super) fn of_rule(policy: &Policy, account: &AccountPolicy, rule: &'a Rule) -> Self {
        let named = rule.after.as_ref();
        let outcome_of = match named {
            Some(named) => vec![named.clone()],
            None => derived(policy, account, &rule.webhook, Some(rule)),
        };
        Self { named, outcome_of }
    }

    /// Returns what a delivery of a phase comes after.
    pub(super) fn of_phase(policy: &Policy, account: AccountId, webhook: &WebhookName) -> Self {
        let account = policy.accounts.get(&account);
        let derive = |account| derived(policy, account, webhook, None);
        Self { named: None, outcome_of: account.map(derive).unwrap_or_default() }
    }

    /// Returns the deliveries among `others` of the webhook that the rule names.
    pub(super) fn named_among(&self, others: &[&Delivery], delivery: &Delivery) -> Vec<DeliveryId> {
        let is_named = |other: &&&Delivery| {
            other.account == delivery.account && Some(&other.webhook) == self.named
        };
        others.iter().filter(is_named).map(|other| other.id).collect()
    }
}

/// Returns the webhooks whose answers give values to `webhook` or to the conditions of `rule`, if one of the two uses
/// an outcome.
fn derived(
    policy: &Policy,
    account: &AccountPolicy,
    webhook: &WebhookName,
    rule: Option<&Rule>,
) -> Vec<WebhookName> {
    let definitions = &policy.definitions;
    let asks = |variable: &str| {
        rule.is_some_and(|rule| rule.when.iter().any(|condition| condition.is_about(variable)))
    };
    if !definitions.takes_outcome(webhook) && !OUTCOME_VARIABLES.into_iter().any(asks) {
        return Vec::new();
    }
    let uses = |variable: &str| definitions.uses(webhook, variable) || asks(variable);
    let ruled = account.rules.iter().map(|(_, rule)| &rule.webhook);
    let mut found: Vec<WebhookName> = Vec::new();
    for other in ruled.chain(&account.default_webhook) {
        let gives = definitions.saves(other).iter().any(|variable| uses(variable));
        if other != webhook && gives && !found.contains(other) {
            found.push(other.clone());
        }
    }
    found
}

/// Adds `event`, which ends a delivery, to `events`. If a later webhook may use the outcome, it is kept.
pub(super) fn end(state: &State, policy: &Policy, event: Event, events: &mut Vec<Event>) {
    let kept = outcome(state, policy, &event);
    events.push(event);
    events.extend(kept);
}

fn outcome(state: &State, policy: &Policy, event: &Event) -> Option<Event> {
    let (delivery, end) = event.end()?;
    if !is_wanted(state, policy, delivery) {
        return None;
    }
    let (outcome, reason) = if let Event::Delivered { outcome, .. } = event {
        (Some(outcome), None)
    } else if let Event::DeadLettered { reason, .. } = event {
        (delivery.last_outcome.as_ref(), unattempted(*reason))
    } else {
        return None;
    };
    let values = policy.definitions.outcome(end, outcome, reason);
    let (account, webhook) = (delivery.account, delivery.webhook.clone());
    let ended = Box::new(EndedWebhook { account, webhook, values });
    Some(Event::OutcomeKept { delivery: delivery.id, ended })
}

/// Returns the reason of a dead letter in the words of attempts, if they have one.
const fn unattempted(reason: DeadLetterReason) -> Option<ErrorReason> {
    match reason {
        DeadLetterReason::BlockedAddress => Some(ErrorReason::BlockedAddress),
        DeadLetterReason::InvalidRequest => Some(ErrorReason::InvalidRequest),
        DeadLetterReason::InvalidFlowVar => Some(ErrorReason::InvalidFlowVar),
        DeadLetterReason::InvalidResponse => Some(ErrorReason::InvalidResponse),
        DeadLetterReason::InvalidResponseMap => Some(ErrorReason::InvalidResponseMap),
        DeadLetterReason::Refused => Some(ErrorReason::Refused),
        DeadLetterReason::AttemptsExhausted
        | DeadLetterReason::AgeExceeded
        | DeadLetterReason::EndpointDisabled
        | DeadLetterReason::Undecodable
        | DeadLetterReason::UnknownSchema
        | DeadLetterReason::NoUuid
        | DeadLetterReason::UnknownAccount
        | DeadLetterReason::FlowMissing
        | DeadLetterReason::SinkRefused => None,
    }
}

/// Returns whether a webhook may use the outcome of `ended`.
fn is_wanted(state: &State, policy: &Policy, ended: &Delivery) -> bool {
    let waits = |delivery: &Delivery| match &delivery.rendering {
        Rendering::Pending(pending) => pending.outcome_of.contains(&ended.webhook),
        Rendering::Fixed | Rendering::Done(_) => false,
    };
    let mut deferred = state.deferred.iter().map(|deferred| &deferred.delivery);
    if state.deliveries.iter().any(waits) || deferred.any(waits) {
        return true;
    }
    let Some(account) = policy.accounts.get(&ended.account) else { return false };
    let by_rule = |rule: &Rule| {
        rule.upon_end_of(&ended.webhook).next().is_some()
            || After::of_rule(policy, account, rule).outcome_of.contains(&ended.webhook)
    };
    let by_phase =
        |webhook: &WebhookName| derived(policy, account, webhook, None).contains(&ended.webhook);
    account.rules.iter().any(|(_, rule)| by_rule(rule))
        || account.default_webhook.as_ref().is_some_and(by_phase)
}

/// Returns the outcome that is kept after `events` of that webhook in `outcome_of` which ended last.
pub(super) fn kept<'a>(
    state: &'a State,
    events: &'a [Event],
    account: AccountId,
    outcome_of: &[WebhookName],
) -> Option<&'a [Mapped]> {
    if outcome_of.is_empty() {
        return None;
    }
    let newer = events.iter().rev().filter_map(|event| {
        if let Event::OutcomeKept { ended, .. } = event { Some(&**ended) } else { None }
    });
    let mut all = newer.chain(state.outcomes.iter().rev());
    let found = all.find(|it| it.account == account && outcome_of.contains(&it.webhook));
    found.map(|it| it.values.as_slice())
}

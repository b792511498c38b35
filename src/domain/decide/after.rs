//! The webhooks that a webhook comes after, and their outcomes, which its variables have.

use crate::domain::relations::derived;
use crate::domain::{
    AccountPolicy, DeadLetterReason, Delivery, EndedWebhook, ErrorReason, Event, Policy, Rendering,
    Rule, State, WebhookName,
};
use std::borrow::Cow;

/// The webhooks that a delivery comes after.
#[derive(Clone, Debug, Default)]
pub(super) struct After<'a> {
    /// The webhook that the rule names. The delivery waits for it.
    pub(super) named: Option<&'a WebhookName>,
    /// The webhooks whose outcome the variables have.
    pub(super) outcome_of: Cow<'a, [WebhookName]>,
}

impl<'a> After<'a> {
    /// Returns what the webhook of the rule with this number comes after: the webhook that the rule names. If it names
    /// none, and the rule uses an outcome, these are the webhooks whose answers give values to its variables.
    pub(super) fn of_rule(
        policy: &Policy,
        account: &'a AccountPolicy,
        (number, rule): (usize, &'a Rule),
    ) -> Self {
        let relations = account.relations(&*policy.definitions);
        let outcome_of = Cow::Borrowed(relations.outcome_of(number));
        Self { named: rule.after.as_ref(), outcome_of }
    }

    /// Returns what a delivery of a phase comes after.
    pub(super) fn of_phase(
        policy: &'a Policy,
        account: Option<&'a AccountPolicy>,
        webhook: &WebhookName,
    ) -> Self {
        let definitions = &*policy.definitions;
        let outcome_of = match account {
            None => Cow::default(),
            Some(account) if account.default_webhook.as_ref() == Some(webhook) => {
                Cow::Borrowed(account.relations(definitions).outcome_of_phase())
            }
            Some(account) => Cow::Owned(derived(account, definitions, webhook, None)),
        };
        Self { named: None, outcome_of }
    }
}

/// Keeps the outcome of the delivery that the last of `events` ends, if a later webhook may use it.
#[inline]
pub(super) fn keep_outcome(state: &State, policy: &Policy, events: &mut Vec<Event>) {
    let Some(ended) = events.last().and_then(Event::ended) else { return };
    if is_wanted(state, policy, ended) {
        let kept = events.last().and_then(|event| outcome(policy, event));
        events.extend(kept);
    }
}

fn outcome(policy: &Policy, event: &Event) -> Option<Event> {
    let (delivery, end) = event.end()?;
    let (outcome, reason) = if let Event::Delivered { outcome, .. } = event {
        (Some(outcome), None)
    } else if let Event::DeadLettered { reason, .. } = event {
        (delivery.last_outcome.as_deref(), unattempted(*reason))
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
#[inline]
fn is_wanted(state: &State, policy: &Policy, ended: &Delivery) -> bool {
    let account = policy.accounts.get(&ended.account);
    let definitions = &*policy.definitions;
    if account.is_some_and(|account| account.relations(definitions).is_wanted(&ended.webhook)) {
        return true;
    }
    // The configuration may have changed since these began to wait.
    let waits = |delivery: &Delivery| match &delivery.rendering {
        Rendering::Pending(pending) => pending.outcome_of.contains(&ended.webhook),
        Rendering::Fixed | Rendering::Done(_) => false,
    };
    let mut deferred = state.deferred.iter().map(|deferred| &deferred.delivery);
    state.deliveries.iter().any(waits) || deferred.any(waits)
}

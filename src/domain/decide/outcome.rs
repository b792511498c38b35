//! Applies an attempt's outcome to its delivery: it is delivered, retried, or becomes a dead letter.

use super::after::keep_outcome;
use crate::domain::{
    DeadLetterReason, Delivery, DeliveryId, ErrorReason, Event, Outcome, Policy, State, Timestamp,
    Verdict,
};

pub(super) fn record(
    state: &State,
    id: DeliveryId,
    attempt: u32,
    outcome: &Outcome,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Event> {
    let Some(delivery) = state.delivery(id) else { return Vec::new() };
    // An outcome is stale if it was recorded before or belongs to an attempt before a replay.
    if attempt != delivery.attempts.saturating_add(1) {
        return Vec::new();
    }
    let mut events = Vec::with_capacity(3);
    match verdict(delivery, attempt, outcome, policy, now) {
        Next::Delivered => {
            let delivery = Box::new(delivery.clone());
            let outcome = outcome.clone();
            events.push(Event::Delivered { delivery, attempt, outcome, at: now });
            keep_outcome(state, policy, &mut events);
        }
        Next::Retry(due) => events.push(failed(id, attempt, outcome, now, Some(due))),
        Next::GiveUp(reason) => {
            events.push(failed(id, attempt, outcome, now, None));
            let delivery = Box::new(attempted(delivery, attempt, outcome, now));
            events.push(Event::DeadLettered { delivery, reason, at: now });
            keep_outcome(state, policy, &mut events);
        }
    }
    events
}

/// Makes a delivery a dead letter without another attempt.
pub(super) fn give_up(
    state: &State,
    id: DeliveryId,
    reason: DeadLetterReason,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Event> {
    let Some(delivery) = state.delivery(id) else { return Vec::new() };
    let delivery = Box::new(delivery.clone());
    let mut events = Vec::with_capacity(2);
    events.push(Event::DeadLettered { delivery, reason, at: now });
    keep_outcome(state, policy, &mut events);
    events
}

enum Next {
    Delivered,
    Retry(Timestamp),
    GiveUp(DeadLetterReason),
}

fn verdict(
    delivery: &Delivery,
    attempt: u32,
    outcome: &Outcome,
    policy: &Policy,
    now: Timestamp,
) -> Next {
    match outcome.verdict {
        Verdict::Delivered => Next::Delivered,
        Verdict::GiveUp => Next::GiveUp(final_reason(outcome.reason)),
        Verdict::Retry => {
            let webhook = policy.webhook(&delivery.webhook);
            if attempt >= webhook.attempts_max {
                return Next::GiveUp(DeadLetterReason::AttemptsExhausted);
            }
            let due = now.plus_ms(webhook.retry.delay_ms(delivery.id, attempt));
            if due.ms_since(delivery.scheduled_at) > webhook.age_max_ms {
                Next::GiveUp(DeadLetterReason::AgeExceeded)
            } else {
                Next::Retry(due)
            }
        }
    }
}

fn final_reason(reason: Option<ErrorReason>) -> DeadLetterReason {
    match reason {
        Some(ErrorReason::BlockedAddress) => DeadLetterReason::BlockedAddress,
        Some(ErrorReason::InvalidRequest) => DeadLetterReason::InvalidRequest,
        Some(ErrorReason::InvalidFlowVar) => DeadLetterReason::InvalidFlowVar,
        Some(ErrorReason::InvalidResponse) => DeadLetterReason::InvalidResponse,
        Some(ErrorReason::InvalidResponseMap) => DeadLetterReason::InvalidResponseMap,
        Some(
            ErrorReason::AuthenticationFailure
            | ErrorReason::Timeout
            | ErrorReason::Unreachable
            | ErrorReason::Refused,
        )
        | None => DeadLetterReason::Refused,
    }
}

fn failed(
    delivery: DeliveryId,
    attempt: u32,
    outcome: &Outcome,
    at: Timestamp,
    retry_at: Option<Timestamp>,
) -> Event {
    Event::AttemptFailed { delivery, attempt, outcome: outcome.clone(), at, retry_at }
}

/// Returns the delivery with its last attempt, as its dead letter contains it.
fn attempted(delivery: &Delivery, attempt: u32, outcome: &Outcome, now: Timestamp) -> Delivery {
    Delivery {
        attempts: attempt,
        first_attempt_at: delivery.first_attempt_at.or(Some(now)),
        last_attempt_at: Some(now),
        last_outcome: Some(Box::new(outcome.clone())),
        ..delivery.clone()
    }
}

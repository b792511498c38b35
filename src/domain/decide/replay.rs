//! An operator's word: what was given up is sent after all, in a life of its own.

use super::phase_one_pending;
use crate::domain::{
    DeadLetterReason, Delivery, Due, Event, Phase, Phase2Order, Rules, STATE_BYTES_MAX, State,
    Timestamp,
};

/// The delivery stands in the outbox again, with the attempts and the age of a new one. Where there is no room for it, this
/// life ends as it begins, so that its dead letter is the newest, and may be replayed in its turn.
pub(super) fn revive(
    state: &State,
    given_up: &Delivery,
    rules: &Rules,
    now: Timestamp,
) -> Vec<Event> {
    // It is on its way: the same command came before, or another letter of the same delivery was replayed.
    if state.delivery(given_up.id).is_some() {
        return Vec::new();
    }
    let waits = given_up.phase == Phase::Two
        && rules.correlation.phase2_order == Phase2Order::Strict
        && phase_one_pending(state);
    let delivery = Delivery {
        scheduled_at: now,
        due: if waits { Due::AfterPhaseOne } else { Due::At(now) },
        attempts: 0,
        replays: given_up.replays.saturating_add(1),
        first_attempt_at: None,
        last_attempt_at: None,
        last_outcome: None,
        ..given_up.clone()
    };
    let delivery = Box::new(delivery);
    let mut events = vec![Event::Replayed { delivery: delivery.clone() }];
    if state.bytes_max() + delivery.bytes_max() > STATE_BYTES_MAX {
        events.push(Event::DeadLettered {
            delivery,
            reason: DeadLetterReason::InvalidRequest,
            at: now,
        });
    }
    events
}

//! An operator's word: what was given up is sent after all, in a life of its own.

use super::phase_one_pending;
use crate::domain::{Delivery, Due, Event, Phase, Phase2Order, Rules, State, Timestamp};

/// The delivery stands in the outbox again, with the attempts and the age of a new one.
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
    vec![Event::Replayed { delivery: Box::new(delivery) }]
}

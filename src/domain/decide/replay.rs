//! An operator's replay: a dead letter's delivery is sent again, with new attempts and a new age.

use super::room::Room;
use super::schedule::{dead_letter, givers, render, unrenderable};
use crate::domain::{
    DeadLetterReason, Delivery, DeliveryId, Due, Event, Pending, Phase, Phase2Order, Policy,
    Rendering, State, Timestamp,
};

/// Puts the delivery of a dead letter into the outbox again, with the attempts and the age of a new one. If the row has
/// no room for it, or it still can't be rendered, it becomes a dead letter again at once. This dead letter is then the
/// newest, and can be replayed too.
pub(super) fn revive(
    state: &State,
    given_up: &Delivery,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Event> {
    // The delivery is in the outbox: the command is a duplicate, or another dead letter of the same delivery was
    // replayed.
    if state.delivery(given_up.id).is_some() {
        return Vec::new();
    }
    let waits = given_up.phase != Phase::One
        && policy.correlation.phase2_order == Phase2Order::Strict
        && state.deliveries.iter().any(|delivery| delivery.phase == Phase::One);
    let delivery = Delivery {
        scheduled_at: now,
        due: if waits { Due::Waiting } else { Due::At(now) },
        attempts: 0,
        replays: given_up.replays.saturating_add(1),
        first_attempt_at: None,
        last_attempt_at: None,
        last_outcome: None,
        ..given_up.clone()
    };
    let delivery = match &given_up.rendering {
        Rendering::Fixed | Rendering::Done(_) => delivery,
        Rendering::Pending(pending) => {
            let facts = pending.facts.with(&state.mapped);
            let free = not_waiting_for(state, given_up.id);
            let after = if policy.definitions.is_rendered(&delivery.webhook) {
                givers(free.into_iter(), &delivery, policy)
            } else {
                Vec::new()
            };
            if !after.is_empty() {
                let phase_one =
                    state.deliveries.iter().filter(|it| waits && it.phase == Phase::One);
                let mut after = after;
                after.extend(phase_one.map(|it| it.id));
                let pending = Box::new(Pending { facts, after });
                let rendering = Rendering::Pending(pending);
                return fitting(state, Delivery { due: Due::Waiting, rendering, ..delivery }, now);
            }
            match render(&delivery.webhook, &delivery.body, &facts, policy) {
                Ok((body, rendering)) => Delivery { body, rendering, ..delivery },
                Err(missing) => {
                    let again = unrenderable(&delivery, facts, &missing);
                    let reason = DeadLetterReason::InvalidFlowVar;
                    return vec![replayed(&delivery), dead_letter(again, reason, now)];
                }
            }
        }
    };
    fitting(state, delivery, now)
}

fn replayed(delivery: &Delivery) -> Event {
    Event::Replayed { delivery: Box::new(delivery.clone()) }
}

fn fitting(state: &State, delivery: Delivery, now: Timestamp) -> Vec<Event> {
    let mut events = vec![replayed(&delivery)];
    let room = Room::of(state);
    room.add(delivery.bytes_max());
    if !room.is_left() {
        events.push(dead_letter(delivery, DeadLetterReason::InvalidRequest, now));
    }
    events
}

/// Returns the deliveries that do not wait for `id`, directly or through others. A delivery that waits for one that
/// waits for it would never leave.
fn not_waiting_for(state: &State, id: DeliveryId) -> Vec<&Delivery> {
    let waits = |row: &Delivery, blocked: &[DeliveryId]| match &row.rendering {
        Rendering::Pending(pending) => pending.after.iter().any(|id| blocked.contains(id)),
        Rendering::Fixed | Rendering::Done(_) => false,
    };
    let mut blocked = vec![id];
    let mut free: Vec<&Delivery> = state.deliveries.iter().collect();
    while let Some(index) = free.iter().position(|row| waits(row, &blocked)) {
        blocked.push(free.remove(index).id);
    }
    free
}

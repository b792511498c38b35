//! Renders deliveries that waited for one that has ended.

use super::room::Room;
use super::schedule::{dead_letter, render, unrenderable};
use crate::domain::{
    DeadLetterReason, Delivery, DeliveryId, Due, Event, Mapped, Pending, Policy, Rendering, State,
    Timestamp,
};

/// Renders the deliveries that waited only for `ended`, or for deliveries that can't be rendered themselves. The answer
/// to `ended` gave the values `newer`.
pub(super) fn release(
    state: &State,
    ended: DeliveryId,
    newer: &[Mapped],
    policy: &Policy,
    now: Timestamp,
    events: &mut Vec<Event>,
) {
    let mut waiting: Vec<(&Delivery, &Pending)> =
        state.deliveries.iter().filter_map(pending).collect();
    if waiting.is_empty() {
        return;
    }
    let owner = state.delivery(ended).map(|delivery| delivery.account);
    let mut left: Vec<DeliveryId> = state.deliveries.iter().map(|row| row.id).collect();
    left.retain(|id| *id != ended);
    let room = Room::of(state);
    room.remove(state.delivery(ended).map_or(0, Delivery::bytes_max));
    loop {
        let next = waiting
            .iter()
            .position(|(_, pending)| !pending.after.iter().any(|id| left.contains(id)));
        let Some((delivery, pending)) = next.map(|index| waiting.remove(index)) else { return };
        room.remove(delivery.bytes_max());
        // Answers to one account's webhooks are not used for another account.
        let newer = if owner == Some(delivery.account) { newer } else { &[] };
        let facts = pending.facts.with(&state.mapped).with(newer);
        let given_up = match render(&delivery.webhook, &delivery.body, &facts, policy) {
            Ok((body, rendering)) => {
                let bytes = delivery.bytes_max_with(&body, &rendering);
                room.add(bytes);
                if room.is_left() {
                    let (delivery, at) = (delivery.id, now);
                    events.push(Event::DeliveryRendered { delivery, body, rendering, at });
                    continue;
                }
                room.remove(bytes);
                (Delivery::clone(delivery), DeadLetterReason::InvalidRequest)
            }
            Err(missing) => {
                (unrenderable(delivery, facts, &missing), DeadLetterReason::InvalidFlowVar)
            }
        };
        left.retain(|id| *id != delivery.id);
        events.push(dead_letter(given_up.0, given_up.1, now));
    }
}

fn pending(delivery: &Delivery) -> Option<(&Delivery, &Pending)> {
    match &delivery.rendering {
        Rendering::Pending(pending) if delivery.due == Due::Waiting => Some((delivery, pending)),
        Rendering::Pending(_) | Rendering::Fixed | Rendering::Done(_) => None,
    }
}

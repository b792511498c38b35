//! An operator's replay: a dead letter's delivery is sent again, with new attempts and a new age.

use super::after::keep_outcome;
use super::outbox::{Blocked, Outbox};
use super::past::Past;
use super::room::Room;
use super::schedule::{Known, Scheduler, dead_letter, givers, render, unrenderable};
use super::watch;
use crate::domain::{
    DeadLetterReason, Delivery, DeliveryId, Due, Event, Facts, Pending, Phase, Phase2Order, Policy,
    Rendering, State, Timestamp,
};
use std::cell::OnceCell;
use std::sync::Arc;

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
    let outbox = Outbox::of(state, policy);
    // If the flow came again, a rule may wait to schedule the same delivery.
    let blocked = outbox.blocked_by(given_up, &[]).and(&outbox, given_up.id);
    let is_strict = policy.correlation.phase2_order == Phase2Order::Strict;
    let phase_one = if is_strict && given_up.phase != Phase::One {
        outbox.phase_one(&blocked, &[])
    } else {
        None
    };
    let delivery = Delivery {
        scheduled_at: now,
        due: if phase_one.is_some() { Due::Waiting } else { Due::At(now) },
        attempts: 0,
        replays: given_up.replays.saturating_add(1),
        first_attempt_at: None,
        last_attempt_at: None,
        last_outcome: None,
        ..given_up.clone()
    };
    let mut events = replayed(state, given_up, delivery, policy, (&outbox, &blocked, phase_one));
    if let Some(revived) = events.iter().find_map(Event::begun).cloned() {
        let (past, kept) = (Past::of(state, given_up, policy), OnceCell::new());
        let known = Known::new(&Facts::default, policy, &kept);
        let (scope, room) = (past.scope(), Room::of(state));
        if !events.iter().any(|event| event.ended().is_some()) {
            room.add(revived.bytes_max());
        }
        let (room, outbox) = (&room, &outbox);
        let scheduler = Scheduler { state, policy, now, scope, room, outbox, known: &known };
        watch::begin_again(&scheduler, &revived, &past, &mut events);
    }
    events
}

fn replayed(
    state: &State,
    given_up: &Delivery,
    delivery: Delivery,
    policy: &Policy,
    (outbox, blocked, phase_one): (&Outbox<'_>, &Blocked, Option<DeliveryId>),
) -> Vec<Event> {
    let now = delivery.scheduled_at;
    let delivery = match &given_up.rendering {
        Rendering::Fixed | Rendering::Done(_) => delivery,
        Rendering::Pending(pending) => {
            let outcome_of = &pending.outcome_of;
            let facts = Facts::clone(&pending.facts).with(&state.mapped);
            let facts = match outbox.kept(delivery.account, outcome_of, &[]) {
                Some(values) => facts.with_outcome(values),
                None => facts,
            };
            let facts = Arc::new(facts);
            let mut after = Vec::new();
            if policy.definitions.is_rendered(&delivery.webhook) {
                after = givers(outbox, &delivery, policy, blocked, &[]);
                let before = outbox.of_webhooks(delivery.account, outcome_of, blocked, &[]);
                let before: Vec<_> = before.into_iter().filter(|it| !after.contains(it)).collect();
                after.extend(before);
            }
            if !after.is_empty() {
                after.extend(phase_one);
                let pending = Box::new(Pending { facts, after, outcome_of: outcome_of.clone() });
                let rendering = Rendering::Pending(pending);
                let delivery = Delivery { due: Due::Waiting, rendering, ..delivery };
                return fitting(state, policy, delivery, now);
            }
            match render(&delivery.webhook, &delivery.body, &facts, policy) {
                Ok((body, rendering)) => Delivery { body, rendering, ..delivery },
                Err(missing) => {
                    let again = unrenderable(&delivery, facts, outcome_of.clone(), &missing);
                    let reason = DeadLetterReason::InvalidFlowVar;
                    let mut events = vec![revived(&delivery)];
                    events.push(dead_letter(again, reason, now));
                    keep_outcome(state, policy, &mut events);
                    return events;
                }
            }
        }
    };
    fitting(state, policy, delivery, now)
}

fn revived(delivery: &Delivery) -> Event {
    Event::Replayed { delivery: Box::new(delivery.clone()) }
}

fn fitting(state: &State, policy: &Policy, delivery: Delivery, now: Timestamp) -> Vec<Event> {
    let mut events = vec![revived(&delivery)];
    let room = Room::of(state);
    room.add(delivery.bytes_max());
    if !room.is_left() {
        let reason = DeadLetterReason::InvalidRequest;
        events.push(dead_letter(delivery, reason, now));
        keep_outcome(state, policy, &mut events);
    }
    events
}

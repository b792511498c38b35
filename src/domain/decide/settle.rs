//! Settles what waited for deliveries that have ended: deliveries are rendered, and rules are judged.

use super::after::{After, end, kept};
use super::room::Room;
use super::rule::{self, Triggered, Verdict};
use super::schedule::{
    Carried, Known, KnownFacts as _, Scheduler, dead_letter, free_of, render, unrenderable,
};
use crate::domain::{
    AccountId, DeadLetterReason, Deferred, Delivery, DeliveryId, Due, Event, Facts, Mapped,
    OUTCOME_VARIABLES, Pending, Policy, Rendering, Rule, SkipReason, State, Timestamp, Trigger,
    WebhookName, evolve,
};
use std::cell::OnceCell;
use std::sync::Arc;

/// The largest number of steps of one decision in which rules are judged. A row has room for fewer rules, but rules that
/// are triggered by the ends of deliveries that can't be rendered may trigger each other many times.
const STEPS_MAX: usize = 10_000;

/// Adds the events of everything that waited only for deliveries that `events` end. After `STEPS_MAX` steps, rules whose
/// trigger has come are skipped. So nothing begins to wait any more, and each further step leaves less that waits.
pub(super) fn settle(state: &State, policy: &Policy, now: Timestamp, events: &mut Vec<Event>) {
    if !may_settle(state, events) {
        return;
    }
    let mut after = events.iter().fold(state.clone(), evolve);
    let mut steps = 0;
    while let Some(new) = next(&after, events, policy, now, steps >= STEPS_MAX) {
        after = new.iter().fold(after, evolve);
        events.extend(new);
        steps += 1;
    }
}

/// Returns whether something waits, and something has ended or nothing is in the outbox.
fn may_settle(state: &State, events: &[Event]) -> bool {
    let defers = |event: &Event| matches!(event, Event::RuleDeferred(_));
    let waits = || {
        !state.deferred.is_empty()
            || state.deliveries.iter().any(|delivery| pending(delivery).is_some())
            || events.iter().any(defers)
    };
    let is_empty =
        || state.deliveries.is_empty() && !events.iter().any(|event| event.begun().is_some());
    let has_ended = events.iter().any(|event| event.ended().is_some());
    !events.is_empty() && (has_ended || is_empty()) && waits()
}

/// Returns the events of the next delivery or rule in `state` that waits for nothing in it any more. `events` led to
/// `state`.
fn next(
    state: &State,
    events: &[Event],
    policy: &Policy,
    now: Timestamp,
    is_over: bool,
) -> Option<Vec<Event>> {
    let deferred = state.deferred.iter().map(|deferred| deferred.delivery.id);
    let left: Vec<DeliveryId> =
        state.deliveries.iter().map(|delivery| delivery.id).chain(deferred).collect();
    let is_free = |after: &[DeliveryId]| !after.iter().any(|id| left.contains(id));
    let mut waiting = state.deliveries.iter().filter_map(pending);
    if let Some((delivery, pending)) = waiting.find(|(_, pending)| is_free(&pending.after)) {
        let facts = facts(state, events, delivery, pending);
        return Some(rendered(state, delivery, pending, facts, policy, now));
    }
    // Without a delivery in the outbox, rules could only wait for each other for ever.
    let is_empty = state.deliveries.is_empty();
    let deferred = state.deferred.iter().find(|it| is_empty || is_free(it.after()))?;
    Some(judged(state, events, deferred, policy, now, is_over))
}

/// Returns the facts of a delivery that waited, with the values and the outcome that are known now.
fn facts(state: &State, events: &[Event], delivery: &Delivery, pending: &Pending) -> Facts {
    // Answers to one account's webhooks are not used for another account.
    let newer = newer(events, delivery.account);
    let facts = Facts::clone(&pending.facts).with(&state.mapped).with(&newer);
    match kept(state, events, delivery.account, &pending.outcome_of) {
        Some(values) => facts.with_outcome(values),
        None => facts,
    }
}

/// Returns the values that the answers in `events` gave.
fn newer(events: &[Event], of: AccountId) -> Vec<Mapped> {
    let mut newer = Vec::new();
    for event in events {
        if let Event::Delivered { delivery, outcome, .. } = event
            && delivery.account == of
        {
            newer.extend(outcome.mapped.iter().cloned());
        }
    }
    newer
}

fn rendered(
    state: &State,
    delivery: &Delivery,
    pending: &Pending,
    facts: Facts,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Event> {
    let mut events = Vec::with_capacity(2);
    let (given_up, reason) = match render(&delivery.webhook, &delivery.body, &facts, policy) {
        Ok((body, rendering)) => {
            let room = Room::of(state);
            room.remove(delivery.bytes_max());
            room.add(delivery.bytes_max_with(&body, &rendering));
            if room.is_left() {
                let (delivery, at) = (delivery.id, now);
                events.push(Event::DeliveryRendered { delivery, body, rendering, at });
                return events;
            }
            (delivery.clone(), DeadLetterReason::InvalidRequest)
        }
        Err(missing) => {
            let outcome_of = pending.outcome_of.clone();
            let given_up = unrenderable(delivery, Arc::new(facts), outcome_of, &missing);
            (given_up, DeadLetterReason::InvalidFlowVar)
        }
    };
    end(state, policy, dead_letter(given_up, reason, now), &mut events);
    events
}

/// Judges a rule that waited, and schedules its delivery if its conditions hold.
fn judged(
    state: &State,
    events: &[Event],
    deferred: &Deferred,
    policy: &Policy,
    now: Timestamp,
    is_over: bool,
) -> Vec<Event> {
    let Deferred { delivery, trigger, upon, sms, scope } = deferred;
    let mut new = vec![Event::RuleJudged(delivery.id)];
    let ended = upon.and_then(|upon| ended_of(events, upon));
    let is_other = |end| !trigger.ends_with(&format!(":{end}"));
    if upon.is_some() && ended.is_none_or(|(_, end)| is_other(end)) {
        return new;
    }
    let is_skipped = deferred.skip_reason().or(is_over.then_some(SkipReason::TooMany));
    if let Some(reason) = is_skipped {
        new.push(skip(deferred, reason, None));
        return new;
    }
    let (Some(account), Rendering::Pending(pending)) =
        (policy.accounts.get(&delivery.account), &delivery.rendering)
    else {
        return new;
    };
    let mut facts = facts(state, events, delivery, pending);
    if let Some((values, _)) = ended {
        facts = facts.with_outcome(values);
    }
    let kept_facts = OnceCell::from(Arc::new(facts));
    let known = Known::new(&Facts::default, policy, &kept_facts);
    let room = Room::of(state);
    room.remove(deferred.bytes_max());
    let scheduler = Scheduler { state, policy, now, scope: *scope, room, known: &known };
    let is_meant = |rule: &&Rule| {
        rule.webhook == delivery.webhook && rule.on.iter().any(|on| *on.to_string() == **trigger)
    };
    let mut skipped = None;
    for rule in account.rules_of(*scope).filter(is_meant) {
        let is_upon_end = rule
            .on
            .iter()
            .any(|on| matches!(on, Trigger::Webhook(..)) && *on.to_string() == **trigger);
        let after = if is_upon_end && rule.after.is_none() {
            // The outcome of the webhook whose end triggers the rule is among the facts.
            After::default()
        } else {
            After::of_rule(policy, account, rule)
        };
        // A rule whose trigger has just come may wait for another webhook. One that has waited is judged.
        let others = if upon.is_some() {
            let mut others = rule::others(&scheduler, delivery.account, &new);
            free_of(&mut others, delivery);
            others
        } else {
            Vec::new()
        };
        let outcome = kept(state, &new, delivery.account, &after.outcome_of);
        match rule::judge(rule, &after, &known, outcome, policy, &others) {
            Verdict::Fails => {}
            Verdict::NoValue(variable) => {
                let reason = unvalued(deferred, &variable);
                skipped = skipped.or(Some((reason, Some(variable))));
            }
            Verdict::Awaits(awaited) => {
                let again = again(deferred, known.facts(), awaited, after.outcome_of);
                if scheduler.defer(&again, &mut new) {
                    return new;
                }
                skipped = skipped.or(Some((SkipReason::NoRoom, None)));
            }
            Verdict::Holds => {
                let rendering = Rendering::Fixed;
                let (scheduled_at, due) = (now, Due::At(now));
                let delivery = Delivery { rendering, scheduled_at, due, ..delivery.clone() };
                let carried = Carried { sms, frees: 0 };
                scheduler.schedule(delivery, &known, &after, carried, &mut new);
                return new;
            }
        }
    }
    new.extend(skipped.map(|(reason, variable)| skip(deferred, reason, variable)));
    new
}

/// Returns the outcome with which `events` end a delivery, and how it ended.
fn ended_of(events: &[Event], id: DeliveryId) -> Option<(&[Mapped], &'static str)> {
    let mut ends = events.iter().rev().filter_map(Event::end);
    let (_, end) = ends.find(|(delivery, _)| delivery.id == id)?;
    let outcome = events.iter().rev().find_map(|event| {
        if let Event::OutcomeKept { delivery, ended } = event
            && *delivery == id
        {
            return Some(ended.values.as_slice());
        }
        None
    });
    Some((outcome.unwrap_or_default(), end.as_str()))
}

/// Returns the rule, whose trigger has come, while it waits for `awaited`.
fn again(
    deferred: &Deferred,
    facts: &Arc<Facts>,
    after: Vec<DeliveryId>,
    outcome_of: Vec<WebhookName>,
) -> Deferred {
    let pending = Pending { facts: Arc::clone(facts), after, outcome_of };
    let rendering = Rendering::Pending(Box::new(pending));
    let delivery = Delivery { rendering, ..deferred.delivery.clone() };
    Deferred { delivery, upon: None, ..deferred.clone() }
}

/// Returns why a rule is skipped whose condition is on a variable without a value. One that has waited, with its trigger
/// known, has waited for an answer that gives the value.
fn unvalued(deferred: &Deferred, variable: &str) -> SkipReason {
    if deferred.upon.is_none() && !OUTCOME_VARIABLES.contains(&variable) {
        SkipReason::Unanswered
    } else {
        SkipReason::NoValue
    }
}

fn skip(deferred: &Deferred, reason: SkipReason, variable: Option<Box<str>>) -> Event {
    let Deferred { delivery, trigger, upon, sms, .. } = deferred;
    let about = if upon.is_some() { &delivery.sms } else { sms };
    let (account, webhook, source) = (delivery.account, &delivery.webhook, &delivery.source);
    Triggered { account, webhook, trigger, sms: about.first(), source }.skipped(reason, variable)
}

fn pending(delivery: &Delivery) -> Option<(&Delivery, &Pending)> {
    match &delivery.rendering {
        Rendering::Pending(pending) if delivery.due == Due::Waiting => Some((delivery, pending)),
        Rendering::Pending(_) | Rendering::Fixed | Rendering::Done(_) => None,
    }
}

//! Settles what waited for deliveries that have ended: deliveries are rendered, and rules are judged.

use super::after::{After, keep_outcome};
use super::outbox::{Outbox, Ready};
use super::room::Room;
use super::rule::{self, Triggered, Verdict};
use super::schedule::{
    Carried, Known, KnownFacts as _, Scheduler, dead_letter, render, unrenderable,
};
use crate::domain::{
    AccountPolicy, Condition, DeadLetterReason, Deferred, Delivery, DeliveryId, Due, Event, Facts,
    OUTCOME_VARIABLES, Pending, Policy, Rendering, SkipReason, State, Timestamp, Trigger,
    WebhookEnd, WebhookName, evolve,
};
use std::cell::OnceCell;
use std::sync::Arc;

/// The largest number of steps of one decision in which rules are judged. A row has room for fewer rules, but rules that
/// are triggered by the ends of deliveries that can't be rendered may trigger each other many times.
const STEPS_MAX: usize = 10_000;

/// If [`may_settle`], adds the events of everything that waited only for deliveries that `events` end. After `STEPS_MAX` steps, rules whose
/// trigger has come are skipped. So nothing begins to wait any more, and each further step leaves less that waits.
pub(super) fn settle(state: &State, policy: &Policy, now: Timestamp, events: &mut Vec<Event>) {
    let state = &events.iter().fold(state.clone(), evolve);
    let (room, outbox) = (Room::of(state), Outbox::after(state, policy, events));
    let settling = Settling { state, policy, now, room: &room, outbox: &outbox };
    for step in 0_usize.. {
        match outbox.ready(events) {
            None => return,
            Some(Ready::Delivery(delivery)) => {
                let delivery = delivery.clone();
                settling.render(delivery, events);
            }
            Some(Ready::Rule(rule)) => {
                let rule = rule.clone();
                settling.judge(&rule, step >= STEPS_MAX, events);
            }
        }
    }
}

/// Returns whether something waits, and something has ended or nothing is in the outbox.
#[inline]
pub(super) fn may_settle(state: &State, events: &[Event]) -> bool {
    let defers = |event: &Event| matches!(event, Event::RuleDeferred(_));
    let waits = || {
        !state.deferred.is_empty()
            || state.deliveries.iter().any(is_pending)
            || events.iter().any(defers)
    };
    let is_empty =
        || state.deliveries.is_empty() && !events.iter().any(|event| event.begun().is_some());
    let has_ended = || events.iter().any(|event| event.ended().is_some());
    // Usually nothing waits.
    waits() && !events.is_empty() && (has_ended() || is_empty())
}

/// The decision when its first events have ended deliveries.
struct Settling<'a> {
    /// The state after these events.
    state: &'a State,
    policy: &'a Policy,
    now: Timestamp,
    room: &'a Room,
    outbox: &'a Outbox<'a>,
}

impl Settling<'_> {
    /// Returns the facts of a delivery that waited, with the values and the outcome that are known now.
    fn facts(&self, delivery: &Delivery, pending: &Pending, events: &[Event]) -> Facts {
        // Answers to one account's webhooks are not used for another account.
        let newer = self.outbox.answers(delivery.account, events);
        let facts = Facts::clone(&pending.facts).with(&self.state.mapped).with(&newer);
        match self.outbox.kept(delivery.account, &pending.outcome_of, events) {
            Some(values) => facts.with_outcome(values),
            None => facts,
        }
    }

    /// Renders a delivery that waited, or makes it a dead letter.
    fn render(&self, delivery: Delivery, events: &mut Vec<Event>) {
        let Rendering::Pending(pending) = &delivery.rendering else { return };
        let Self { state, policy, now, room, .. } = *self;
        let facts = self.facts(&delivery, pending, events);
        room.remove(delivery.bytes_max());
        let (given_up, reason) = match render(&delivery.webhook, &delivery.body, &facts, policy) {
            Ok((body, rendering)) => {
                let bytes = delivery.bytes_max_with(&body, &rendering);
                room.add(bytes);
                if room.is_left() {
                    let (delivery, at) = (delivery.id, now);
                    return events.push(Event::DeliveryRendered { delivery, body, rendering, at });
                }
                room.remove(bytes);
                (delivery, DeadLetterReason::InvalidRequest)
            }
            Err(missing) => {
                let outcome_of = pending.outcome_of.clone();
                let given_up = unrenderable(&delivery, Arc::new(facts), outcome_of, &missing);
                (given_up, DeadLetterReason::InvalidFlowVar)
            }
        };
        events.push(dead_letter(given_up, reason, now));
        keep_outcome(state, policy, events);
    }

    /// Judges a rule that waited, and schedules its delivery if its conditions hold. If `is_over`, the rule is skipped
    /// instead.
    fn judge(&self, rule: &Deferred, is_over: bool, events: &mut Vec<Event>) {
        let Deferred { delivery, trigger, upon, .. } = rule;
        let ended = upon.and_then(|upon| self.outbox.ended(upon, events));
        let is_other = |end: WebhookEnd| !trigger.ends_with(&format!(":{}", end.as_str()));
        let is_triggered = upon.is_none() || ended.is_some_and(|(_, end)| !is_other(end));
        let values = ended.map(|(values, _)| values.to_vec());
        self.room.remove(rule.bytes_max());
        events.push(Event::RuleJudged(delivery.id));
        if !is_triggered {
            return;
        }
        if let Some(reason) = rule.skip_reason().or(is_over.then_some(SkipReason::TooMany)) {
            return events.push(skip(rule, reason, None));
        }
        let (Some(account), Rendering::Pending(pending)) =
            (self.policy.accounts.get(&delivery.account), &delivery.rendering)
        else {
            return;
        };
        let mut facts = self.facts(delivery, pending, events);
        if let Some(values) = values {
            facts = facts.with_outcome(&values);
        }
        let kept = OnceCell::from(Arc::new(facts));
        let known = Known::new(&Facts::default, self.policy, &kept);
        self.judge_all(rule, account, &known, events);
    }

    /// Judges the rules of the account that send the webhook of `waited` upon its trigger. One that holds is enough.
    fn judge_all(
        &self,
        waited: &Deferred,
        account: &AccountPolicy,
        known: &Known<'_>,
        events: &mut Vec<Event>,
    ) {
        let Deferred { delivery, trigger, upon, sms, scope } = waited;
        let Self { state, policy, now, room, outbox } = *self;
        let scheduler = Scheduler { state, policy, now, scope: *scope, room, outbox, known };
        let is_meant = |on: &&Trigger| *on.to_string() == **trigger;
        let mut skipped = None;
        for (number, rule) in account.sending(&delivery.webhook, *scope, &*policy.definitions) {
            let Some(on) = rule.on.iter().find(is_meant) else { continue };
            let after = if matches!(on, Trigger::Webhook(..)) && rule.after.is_none() {
                // The outcome of the webhook whose end triggers the rule is among the facts.
                After::default()
            } else {
                After::of_rule(policy, account, (number, rule))
            };
            // A rule whose trigger has just come may wait for another webhook. One that has waited is judged.
            let blocked = outbox.blocked_by(delivery, events);
            let givers = |condition: &Condition| match upon {
                Some(_) => outbox.givers_of(condition, delivery.account, &after, &blocked, events),
                None => Vec::new(),
            };
            let outcome = outbox.kept(delivery.account, &after.outcome_of, events);
            match rule::judge(rule, known, outcome, policy, &givers) {
                Verdict::Fails => {}
                Verdict::NoValue(variable) => {
                    let reason = unvalued(waited, &variable);
                    skipped = skipped.or(Some((reason, Some(variable))));
                }
                Verdict::Awaits(awaited) => {
                    let again = again(waited, known.facts(), awaited, after.outcome_of.to_vec());
                    if scheduler.defer(&again, events) {
                        return;
                    }
                    skipped = skipped.or(Some((SkipReason::NoRoom, None)));
                }
                Verdict::Holds => {
                    let rendering = Rendering::Fixed;
                    let (scheduled_at, due) = (now, Due::At(now));
                    let delivery = Delivery { rendering, scheduled_at, due, ..delivery.clone() };
                    let carried = Carried { sms: sms.clone(), frees: 0 };
                    return scheduler.schedule(Box::new(delivery), known, &after, carried, events);
                }
            }
        }
        events.extend(skipped.map(|(reason, variable)| skip(waited, reason, variable)));
    }
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

const fn is_pending(delivery: &Delivery) -> bool {
    matches!((&delivery.rendering, delivery.due), (Rendering::Pending(_), Due::Waiting))
}

//! Puts webhooks into the outbox. A webhook is rendered at once, or when the deliveries that it waits for have ended.

use super::after::{After, end, kept};
use super::room::Room;
use super::watch;
use crate::domain::{
    DeadLetterReason, Deferred, Definitions, Delivery, DeliveryId, Due, ErrorReason, Event, Facts,
    Outcome, Pending, Phase, Phase2Order, Policy, Reading, Rendering, Scope, SmsId, State,
    Timestamp, Verdict, WebhookName,
};
use bytes::Bytes;
use std::cell::OnceCell;
use std::sync::Arc;

/// Schedules the deliveries of one decision.
pub(super) struct Scheduler<'a> {
    pub(super) state: &'a State,
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
    pub(super) scope: Scope,
    /// The room in the row before the first delivery is scheduled, and then after each.
    pub(super) room: Room,
    /// The facts of the decision, without reports.
    pub(super) known: &'a dyn KnownFacts,
}

/// The reports that a delivery carries.
#[derive(Clone, Copy, Default)]
pub(super) struct Carried<'a> {
    pub(super) sms: &'a [SmsId],
    /// The bytes of the flow that are not counted any more once the delivery is.
    pub(super) frees: usize,
}

impl Scheduler<'_> {
    /// Returns the facts of the decision with these reports. `about` reads them.
    pub(super) fn facts_about(&self, reports: &[Bytes]) -> Facts {
        Facts { reports: reports.to_vec(), ..Facts::clone(self.known.facts()) }
    }

    /// Returns the facts that `facts_about` creates in `make`, and that `facts` keeps.
    pub(super) fn about<'r>(
        &'r self,
        make: &'r dyn Fn() -> Facts,
        facts: &'r OnceCell<Arc<Facts>>,
    ) -> Known<'r> {
        Known { make, origin: Origin::With(self.known), facts, reading: OnceCell::new() }
    }

    /// Schedules `delivery`, whose body is the predefined one. Deliveries in the outbox and in `events` are taken into
    /// account, and so are rules that wait. The rules about the end of the delivery wait for it.
    pub(super) fn schedule(
        &self,
        delivery: Delivery,
        known: &dyn KnownFacts,
        after: &After<'_>,
        carried: Carried<'_>,
        events: &mut Vec<Event>,
    ) {
        let mut before = unfinished(self.state, events);
        // A uuid whose marker has expired may come again while a replayed delivery of it is in flight. The webhook has
        // the same id and is not sent twice. Two rules may also send the same webhook on one occasion.
        let again = events.iter().filter_map(Event::begun).any(|other| other.id == delivery.id);
        if again || before.iter().any(|other| other.id == delivery.id) {
            return;
        }
        let Carried { sms, frees } = carried;
        self.room.spend(frees);
        free_of(&mut before, &delivery);
        let awaited = self.awaited(&before, &delivery, after);
        let watched = watch::is_watched(self, &delivery).then(|| delivery.clone());
        self.put(delivery, awaited, known, after, sms, events);
        if let Some(predefined) = watched {
            watch::begin(self, &predefined, known, sms, events);
        }
    }

    /// Returns what `delivery` waits for among the deliveries `before` it.
    fn awaited(&self, before: &[&Delivery], delivery: &Delivery, after: &After<'_>) -> Awaited {
        let is_strict = self.policy.correlation.phase2_order == Phase2Order::Strict;
        let phase_one = before
            .iter()
            .find(|other| other.phase == Phase::One)
            .filter(|_| delivery.phase != Phase::One && is_strict);
        let mut webhooks = after.named_among(before, delivery);
        if self.policy.definitions.is_rendered(&delivery.webhook) {
            for giver in givers(before.iter().copied(), delivery, self.policy) {
                if !webhooks.contains(&giver) {
                    webhooks.push(giver);
                }
            }
        }
        Awaited { phase_one: phase_one.map(|it| it.id), webhooks }
    }

    fn put(
        &self,
        mut delivery: Delivery,
        awaited: Awaited,
        known: &dyn KnownFacts,
        after: &After<'_>,
        sms: &[SmsId],
        events: &mut Vec<Event>,
    ) {
        let Awaited { phase_one, mut webhooks } = awaited;
        if phase_one.is_some() {
            delivery.due = Due::Waiting;
        }
        let is_rendered = self.policy.definitions.is_rendered(&delivery.webhook);
        if !webhooks.is_empty() {
            let phase_one = phase_one.filter(|id| !webhooks.contains(id));
            webhooks.extend(phase_one);
            delivery.due = Due::Waiting;
            let facts = if is_rendered { Arc::clone(known.facts()) } else { Arc::default() };
            let outcome_of = after.outcome_of.clone();
            let pending = Pending { facts, after: webhooks, outcome_of };
            delivery.rendering = Rendering::Pending(Box::new(pending));
            return self.push(delivery, sms, events);
        }
        if !is_rendered {
            if delivery.phase == Phase::Rule {
                return self.push(delivery, sms, events);
            }
            // There is room for the phases since their record was accepted.
            self.room.add(delivery.bytes_max());
            return events.push(scheduled(delivery, sms));
        }
        self.render(delivery, known, after, sms, events);
    }

    /// Schedules a delivery that waits for no other webhook's answer.
    fn render(
        &self,
        mut delivery: Delivery,
        known: &dyn KnownFacts,
        after: &After<'_>,
        sms: &[SmsId],
        events: &mut Vec<Event>,
    ) {
        let outcome = kept(self.state, events, delivery.account, &after.outcome_of);
        // Other webhooks of the occasion do not come after the same one.
        let own = outcome.map(|values| Facts::clone(known.facts()).with_outcome(values));
        let (definitions, predefined) = (&self.policy.definitions, &delivery.body);
        let rendered = match &own {
            Some(facts) => definitions.read(facts).render(&delivery.webhook, predefined),
            None => known.reading().render(&delivery.webhook, predefined),
        };
        let facts = own.map_or_else(|| Arc::clone(known.facts()), Arc::new);
        match rendered {
            Ok((body, rendered)) => {
                let rendering = Rendering::Done(rendered);
                let bytes = delivery.bytes_max_with(&body, &rendering);
                self.room.add(bytes);
                events.push(scheduled(Delivery { body, rendering, ..delivery.clone() }, sms));
                if !self.room.is_left() {
                    self.room.remove(bytes);
                    // The dead letter contains the facts, whose size is bounded like that of records.
                    delivery.rendering = Rendering::Pending(Box::new(Pending::of(facts)));
                    self.give_up(delivery, DeadLetterReason::InvalidRequest, events);
                }
            }
            Err(missing) => {
                let given_up = unrenderable(&delivery, facts, after.outcome_of.clone(), &missing);
                delivery.rendering.clone_from(&given_up.rendering);
                events.push(scheduled(delivery, sms));
                self.give_up(given_up, DeadLetterReason::InvalidFlowVar, events);
            }
        }
    }

    /// Schedules a delivery whose size was not counted before. If the row has no room for it, it becomes a dead letter.
    fn push(&self, delivery: Delivery, sms: &[SmsId], events: &mut Vec<Event>) {
        let bytes = delivery.bytes_max();
        self.room.add(bytes);
        if self.room.is_left() {
            events.push(scheduled(delivery, sms));
        } else {
            self.room.remove(bytes);
            events.push(scheduled(delivery.clone(), sms));
            self.give_up(delivery, DeadLetterReason::InvalidRequest, events);
        }
    }

    /// Makes `deferred` wait. Returns whether the row has room for it.
    pub(super) fn defer(&self, deferred: &Deferred, events: &mut Vec<Event>) -> bool {
        let is_there = |it: &&Delivery| it.id == deferred.delivery.id;
        if unfinished(self.state, events).iter().any(is_there) {
            return true;
        }
        let bytes = deferred.bytes_max();
        self.room.add(bytes);
        let has_room = self.room.is_left();
        if has_room {
            events.push(Event::RuleDeferred(Box::new(deferred.clone())));
        } else {
            self.room.remove(bytes);
        }
        has_room
    }

    fn give_up(&self, delivery: Delivery, reason: DeadLetterReason, events: &mut Vec<Event>) {
        end(self.state, self.policy, dead_letter(delivery, reason, self.now), events);
    }
}

/// What a delivery waits for.
struct Awaited {
    /// Phase 1, if the order is strict.
    phase_one: Option<DeliveryId>,
    /// The deliveries that its webhook comes after.
    webhooks: Vec<DeliveryId>,
}

/// Facts, and their values. Both are made once, when the first webhook or condition needs them.
pub(super) trait KnownFacts {
    fn facts(&self) -> &Arc<Facts>;

    fn reading(&self) -> &dyn Reading;
}

/// The facts of a decision, or of a part of it that is about some reports.
pub(super) struct Known<'f> {
    make: &'f dyn Fn() -> Facts,
    origin: Origin<'f>,
    facts: &'f OnceCell<Arc<Facts>>,
    reading: OnceCell<Box<dyn Reading + 'f>>,
}

/// How facts are read.
enum Origin<'f> {
    /// From the beginning.
    New(&'f dyn Definitions),
    /// Together with these facts, which differ in their reports only.
    With(&'f dyn KnownFacts),
}

impl<'f> Known<'f> {
    /// Returns the facts of a decision. `make` creates them, and `facts` keeps them.
    pub(super) fn new(
        make: &'f dyn Fn() -> Facts,
        policy: &'f Policy,
        facts: &'f OnceCell<Arc<Facts>>,
    ) -> Self {
        let origin = Origin::New(&*policy.definitions);
        Self { make, origin, facts, reading: OnceCell::new() }
    }
}

impl KnownFacts for Known<'_> {
    fn facts(&self) -> &Arc<Facts> {
        made(self.facts, self.make)
    }

    fn reading(&self) -> &dyn Reading {
        let facts = || &**made(self.facts, self.make);
        let reading = self.reading.get_or_init(|| match self.origin {
            Origin::New(definitions) => definitions.read(facts()),
            Origin::With(others) => others.reading().with_reports(facts()),
        });
        &**reading
    }
}

fn made<'f>(facts: &'f OnceCell<Arc<Facts>>, make: &dyn Fn() -> Facts) -> &'f Arc<Facts> {
    facts.get_or_init(|| Arc::new(make()))
}

fn scheduled(delivery: Delivery, sms: &[SmsId]) -> Event {
    Event::DeliveryScheduled { delivery: Box::new(delivery), sms: sms.to_vec() }
}

/// Returns the `deliveries` whose answers may give values to variables of `delivery`'s webhook. Other accounts'
/// deliveries are left out.
pub(super) fn givers<'a>(
    deliveries: impl Iterator<Item = &'a Delivery>,
    delivery: &Delivery,
    policy: &Policy,
) -> Vec<DeliveryId> {
    let gives = |other: &&Delivery| {
        let saves = policy.definitions.saves(&other.webhook);
        other.account == delivery.account
            && saves.iter().any(|variable| policy.definitions.uses(&delivery.webhook, variable))
    };
    deliveries.filter(gives).map(|it| it.id).collect()
}

/// Returns the deliveries in the outbox after `events`, and those of rules that wait.
pub(super) fn unfinished<'a>(state: &'a State, events: &'a [Event]) -> Vec<&'a Delivery> {
    let mut left: Vec<&Delivery> = state.deliveries.iter().collect();
    for event in events {
        left.extend(event.begun());
        if let Some(ended) = event.ended() {
            left.retain(|other| other.id != ended.id);
        }
    }
    left.extend(waiting(state, events).into_iter().map(|deferred| &deferred.delivery));
    left
}

/// Removes the deliveries and rules that wait for `delivery`, directly or through others: one that waits for one that
/// waits for it would never leave.
pub(super) fn free_of(unfinished: &mut Vec<&Delivery>, delivery: &Delivery) {
    let waits = |row: &Delivery, other: &Delivery| match &row.rendering {
        Rendering::Pending(pending) => pending.after.contains(&other.id),
        // Such a delivery waits for phase 1.
        Rendering::Fixed | Rendering::Done(_) => {
            row.due == Due::Waiting && other.phase == Phase::One
        }
    };
    let mut blocked = vec![delivery];
    while let Some(other) = blocked.pop() {
        unfinished.retain(|row| {
            let is_free = !waits(row, other);
            if !is_free {
                blocked.push(row);
            }
            is_free
        });
    }
}

/// Returns the rules that wait after `events`.
pub(super) fn waiting<'a>(state: &'a State, events: &'a [Event]) -> Vec<&'a Deferred> {
    let mut left: Vec<&Deferred> = state.deferred.iter().collect();
    for event in events {
        if let Event::RuleDeferred(deferred) = event {
            left.push(deferred);
        } else if let Event::RuleJudged(id) = event {
            left.retain(|other| other.delivery.id != *id);
        }
    }
    left
}

/// Renders a delivery of `webhook`, and returns its body and the other parts of its request.
pub(super) fn render(
    webhook: &WebhookName,
    predefined: &Bytes,
    facts: &Facts,
    policy: &Policy,
) -> Result<(Bytes, Rendering), Box<str>> {
    if !policy.definitions.contains(webhook) {
        return Err("its webhook is not configured".into());
    }
    if !policy.definitions.is_rendered(webhook) {
        // The webhook was defined in another way when the delivery was scheduled, or waited for another one only.
        return Ok((predefined.clone(), Rendering::Fixed));
    }
    let (body, rendered) = policy.definitions.read(facts).render(webhook, predefined)?;
    Ok((body, Rendering::Done(rendered)))
}

/// Returns the delivery as its dead letter contains it: with the facts, so that it can be rendered once the definition
/// is corrected.
pub(super) fn unrenderable(
    delivery: &Delivery,
    facts: Arc<Facts>,
    outcome_of: Vec<WebhookName>,
    missing: &str,
) -> Delivery {
    let (verdict, reason) = (Verdict::GiveUp, ErrorReason::InvalidFlowVar);
    let outcome = Outcome::unanswered(verdict, reason, missing);
    Delivery {
        rendering: Rendering::Pending(Box::new(Pending { outcome_of, ..Pending::of(facts) })),
        last_outcome: Some(outcome),
        ..delivery.clone()
    }
}

pub(super) fn dead_letter(delivery: Delivery, reason: DeadLetterReason, at: Timestamp) -> Event {
    Event::DeadLettered { delivery: Box::new(delivery), reason, at }
}

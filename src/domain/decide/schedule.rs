//! Puts webhooks into the outbox. A webhook is rendered at once, or when the deliveries that it waits for have ended.

use super::after::{After, keep_outcome};
use super::outbox::{Blocked, Neighbours, Outbox};
use super::room::Room;
use super::watch;
use crate::domain::{
    DeadLetterReason, Deferred, Definitions, Delivery, DeliveryId, Due, ErrorReason, Event, Facts,
    Outcome, Pending, Phase, Phase2Order, Policy, Reading, Rendering, Scope, SharedList, SmsId,
    State, Timestamp, Verdict, WebhookName,
};
use bytes::Bytes;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Schedules the deliveries of one decision.
pub(super) struct Scheduler<'a> {
    pub(super) state: &'a State,
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
    pub(super) scope: Scope,
    /// The room in the row before the first delivery is scheduled, and then after each.
    pub(super) room: &'a Room,
    pub(super) outbox: &'a Outbox<'a>,
    /// The facts of the decision, without reports.
    pub(super) known: &'a dyn KnownFacts,
}

/// The reports that a delivery carries.
#[derive(Default)]
pub(super) struct Carried {
    pub(super) sms: SharedList<SmsId>,
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
        delivery: Box<Delivery>,
        known: &dyn KnownFacts,
        after: &After<'_>,
        carried: Carried,
        events: &mut Vec<Event>,
    ) {
        // A uuid whose marker has expired may come again while a replayed delivery of it is in flight. The webhook has
        // the same id and is not sent twice. Two rules may also send the same webhook on one occasion.
        let Some(neighbours) = self.outbox.neighbours(&delivery, events) else { return };
        let Carried { sms, frees } = carried;
        self.room.spend(frees);
        let awaited = self.awaited(&delivery, neighbours, after, events);
        let watched = watch::is_watched(self, &delivery).then(|| (delivery.clone(), sms.clone()));
        self.put(delivery, awaited, known, after, sms, events);
        if let Some((predefined, sms)) = watched {
            watch::begin(self, &predefined, known, &sms, events);
        }
    }

    /// Returns what `delivery` waits for.
    fn awaited(
        &self,
        delivery: &Delivery,
        neighbours: Neighbours,
        after: &After<'_>,
        events: &[Event],
    ) -> Awaited {
        let Neighbours { blocked, phase_one } = neighbours;
        let is_strict = self.policy.correlation.phase2_order == Phase2Order::Strict;
        let phase_one = phase_one.filter(|_| is_strict && delivery.phase != Phase::One);
        let mut webhooks = self.outbox.of_webhooks(delivery.account, after.named, &blocked, events);
        for giver in givers(self.outbox, delivery, self.policy, &blocked, events) {
            if !webhooks.contains(&giver) {
                webhooks.push(giver);
            }
        }
        Awaited { phase_one, webhooks }
    }

    fn put(
        &self,
        mut delivery: Box<Delivery>,
        awaited: Awaited,
        known: &dyn KnownFacts,
        after: &After<'_>,
        sms: SharedList<SmsId>,
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
            let outcome_of = after.outcome_of.to_vec();
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
        mut delivery: Box<Delivery>,
        known: &dyn KnownFacts,
        after: &After<'_>,
        sms: SharedList<SmsId>,
        events: &mut Vec<Event>,
    ) {
        let outcome = self.outbox.kept(delivery.account, &after.outcome_of, events);
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
                events.push(scheduled(
                    Box::new(Delivery { body, rendering, ..*delivery.clone() }),
                    sms,
                ));
                if !self.room.is_left() {
                    self.room.remove(bytes);
                    // The dead letter contains the facts, whose size is bounded like that of records.
                    delivery.rendering = Rendering::Pending(Box::new(Pending::of(facts)));
                    self.give_up(delivery, DeadLetterReason::InvalidRequest, events);
                }
            }
            Err(missing) => {
                let given_up = unrenderable(&delivery, facts, after.outcome_of.to_vec(), &missing);
                delivery.rendering.clone_from(&given_up.rendering);
                events.push(scheduled(delivery, sms));
                self.give_up(given_up, DeadLetterReason::InvalidFlowVar, events);
            }
        }
    }

    /// Schedules a delivery whose size was not counted before. If the row has no room for it, it becomes a dead letter.
    fn push(&self, delivery: Box<Delivery>, sms: SharedList<SmsId>, events: &mut Vec<Event>) {
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
        if self.outbox.contains(deferred.delivery.id, events) {
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

    fn give_up(
        &self,
        delivery: impl Into<Box<Delivery>>,
        reason: DeadLetterReason,
        events: &mut Vec<Event>,
    ) {
        events.push(dead_letter(delivery, reason, self.now));
        keep_outcome(self.state, self.policy, events);
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

fn scheduled(delivery: Box<Delivery>, sms: SharedList<SmsId>) -> Event {
    Event::DeliveryScheduled { delivery, sms }
}

/// Returns the deliveries whose answers may give values to variables of `delivery`'s webhook, if it has to be rendered.
/// Other accounts' deliveries are left out.
pub(super) fn givers(
    outbox: &Outbox<'_>,
    delivery: &Delivery,
    policy: &Policy,
    blocked: &Blocked,
    events: &[Event],
) -> Vec<DeliveryId> {
    if !policy.definitions.is_rendered(&delivery.webhook) {
        return Vec::new();
    }
    let uses = |variable: &str| policy.definitions.uses(&delivery.webhook, variable);
    outbox.givers(delivery.account, &uses, blocked, events)
}

/// Returns the rules that wait after `events`.
pub(super) fn waiting<'a>(state: &'a State, events: &'a [Event]) -> Vec<&'a Deferred> {
    let defers = |event: &Event| matches!(event, Event::RuleDeferred(_));
    if state.deferred.is_empty() && !events.iter().any(defers) {
        return Vec::new();
    }
    let mut left: BTreeMap<DeliveryId, &Deferred> =
        state.deferred.iter().map(|rule| (rule.delivery.id, rule)).collect();
    for event in events {
        if let Event::RuleDeferred(deferred) = event {
            left.insert(deferred.delivery.id, deferred);
        } else if let Event::RuleJudged(id) = event {
            left.remove(id);
        }
    }
    left.into_values().collect()
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
        last_outcome: Some(Box::new(outcome)),
        ..delivery.clone()
    }
}

pub(super) fn dead_letter(
    delivery: impl Into<Box<Delivery>>,
    reason: DeadLetterReason,
    at: Timestamp,
) -> Event {
    Event::DeadLettered { delivery: delivery.into(), reason, at }
}

//! How webhooks get into the outbox: rendered at once, or once what they wait for has ended.

use crate::domain::{
    DeadLetterReason, Delivery, DeliveryId, Due, ErrorReason, Event, Facts, Outcome, Pending,
    Phase, Phase2Order, Render, Rendering, Rules, STATE_BYTES_MAX, SmsId, State, Timestamp,
    Verdict, WebhookName, evolve,
};
use bytes::Bytes;

/// What the outbox of a uuid is filled beside.
#[derive(Clone, Copy)]
pub(super) struct Scheduler<'a> {
    pub(super) state: &'a State,
    pub(super) rules: &'a Rules,
    pub(super) now: Timestamp,
}

impl Scheduler<'_> {
    /// Schedules `delivery`, whose body is the predefined one, beside what stands in the outbox and in `events`; it carries
    /// the reports of `sms`.
    pub(super) fn schedule(
        &self,
        mut delivery: Delivery,
        facts: impl FnOnce() -> Facts,
        sms: Vec<SmsId>,
        events: &mut Vec<Event>,
    ) {
        let before = unfinished(self.state, events);
        // A uuid that was forgotten may come again while a delivery of it that was replayed is still on its way: the same id,
        // and so the same webhook, which is not sent twice.
        // And two rules may say the same of one fact.
        let again = events.iter().filter_map(Event::begun).any(|other| other.id == delivery.id);
        if again || before.iter().any(|other| other.id == delivery.id) {
            return;
        }
        let phase_one = before.iter().find(|other| other.phase == Phase::One).filter(|_| {
            delivery.phase != Phase::One
                && self.rules.correlation.phase2_order == Phase2Order::Strict
        });
        if phase_one.is_some() {
            delivery.due = Due::Waiting;
        }
        let definition = self.rules.definitions.get(&delivery.webhook);
        let Some(render) = definition.and_then(|definition| definition.render.as_ref()) else {
            // A phase was counted when its record was accepted.
            if delivery.phase != Phase::Rule {
                events.push(scheduled(delivery, sms));
            } else {
                self.push(delivery, sms, events);
            }
            return;
        };
        let facts = facts();
        let mut after = givers(before.iter().copied(), &delivery, render.as_ref(), self.rules);
        if !after.is_empty() {
            after.extend(phase_one.map(|it| it.id).filter(|id| !after.contains(id)));
            delivery.due = Due::Waiting;
            delivery.rendering = Rendering::Pending(Box::new(Pending { facts, after }));
            return self.push(delivery, sms, events);
        }
        match render.render(&delivery.body, &facts) {
            Ok((body, rendered)) => {
                let rendering = Rendering::Done(rendered);
                events.push(scheduled(Delivery { body, rendering, ..delivery.clone() }, sms));
                if !has_room(self.state, events) {
                    // Its letter holds what it was made of, which is bounded as records are.
                    let pending = Pending { facts, after: Vec::new() };
                    delivery.rendering = Rendering::Pending(Box::new(pending));
                    events.push(dead_letter(delivery, DeadLetterReason::InvalidRequest, self.now));
                }
            }
            Err(missing) => {
                let given_up = unrenderable(&delivery, facts, &missing);
                delivery.rendering.clone_from(&given_up.rendering);
                events.push(scheduled(delivery, sms));
                events.push(dead_letter(given_up, DeadLetterReason::InvalidFlowVar, self.now));
            }
        }
    }

    /// Schedules what nobody has counted, and gives it up where there is no room for it.
    fn push(&self, delivery: Delivery, sms: Vec<SmsId>, events: &mut Vec<Event>) {
        events.push(scheduled(delivery.clone(), sms));
        if !has_room(self.state, events) {
            events.push(dead_letter(delivery, DeadLetterReason::InvalidRequest, self.now));
        }
    }
}

fn scheduled(delivery: Delivery, sms: Vec<SmsId>) -> Event {
    Event::DeliveryScheduled { delivery: Box::new(delivery), sms }
}

/// Those of `deliveries` whose answers may give values to what `render` uses for `delivery`; one customer's are not another's.
pub(super) fn givers<'a>(
    deliveries: impl Iterator<Item = &'a Delivery>,
    delivery: &Delivery,
    render: &dyn Render,
    rules: &Rules,
) -> Vec<DeliveryId> {
    let gives = |other: &&Delivery| {
        let saves = rules.definitions.get(&other.webhook).map(|it| &it.saves);
        other.account == delivery.account
            && saves.is_some_and(|saves| saves.iter().any(|variable| render.uses(variable)))
    };
    deliveries.filter(gives).map(|it| it.id).collect()
}

/// The deliveries that stand in the outbox after `events`.
pub(super) fn unfinished<'a>(state: &'a State, events: &'a [Event]) -> Vec<&'a Delivery> {
    let mut left: Vec<&Delivery> = state.deliveries.iter().collect();
    for event in events {
        left.extend(event.begun());
        if let Some(ended) = event.ended() {
            left.retain(|other| other.id != ended.id);
        }
    }
    left
}

/// Whether what `events` make of the state fits into a row, whatever comes of its attempts.
pub(super) fn has_room(state: &State, events: &[Event]) -> bool {
    events.iter().fold(state.clone(), evolve).bytes_max() <= STATE_BYTES_MAX
}

/// What becomes of a delivery of `webhook` that is to be rendered now.
pub(super) fn render(
    webhook: &WebhookName,
    predefined: &Bytes,
    facts: &Facts,
    rules: &Rules,
) -> Result<(Bytes, Rendering), Box<str>> {
    let Some(definition) = rules.definitions.get(webhook) else {
        return Err("its webhook is not configured".into());
    };
    match &definition.render {
        Some(render) => {
            let (body, rendered) = render.render(predefined, facts)?;
            Ok((body, Rendering::Done(rendered)))
        }
        // It was defined in another way when the delivery was scheduled.
        None => Ok((predefined.clone(), Rendering::Fixed)),
    }
}

/// The delivery as its dead letter tells it: with the facts, so that it can be rendered once the definition is mended.
pub(super) fn unrenderable(delivery: &Delivery, facts: Facts, missing: &str) -> Delivery {
    let (verdict, reason) = (Verdict::GiveUp, ErrorReason::InvalidFlowVar);
    let outcome = Outcome::unanswered(verdict, reason, missing);
    Delivery {
        rendering: Rendering::Pending(Box::new(Pending { facts, after: Vec::new() })),
        last_outcome: Some(outcome),
        ..delivery.clone()
    }
}

pub(super) fn dead_letter(delivery: Delivery, reason: DeadLetterReason, at: Timestamp) -> Event {
    Event::DeadLettered { delivery: Box::new(delivery), reason, at }
}

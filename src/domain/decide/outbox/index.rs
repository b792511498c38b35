//! The index of an outbox.

use crate::domain::{
    AccountId, Delivery, DeliveryId, Due, Event, Phase, Policy, Rendering, State, WebhookName,
};
use std::collections::{BTreeMap, BTreeSet};

/// A delivery that has not ended, or a rule that waits.
pub(super) struct Row {
    pub(super) id: DeliveryId,
    pub(super) account: AccountId,
    webhook: WebhookName,
    pub(super) is_phase_one: bool,
    pub(super) is_rule: bool,
    /// Whether it is settled once nothing is left for which it waits.
    is_pending: bool,
    /// The number of deliveries and rules for which it waits.
    left: usize,
    pub(super) is_over: bool,
    pub(super) place: Place,
}

/// Where a row is found.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// At this index of the state's deliveries, or of its rules.
    State(usize),
    /// In the event with this index.
    Event(usize),
}

/// Rows are named by their numbers, in the order in which they began.
#[derive(Default)]
pub(super) struct Index {
    is_loaded: bool,
    /// The number of events that are counted in.
    seen: usize,
    pub(super) rows: Vec<Row>,
    pub(super) unfinished: BTreeMap<DeliveryId, Vec<usize>>,
    /// The number of deliveries that have not ended.
    pub(super) deliveries: usize,
    pub(super) rules: BTreeSet<usize>,
    /// The deliveries that the events began, whether they have ended or not.
    pub(super) begun: BTreeSet<DeliveryId>,
    pub(super) by_webhook: BTreeMap<WebhookName, BTreeSet<usize>>,
    /// The webhooks among these whose answers give values.
    pub(super) giving: BTreeSet<WebhookName>,
    pub(super) phase_one: Vec<usize>,
    /// The rows that wait for each delivery or rule.
    pub(super) waiting_for: BTreeMap<DeliveryId, Vec<usize>>,
    /// The rows that wait for phase 1.
    pub(super) held: Vec<usize>,
    pub(super) ready: BTreeSet<(bool, usize)>,
    /// What has ended since the last release. It still counts for those that wait for it.
    ended: BTreeSet<DeliveryId>,
    /// The indexes of the events that end deliveries, keep outcomes, and bring values.
    pub(super) ends: BTreeMap<DeliveryId, usize>,
    pub(super) kept: Vec<usize>,
    pub(super) kept_of: BTreeMap<DeliveryId, usize>,
    pub(super) answers: Vec<usize>,
}

impl Index {
    /// Returns the index of a state to which these events led, and which is not loaded yet.
    pub(super) fn after(events: &[Event]) -> Self {
        let mut index = Self { seen: events.len(), ..Self::default() };
        for (number, event) in events.iter().enumerate() {
            index.note(number, event);
        }
        index
    }

    pub(super) fn load(&mut self, state: &State, policy: &Policy) {
        if std::mem::replace(&mut self.is_loaded, true) {
            return;
        }
        for (at, delivery) in state.deliveries.iter().enumerate() {
            self.add(delivery, false, Place::State(at), policy);
        }
        for (at, rule) in state.deferred.iter().enumerate() {
            self.add(&rule.delivery, true, Place::State(at), policy);
        }
        // A row may wait for one that stands behind it.
        let deliveries = state.deliveries.iter();
        let all = deliveries.chain(state.deferred.iter().map(|rule| &rule.delivery));
        for (number, delivery) in all.enumerate() {
            self.wait(number, delivery);
        }
    }

    pub(super) fn follow(&mut self, events: &[Event], policy: &Policy) {
        for (number, event) in events.iter().enumerate().skip(self.seen) {
            self.note(number, event);
            if let Some(delivery) = event.begun() {
                let row = self.add(delivery, false, Place::Event(number), policy);
                self.wait(row, delivery);
            } else if let Some(delivery) = event.ended() {
                self.remove(delivery.id, false);
            } else if let Event::RuleDeferred(rule) = event {
                let row = self.add(&rule.delivery, true, Place::Event(number), policy);
                self.wait(row, &rule.delivery);
            } else if let Event::RuleJudged(id) = event {
                self.remove(*id, true);
            } else if let Event::DeliveryRendered { delivery, .. } = event {
                self.rendered(*delivery);
            }
        }
        self.seen = events.len();
    }

    /// Notes what is asked of the events themselves.
    fn note(&mut self, number: usize, event: &Event) {
        if let Some(delivery) = event.begun() {
            self.begun.insert(delivery.id);
        } else if let Some(delivery) = event.ended() {
            self.ends.insert(delivery.id, number);
        }
        if let Event::Delivered { outcome, .. } = event
            && !outcome.mapped.is_empty()
        {
            self.answers.push(number);
        } else if let Event::OutcomeKept { delivery, .. } = event {
            self.kept.push(number);
            self.kept_of.insert(*delivery, number);
        }
    }

    fn add(&mut self, delivery: &Delivery, is_rule: bool, place: Place, policy: &Policy) -> usize {
        let number = self.rows.len();
        let is_phase_one = delivery.phase == Phase::One;
        let is_pending = is_rule
            || delivery.due == Due::Waiting && matches!(delivery.rendering, Rendering::Pending(_));
        let (id, account, webhook) = (delivery.id, delivery.account, delivery.webhook.clone());
        self.rows.push(Row {
            id,
            account,
            webhook,
            is_phase_one,
            is_rule,
            is_pending,
            left: 0,
            is_over: false,
            place,
        });
        let known = self.unfinished.entry(id).or_default();
        known.push(number);
        if !self.ended.remove(&id) && known.len() == 1 {
            self.hold(id);
        }
        if let Some(known) = self.by_webhook.get_mut(&delivery.webhook) {
            known.insert(number);
        } else {
            self.by_webhook.insert(delivery.webhook.clone(), [number].into());
            if !policy.definitions.saves(&delivery.webhook).is_empty() {
                self.giving.insert(delivery.webhook.clone());
            }
        }
        if is_rule {
            self.rules.insert(number);
        } else {
            self.deliveries += 1;
        }
        if is_phase_one {
            self.phase_one.push(number);
        }
        number
    }

    /// Counts what the row waits for.
    fn wait(&mut self, number: usize, delivery: &Delivery) {
        let after = match &delivery.rendering {
            Rendering::Pending(pending) => pending.after.as_slice(),
            Rendering::Fixed | Rendering::Done(_) => {
                if delivery.due == Due::Waiting {
                    self.held.push(number);
                }
                &[]
            }
        };
        let is_left =
            |id: &&DeliveryId| self.unfinished.contains_key(id) || self.ended.contains(id);
        let left = after.iter().filter(is_left).count();
        if let Some(row) = self.rows.get_mut(number) {
            row.left = left;
            if row.is_pending && left == 0 {
                self.ready.insert((row.is_rule, number));
            }
        }
        for id in after {
            self.waiting_for.entry(*id).or_default().push(number);
        }
    }

    /// Makes what waited for this id wait again, because it is unfinished again.
    fn hold(&mut self, id: DeliveryId) {
        for number in self.waiting_for.get(&id).into_iter().flatten() {
            if let Some(row) = self.rows.get_mut(*number) {
                row.left += 1;
                self.ready.remove(&(row.is_rule, *number));
            }
        }
    }

    fn remove(&mut self, id: DeliveryId, is_rule: bool) {
        let Some(numbers) = self.unfinished.get_mut(&id) else { return };
        let rows = &mut self.rows;
        numbers.retain(|number| {
            let row = rows.get_mut(*number).filter(|row| row.is_rule == is_rule);
            let Some(row) = row else { return true };
            row.is_over = true;
            if let Some(known) = self.by_webhook.get_mut(&row.webhook) {
                known.remove(number);
            }
            self.ready.remove(&(is_rule, *number));
            if is_rule {
                self.rules.remove(number);
            } else {
                self.deliveries -= 1;
            }
            false
        });
        if numbers.is_empty() {
            self.unfinished.remove(&id);
            self.ended.insert(id);
        }
    }

    fn rendered(&mut self, id: DeliveryId) {
        for number in self.unfinished.get(&id).into_iter().flatten() {
            if let Some(row) = self.rows.get_mut(*number).filter(|row| !row.is_rule) {
                row.is_pending = false;
                self.ready.remove(&(false, *number));
            }
        }
    }

    /// Makes ready what waited only for what has ended. A rule that was judged may have begun a delivery with its id,
    /// which has not ended then.
    pub(super) fn release(&mut self) {
        for id in std::mem::take(&mut self.ended) {
            for number in self.waiting_for.get(&id).into_iter().flatten() {
                let Some(row) = self.rows.get_mut(*number) else { continue };
                row.left = row.left.saturating_sub(1);
                if row.left == 0 && row.is_pending && !row.is_over {
                    self.ready.insert((row.is_rule, *number));
                }
            }
        }
    }
}

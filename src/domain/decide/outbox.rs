//! What is in the outbox during a decision: the deliveries that have not ended, and the rules that wait. An index is
//! kept up to date with the events, so that no step of a decision looks through all of them.

use super::after::After;
use crate::domain::{
    AccountId, Condition, Deferred, Delivery, DeliveryId, Due, Event, Mapped, OUTCOME_VARIABLES,
    Phase, Policy, Rendering, State, WebhookEnd, WebhookName,
};
use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};

/// The outbox of a decision.
pub(super) struct Outbox<'a> {
    state: &'a State,
    policy: &'a Policy,
    index: RefCell<Option<Box<Index>>>,
}

/// The number of rows and events up to which a look through all of them is faster than an index.
const SCAN_MAX: usize = 16;

/// A delivery that has not ended, or a rule that waits.
struct Row {
    id: DeliveryId,
    account: AccountId,
    webhook: WebhookName,
    is_phase_one: bool,
    is_rule: bool,
    /// Whether it is settled once nothing is left for which it waits.
    is_pending: bool,
    /// The number of deliveries and rules for which it waits.
    left: usize,
    is_over: bool,
    place: Place,
}

/// Where a row is found.
#[derive(Clone, Copy)]
enum Place {
    /// At this index of the state's deliveries, or of its rules.
    State(usize),
    /// In the event with this index.
    Event(usize),
}

/// Something that waits for nothing any more.
pub(super) enum Ready<'a> {
    Delivery(&'a Delivery),
    Rule(&'a Deferred),
}

/// Rows are named by their numbers, in the order in which they began.
#[derive(Default)]
struct Index {
    is_loaded: bool,
    /// The number of events that are counted in.
    seen: usize,
    rows: Vec<Row>,
    unfinished: BTreeMap<DeliveryId, Vec<usize>>,
    /// The number of deliveries that have not ended.
    deliveries: usize,
    rules: BTreeSet<usize>,
    /// The deliveries that the events began, whether they have ended or not.
    begun: BTreeSet<DeliveryId>,
    by_webhook: BTreeMap<WebhookName, BTreeSet<usize>>,
    /// The webhooks among these whose answers give values.
    giving: BTreeSet<WebhookName>,
    phase_one: Vec<usize>,
    /// The rows that wait for each delivery or rule.
    waiting_for: BTreeMap<DeliveryId, Vec<usize>>,
    /// The rows that wait for phase 1.
    held: Vec<usize>,
    ready: BTreeSet<(bool, usize)>,
    /// What has ended since the last release. It still counts for those that wait for it.
    ended: BTreeSet<DeliveryId>,
    /// The indexes of the events that end deliveries, keep outcomes, and bring values.
    ends: BTreeMap<DeliveryId, usize>,
    kept: Vec<usize>,
    kept_of: BTreeMap<DeliveryId, usize>,
    answers: Vec<usize>,
}

/// Rows that wait for a delivery, directly or through others. If it waited for one of them, neither would ever leave.
#[derive(Default)]
pub(super) struct Blocked(BTreeSet<usize>);

impl Blocked {
    /// Adds the rows with this id in the outbox before the first event.
    pub(super) fn and(mut self, outbox: &Outbox<'_>, id: DeliveryId) -> Self {
        let index = outbox.index(&[]);
        self.0.extend(index.unfinished.get(&id).into_iter().flatten());
        self
    }
}

impl<'a> Outbox<'a> {
    /// Returns the outbox in `state`, before the first event.
    pub(super) fn of(state: &'a State, policy: &'a Policy) -> Self {
        Self { state, policy, index: RefCell::default() }
    }

    /// Returns the outbox in `state`, to which these events led.
    pub(super) fn after(state: &'a State, policy: &'a Policy, events: &[Event]) -> Self {
        let outbox = Self::of(state, policy);
        let mut index = Index { seen: events.len(), ..Index::default() };
        for (number, event) in events.iter().enumerate() {
            index.note(number, event);
        }
        outbox.index.replace(Some(Box::new(index)));
        outbox
    }

    /// Returns the index after `events`, whose beginning is counted in already.
    fn index(&self, events: &[Event]) -> RefMut<'_, Index> {
        RefMut::map(self.index.borrow_mut(), |index| {
            let index = index.get_or_insert_default();
            index.load(self.state, self.policy);
            index.follow(events, self.policy);
            index.as_mut()
        })
    }

    /// Returns the deliveries, if they are few, none has ended, no rule waits and no index exists. This is the usual case.
    fn few<'e>(&self, events: &'e [Event]) -> Option<impl Iterator<Item = &'e Delivery>>
    where
        'a: 'e,
    {
        let begins =
            |event: &Event| event.ended().is_none() && !matches!(event, Event::RuleDeferred(_));
        let is_few = self.state.deliveries.len() + events.len() <= SCAN_MAX
            && self.state.deferred.is_empty()
            && self.index.borrow().is_none()
            && events.iter().all(begins);
        is_few.then(|| self.state.deliveries.iter().chain(events.iter().filter_map(Event::begun)))
    }

    /// Returns whether a delivery or a rule with this id has not ended.
    pub(super) fn contains(&self, id: DeliveryId, events: &[Event]) -> bool {
        self.index(events).unfinished.contains_key(&id)
    }

    /// Returns whether a delivery with this id has not ended, or was begun by `events`.
    pub(super) fn knows(&self, id: DeliveryId, events: &[Event]) -> bool {
        if let Some(mut few) = self.few(events) {
            return few.any(|delivery| delivery.id == id);
        }
        let index = self.index(events);
        index.begun.contains(&id) || index.unfinished.contains_key(&id)
    }

    /// Returns what waits for `delivery`.
    pub(super) fn blocked_by(&self, delivery: &Delivery, events: &[Event]) -> Blocked {
        let waits = |other: &Delivery| match &other.rendering {
            Rendering::Pending(pending) => pending.after.contains(&delivery.id),
            Rendering::Fixed | Rendering::Done(_) => {
                other.due == Due::Waiting && delivery.phase == Phase::One
            }
        };
        if let Some(mut few) = self.few(events)
            && !few.any(waits)
        {
            return Blocked::default();
        }
        let index = self.index(events);
        let mut blocked = BTreeSet::new();
        let mut next = vec![(delivery.id, delivery.phase == Phase::One)];
        while let Some((id, is_phase_one)) = next.pop() {
            let waiting = index.waiting_for.get(&id).into_iter().flatten();
            let held = index.held.iter().filter(|_| is_phase_one);
            for number in waiting.chain(held) {
                let row = index.rows.get(*number).filter(|row| !row.is_over);
                if let Some(row) = row.filter(|_| blocked.insert(*number)) {
                    next.push((row.id, row.is_phase_one));
                }
            }
        }
        Blocked(blocked)
    }

    /// Returns the phase 1 that has not ended.
    pub(super) fn phase_one(&self, blocked: &Blocked, events: &[Event]) -> Option<DeliveryId> {
        if blocked.0.is_empty()
            && let Some(mut few) = self.few(events)
        {
            return few.find(|delivery| delivery.phase == Phase::One).map(|it| it.id);
        }
        let index = self.index(events);
        let mut left = index.phase_one.iter().filter(|number| !blocked.0.contains(number));
        left.find_map(|number| index.rows.get(*number).filter(|row| !row.is_over)).map(|row| row.id)
    }

    /// Returns the deliveries of these webhooks of the account, in the order in which they began.
    pub(super) fn of_webhooks<'w>(
        &self,
        account: AccountId,
        webhooks: impl IntoIterator<Item = &'w WebhookName>,
        blocked: &Blocked,
        events: &[Event],
    ) -> Vec<DeliveryId> {
        let mut webhooks = webhooks.into_iter().peekable();
        if webhooks.peek().is_none() {
            return Vec::new();
        }
        let index = self.index(events);
        let lists = webhooks.filter_map(|webhook| index.by_webhook.get(webhook));
        let numbers: BTreeSet<usize> =
            lists.flatten().copied().filter(|number| !blocked.0.contains(number)).collect();
        let rows = numbers.iter().filter_map(|number| index.rows.get(*number));
        rows.filter(|row| row.account == account).map(|row| row.id).collect()
    }

    /// Returns the deliveries whose answers may give a value to a variable that `uses` names.
    pub(super) fn givers(
        &self,
        account: AccountId,
        uses: &dyn Fn(&str) -> bool,
        blocked: &Blocked,
        events: &[Event],
    ) -> Vec<DeliveryId> {
        let giving = self.giving(uses, events);
        self.of_webhooks(account, &giving, blocked, events)
    }

    fn giving(&self, uses: &dyn Fn(&str) -> bool, events: &[Event]) -> Vec<WebhookName> {
        let definitions = &self.policy.definitions;
        let gives = |webhook: &&WebhookName| definitions.saves(webhook).iter().any(|it| uses(it));
        self.index(events).giving.iter().filter(gives).cloned().collect()
    }

    /// Returns the deliveries that may give a value to the variable of `condition`.
    pub(super) fn givers_of(
        &self,
        condition: &Condition,
        account: AccountId,
        after: &After<'_>,
        blocked: &Blocked,
        events: &[Event],
    ) -> Vec<DeliveryId> {
        let mut giving = self.giving(&|saved| condition.is_about(saved), events);
        if OUTCOME_VARIABLES.contains(&&*condition.variable) {
            giving.extend_from_slice(&after.outcome_of);
        }
        self.of_webhooks(account, &giving, blocked, events)
    }

    /// Returns the outcome that is kept of that webhook in `outcome_of` which ended last.
    pub(super) fn kept<'e>(
        &self,
        account: AccountId,
        outcome_of: &[WebhookName],
        events: &'e [Event],
    ) -> Option<&'e [Mapped]>
    where
        'a: 'e,
    {
        if outcome_of.is_empty() {
            return None;
        }
        let index = self.index(events);
        let newer = index.kept.iter().rev().filter_map(|number| match events.get(*number) {
            Some(Event::OutcomeKept { ended, .. }) => Some(&**ended),
            Some(_) | None => None,
        });
        let mut all = newer.chain(self.state.outcomes.iter().rev());
        let found = all.find(|it| it.account == account && outcome_of.contains(&it.webhook));
        found.map(|it| it.values.as_slice())
    }

    /// Returns how `events` end a delivery, and its outcome.
    pub(super) fn ended<'e>(
        &self,
        id: DeliveryId,
        events: &'e [Event],
    ) -> Option<(&'e [Mapped], WebhookEnd)> {
        let index = self.index(events);
        let (_, end) = events.get(*index.ends.get(&id)?)?.end()?;
        let kept = index.kept_of.get(&id).and_then(|number| events.get(*number));
        let values = match kept {
            Some(Event::OutcomeKept { ended, .. }) => ended.values.as_slice(),
            Some(_) | None => &[],
        };
        Some((values, end))
    }

    /// Returns the values that the answers in `events` gave.
    pub(super) fn answers(&self, of: AccountId, events: &[Event]) -> Vec<Mapped> {
        let index = self.index(events);
        let answers = index.answers.iter().filter_map(|number| match events.get(*number) {
            Some(Event::Delivered { delivery, outcome, .. }) if delivery.account == of => {
                Some(&outcome.mapped)
            }
            Some(_) | None => None,
        });
        answers.flatten().cloned().collect()
    }

    /// Returns the next delivery or rule that waits for nothing any more. Deliveries come before rules. Without a
    /// delivery, rules could only wait for each other for ever, so that the first one is next.
    pub(super) fn ready<'e>(&self, events: &'e [Event]) -> Option<Ready<'e>>
    where
        'a: 'e,
    {
        let mut index = self.index(events);
        index.release();
        let first = index.ready.first().map(|(_, number)| *number);
        let stuck = || index.rules.first().copied().filter(|_| index.deliveries == 0);
        let row = index.rows.get(first.or_else(stuck)?)?;
        match row.place {
            Place::State(at) if row.is_rule => self.state.deferred.get(at).map(Ready::Rule),
            Place::State(at) => self.state.deliveries.get(at).map(Ready::Delivery),
            Place::Event(at) => {
                let event = events.get(at)?;
                if let Event::RuleDeferred(rule) = event {
                    return Some(Ready::Rule(rule));
                }
                event.begun().map(Ready::Delivery)
            }
        }
    }
}

impl Index {
    fn load(&mut self, state: &State, policy: &Policy) {
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

    fn follow(&mut self, events: &[Event], policy: &Policy) {
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
    fn release(&mut self) {
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

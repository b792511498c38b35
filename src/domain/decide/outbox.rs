//! What is in the outbox during a decision: the deliveries that have not ended, and the rules that wait. An index is
//! kept up to date with the events, so that no step of a decision looks through all of them.

mod index;

use super::after::After;
use crate::domain::{
    AccountId, Condition, Deferred, Delivery, DeliveryId, Due, Event, Mapped, OUTCOME_VARIABLES,
    Phase, Policy, Rendering, State, WebhookEnd, WebhookName,
};
use index::{Index, Place};
use std::cell::{RefCell, RefMut};
use std::collections::BTreeSet;

/// The outbox of a decision.
pub(super) struct Outbox<'a> {
    state: &'a State,
    policy: &'a Policy,
    index: RefCell<Option<Box<Index>>>,
}

/// The number of rows and events up to which a look through all of them is faster than an index.
const SCAN_MAX: usize = 16;

/// Something that waits for nothing any more.
pub(super) enum Ready<'a> {
    Delivery(&'a Delivery),
    Rule(&'a Deferred),
}

/// Rows that wait for a delivery, directly or through others, in ascending order. If the delivery waited for one of them,
/// neither would ever leave.
#[derive(Default)]
pub(super) struct Blocked(Vec<usize>);

impl Blocked {
    fn contains(&self, number: &usize) -> bool {
        self.0.binary_search(number).is_ok()
    }

    /// Adds the rows with this id in the outbox before the first event.
    pub(super) fn and(mut self, outbox: &Outbox<'_>, id: DeliveryId) -> Self {
        let index = outbox.index(&[]);
        self.0.extend(index.unfinished.get(&id).into_iter().flatten());
        self.0.sort_unstable();
        self
    }
}

/// The deliveries in the outbox that a new one depends on.
pub(super) struct Neighbours {
    /// The rows that wait for the new delivery.
    pub(super) blocked: Blocked,
    /// The phase 1 that has not ended.
    pub(super) phase_one: Option<DeliveryId>,
}

impl<'a> Outbox<'a> {
    /// Returns the outbox in `state`, before the first event.
    pub(super) fn of(state: &'a State, policy: &'a Policy) -> Self {
        Self { state, policy, index: RefCell::default() }
    }

    /// Returns the outbox in `state`, to which these events led.
    pub(super) fn after(state: &'a State, policy: &'a Policy, events: &[Event]) -> Self {
        let outbox = Self::of(state, policy);
        outbox.index.replace(Some(Box::new(Index::after(events))));
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
        match self.few(events) {
            Some(mut few) => few.any(|other| other.id == id),
            None => self.index(events).unfinished.contains_key(&id),
        }
    }

    /// Returns the neighbours of `delivery`, or `None` if one with its id has not ended, or was begun by `events`.
    pub(super) fn neighbours(&self, delivery: &Delivery, events: &[Event]) -> Option<Neighbours> {
        if let Some(few) = self.few(events) {
            let (mut phase_one, mut is_awaited) = (None, false);
            for other in few {
                if other.id == delivery.id {
                    return None;
                }
                if phase_one.is_none() && other.phase == Phase::One {
                    phase_one = Some(other.id);
                }
                is_awaited |= waits(other, delivery);
            }
            if !is_awaited {
                return Some(Neighbours { blocked: Blocked::default(), phase_one });
            }
        }
        let index = self.index(events);
        if index.begun.contains(&delivery.id) || index.unfinished.contains_key(&delivery.id) {
            return None;
        }
        drop(index);
        let blocked = self.blocked_by(delivery, events);
        let phase_one = self.phase_one(&blocked, events);
        Some(Neighbours { blocked, phase_one })
    }

    /// Returns what waits for `delivery`.
    pub(super) fn blocked_by(&self, delivery: &Delivery, events: &[Event]) -> Blocked {
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
        Blocked(blocked.into_iter().collect())
    }

    /// Returns the phase 1 that has not ended.
    pub(super) fn phase_one(&self, blocked: &Blocked, events: &[Event]) -> Option<DeliveryId> {
        let index = self.index(events);
        let mut left = index.phase_one.iter().filter(|number| !blocked.contains(number));
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
            lists.flatten().copied().filter(|number| !blocked.contains(number)).collect();
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

/// Returns whether `one`, which has not ended, leaves only after `other`.
fn waits(one: &Delivery, other: &Delivery) -> bool {
    match &one.rendering {
        Rendering::Pending(_) => one.waits_for(other),
        Rendering::Fixed | Rendering::Done(_) => one.due == Due::Waiting && one.waits_for(other),
    }
}

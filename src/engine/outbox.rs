//! Which rows of the outbox are to be handed to the lanes next, without holding more than a few of them.
//!
//! The store holds the rows; here stands, per lane and partition, how many there are and from where on to look. Rows that
//! were handed out stay *in hand* until their outcome is committed, so that nothing is handed out twice.

use crate::delivery::{Attempted, Job};
use crate::domain::{DeliveryId, Due, State, Timestamp, Verdict, WebhookName};
use crate::store::{DueKey, StoreError, WriteBack};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

/// A lane's rows in one partition.
#[derive(Clone, Copy, Debug)]
struct Share {
    rows: u64,
    /// Everything before it is in hand or gone.
    cursor: DueKey,
}

/// A lane: all rows for one endpoint.
#[derive(Default)]
struct Lane {
    shares: BTreeMap<u32, Share>,
    in_hand: usize,
    /// What ended in this window, and in the one before.
    paces: [Pace; 2],
}

/// What a lane did in a window.
#[derive(Clone, Copy, Default)]
struct Pace {
    /// Attempts that ended.
    ended: usize,
    /// Of these, those that delivered.
    delivered: usize,
}

impl Lane {
    fn ended(&self) -> usize {
        self.paces.iter().map(|pace| pace.ended).sum()
    }

    /// Whether it is fast, and yet has more to do than it can in a moment.
    fn is_behind(&self) -> bool {
        let rows: u64 = self.shares.values().map(|share| share.rows).sum();
        let waiting = rows.saturating_sub(self.in_hand as u64);
        let delivered: usize = self.paces.iter().map(|pace| pace.delivered).sum();
        delivered >= FAST && waiting > delivered as u64 / 4
    }
}

/// The window in which a lane's pace is counted.
const WINDOW: Duration = Duration::from_millis(250);
/// A lane that delivers less than this in two windows holds nobody back.
const FAST: usize = 64;

/// How much may be in hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct HandLimits {
    /// Of all lanes together.
    pub(super) total: usize,
    /// Of one lane beside what it may have in flight, when its attempts end fast; one that hangs gets its concurrency once
    /// more, and no room that others could use.
    pub(super) ahead: usize,
}

/// The rows that wait, by lane.
pub(super) struct Outbox {
    lanes: BTreeMap<WebhookName, Lane>,
    /// When a lane's share is to be looked at next.
    due: BTreeSet<(Timestamp, WebhookName, u32)>,
    in_hand: HashSet<(u32, DeliveryId)>,
    /// Shares that were due while there was no room for them.
    starved: BTreeSet<(WebhookName, u32)>,
    limits: HandLimits,
    window_since: Instant,
}

/// A lane that may be handed jobs.
pub(super) struct Room<'a> {
    /// The partitions that are running.
    pub(super) partitions: &'a BTreeMap<u32, &'a WriteBack>,
    /// What a lane may have in flight; `None`: it is not configured.
    pub(super) in_flight_max: &'a dyn Fn(&WebhookName) -> Option<usize>,
    /// Takes the jobs of a lane.
    pub(super) push: &'a dyn Fn(&WebhookName, Vec<Job>),
}

impl Outbox {
    pub(super) fn new(limits: HandLimits) -> Self {
        Self {
            lanes: BTreeMap::new(),
            due: BTreeSet::new(),
            in_hand: HashSet::new(),
            starved: BTreeSet::new(),
            limits,
            window_since: Instant::now(),
        }
    }

    /// Takes a restored partition's lanes in.
    pub(super) fn load(&mut self, partition: u32, lanes: BTreeMap<WebhookName, (u64, DueKey)>) {
        for (webhook, (rows, cursor)) in lanes {
            self.due.insert((cursor.due, webhook.clone(), partition));
            self.lanes.entry(webhook).or_default().shares.insert(partition, Share { rows, cursor });
        }
    }

    /// Forgets all partitions and everything in hand.
    pub(super) fn clear(&mut self) {
        self.lanes.clear();
        self.due.clear();
        self.starved.clear();
        self.in_hand.clear();
    }

    /// Forgets the partitions, but not what is in hand.
    pub(super) fn unload(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.shares.clear();
        }
        self.due.clear();
        self.starved.clear();
    }

    /// Looks at every lane again: the configuration has changed.
    pub(super) fn wake_all(&mut self) {
        for (webhook, lane) in &self.lanes {
            let shares = lane.shares.iter().filter(|(_, share)| share.rows > 0);
            self.due
                .extend(shares.map(|(number, share)| (share.cursor.due, webhook.clone(), *number)));
        }
    }

    /// Follows a state that was committed.
    pub(super) fn change(&mut self, partition: u32, old: &State, new: &State) {
        for (webhook, key) in old.due_keys() {
            if !new.due_keys().any(|other| other == (webhook, key))
                && let Some(share) =
                    self.lanes.get_mut(webhook).and_then(|lane| lane.shares.get_mut(&partition))
            {
                share.rows = share.rows.saturating_sub(1);
            }
        }
        for (webhook, key) in new.due_keys() {
            if !old.due_keys().any(|other| other == (webhook, key)) {
                self.insert(partition, webhook, key);
            }
        }
    }

    fn insert(&mut self, partition: u32, webhook: &WebhookName, key: DueKey) {
        let lane = match self.lanes.get_mut(webhook) {
            Some(lane) => lane,
            None => self.lanes.entry(webhook.clone()).or_default(),
        };
        let share = lane.shares.entry(partition).or_insert(Share { rows: 0, cursor: key });
        share.rows += 1;
        // An earlier timer than those seen lowers the cursor; what is in hand is skipped when it is met again.
        if key < share.cursor {
            share.cursor = key;
        }
        self.due.insert((key.due, webhook.clone(), partition));
    }

    /// What is in hand no more: its outcome is committed, or it was taken back.
    pub(super) fn release(
        &mut self,
        partition: u32,
        webhook: &WebhookName,
        id: DeliveryId,
        now: Timestamp,
    ) {
        if !self.in_hand.remove(&(partition, id)) {
            return;
        }
        if let Some(lane) = self.lanes.get_mut(webhook) {
            lane.in_hand = lane.in_hand.saturating_sub(1);
        }
        let starved = std::mem::take(&mut self.starved);
        self.due.extend(starved.into_iter().map(|(webhook, number)| (now, webhook, number)));
    }

    /// Puts back what a lane gave back unsent: it is looked at again.
    pub(super) fn put_back(&mut self, partition: u32, webhook: &WebhookName, key: DueKey) {
        if self.in_hand.remove(&(partition, key.id))
            && let Some(lane) = self.lanes.get_mut(webhook)
        {
            lane.in_hand = lane.in_hand.saturating_sub(1);
            if let Some(share) = lane.shares.get_mut(&partition) {
                share.cursor = share.cursor.min(key);
                self.due.insert((key.due, webhook.clone(), partition));
            }
        }
    }

    /// Counts what has ended, for the lanes' pace; returns how many were delivered.
    pub(super) fn delivered(&mut self, outcomes: &[Attempted]) -> usize {
        if self.window_since.elapsed() >= WINDOW {
            self.window_since = Instant::now();
            for lane in self.lanes.values_mut() {
                lane.paces = [Pace::default(), lane.paces[0]];
            }
        }
        let mut count = 0;
        for Attempted { job, outcome } in outcomes {
            let delivered = usize::from(outcome.verdict == Verdict::Delivered);
            count += delivered;
            if let Some(lane) = self.lanes.get_mut(&job.webhook) {
                lane.paces[0].ended += 1;
                lane.paces[0].delivered += delivered;
            }
        }
        count
    }

    /// Whether a lane that delivers as fast as it can has more that is due than it can do in a moment.
    pub(super) fn is_behind(&self) -> bool {
        let lane = |(webhook, _): &(WebhookName, u32)| self.lanes.get(webhook);
        self.starved.iter().filter_map(lane).any(Lane::is_behind)
    }

    /// When the next row is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, ..)| *due)
    }

    /// Rows that wait, and rows in hand.
    pub(super) fn counts(&self) -> (u64, usize) {
        let rows =
            self.lanes.values().flat_map(|lane| lane.shares.values()).map(|share| share.rows).sum();
        (rows, self.in_hand.len())
    }

    /// The earliest due time that has passed.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let cursors = self.lanes.values().flat_map(|lane| lane.shares.values());
        cursors.filter(|share| share.rows > 0).map(|share| share.cursor.due).min()
    }

    /// Hands out what is due, as far as there is room.
    pub(super) fn dispatch(&mut self, now: Timestamp, room: &Room<'_>) -> Result<(), StoreError> {
        while let Some((due, ..)) = self.due.first()
            && *due <= now
        {
            let Some((_, webhook, number)) = self.due.pop_first() else { break };
            let Some(partition) = room.partitions.get(&number) else { continue };
            // A lane without a configuration keeps its rows until it has one again.
            let Some(in_flight_max) = (room.in_flight_max)(&webhook) else { continue };
            let jobs = self.collect(&webhook, partition, in_flight_max, now)?;
            if !jobs.is_empty() {
                (room.push)(&webhook, jobs);
            }
        }
        Ok(())
    }

    /// Reads a lane's next rows from the store. A share without room is looked at again once an outcome is committed.
    fn collect(
        &mut self,
        webhook: &WebhookName,
        partition: &WriteBack,
        in_flight_max: usize,
        now: Timestamp,
    ) -> Result<Vec<Job>, StoreError> {
        let number = partition.number();
        let Some(lane) = self.lanes.get_mut(webhook) else { return Ok(Vec::new()) };
        let ahead = lane.ended().max(in_flight_max).min(self.limits.ahead);
        let Some(share) = lane.shares.get_mut(&number) else { return Ok(Vec::new()) };
        let lane_room = (in_flight_max + ahead).saturating_sub(lane.in_hand);
        let room = lane_room.min(self.limits.total.saturating_sub(self.in_hand.len()));
        if share.rows == 0 {
            return Ok(Vec::new());
        }
        if room == 0 {
            self.starved.insert((webhook.clone(), number));
            return Ok(Vec::new());
        }
        let found = partition.due(webhook, share.cursor, room + 1)?;
        let mut jobs = Vec::with_capacity(found.len());
        let mut next = None;
        for (key, uuid) in &found {
            if key.due > now || jobs.len() == room {
                next = Some(*key);
                break;
            }
            if self.in_hand.contains(&(number, key.id)) {
                continue;
            }
            let state = partition.state(uuid)?;
            let delivery = state.delivery(key.id).filter(|row| row.due == Due::At(key.due));
            let delivery = delivery.ok_or_else(|| StoreError::Corrupt {
                partition: number,
                what: format!("the row of {uuid}"),
            })?;
            jobs.push(Job {
                partition: number,
                uuid: uuid.clone(),
                id: delivery.id,
                phase: delivery.phase,
                attempt: delivery.attempts.saturating_add(1),
                body: delivery.body.clone(),
                webhook: webhook.clone(),
                due: key.due,
            });
        }
        for job in &jobs {
            self.in_hand.insert((number, job.id));
        }
        lane.in_hand += jobs.len();
        match (next, found.last()) {
            (Some(key), _) => {
                share.cursor = key;
                if key.due > now {
                    self.due.insert((key.due, webhook.clone(), number));
                } else {
                    self.starved.insert((webhook.clone(), number));
                }
            }
            // Everything seen is in hand. Where the look was cut short it goes on; rows to come are later, or lower the cursor.
            (None, Some((last, _))) => {
                share.cursor = *last;
                if found.len() > room {
                    self.due.insert((last.due, webhook.clone(), number));
                }
            }
            (None, None) => {}
        }
        Ok(jobs)
    }
}

#[cfg(test)]
mod tests;

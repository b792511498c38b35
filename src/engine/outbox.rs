//! The outbox selects the deliveries that the lanes get next, and holds only a few of them in memory.
//!
//! The store holds the rows. The outbox knows shares: the number of rows of each webhook, class and partition, and its
//! next row. All shares of a webhook are its backlog. A row that a lane got is *leased* until its outcome is committed,
//! so that no row is delivered twice at the same time. The outbox looks at a share when one of its rows is due, when a
//! lease of its webhook ends, or when its endpoint may be called again. Other webhooks have no influence.

mod age;
mod backlog;
mod row;

use crate::clock;
use crate::delivery::{Attempted, Demand, Job};
use crate::domain::{
    Class, DeadLetterReason, DeliveryId, Due, PhononUuid, State, Timestamp, Verdict, WebhookName,
};
use crate::store::{Backlogs, DueKey, Family, Retried, StoreError, WriteBack};
use backlog::{Backlog, Pace, Share, WINDOW};
use row::Row;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// The approximate memory of a leased row beside its body.
const ROW_BYTES: usize = 512;
/// The maximum number of rows that become dead letters at once.
const ABANDONED_MAX: usize = 1000;
/// Dispatching takes no longer than this at a time, so that outcomes do not wait for it.
const DISPATCH: Duration = Duration::from_millis(20);

/// The limits of leases.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaseLimits {
    /// The maximum bytes of all leased rows. Each class of a webhook may have one row nevertheless.
    pub(super) bytes: usize,
    /// The rows that a webhook with fast attempts may lease beside those that may be unanswered. A slow webhook may
    /// lease at most twice the rows that may be unanswered, so that it takes no memory from others.
    pub(super) ahead: usize,
}

/// A row that becomes a dead letter without an attempt.
pub(super) struct Abandoned {
    pub(super) partition: i32,
    pub(super) uuid: PhononUuid,
    pub(super) webhook: WebhookName,
    pub(super) key: DueKey,
    pub(super) reason: DeadLetterReason,
}

/// A row that a lane has.
struct Lease {
    /// The row's key when it was leased: another attempt of the same delivery has another key.
    key: DueKey,
    bytes: usize,
    webhook: WebhookName,
    /// The row's present key, for its next attempt: another instance has made this attempt, too.
    moved_to: Option<DueKey>,
}

/// Returns the key of the row that `job` was made of.
pub(super) fn key(job: &Job) -> DueKey {
    DueKey { class: job.class(), due: job.due, id: job.id }
}

/// The key of a share: a webhook's rows of one class in one partition.
type ShareKey = (WebhookName, i32, Class);

/// The undelivered rows, by webhook.
pub(super) struct Outbox {
    backlogs: BTreeMap<WebhookName, Backlog>,
    /// The times at which to look at shares.
    due: BTreeSet<(Timestamp, ShareKey)>,
    /// Shares with new rows. They come before all shares that are due.
    touched: BTreeSet<ShareKey>,
    /// Shares that were due while the limit of all leases was reached.
    crowded: VecDeque<ShareKey>,
    leased: HashMap<(i32, DeliveryId), Lease>,
    bytes: usize,
    retried: Retried,
    limits: LeaseLimits,
    /// Whether spans of attempts may be recorded.
    is_traced: bool,
    window_since: Instant,
}

/// The partitions that rows come from, and the lanes that they go to.
pub(super) trait Downstream {
    /// The store of a partition.
    type Family: Family;
    /// Returns the rows of a partition that is running.
    fn rows(&self, partition: i32) -> Option<&WriteBack<Self::Family>>;
    /// Starts the attempts that may start. Returns how many jobs the lane of `webhook` can use.
    fn start_attempts(&self, webhook: &WebhookName) -> Demand;
    /// Returns the maximum age of a delivery, in milliseconds.
    fn age_max_ms(&self, webhook: &WebhookName) -> u64;
    /// Returns whether the daemon lacks a resource. Then deliveries that are too old are attempted nevertheless.
    fn is_short(&self) -> bool;
    /// Hands jobs to the lane of `webhook`.
    fn push(&self, webhook: &WebhookName, jobs: Vec<Job>);
}

impl Outbox {
    /// Creates an empty outbox. `is_traced`: spans of attempts may be recorded.
    pub(super) fn new(limits: LeaseLimits, is_traced: bool) -> Self {
        Self {
            backlogs: BTreeMap::new(),
            due: BTreeSet::new(),
            touched: BTreeSet::new(),
            crowded: VecDeque::new(),
            leased: HashMap::new(),
            bytes: 0,
            retried: Retried::default(),
            limits,
            is_traced,
            window_since: clock::instant(),
        }
    }

    /// Adds the backlogs of a restored partition.
    pub(super) fn load(&mut self, partition: i32, backlogs: Backlogs) {
        for ((webhook, class), (rows, cursor)) in backlogs {
            self.due.insert((cursor.due, (webhook.clone(), partition, class)));
            let backlog = self.backlogs.entry(webhook).or_default();
            backlog.rows += rows;
            backlog.shares.insert((partition, class), Share { rows, cursor });
        }
    }

    /// Forgets all partitions and all leases.
    pub(super) fn clear(&mut self) {
        self.backlogs.clear();
        self.due.clear();
        self.touched.clear();
        self.crowded.clear();
        self.leased.clear();
        self.bytes = 0;
        self.retried.clear();
    }

    /// Forgets the partitions, but not the leases.
    pub(super) fn unload(&mut self) {
        for backlog in self.backlogs.values_mut() {
            backlog.shares.clear();
            backlog.starved.clear();
            backlog.rows = 0;
        }
        self.retried.clear();
        self.due.clear();
        self.touched.clear();
        self.crowded.clear();
    }

    /// Looks at every share again, because the configuration has changed.
    pub(super) fn wake_all(&mut self) {
        let backlogs = self.backlogs.iter();
        self.due.extend(backlogs.flat_map(|(webhook, backlog)| backlog.looks(webhook)));
    }

    /// Looks at the shares of a webhook again.
    pub(super) fn wake(&mut self, webhook: &WebhookName) {
        if let Some(backlog) = self.backlogs.get(webhook) {
            self.due.extend(backlog.looks(webhook));
        }
    }

    /// Updates the backlogs after the commit of a new state.
    pub(super) fn change(&mut self, partition: i32, old: &State, new: &State) {
        self.follow_retried(old, new);
        for (webhook, key) in old.due_keys() {
            if !new.due_keys().any(|other| other == (webhook, key))
                && let Some(backlog) = self.backlogs.get_mut(webhook)
                && let Some(share) = backlog.shares.get_mut(&(partition, key.class))
            {
                share.rows = share.rows.saturating_sub(1);
                backlog.rows = backlog.rows.saturating_sub(1);
            }
        }
        for (webhook, key) in new.due_keys() {
            if !old.due_keys().any(|other| other == (webhook, key)) {
                self.insert(partition, webhook, key);
            }
        }
    }

    fn insert(&mut self, partition: i32, webhook: &WebhookName, key: DueKey) {
        let backlog = match self.backlogs.get_mut(webhook) {
            Some(backlog) => backlog,
            None => self.backlogs.entry(webhook.clone()).or_default(),
        };
        let share =
            backlog.shares.entry((partition, key.class)).or_insert(Share { rows: 0, cursor: key });
        // An earlier row moves the cursor back; leased rows are skipped. A cursor without rows means nothing.
        if key < share.cursor || share.rows == 0 {
            share.cursor = key;
        }
        share.rows += 1;
        backlog.rows += 1;
        let look = (webhook.clone(), partition, key.class);
        if key.class == Class::First {
            self.touched.insert(look);
        } else {
            self.due.insert((key.due, look));
        }
    }

    /// Ends the lease of a row whose outcome is committed. The lane may get another row.
    pub(super) fn release(&mut self, partition: i32, webhook: &WebhookName, key: DueKey) {
        let Some(lease) = self.end_lease(partition, webhook, key) else { return };
        let Some(backlog) = self.backlogs.get_mut(webhook) else { return };
        // By due time, so that the shares of a webhook take turns.
        let starved = std::mem::take(&mut backlog.starved);
        self.due.extend(starved.into_iter().filter_map(|key| {
            let share = backlog.shares.get(&key)?;
            Some((share.cursor.due, (webhook.clone(), key.0, key.1)))
        }));
        if let Some(key) = lease.moved_to {
            self.look_from(partition, webhook, key);
        }
    }

    /// Ends the lease of a row that a lane returned unsent, and looks at the row again.
    pub(super) fn put_back(&mut self, partition: i32, webhook: &WebhookName, key: DueKey) {
        if let Some(lease) = self.end_lease(partition, webhook, key) {
            self.look_from(partition, webhook, lease.moved_to.unwrap_or(key));
        }
    }

    fn look_from(&mut self, partition: i32, webhook: &WebhookName, key: DueKey) {
        if self.lower(partition, webhook, key) {
            self.due.insert((key.due, (webhook.clone(), partition, key.class)));
        }
    }

    fn lower(&mut self, partition: i32, webhook: &WebhookName, key: DueKey) -> bool {
        let share = self
            .backlogs
            .get_mut(webhook)
            .and_then(|backlog| backlog.shares.get_mut(&(partition, key.class)));
        let Some(share) = share else { return false };
        share.cursor = share.cursor.min(key);
        true
    }

    /// Ends the lease of this attempt only: a late outcome does not end the lease of the next attempt.
    fn end_lease(&mut self, partition: i32, webhook: &WebhookName, key: DueKey) -> Option<Lease> {
        let leased = (partition, key.id);
        self.leased.get(&leased).filter(|lease| lease.key == key)?;
        let lease = self.leased.remove(&leased)?;
        self.bytes -= lease.bytes;
        let backlog = self.backlogs.get_mut(webhook);
        if let Some(count) = backlog.and_then(|backlog| backlog.leased.get_mut(key.class as usize))
        {
            *count = count.saturating_sub(1);
        }
        Some(lease)
    }

    /// Counts outcomes for the pace of each webhook. Returns how many attempts succeeded.
    pub(super) fn ended(&mut self, outcomes: &[Attempted], now: Timestamp) -> usize {
        if clock::since(self.window_since) >= WINDOW {
            self.window_since = clock::instant();
            for backlog in self.backlogs.values_mut() {
                backlog.paces = [Pace::default(), backlog.paces[0]];
            }
        }
        let mut count = 0;
        for Attempted { job, outcome, .. } in outcomes {
            let delivered = outcome.verdict == Verdict::Delivered;
            count += usize::from(delivered);
            if let Some(backlog) = self.backlogs.get_mut(&job.webhook) {
                backlog.paces[0].ended += 1;
                if delivered {
                    backlog.paces[0].delivered += 1;
                    backlog.delivered_at = Some(now);
                }
            }
        }
        count
    }

    /// Returns when a delivery to the webhook last succeeded, if that is known.
    pub(super) fn delivered_at(&self, webhook: &WebhookName) -> Option<Timestamp> {
        self.backlogs.get(webhook)?.delivered_at
    }

    /// Returns whether a webhook that is delivered to as fast as possible has more due rows than it takes in a moment.
    pub(super) fn is_behind(&self) -> bool {
        self.backlogs.values().any(Backlog::is_behind)
    }

    /// Returns when to look at the next share.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let touched = (!self.touched.is_empty()).then_some(Timestamp::from_ms(0));
        touched.or_else(|| self.due.first().map(|(due, ..)| *due))
    }

    /// Hands due rows to the lanes, as far as there is room. Returns the rows that become dead letters instead.
    pub(super) fn dispatch(
        &mut self,
        now: Timestamp,
        downstream: &impl Downstream,
    ) -> Result<Vec<Abandoned>, StoreError> {
        let mut abandoned = Vec::new();
        for key in std::mem::take(&mut self.touched) {
            self.look(key, now, downstream, &mut abandoned)?;
        }
        // All of them: a share without rows leases nothing, and so would wake no other share.
        for _ in 0..self.crowded.len() {
            if self.bytes >= self.limits.bytes {
                break;
            }
            let Some(key) = self.crowded.pop_front() else { break };
            self.look(key, now, downstream, &mut abandoned)?;
        }
        let started = clock::instant();
        while let Some((due, ..)) = self.due.first()
            && *due <= now
            && abandoned.len() < ABANDONED_MAX
            && clock::since(started) < DISPATCH
        {
            let Some((_, key)) = self.due.pop_first() else { break };
            self.look(key, now, downstream, &mut abandoned)?;
        }
        Ok(abandoned)
    }

    fn look(
        &mut self,
        key: ShareKey,
        now: Timestamp,
        downstream: &impl Downstream,
        abandoned: &mut Vec<Abandoned>,
    ) -> Result<(), StoreError> {
        let (webhook, number, class) = &key;
        let Some(rows) = downstream.rows(*number) else { return Ok(()) };
        let Some(backlog) = self.backlogs.get_mut(webhook) else { return Ok(()) };
        let Some(share) = backlog.shares.get(&(*number, *class)) else { return Ok(()) };
        if share.rows == 0 {
            return Ok(());
        }
        if share.cursor.due > now {
            self.due.insert((share.cursor.due, key));
            return Ok(());
        }
        if rows.endpoint(webhook).disabled.is_some() {
            let found = self.take(&key, rows, now, ABANDONED_MAX)?;
            let abandon = |row: Row| row.abandoned(DeadLetterReason::EndpointDisabled);
            abandoned.extend(found.into_iter().map(abandon));
            return Ok(());
        }
        let room = match downstream.start_attempts(webhook) {
            Demand::Held(wait) => {
                let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                self.due.insert((now.plus_ms(ms.saturating_add(1)), key));
                return Ok(());
            }
            Demand::Unconfigured => return self.age(key, rows, now, downstream, abandoned),
            demand @ Demand::Jobs { .. } => backlog.room(*class, demand, self.limits.ahead),
        };
        if room == 0 {
            backlog.starved.insert((*number, *class));
            return Ok(());
        }
        let has_some = backlog.leased.get(*class as usize).is_some_and(|count| *count > 0);
        let room = match self.limits.bytes.saturating_sub(self.bytes) / ROW_BYTES {
            0 if has_some => {
                self.crowded.push_back(key);
                return Ok(());
            }
            rows => room.min(rows.max(1)),
        };
        let age_max_ms = downstream.age_max_ms(webhook);
        let mut jobs = Vec::with_capacity(room);
        for row in self.take(&key, rows, now, room)? {
            // A first attempt is made at any age.
            let is_old = now.ms_since(row.scheduled_at) > age_max_ms;
            if is_old && *class == Class::Retry && !downstream.is_short() {
                abandoned.push(row.abandoned(DeadLetterReason::AgeExceeded));
            } else {
                jobs.push(row.job);
            }
        }
        if !jobs.is_empty() {
            downstream.push(webhook, jobs);
        }
        Ok(())
    }

    /// Keeps rows without a configured webhook until it is configured again, or until they are too old.
    fn age<H: Downstream>(
        &mut self,
        key: ShareKey,
        rows: &WriteBack<H::Family>,
        now: Timestamp,
        downstream: &H,
        abandoned: &mut Vec<Abandoned>,
    ) -> Result<(), StoreError> {
        let age_max_ms = downstream.age_max_ms(&key.0);
        let mut next: Option<Timestamp> = None;
        for row in self.take(&key, rows, now, ABANDONED_MAX)? {
            let until = row.scheduled_at.plus_ms(age_max_ms);
            if until < now {
                abandoned.push(row.abandoned(DeadLetterReason::AgeExceeded));
            } else {
                let due = self::key(&row.job);
                if self.end_lease(key.1, &key.0, due).is_some() {
                    self.lower(key.1, &key.0, due);
                }
                next = Some(next.map_or(until, |next| next.min(until)));
            }
        }
        self.due.extend(next.map(|until| (until.plus_ms(1), key)));
        Ok(())
    }

    /// Leases up to `room` rows of a share, and plans the next look at it.
    fn take<F: Family>(
        &mut self,
        key: &ShareKey,
        rows: &WriteBack<F>,
        now: Timestamp,
        room: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let (webhook, number, class) = key;
        let Some(backlog) = self.backlogs.get_mut(webhook) else { return Ok(Vec::new()) };
        let Some(share) = backlog.shares.get_mut(&(*number, *class)) else { return Ok(Vec::new()) };
        let found = rows.due(webhook, share.cursor, room + 1)?;
        let mut taken = Vec::with_capacity(found.len());
        let mut next = None;
        for (due, uuid) in &found {
            let is_full =
                taken.len() == room || (self.bytes >= self.limits.bytes && !taken.is_empty());
            if due.due > now || is_full {
                next = Some(*due);
                break;
            }
            if let Some(lease) = self.leased.get_mut(&(*number, due.id)) {
                if lease.key != *due {
                    lease.moved_to = Some(*due);
                }
                continue;
            }
            let state = rows.state(uuid)?;
            let delivery = state.delivery(due.id).filter(|row| row.due == Due::At(due.due));
            let delivery = delivery.ok_or_else(|| StoreError::Corrupt {
                partition: *number,
                what: format!("the row of {uuid}"),
            })?;
            let bytes = delivery.body.len() + ROW_BYTES;
            let lease = Lease { key: *due, bytes, webhook: webhook.clone(), moved_to: None };
            self.leased.insert((*number, due.id), lease);
            self.bytes += bytes;
            taken.push(Row::new((*number, uuid), webhook, delivery, due.due, self.is_traced));
        }
        if let Some(count) = backlog.leased.get_mut(*class as usize) {
            *count += taken.len();
        }
        match (next, found.last()) {
            (Some(next), _) => {
                share.cursor = next;
                if next.due > now {
                    self.due.insert((next.due, key.clone()));
                } else {
                    backlog.starved.insert((*number, *class));
                }
            }
            // All rows found are leased. If there are more, look again at once. New rows move the cursor back, or
            // follow it.
            (None, Some((last, _))) => {
                share.cursor = *last;
                if found.len() > room {
                    self.due.insert((last.due, key.clone()));
                }
            }
            (None, None) => {}
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests;

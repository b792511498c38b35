//! How much the outbox holds, and how old that is.

use super::Outbox;
use crate::delivery::Ready;
use crate::domain::{Class, State, Timestamp};
use crate::store::Ages;

impl Outbox {
    /// Returns the number of rows, and how many of them are leased.
    pub(in crate::engine) fn counts(&self) -> (u64, usize) {
        (self.backlogs.values().map(|backlog| backlog.rows).sum(), self.leased.len())
    }

    /// Adds when the retried rows of a restored partition were scheduled.
    pub(in crate::engine) fn load_ages(&mut self, ages: &Ages) {
        self.ages.absorb(ages);
    }

    /// Follows a state that was committed.
    pub(super) fn follow_ages(&mut self, old: &State, new: &State) {
        self.ages.remove(old);
        self.ages.insert(new);
    }

    /// Returns when the oldest row was scheduled. A row that waited for phase 1 counts from when it stopped to wait.
    pub(in crate::engine) fn oldest(&self) -> Option<Timestamp> {
        let shares = self.backlogs.values().flat_map(|backlog| &backlog.shares);
        let first = shares.filter(|((_, class), share)| *class == Class::First && share.rows > 0);
        let first = first.map(|(_, share)| share.cursor.due);
        // The cursor has passed the leased rows.
        let leased = self.leased.values().map(|lease| lease.key);
        let leased = leased.filter(|key| key.class == Class::First).map(|key| key.due);
        first.chain(leased).chain(self.ages.oldest()).min()
    }

    /// Returns since when the longest overdue row is due, of the webhooks whose lanes are ready for more.
    pub(in crate::engine) fn overdue(&self, ready: &[Ready], now: Timestamp) -> Option<Timestamp> {
        let due = |ready: &Ready| {
            let backlog = self
                .backlogs
                .get(&ready.webhook)
                .filter(|backlog| ready.takes_more && backlog.waits());
            let shares = backlog.into_iter().flat_map(|backlog| backlog.shares.values());
            let waiting = shares.filter(|share| share.rows > 0).map(|share| share.cursor.due);
            waiting.chain(ready.due).min()
        };
        ready.iter().filter_map(due).filter(|due| *due <= now).min()
    }
}

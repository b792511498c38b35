//! The outbox's size, and the age of its rows.

use super::Outbox;
use crate::delivery::Ready;
use crate::domain::{Class, State, Timestamp};
use crate::store::Ages;

impl Outbox {
    /// Returns the number of rows, and how many of them are leased.
    pub(in crate::engine) fn counts(&self) -> (u64, usize) {
        (self.backlogs.values().map(|backlog| backlog.rows).sum(), self.leased.len())
    }

    /// Adds the times at which the retried rows of a restored partition were scheduled.
    pub(in crate::engine) fn load_ages(&mut self, ages: &Ages) {
        self.ages.absorb(ages);
    }

    /// Updates the ages after the commit of a new state.
    pub(super) fn follow_ages(&mut self, old: &State, new: &State) {
        self.ages.remove(old);
        self.ages.insert(new);
    }

    /// Returns when the oldest row was scheduled. For a row that waited for phase 1, it returns when that wait ended.
    pub(in crate::engine) fn oldest(&self) -> Option<Timestamp> {
        let shares = self.backlogs.values().flat_map(|backlog| &backlog.shares);
        let first = shares.filter(|((_, class), share)| *class == Class::First && share.rows > 0);
        let first = first.map(|(_, share)| share.cursor.due);
        // The leased rows are before the cursors.
        let leased = self.leased.values().map(|lease| lease.key);
        let leased = leased.filter(|key| key.class == Class::First).map(|key| key.due);
        first.chain(leased).chain(self.ages.oldest()).min()
    }

    /// Returns when the longest overdue row was due, among the webhooks whose lanes are ready for more.
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

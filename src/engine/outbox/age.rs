//! How much the outbox holds, and how old that is.

use super::Outbox;
use crate::delivery::Ready;
use crate::domain::{Class, State, Timestamp};
use crate::store::Ages;

impl Outbox {
    /// Rows that wait, and rows in hand.
    pub(in crate::engine) fn counts(&self) -> (u64, usize) {
        (self.lanes.values().map(|lane| lane.rows).sum(), self.in_hand.len())
    }

    /// Takes in when the retried rows of a restored partition were scheduled.
    pub(in crate::engine) fn load_ages(&mut self, ages: &Ages) {
        self.ages.absorb(ages);
    }

    /// Follows a state that was committed.
    pub(super) fn follow_ages(&mut self, old: &State, new: &State) {
        self.ages.remove(old);
        self.ages.insert(new);
    }

    /// When the oldest row was scheduled; one that was held for phase 1 and not attempted yet counts since it is not held.
    pub(in crate::engine) fn oldest(&self) -> Option<Timestamp> {
        let shares = self.lanes.values().flat_map(|lane| &lane.shares);
        let first = shares.filter(|((_, class), share)| *class == Class::First && share.rows > 0);
        let first = first.map(|(_, share)| share.cursor.due);
        // The cursor has passed what is in hand.
        let in_hand = self.in_hand.values().map(|hand| hand.key);
        let in_hand = in_hand.filter(|key| key.class == Class::First).map(|key| key.due);
        first.chain(in_hand).chain(self.ages.oldest()).min()
    }

    /// Since when the row is due that has been due the longest, of the lanes that are ready for more.
    pub(in crate::engine) fn overdue(&self, ready: &[Ready], now: Timestamp) -> Option<Timestamp> {
        let due = |ready: &Ready| {
            let lane =
                self.lanes.get(&ready.webhook).filter(|lane| ready.takes_more && lane.waits());
            let shares = lane.into_iter().flat_map(|lane| lane.shares.values());
            let waiting = shares.filter(|share| share.rows > 0).map(|share| share.cursor.due);
            waiting.chain(ready.due).min()
        };
        ready.iter().filter_map(due).filter(|due| *due <= now).min()
    }
}

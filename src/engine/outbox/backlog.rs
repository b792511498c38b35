//! The backlog of a webhook: everything that the outbox knows about its rows without reading them.

use super::ShareKey;
use crate::delivery::Demand;
use crate::domain::{Class, Timestamp, WebhookName};
use crate::store::DueKey;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A webhook's rows of one class in one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) rows: u64,
    /// All rows before the cursor are leased or finished.
    pub(super) cursor: DueKey,
}

/// All rows for one webhook.
#[derive(Default)]
pub(super) struct Backlog {
    pub(super) shares: BTreeMap<(i32, Class), Share>,
    pub(super) rows: u64,
    /// The number of leased rows, by class.
    pub(super) leased: [usize; 2],
    /// Shares that were due while there was no room for their rows.
    pub(super) starved: BTreeSet<(i32, Class)>,
    /// The attempts that ended in the current window, and in the previous one.
    pub(super) paces: [Pace; 2],
    /// When a delivery last succeeded.
    pub(super) delivered_at: Option<Timestamp>,
}

/// The attempts of a webhook that ended in a window.
#[derive(Clone, Copy, Default)]
pub(super) struct Pace {
    pub(super) ended: usize,
    pub(super) delivered: usize,
}

impl Backlog {
    fn ended(&self) -> usize {
        self.paces.iter().map(|pace| pace.ended).sum()
    }

    pub(super) fn leased(&self) -> usize {
        self.leased.iter().sum()
    }

    /// Returns whether the webhook has rows that are not leased.
    pub(super) fn waits(&self) -> bool {
        self.rows > self.leased() as u64
    }

    fn delivered(&self) -> usize {
        self.paces.iter().map(|pace| pace.delivered).sum()
    }

    /// Returns whether the webhook is delivered to fast, but has more rows than it takes in a moment.
    pub(super) fn is_behind(&self) -> bool {
        let waiting = self.rows.saturating_sub(self.leased() as u64);
        let delivered = self.delivered();
        !self.starved.is_empty() && delivered >= FAST && waiting > delivered as u64 / 4
    }

    /// Returns when to look at each of its shares.
    pub(super) fn looks(
        &self,
        webhook: &WebhookName,
    ) -> impl Iterator<Item = (Timestamp, ShareKey)> {
        let shares = self.shares.iter().filter(|(_, share)| share.rows > 0);
        shares
            .map(|((number, class), share)| (share.cursor.due, (webhook.clone(), *number, *class)))
    }

    /// Returns how many more rows of `class` may be leased.
    pub(super) fn room(&self, class: Class, demand: Demand, ahead: usize) -> usize {
        let Demand::Jobs { first, retry, most } = demand else { return 0 };
        let unanswered = match class {
            Class::First => first,
            Class::Retry => retry,
        };
        let ahead = self.ended().max(unanswered).min(ahead);
        let of_class = self.leased.get(class as usize).copied().unwrap_or(0);
        let room = (unanswered + ahead).saturating_sub(of_class);
        room.min(most.saturating_sub(self.leased()))
    }
}

/// The window in which a webhook's pace is counted.
pub(super) const WINDOW: Duration = Duration::from_millis(250);
/// A webhook with fewer deliveries than this in two windows does not slow down the intake.
const FAST: usize = 64;

//! What is known of a lane's rows in the store without reading them.

use super::ShareKey;
use crate::delivery::Demand;
use crate::domain::{Class, Timestamp, WebhookName};
use crate::store::DueKey;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A lane's rows of one class in one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) rows: u64,
    /// Everything before it is in hand or gone.
    pub(super) cursor: DueKey,
}

/// A lane: all rows for one endpoint.
#[derive(Default)]
pub(super) struct Backlog {
    pub(super) shares: BTreeMap<(u32, Class), Share>,
    pub(super) rows: u64,
    /// By class.
    pub(super) leased: [usize; 2],
    /// Shares that were due while there was no room for them.
    pub(super) starved: BTreeSet<(u32, Class)>,
    /// What ended in this window, and in the one before.
    pub(super) paces: [Pace; 2],
    /// When anything was delivered last.
    pub(super) delivered_at: Option<Timestamp>,
}

/// What a lane did in a window.
#[derive(Clone, Copy, Default)]
pub(super) struct Pace {
    /// Attempts that ended.
    pub(super) ended: usize,
    /// Of these, those that delivered.
    pub(super) delivered: usize,
}

impl Backlog {
    fn ended(&self) -> usize {
        self.paces.iter().map(|pace| pace.ended).sum()
    }

    pub(super) fn leased(&self) -> usize {
        self.leased.iter().sum()
    }

    /// Whether it has rows that are not leased.
    pub(super) fn waits(&self) -> bool {
        self.rows > self.leased() as u64
    }

    fn delivered(&self) -> usize {
        self.paces.iter().map(|pace| pace.delivered).sum()
    }

    /// Whether it is fast, and yet has more to do than it can in a moment.
    pub(super) fn is_behind(&self) -> bool {
        let waiting = self.rows.saturating_sub(self.leased() as u64);
        let delivered = self.delivered();
        !self.starved.is_empty() && delivered >= FAST && waiting > delivered as u64 / 4
    }

    /// Where each of its shares is to be looked at from.
    pub(super) fn looks(
        &self,
        webhook: &WebhookName,
    ) -> impl Iterator<Item = (Timestamp, ShareKey)> {
        let shares = self.shares.iter().filter(|(_, share)| share.rows > 0);
        shares
            .map(|((number, class), share)| (share.cursor.due, (webhook.clone(), *number, *class)))
    }

    /// So many more rows of `class` it may be handed.
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

/// The window in which a lane's pace is counted.
pub(super) const WINDOW: Duration = Duration::from_millis(250);
/// A lane that delivers less than this in two windows holds nobody back.
const FAST: usize = 64;

//! The outbox's size, the age of its rows, and what they wait for.

use super::Outbox;
use crate::delivery::{LaneState, Obstacle, Ready};
use crate::domain::{Class, State, Timestamp, WebhookName};
use crate::store::Retried;
use crate::telemetry::{OutboxState, WebhookLoad};
use std::collections::HashMap;

impl Outbox {
    /// Returns the number of rows, and how many of them are leased.
    #[cfg(test)]
    pub(in crate::engine) fn counts(&self) -> (u64, usize) {
        (self.backlogs.values().map(|backlog| backlog.rows).sum(), self.leased.len())
    }

    /// Adds the times of the retried rows of a restored partition.
    pub(in crate::engine) fn load_retried(&mut self, retried: &Retried) {
        self.retried.absorb(retried);
    }

    /// Updates the times of retried rows after the commit of a new state.
    pub(super) fn follow_retried(&mut self, old: &State, new: &State) {
        self.retried.remove(old);
        self.retried.insert(new);
    }

    /// Returns the load of each webhook with rows. `lanes` has the lanes that are not at rest.
    pub(in crate::engine) fn loads(
        &mut self,
        lanes: &HashMap<WebhookName, LaneState>,
        is_configured: impl Fn(&WebhookName) -> bool,
        now: Timestamp,
    ) -> Vec<WebhookLoad> {
        // The leased rows are before the cursors.
        let mut leased: HashMap<&WebhookName, Timestamp> = HashMap::new();
        for lease in self.leased.values().filter(|lease| lease.key.class == Class::First) {
            let first = leased.entry(&lease.webhook).or_insert(lease.key.due);
            *first = lease.key.due.min(*first);
        }
        let (retried, mut loads) = (&mut self.retried, Vec::new());
        for (webhook, backlog) in self.backlogs.iter().filter(|(_, backlog)| backlog.rows > 0) {
            let lane = lanes.get(webhook).copied().unwrap_or_default();
            let first = backlog
                .shares
                .iter()
                .filter(|((_, class), share)| *class == Class::First && share.rows > 0);
            let first = first.map(|(_, share)| share.cursor.due);
            let oldest =
                first.chain(leased.get(webhook).copied()).chain(retried.oldest_of(webhook));
            let in_flight = backlog.rows.min(lane.in_flight as u64);
            loads.push(WebhookLoad {
                webhook: webhook.clone(),
                rows: backlog.rows,
                in_flight,
                later: retried.later(webhook, now).min(backlog.rows.saturating_sub(in_flight)),
                waits_for: match lane.obstacle {
                    _ if !is_configured(webhook) => OutboxState::Held,
                    Some(Obstacle::Breaker) => OutboxState::Breaker,
                    Some(Obstacle::Hold) => OutboxState::Held,
                    Some(Obstacle::RateLimit) => OutboxState::RateLimited,
                    None => OutboxState::Due,
                },
                oldest: oldest.min(),
            });
        }
        loads
    }

    /// Returns when the oldest row was scheduled, or when its wait for phase 1 ended.
    pub(in crate::engine) fn oldest(&self) -> Option<Timestamp> {
        let shares = self.backlogs.values().flat_map(|backlog| &backlog.shares);
        let first = shares.filter(|((_, class), share)| *class == Class::First && share.rows > 0);
        let first = first.map(|(_, share)| share.cursor.due);
        // The leased rows are before the cursors.
        let leased = self.leased.values().map(|lease| lease.key);
        let leased = leased.filter(|key| key.class == Class::First).map(|key| key.due);
        first.chain(leased).chain(self.retried.oldest()).min()
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

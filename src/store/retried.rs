//! The times of retried deliveries: when they were scheduled, and when they are due.

use super::times::Times;
use crate::domain::{Class, Delivery, Due, State, Timestamp, WebhookName};
use std::collections::BTreeMap;

/// The resolution of the times at which all deliveries were scheduled: the oldest retried one is only a few days old.
const SCHEDULED_STEP_MS: i64 = 1000;
/// The resolution for each webhook. It limits the memory of many webhooks to some thousand entries each.
const WEBHOOK_STEP_MS: i64 = 60_000;
/// The resolution of due times. A retry counts as due when this time has passed at the latest.
const DUE_STEP_MS: i64 = 16_000;

/// The retried deliveries of one webhook.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct OfWebhook {
    scheduled: Times<WEBHOOK_STEP_MS>,
    /// Those that were not due yet when the webhook was last asked for them.
    later: Times<DUE_STEP_MS>,
}

/// The times of the retried deliveries. First attempts are not counted: they are due when they were
/// scheduled, so their lanes are already in this order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Retried {
    scheduled: Times<SCHEDULED_STEP_MS>,
    webhooks: BTreeMap<WebhookName, OfWebhook>,
}

impl Retried {
    /// Adds the retried deliveries of `state`.
    pub fn insert(&mut self, state: &State) {
        for (delivery, due) in retried(state) {
            self.insert_one(delivery, due);
        }
    }

    pub(super) fn insert_one(&mut self, delivery: &Delivery, due: Timestamp) {
        self.scheduled.add(delivery.scheduled_at);
        let times = match self.webhooks.get_mut(&delivery.webhook) {
            Some(times) => times,
            None => self.webhooks.entry(delivery.webhook.clone()).or_default(),
        };
        times.scheduled.add(delivery.scheduled_at);
        times.later.add(due);
    }

    /// Removes the retried deliveries of `state`.
    pub fn remove(&mut self, state: &State) {
        for (delivery, due) in retried(state) {
            let Some(times) = self.webhooks.get_mut(&delivery.webhook) else { continue };
            self.scheduled.remove(delivery.scheduled_at);
            times.scheduled.remove(delivery.scheduled_at);
            times.later.remove(due);
            if times.scheduled.is_empty() {
                self.webhooks.remove(&delivery.webhook);
            }
        }
    }

    /// Adds the counts of `others`.
    pub fn absorb(&mut self, others: &Self) {
        self.scheduled.absorb(&others.scheduled);
        for (webhook, theirs) in &others.webhooks {
            let ours = self.webhooks.entry(webhook.clone()).or_default();
            ours.scheduled.absorb(&theirs.scheduled);
            ours.later.absorb(&theirs.later);
        }
    }

    /// Removes all counts. Then no delivery is the oldest.
    pub fn clear(&mut self) {
        self.scheduled.clear();
        self.webhooks.clear();
    }

    /// Returns the time at which the oldest delivery was scheduled, rounded up to the end of its second.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        self.scheduled.oldest()
    }

    /// Returns the time at which the oldest delivery of a webhook was scheduled, rounded up to the end of its minute.
    #[must_use]
    pub fn oldest_of(&self, webhook: &WebhookName) -> Option<Timestamp> {
        self.webhooks.get(webhook)?.scheduled.oldest()
    }

    /// Returns the number of the webhook's retries that are not due at `now`, which never goes back. A retry counts as
    /// due up to 16 s late.
    pub fn later(&mut self, webhook: &WebhookName, now: Timestamp) -> u64 {
        let Some(times) = self.webhooks.get_mut(webhook) else { return 0 };
        times.later.pass(now);
        times.later.total()
    }
}

fn retried(state: &State) -> impl Iterator<Item = (&Delivery, Timestamp)> {
    state.deliveries.iter().filter(|row| row.class() == Class::Retry).filter_map(|row| {
        match row.due {
            Due::At(due) => Some((row, due)),
            Due::Waiting => None,
        }
    })
}

//! A row that a lane may get.

use super::{Abandoned, key};
use crate::delivery::Job;
use crate::domain::{DeadLetterReason, Delivery, PhononUuid, Timestamp, WebhookName};

/// A row, and the job that it makes.
pub(super) struct Row {
    pub(super) job: Job,
    pub(super) scheduled_at: Timestamp,
}

impl Row {
    /// Returns the row of `delivery`, which is due at `due`. `is_traced`: spans of its attempts may be recorded.
    pub(super) fn new(
        (partition, uuid): (i32, &PhononUuid),
        webhook: &WebhookName,
        delivery: &Delivery,
        due: Timestamp,
        is_traced: bool,
    ) -> Self {
        let needs_source = is_traced || delivery.source.trace.is_some();
        let job = Job {
            partition,
            uuid: uuid.clone(),
            id: delivery.id,
            phase: delivery.phase,
            attempt: delivery.attempts.saturating_add(1),
            body: delivery.body.clone(),
            rendered: delivery.rendering.rendered().cloned(),
            webhook: webhook.clone(),
            due,
            source: needs_source.then(|| Box::new(delivery.source.clone())),
        };
        Self { job, scheduled_at: delivery.scheduled_at }
    }

    pub(super) fn abandoned(self, reason: DeadLetterReason) -> Abandoned {
        let key = key(&self.job);
        let Job { partition, uuid, webhook, .. } = self.job;
        Abandoned { partition, uuid, webhook, key, reason }
    }
}

//! The state that a batch is decided on: the committed rows of a partition, changed by the batch whose transaction still
//! runs.

use super::Work;
use crate::domain::{EndpointState, PhononUuid, State, WebhookName};
use crate::store::{Family, StoreError, WriteBack};
use std::sync::Arc;

/// The rows of one partition, as the next batch finds them if the running transaction is committed.
pub(in crate::engine) struct Base<'a, F: Family> {
    rows: &'a WriteBack<F>,
    running: Option<&'a Work>,
}

impl<'a, F: Family> Base<'a, F> {
    /// Puts the batch whose transaction runs over the committed rows.
    pub(in crate::engine) fn new(rows: &'a WriteBack<F>, running: Option<&'a Work>) -> Self {
        Self { rows, running }
    }

    /// Returns the number of the partition.
    pub(super) fn number(&self) -> i32 {
        self.rows.number()
    }

    /// Returns the state of `uuid`.
    pub(super) fn state(&self, uuid: &PhononUuid) -> Result<Arc<State>, StoreError> {
        match self.running.and_then(|work| work.state(self.number(), uuid)) {
            Some(state) => Ok(state),
            None => self.rows.state(uuid),
        }
    }

    /// Returns the state of an endpoint.
    pub(super) fn endpoint(&self, webhook: &WebhookName) -> EndpointState {
        let running = self.running.and_then(|work| {
            work.endpoints.get(&(self.number(), webhook.clone())).map(|slot| slot.new)
        });
        running.unwrap_or_else(|| self.rows.endpoint(webhook))
    }
}

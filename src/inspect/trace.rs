//! Everything that is known about one phonon-uuid.

mod fact;
mod read;
mod state;

pub use fact::{COLUMNS, Fact, FactView, Found, Origin};
pub use read::{read, read_either};
pub use state::{Correlation, DeliveryView, EndpointView, Now, Report, Source, StateView};

use crate::domain::{EndpointState, State, WebhookName};
use std::collections::BTreeMap;

/// The facts and the state of one phonon-uuid.
#[derive(Default)]
pub struct Trace {
    /// The facts, oldest first.
    pub facts: Vec<Fact>,
    /// The latest row of the changelog. `None` if there is none, or it was deleted.
    pub row: Option<Row>,
    /// The state of the endpoints that the deliveries wait for, as the uuid's partition records it.
    pub endpoints: BTreeMap<WebhookName, EndpointState>,
    /// Topics that do not exist.
    pub missing: Vec<String>,
}

/// A row of the changelog.
pub struct Row {
    pub partition: i32,
    pub offset: i64,
    pub state: State,
}

impl Trace {
    /// Returns the state of the uuid, with the bodies of its deliveries if `bodies`.
    #[must_use]
    pub fn now(&self, bodies: bool) -> Now {
        Now::of(self, bodies)
    }

    /// Returns whether nothing is known about the uuid.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.row.is_none()
    }
}

#[cfg(test)]
mod tests;

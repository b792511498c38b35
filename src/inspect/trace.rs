//! Everything that is known of one phonon-uuid.

mod fact;
mod read;
mod state;

pub use fact::{COLUMNS, Fact, FactView, Found, Origin};
pub use read::read;
pub use state::{Correlation, DeliveryView, EndpointView, Now, Report, Source, StateView};

use crate::domain::{EndpointState, State, WebhookName};
use std::collections::BTreeMap;

/// Everything of one phonon-uuid.
#[derive(Default)]
pub struct Trace {
    /// The facts, oldest first.
    pub facts: Vec<Fact>,
    /// The latest row of the changelog, if it is a live one.
    pub row: Option<Row>,
    /// What the partition remembers of the endpoints that deliveries wait for.
    pub endpoints: BTreeMap<WebhookName, EndpointState>,
    /// Topics that do not exist.
    pub missing: Vec<String>,
}

/// A row of the changelog.
pub struct Row {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// What it holds.
    pub state: State,
}

impl Trace {
    /// What the uuid waits for, with the bodies of its deliveries if `bodies`.
    #[must_use]
    pub fn now(&self, bodies: bool) -> Now {
        Now::of(self, bodies)
    }

    /// Whether nothing is known of the uuid.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.row.is_none()
    }
}

#[cfg(test)]
mod tests;

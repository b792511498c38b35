//! Checks whether the result of a decision fits into a row.

use crate::domain::size::{self, STATE};
use crate::domain::{Flow, STATE_BYTES_MAX, State};
use std::cell::Cell;

/// The bound of the row after the events of a decision so far, as running numbers: no event is applied for it.
pub(super) struct Room {
    /// The part of the deliveries.
    deliveries: Cell<usize>,
    /// The part of the correlation.
    correlation: Cell<usize>,
    /// Whether the correlation counts as one whose collection is closed.
    is_closed: Cell<bool>,
}

impl Room {
    /// Returns the room in the row of `state`.
    pub(super) fn of(state: &State) -> Self {
        Self::new(state, size::correlation(&state.correlation))
    }

    /// Returns the room in the row of `state` once `flow` is its open flow.
    pub(super) fn with_flow(state: &State, flow: &Flow) -> Self {
        Self::new(state, size::flow(flow))
    }

    fn new(state: &State, correlation: usize) -> Self {
        let deliveries = Cell::new(state.deliveries_bytes_max());
        Self { deliveries, correlation: Cell::new(correlation), is_closed: Cell::new(false) }
    }

    /// Returns the bound of the whole row.
    pub(super) const fn bytes(&self) -> usize {
        STATE + self.deliveries.get() + self.correlation.get()
    }

    /// Returns whether everything so far fits into a row, whatever the outcomes of its attempts.
    pub(super) const fn is_left(&self) -> bool {
        self.bytes() <= STATE_BYTES_MAX
    }

    /// Counts a delivery of this bound.
    pub(super) fn add(&self, delivery: usize) {
        self.deliveries.set(self.deliveries.get() + delivery);
    }

    /// Stops counting a delivery of this bound.
    pub(super) fn remove(&self, delivery: usize) {
        self.deliveries.set(self.deliveries.get().saturating_sub(delivery));
    }

    /// Stops counting this many bytes of the flow, because a delivery carries them from now on. A closed flow does not
    /// count them anyway.
    pub(super) fn spend(&self, bytes: usize) {
        if !self.is_closed.get() {
            self.correlation.set(self.correlation.get().saturating_sub(bytes));
        }
    }

    /// Counts `flow` as one whose collection is closed. A decision that closes the collection calls this before it
    /// schedules the last delivery of phase 2, which needs no more room than the flow had reserved.
    pub(super) fn close(&self, flow: &Flow) {
        self.is_closed.set(true);
        self.correlation.set(size::closed_flow(flow));
    }
}

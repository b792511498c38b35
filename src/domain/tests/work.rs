//! Counts the work of decisions: events that are applied, and deliveries whose size is computed.

use std::cell::Cell;

thread_local! {
    static WORK: Cell<usize> = const { Cell::new(0) };
}

/// Counts a piece of work of this thread.
pub(in crate::domain) fn count() {
    WORK.set(WORK.get() + 1);
}

/// Returns the work since the last call.
pub(in crate::domain) fn done() -> usize {
    WORK.replace(0)
}

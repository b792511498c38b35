//! The read budget: the bytes of records by which the reader may be ahead of the engine.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The memory for records that wait for the engine. The last batch may exceed it. The limit counts bytes and not
/// batches: a steady flow makes small batches, and a few of them would stop the reader until the next commit.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// Limits the records that are read and not processed.
pub(super) struct ReadBudget {
    waiting_bytes: Mutex<usize>,
    given_back: Condvar,
}

impl ReadBudget {
    pub(super) fn new() -> Self {
        Self { waiting_bytes: Mutex::new(0), given_back: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.waiting_bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the bytes of processed records to the budget.
    pub(super) fn give_back(&self, bytes: usize) {
        let mut waiting = self.lock();
        *waiting = waiting.saturating_sub(bytes);
        self.given_back.notify_one();
    }

    pub(super) fn wait(&self, timeout: Duration) -> bool {
        let full = |bytes: &mut usize| *bytes >= WAITING_BYTES_MAX;
        let waited = self.given_back.wait_timeout_while(self.lock(), timeout, full);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    pub(super) fn take(&self, bytes: usize) {
        *self.lock() += bytes;
    }
}

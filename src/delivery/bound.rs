//! How many requests are unanswered or uncommitted, all lanes together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A count that is to stay below a bound; it is lowered without the schedule's lock.
pub(super) struct Bound {
    count: AtomicUsize,
    most: usize,
}

impl Bound {
    pub(super) fn new(most: usize) -> Self {
        Self { count: AtomicUsize::new(0), most }
    }

    pub(super) fn has_room(&self) -> bool {
        self.count.load(Ordering::Acquire) < self.most
    }

    pub(super) fn count(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// One less; whether somebody may have waited for that.
    pub(super) fn settle(&self) -> bool {
        self.count.fetch_sub(1, Ordering::AcqRel) >= self.most
    }
}

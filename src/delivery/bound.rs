//! The number of requests that are unanswered or uncommitted, over all lanes.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A count with an upper bound. It can be lowered without the schedule's lock.
pub(super) struct Bound {
    count: AtomicUsize,
    most: usize,
}

impl Bound {
    pub(super) fn new(most: usize) -> Self {
        Self { count: AtomicUsize::new(0), most }
    }

    pub(super) fn has_room(&self) -> bool {
        self.get() < self.most
    }

    pub(super) fn get(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub(super) fn count(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// Lowers the count by one. Returns whether an attempt may have waited for this.
    pub(super) fn settle(&self) -> bool {
        self.count.fetch_sub(1, Ordering::AcqRel) >= self.most
    }
}

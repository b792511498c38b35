//! The engine's only queue of inputs. The engine takes all of them at once, so that a busy engine is not woken for
//! each.

use crate::clock;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

struct Inner<T> {
    items: Vec<T>,
    weight: usize,
    urgent: bool,
    /// The weight that a sleeping taker waits for.
    wanted: Option<usize>,
}

/// A queue with many senders and one taker. Its senders bound its size.
pub(super) struct Mailbox<T> {
    inner: Mutex<Inner<T>>,
    filled: Condvar,
}

impl<T> Mailbox<T> {
    pub(super) fn new() -> Self {
        let inner = Inner { items: Vec::new(), weight: 0, urgent: false, wanted: None };
        Self { inner: Mutex::new(inner), filled: Condvar::new() }
    }

    /// Adds an item of this weight.
    pub(super) fn put(&self, item: T, weight: usize) {
        self.add(item, weight, false);
    }

    /// Adds an item that wakes the taker at once.
    pub(super) fn put_urgent(&self, item: T) {
        self.add(item, 0, true);
    }

    fn add(&self, item: T, weight: usize, urgent: bool) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.items.push(item);
        inner.weight = inner.weight.saturating_add(weight);
        inner.urgent |= urgent;
        if inner.wanted.is_some_and(|wanted| inner.urgent || inner.weight >= wanted) {
            inner.wanted = None;
            drop(inner);
            self.filled.notify_one();
        }
    }

    /// Returns whether a taker that waits for `weight` would be woken.
    #[cfg(test)]
    pub(super) fn is_ready(&self, weight: usize) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.urgent || inner.weight >= weight
    }

    /// Moves all items into `into` once they weigh `weight`, one of them is urgent, or `deadline` has passed.
    pub(super) fn take(&self, into: &mut Vec<T>, weight: usize, deadline: Instant) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        while !inner.urgent && inner.weight < weight {
            let left = deadline.saturating_duration_since(clock::instant());
            if left.is_zero() {
                break;
            }
            inner.wanted = Some(weight);
            inner = clock::wait(&self.filled, &self.inner, inner, left);
        }
        inner.wanted = None;
        inner.weight = 0;
        inner.urgent = false;
        into.append(&mut inner.items);
    }
}

#[cfg(test)]
mod tests {
    use super::Mailbox;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    #[test]
    fn the_taker_wakes_at_the_weight_at_an_urgent_item_and_at_the_deadline() {
        let mailbox = Arc::new(Mailbox::new());
        let mut taken = Vec::new();
        mailbox.put(1, 1);
        mailbox.take(&mut taken, 2, Instant::now());
        assert_eq!(taken, [1], "the deadline has passed");

        let sender = mailbox.clone();
        let thread = std::thread::spawn(move || (2..=4).for_each(|n| sender.put(n, 1)));
        mailbox.take(&mut taken, 3, Instant::now() + Duration::from_secs(60));
        thread.join().unwrap();
        assert_eq!(taken, [1, 2, 3, 4]);

        mailbox.put_urgent(5);
        mailbox.take(&mut taken, 100, Instant::now() + Duration::from_secs(60));
        assert_eq!(taken.last(), Some(&5));
    }
}

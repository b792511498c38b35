//! Limits how many questions are open at once, because each needs sockets.
//!
//! When all places are taken, the oldest question gives its place away after a minimum time. So names that never answer
//! can't block others, no matter how many there are.

use crate::system::{OpenFiles, for_look_ups};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::sleep;

/// How often a waiting question looks for a place that may be given away.
const PAUSE: Duration = Duration::from_millis(50);
/// Sockets of one question: IPv4 and IPv6, each at two name servers.
const FILES_OF_PLACE: u64 = 4;

/// Returns how many questions fit into the files that are reserved for look-ups.
pub(super) fn for_all() -> usize {
    let places = for_look_ups(OpenFiles::now().soft) / FILES_OF_PLACE;
    usize::try_from(places).unwrap_or(usize::MAX)
}

/// A limited number of places for questions.
pub(super) struct Places {
    /// The minimum time that a question keeps its place.
    least: Duration,
    permits: Semaphore,
    taken: Mutex<Taken>,
}

/// The taken places, in the order in which they were taken.
#[derive(Default)]
struct Taken {
    next: u64,
    since: BTreeMap<u64, (Instant, Arc<Notify>)>,
}

/// A place. Dropping it returns it.
pub(super) struct Place<'a> {
    places: &'a Places,
    /// The semaphore is never closed. If it were, questions would only be unlimited.
    _permit: Option<SemaphorePermit<'a>>,
    number: u64,
    wanted: Arc<Notify>,
}

impl Places {
    pub(super) fn new(count: usize, least: Duration) -> Self {
        Self { least, permits: Semaphore::new(count), taken: Mutex::default() }
    }

    /// Waits for a place and takes it.
    pub(super) async fn take(&self) -> Place<'_> {
        let mut acquired = pin!(self.permits.acquire());
        let permit = loop {
            tokio::select! {
                biased;
                permit = &mut acquired => break permit.ok(),
                () = sleep(PAUSE) => self.ask_the_oldest(),
            }
        };
        let wanted = Arc::new(Notify::new());
        let mut taken = self.lock();
        let number = taken.next;
        taken.next = taken.next.saturating_add(1);
        taken.since.insert(number, (Instant::now(), wanted.clone()));
        Place { places: self, _permit: permit, number, wanted }
    }

    fn ask_the_oldest(&self) {
        let mut taken = self.lock();
        let Some(oldest) = taken.since.first_entry() else { return };
        if oldest.get().0.elapsed() >= self.least {
            oldest.remove().1.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Waits until another question needs this place.
    pub(super) async fn is_wanted(&self) {
        self.wanted.notified().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.places.lock().since.remove(&self.number);
    }
}

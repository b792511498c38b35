//! How many questions are asked at once: each needs sockets.
//!
//! Where all places are taken, the oldest question gives way, once it has had its time. So names that never answer can't keep
//! others waiting, however many they are.

use crate::system::{OpenFiles, for_look_ups};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::sleep;

/// So often whoever waits looks for one that may give way.
const PAUSE: Duration = Duration::from_millis(50);
/// IPv4 and IPv6, at two name servers.
const FILES_OF_PLACE: u64 = 4;

/// How many questions the files that are set aside for look-ups suffice for.
pub(super) fn for_all() -> usize {
    let places = for_look_ups(OpenFiles::now().soft) / FILES_OF_PLACE;
    usize::try_from(places).unwrap_or(usize::MAX)
}

/// The places.
pub(super) struct Places {
    /// A question has a place for so long at least.
    least: Duration,
    permits: Semaphore,
    taken: Mutex<Taken>,
}

/// By the order in which they were taken.
#[derive(Default)]
struct Taken {
    next: u64,
    since: BTreeMap<u64, (Instant, Arc<Notify>)>,
}

/// A place that is taken until it is dropped.
pub(super) struct Place<'a> {
    places: &'a Places,
    /// The semaphore is never closed; without a permit there would merely be no limit.
    _permit: Option<SemaphorePermit<'a>>,
    number: u64,
    wanted: Arc<Notify>,
}

impl Places {
    pub(super) fn new(count: usize, least: Duration) -> Self {
        Self { least, permits: Semaphore::new(count), taken: Mutex::default() }
    }

    /// Takes a place as soon as there is one.
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
    /// Waits until somebody else is to have it.
    pub(super) async fn is_wanted(&self) {
        self.wanted.notified().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.places.lock().since.remove(&self.number);
    }
}

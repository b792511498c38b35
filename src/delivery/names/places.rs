//! How many questions are asked at once: each needs sockets.
//!
//! Where all places are taken, the oldest question gives way, once it has had its time. So names that never answer can't keep
//! others waiting, however many they are.

use crate::system::OpenFiles;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::sleep;

/// A question has a place for so long at least.
const GIVES_WAY_AFTER: Duration = Duration::from_secs(1);
/// So often whoever waits looks for one that may give way.
const PAUSE: Duration = Duration::from_millis(50);
const PLACES_MIN: u64 = 8;
const PLACES_MAX: u64 = 256;
/// A question needs two sockets, and two more where there is a second name server.
const PLACES_OF_FILES: u64 = 32;

/// How many questions the files of the process suffice for.
pub(super) fn for_all() -> usize {
    let places = (OpenFiles::now().soft / PLACES_OF_FILES).clamp(PLACES_MIN, PLACES_MAX);
    usize::try_from(places).unwrap_or(usize::MAX)
}

/// The places.
pub(super) struct Places {
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
    pub(super) fn new(count: usize) -> Self {
        Self { permits: Semaphore::new(count), taken: Mutex::default() }
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
        if oldest.get().0.elapsed() >= GIVES_WAY_AFTER {
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

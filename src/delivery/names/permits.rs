//! Limits how many questions are open at once, because each needs sockets.
//!
//! When all permits are taken, the oldest question gives its permit away after a minimum time. So names that never
//! answer can't block others, no matter how many there are.

use crate::system::{OpenFiles, for_look_ups};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::sleep;

/// How often a waiting question looks for a permit that may be given away.
const PAUSE: Duration = Duration::from_millis(50);
/// Sockets of one question: IPv4 and IPv6, each at two name servers.
const FILES_OF_PERMIT: u64 = 4;

/// Returns how many questions fit into the files that are reserved for look-ups.
pub(super) fn for_all() -> usize {
    let permits = for_look_ups(OpenFiles::now().soft) / FILES_OF_PERMIT;
    usize::try_from(permits).unwrap_or(usize::MAX)
}

/// A limited number of permits for questions.
pub(super) struct LookupPermits {
    /// The minimum time that a question keeps its permit.
    least: Duration,
    permits: Semaphore,
    taken: Mutex<Taken>,
}

/// The taken permits, in the order in which they were taken.
#[derive(Default)]
struct Taken {
    next: u64,
    since: BTreeMap<u64, (Instant, Arc<Notify>)>,
}

/// A permit. Dropping it returns it.
pub(super) struct LookupPermit<'a> {
    permits: &'a LookupPermits,
    /// The semaphore is never closed. If it were, questions would only be unlimited.
    _permit: Option<SemaphorePermit<'a>>,
    number: u64,
    wanted: Arc<Notify>,
}

impl LookupPermits {
    pub(super) fn new(count: usize, least: Duration) -> Self {
        Self { least, permits: Semaphore::new(count), taken: Mutex::default() }
    }

    /// Waits for a permit and takes it.
    pub(super) async fn take(&self) -> LookupPermit<'_> {
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
        LookupPermit { permits: self, _permit: permit, number, wanted }
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

impl LookupPermit<'_> {
    /// Waits until another question needs this permit.
    pub(super) async fn is_wanted(&self) {
        self.wanted.notified().await;
    }
}

impl Drop for LookupPermit<'_> {
    fn drop(&mut self) {
        self.permits.lock().since.remove(&self.number);
    }
}

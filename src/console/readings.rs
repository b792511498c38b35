//! Readings of Kafka that may take long. They run in threads of their own, show their progress and can be cancelled.
//!
//! Requests for the same reading share it. A result is kept for a moment, so that a page that is loaded again, or a
//! client that asks again, gets it without a second reading. The number of readings and of kept results is limited.

use super::failure::Failure;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// The number of readings that run at the same time.
const RUNNING_MAX: usize = 4;
/// The time after which a result is read again.
const FRESH: Duration = Duration::from_secs(5);
/// The number of results of one kind that are kept.
const KEPT_MAX: usize = 16;

/// The limit of readings that run at the same time, of all kinds together.
#[derive(Clone)]
pub(super) struct Limit(Arc<Semaphore>);

impl Default for Limit {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(RUNNING_MAX)))
    }
}

/// How far a reading is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub(super) struct Advance {
    /// The number of the reading, for a cancellation.
    pub(super) reading: u64,
    /// The step or the topic that is read.
    pub(super) stage: String,
    /// The number of offsets of the stage that are done.
    pub(super) done: u64,
    /// The number of all offsets of the stage.
    pub(super) all: u64,
}

/// The result of a reading, or how far it is.
pub(super) enum Answer<T> {
    Ready(Arc<T>),
    Running(Advance),
}

/// Reports the progress of a reading, and says whether it is to stop.
pub(super) struct Watcher {
    advance: Mutex<Advance>,
    is_cancelled: AtomicBool,
}

impl Watcher {
    /// Reports the progress. Returns `Break` if the reading was cancelled.
    pub(super) fn see(&self, stage: &str, done: u64, all: u64) -> ControlFlow<()> {
        let mut advance = lock(&self.advance);
        if advance.stage != stage {
            stage.clone_into(&mut advance.stage);
        }
        (advance.done, advance.all) = (done, all);
        if self.is_cancelled.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

type Ended<T> = Option<(Instant, Result<Arc<T>, Failure>)>;

struct Entry<T> {
    key: String,
    watcher: Arc<Watcher>,
    ended: watch::Receiver<Ended<T>>,
}

/// The readings of one kind.
pub(super) struct Readings<T> {
    limit: Limit,
    numbers: Arc<AtomicU64>,
    entries: Mutex<Vec<Entry<T>>>,
}

impl<T: Send + Sync + 'static> Readings<T> {
    /// `numbers` gives each reading of all kinds its number.
    pub(super) fn new(limit: &Limit, numbers: &Arc<AtomicU64>) -> Self {
        Self { limit: limit.clone(), numbers: numbers.clone(), entries: Mutex::default() }
    }

    /// Returns the result of the reading `key`, which `read` makes unless it runs or was just made. Waits at most
    /// `patience` for it.
    pub(super) async fn get(
        &self,
        key: &str,
        patience: Duration,
        read: impl FnOnce(&Watcher) -> Result<T, Failure> + Send + 'static,
    ) -> Result<Answer<T>, Failure> {
        let (watcher, mut ended) = self.begin(key, read)?;
        let waited = tokio::time::timeout(patience, ended.wait_for(Option::is_some)).await;
        match waited {
            Ok(Ok(ended)) => match &*ended {
                Some((_, result)) => result.clone().map(Answer::Ready),
                None => Err(Failure::Internal("the reading has no result".to_owned())),
            },
            Ok(Err(_)) => Err(Failure::Internal("the reading ended without a result".to_owned())),
            Err(_) => Ok(Answer::Running(lock(&watcher.advance).clone())),
        }
    }

    fn begin(
        &self,
        key: &str,
        read: impl FnOnce(&Watcher) -> Result<T, Failure> + Send + 'static,
    ) -> Result<(Arc<Watcher>, watch::Receiver<Ended<T>>), Failure> {
        let mut entries = lock(&self.entries);
        entries.retain(|entry| match &*entry.ended.borrow() {
            Some((at, _)) => at.elapsed() < FRESH,
            // A reading that panicked has no sender any more.
            None => entry.ended.has_changed().is_ok(),
        });
        if let Some(entry) = entries.iter().find(|entry| entry.key == key) {
            return Ok((entry.watcher.clone(), entry.ended.clone()));
        }
        let permit = self.limit.0.clone().try_acquire_owned().map_err(|_| Failure::Busy)?;
        if entries.len() >= KEPT_MAX {
            entries.retain(|entry| entry.ended.borrow().is_none());
        }
        let reading = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let advance = Advance { reading, stage: "beginning".to_owned(), done: 0, all: 0 };
        let watcher = Arc::new(Watcher {
            advance: Mutex::new(advance),
            is_cancelled: AtomicBool::new(false),
        });
        let (sender, ended) = watch::channel(None);
        entries.push(Entry { key: key.to_owned(), watcher: watcher.clone(), ended: ended.clone() });
        let of_thread = watcher.clone();
        tokio::task::spawn_blocking(move || {
            let result = read(&of_thread).map(Arc::new);
            drop(permit);
            sender.send_replace(Some((Instant::now(), result)));
        });
        Ok((watcher, ended))
    }

    /// Cancels the reading with this number. Returns whether it runs.
    pub(super) fn cancel(&self, reading: u64) -> bool {
        let entries = lock(&self.entries);
        let found = entries.iter().find(|entry| {
            entry.ended.borrow().is_none() && lock(&entry.watcher.advance).reading == reading
        });
        if let Some(entry) = found {
            entry.watcher.is_cancelled.store(true, Ordering::Relaxed);
        }
        found.is_some()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

//! Counts the open dead letters while the engine runs.

use crate::log::{KafkaSettings, LogError, TopicNames, Unavailable, start_thread};
use crate::replay::{Letters, OpenLetters, ReplayError};
use crate::telemetry::{Health, Metrics};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(5);
/// The time between checks whether to stop and whether other partitions are assigned.
const PAUSE: Duration = Duration::from_millis(100);

/// A running count. Dropping it stops the count.
pub(super) struct Counting(Arc<AtomicBool>);

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Counting {
    /// Starts the count in a separate thread, so that slow answers of Kafka delay nothing else.
    pub(super) fn begin(
        (kafka, topics): (&KafkaSettings, &TopicNames),
        tasks: u32,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, LogError> {
        let letters = Letters::new(kafka, topics)?;
        let open = OpenLetters::new(letters, tasks);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let counting = move || count(open, &health, &metrics, &stopped);
        start_thread("open letters", counting)?;
        Ok(Self(stop))
    }
}

fn count(mut open: OpenLetters, health: &Health, metrics: &Metrics, stop: &AtomicBool) {
    let mut is_disturbed = false;
    while !stop.load(Ordering::Relaxed) {
        let owned = owned(health);
        match open.count(&owned, stop) {
            Ok(Some(count)) => {
                metrics.set_dead_letters_open(Some(&count.by_reason), count.oldest);
                is_disturbed = false;
            }
            Ok(None) => return,
            Err(error) => {
                // A missing number is better than an outdated one.
                metrics.set_dead_letters_open(None, None);
                report(&error, &mut is_disturbed);
            }
        }
        let mut left = INTERVAL;
        while !left.is_zero() && !stop.load(Ordering::Relaxed) && self::owned(health) == owned {
            std::thread::sleep(PAUSE);
            left = left.saturating_sub(PAUSE);
        }
    }
}

fn owned(health: &Health) -> BTreeSet<i32> {
    health.partitions().into_iter().map(|partition| partition.partition).collect()
}

/// Logs the first of several errors in a row. The count is retried after each.
fn report(error: &ReplayError, is_disturbed: &mut bool) {
    if std::mem::replace(is_disturbed, true) {
        return;
    }
    if let ReplayError::Kafka(Unavailable::Log(LogError::Denied(_))) = error {
        tracing::warn!(%error, "open dead letters are not counted: the daemon needs the right; see ops/guide/rights.md");
    } else {
        tracing::info!(%error, "open dead letters can't be counted for now");
    }
}

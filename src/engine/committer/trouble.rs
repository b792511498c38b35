//! A series of failed transactions: when health shows it, its log lines, and the pause before each retry.

use crate::clock;
use crate::log::is_away_said;
use crate::telemetry::{Health, Waiting};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Without a successful transaction for this time, the daemon is not ready. A rebalance, a move of the coordinator or a
/// restart of a broker takes less.
const UNREADY_AFTER: Duration = Duration::from_secs(10);
/// The interval between two log lines about the same cause.
const REPEAT: Duration = Duration::from_secs(60);
/// Most failures pass at once, so the second try comes soon.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The interval at which a pause checks whether the engine is to leave its partitions.
const SLICE: Duration = Duration::from_millis(50);

/// Failures since the last success.
struct Series {
    since: Instant,
    failures: u32,
    cause: String,
    said_at: Instant,
    /// The reason that health shows, if it does.
    waiting: Option<Waiting>,
}

/// The transactions that failed since the last success.
#[derive(Default)]
pub(in crate::engine) struct Trouble(RefCell<Option<Series>>);

impl Trouble {
    /// Counts a failed try. Returns the pause before the next one.
    pub(in crate::engine) fn failed(&self, cause: &str, health: &Health) -> Duration {
        self.failed_at(clock::instant(), cause, true, health)
    }

    /// Counts a call that Kafka has not answered yet. Slowness is the cause only while no other cause is known.
    pub(super) fn slow(&self, what: &str, health: &Health) -> Duration {
        self.failed_at(clock::instant(), what, false, health)
    }

    fn failed_at(&self, now: Instant, cause: &str, is_known: bool, health: &Health) -> Duration {
        let mut slot = self.0.borrow_mut();
        let Some(series) = &mut *slot else {
            // Other lines report that Kafka is unreachable or slow.
            if is_known && !is_away_said() {
                tracing::warn!(cause, "a transaction failed; retrying");
            } else {
                tracing::debug!(cause, "a transaction failed; retrying");
            }
            let (cause, waiting) = (cause.to_owned(), None);
            *slot = Some(Series { since: now, failures: 1, cause, said_at: now, waiting });
            return PAUSE_FIRST;
        };
        series.failures = series.failures.saturating_add(1);
        let is_new = is_known && series.cause != cause;
        if is_new {
            cause.clone_into(&mut series.cause);
        }
        let cause = series.cause.as_str();
        let lasted = now.saturating_duration_since(series.since);
        let silent = now.saturating_duration_since(series.said_at);
        let is_first = lasted >= UNREADY_AFTER && series.waiting.is_none();
        if lasted >= UNREADY_AFTER && (is_new || is_first) {
            if let Some(before) = series.waiting.take() {
                health.resume(&before);
            }
            let waiting = Waiting::Commits(cause.to_owned());
            health.wait(waiting.clone());
            series.waiting = Some(waiting);
        }
        let (failures, seconds) = (series.failures, lasted.as_secs());
        let is_due = is_first || silent >= REPEAT || is_new && silent >= UNREADY_AFTER;
        if is_due && !is_away_said() {
            series.said_at = now;
            tracing::warn!(
                cause,
                failures,
                seconds,
                "no transaction can be committed; nothing is lost, and commits continue once the cause is gone; see \
                 ops/guide/commits.md"
            );
        } else {
            tracing::debug!(cause, failures, "a transaction failed again");
        }
        let doublings = failures.saturating_sub(2).min(10);
        PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX)
    }

    /// Ends the series, because a transaction was committed.
    pub(in crate::engine) fn over(&self, health: &Health) {
        if let Some(series) = self.0.take() {
            let seconds = clock::since(series.since).as_secs();
            let (cause, failures) = (series.cause.as_str(), series.failures);
            tracing::info!(cause, failures, seconds, "transactions are committed again");
            resume(&series, health);
        }
    }

    /// Forgets the failures, because there is nothing to commit.
    pub(super) fn forget(&self, health: &Health) {
        if let Some(series) = self.0.take() {
            resume(&series, health);
        }
    }
}

fn resume(series: &Series, health: &Health) {
    if let Some(waiting) = &series.waiting {
        health.resume(waiting);
    }
}

/// Waits until the time has passed or the engine is to leave its partitions. Sends heartbeats meanwhile.
pub(super) fn wait_out(time: Duration, health: &Health, is_leaving: impl Fn() -> bool) {
    let until = clock::instant() + time;
    loop {
        health.heartbeat();
        let left = until.saturating_duration_since(clock::instant());
        if left.is_zero() || is_leaving() {
            return;
        }
        clock::sleep(left.min(SLICE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> std::sync::Arc<Health> {
        let health = Health::new(Duration::from_secs(120));
        health.resume(&Waiting::Start);
        health.assign(0);
        health.restored(0);
        health
    }

    fn failed(trouble: &Trouble, now: Instant, cause: &str, health: &Health) -> Duration {
        trouble.failed_at(now, cause, true, health)
    }

    #[test]
    fn a_slow_call_does_not_replace_a_known_cause() {
        let (trouble, health, start) = (Trouble::default(), health(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        trouble.failed_at(start, "slow", false, &health);
        trouble.failed_at(after(10), "slow", false, &health);
        assert_eq!(health.reasons_not_ready(), ["no transaction can be committed: slow"]);
        failed(&trouble, after(11), "full", &health);
        trouble.failed_at(after(12), "slow", false, &health);
        assert_eq!(health.reasons_not_ready(), ["no transaction can be committed: full"]);
    }

    #[test]
    fn a_short_series_leaves_the_daemon_ready_and_a_long_one_names_its_cause() {
        let (trouble, health, start) = (Trouble::default(), health(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        failed(&trouble, start, "full", &health);
        failed(&trouble, after(8), "slow", &health);
        failed(&trouble, after(9), "full", &health);
        assert!(health.reasons_not_ready().is_empty());
        failed(&trouble, after(10), "full", &health);
        assert_eq!(health.reasons_not_ready(), ["no transaction can be committed: full"]);
        failed(&trouble, after(11), "forbidden", &health);
        assert_eq!(health.reasons_not_ready(), ["no transaction can be committed: forbidden"]);
        trouble.over(&health);
        assert!(health.reasons_not_ready().is_empty());
        // Later failures begin another series.
        failed(&trouble, after(30), "full", &health);
        assert!(health.reasons_not_ready().is_empty());
    }

    #[test]
    fn a_series_of_failures_is_forgotten_with_the_partitions() {
        let (trouble, health, start) = (Trouble::default(), health(), Instant::now());
        failed(&trouble, start, "full", &health);
        failed(&trouble, start + UNREADY_AFTER, "full", &health);
        trouble.forget(&health);
        assert!(health.reasons_not_ready().is_empty());
    }

    #[test]
    fn pauses_between_retries_grow_to_a_maximum() {
        let (trouble, health, start) = (Trouble::default(), health(), Instant::now());
        let pauses: Vec<u128> =
            (0..8).map(|_| failed(&trouble, start, "full", &health).as_millis()).collect();
        assert_eq!(pauses, [100, 500, 1000, 2000, 4000, 5000, 5000, 5000]);
        for _ in 0..100 {
            assert_eq!(failed(&trouble, start, "full", &health), PAUSE_MAX);
        }
    }

    #[test]
    fn a_pause_ends_when_the_engine_leaves_and_sends_heartbeats() {
        let (health, began) = (Health::new(Duration::from_millis(500)), Instant::now());
        wait_out(Duration::from_secs(60), &health, || true);
        assert!(began.elapsed() < Duration::from_secs(30));
        health.heartbeat();
        while health.reasons_not_live().is_empty() {
            std::thread::yield_now();
        }
        wait_out(3 * SLICE, &health, || {
            assert_eq!(health.reasons_not_live(), Vec::<String>::new());
            false
        });
    }
}

//! The intervals between attempts, computed by the `backoff` crate without its random jitter. Our jitter is derived
//! from the delivery, so that a replay computes the same times.

use crate::domain::{RetrySchedule, WebhookPolicy};
use backoff::backoff::Backoff as _;
use backoff::exponential::ExponentialBackoff;
use std::time::Duration;

/// The bounds of attempts, ages and pauses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The maximum number of attempts.
    pub attempts_max: u32,
    /// The maximum age of a delivery.
    pub age_max: Duration,
    /// The longest pause that a receiver's `Retry-After` can request.
    pub retry_after_max: Duration,
    /// The time after which an endpoint that only failed is disabled.
    pub disable_after: Duration,
}

/// The intervals between attempts.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// The interval after the first attempt.
    pub initial_interval: Duration,
    /// The factor from each interval to the next.
    pub multiplier: f64,
    pub interval_max: Duration,
    /// The spread of intervals: 0.2 means 80 % to 120 %.
    pub randomization_factor: f64,
}

/// The maximum number of intervals that are listed. The last one repeats.
const INTERVALS_MAX: u32 = 1000;

/// Returns the policy for the attempts of a webhook: their number, their age and their intervals.
pub(crate) fn webhook_policy(retry: &Retry, bounds: &Bounds) -> WebhookPolicy {
    WebhookPolicy {
        attempts_max: bounds.attempts_max,
        age_max_ms: whole_ms(bounds.age_max),
        retry: schedule(retry, bounds.attempts_max),
        retry_after_max_ms: whole_ms(bounds.retry_after_max),
        disable_after_ms: whole_ms(bounds.disable_after),
    }
}

/// Computes the intervals of `retry` for `attempts_max` attempts.
fn schedule(retry: &Retry, attempts_max: u32) -> RetrySchedule {
    let mut policy = ExponentialBackoff::<backoff::SystemClock> {
        // A webhook's maximum may be less than the common first interval.
        initial_interval: retry.initial_interval.min(retry.interval_max),
        randomization_factor: 0.0,
        multiplier: retry.multiplier,
        max_interval: retry.interval_max,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    };
    policy.reset();
    let mut intervals_ms: Vec<u64> = Vec::new();
    for _ in 0..attempts_max.clamp(1, INTERVALS_MAX) {
        let Some(interval) = policy.next_backoff() else { break };
        let interval_ms = whole_ms(interval);
        let repeats = intervals_ms.last() == Some(&interval_ms);
        if !repeats {
            intervals_ms.push(interval_ms);
        }
        if repeats || interval_ms >= whole_ms(retry.interval_max) {
            break;
        }
    }
    RetrySchedule { intervals_ms, randomization_factor: retry.randomization_factor }
}

/// Rounds to milliseconds, because the policy may be wrong by a nanosecond.
fn whole_ms(interval: Duration) -> u64 {
    let ms = interval.saturating_add(Duration::from_micros(500)).as_millis();
    u64::try_from(ms).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Duration, Retry, schedule};

    fn intervals(initial_ms: u64, multiplier: f64, max_ms: u64, attempts_max: u32) -> Vec<u64> {
        let retry = Retry {
            initial_interval: Duration::from_millis(initial_ms),
            multiplier,
            interval_max: Duration::from_millis(max_ms),
            randomization_factor: 0.2,
        };
        let schedule = schedule(&retry, attempts_max);
        assert!((schedule.randomization_factor - 0.2).abs() < f64::EPSILON);
        schedule.intervals_ms
    }

    #[test]
    fn intervals_grow_to_the_maximum_or_to_the_last_attempt() {
        for (given, wanted) in [
            ((5000, 2.0, 60_000, 16), vec![5000, 10_000, 20_000, 40_000, 60_000]),
            ((5000, 2.0, 60_000, 3), vec![5000, 10_000, 20_000]),
            ((100, 1.5, 1000, 16), vec![100, 150, 225, 338, 506, 759, 1000]),
            ((500, 1.0, 60_000, 16), vec![500]),
            ((5000, 2.0, 1000, 16), vec![1000]),
            ((1, 2.0, 1, 1), vec![1]),
            ((1, 2.0, 8, 1000), vec![1, 2, 4, 8]),
        ] {
            let (initial, multiplier, max, attempts) = given;
            assert_eq!(intervals(initial, multiplier, max, attempts), wanted, "{given:?}");
        }
        assert!(intervals(1000, 1.0001, 86_400_000, 100_000).len() <= 1000);
    }

    #[test]
    fn the_default_intervals_reach_an_hour() {
        let defaults = intervals(5000, 2.0, 3_600_000, 16);
        assert_eq!(defaults.len(), 11);
        assert_eq!(defaults.last(), Some(&3_600_000));
    }
}

//! The circuit breaker of an endpoint: it opens after too many failures, and later lets single attempts probe the
//! endpoint.

use super::webhook::BreakerPolicy;
use std::time::{Duration, Instant};

/// The window consists of this many buckets; the oldest bucket is dropped when a new one begins.
const BUCKETS: u32 = 10;

/// Which attempts the breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    /// One attempt at a time, to find out whether the endpoint works again.
    HalfOpen,
    Open,
}

/// What the result of an attempt shows about its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// The endpoint works, whether or not it accepted the delivery.
    Well,
    /// The endpoint does not work.
    Failing,
    /// The endpoint asks for fewer requests.
    Busy,
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    number: u64,
    attempts: u32,
    failures: u32,
}

pub(super) struct Breaker {
    rules: BreakerPolicy,
    state: BreakerState,
    base: Instant,
    buckets: [Bucket; BUCKETS as usize],
    /// When the next probe may start.
    until: Instant,
}

impl Breaker {
    pub(super) fn new(rules: BreakerPolicy, now: Instant) -> Self {
        let buckets = [Bucket::default(); BUCKETS as usize];
        Self { rules, state: BreakerState::Closed, base: now, buckets, until: now }
    }

    /// Continues under changed settings.
    pub(super) fn follow(&mut self, rules: &BreakerPolicy) {
        if self.rules != *rules {
            self.rules = rules.clone();
            self.buckets = Default::default();
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        self.state
    }

    /// Returns how long the breaker stays open. Once its time has passed, the breaker is half open.
    pub(super) fn wait(&mut self, now: Instant) -> Option<Duration> {
        if self.state == BreakerState::Open {
            let left = self.until.saturating_duration_since(now);
            if !left.is_zero() {
                return Some(left);
            }
            self.state = BreakerState::HalfOpen;
        }
        None
    }

    /// An attempt finished. `probe` says that it started while the breaker was half open.
    pub(super) fn ended(&mut self, sign: Sign, probe: bool, now: Instant) {
        match (self.state, sign) {
            (BreakerState::Closed, Sign::Well | Sign::Failing) => {
                if self.count(sign, now) {
                    self.open(now);
                }
            }
            (BreakerState::HalfOpen, Sign::Failing) if probe => self.open(now),
            (BreakerState::HalfOpen, Sign::Well | Sign::Busy) if probe => {
                self.state = BreakerState::Closed;
                self.buckets = Default::default();
            }
            // An attempt that started before the breaker opened says nothing new.
            (BreakerState::Closed, Sign::Busy)
            | (BreakerState::HalfOpen | BreakerState::Open, _) => {}
        }
    }

    fn open(&mut self, now: Instant) {
        self.state = BreakerState::Open;
        self.until = now + self.rules.open;
    }

    /// Counts a result. Returns whether the failures have reached the limit.
    fn count(&mut self, sign: Sign, now: Instant) -> bool {
        let length = (self.rules.window / BUCKETS).max(Duration::from_millis(1));
        let number = now.saturating_duration_since(self.base).as_nanos() / length.as_nanos();
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        let index = usize::try_from(number % u64::from(BUCKETS)).unwrap_or(0);
        if let Some(bucket) = self.buckets.get_mut(index) {
            // The number never goes back: a result may be reported a moment after a later one.
            if bucket.number < number {
                *bucket = Bucket { number, ..Bucket::default() };
            }
            bucket.attempts += 1;
            bucket.failures += u32::from(sign == Sign::Failing);
        }
        let live = |bucket: &&Bucket| number.saturating_sub(bucket.number) < u64::from(BUCKETS);
        let (attempts, failures) = self
            .buckets
            .iter()
            .filter(live)
            .fold((0, 0), |(a, f), bucket| (a + bucket.attempts, f + bucket.failures));
        sign == Sign::Failing
            && attempts >= self.rules.attempts_min
            && f64::from(failures) >= self.rules.failure_ratio * f64::from(attempts)
    }
}

#[cfg(test)]
mod tests {
    use super::{Breaker, BreakerState, Sign};
    use crate::delivery::BreakerPolicy;
    use std::time::{Duration, Instant};

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker(now: Instant) -> Breaker {
        let rules = BreakerPolicy {
            failure_ratio: 0.5,
            window: 10 * SECOND,
            attempts_min: 4,
            open: 5 * SECOND,
        };
        Breaker::new(rules, now)
    }

    #[test]
    fn the_breaker_opens_at_the_ratio_probes_and_closes() {
        let start = Instant::now();
        let mut breaker = breaker(start);
        for sign in [Sign::Well, Sign::Busy, Sign::Well, Sign::Failing] {
            breaker.ended(sign, false, start);
        }
        assert_eq!(breaker.state(), BreakerState::Closed, "too few attempts, and too few failures");
        breaker.ended(Sign::Failing, false, start);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.wait(start), Some(5 * SECOND));
        breaker.ended(Sign::Well, false, start);
        assert_eq!(breaker.state(), BreakerState::Open, "an earlier attempt is no probe");
        assert_eq!(breaker.wait(start + 5 * SECOND), None);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        breaker.ended(Sign::Failing, true, start + 6 * SECOND);
        assert_eq!(breaker.wait(start + 6 * SECOND), Some(5 * SECOND));
        assert_eq!(breaker.wait(start + 11 * SECOND), None);
        breaker.ended(Sign::Well, true, start + 11 * SECOND);
        assert_eq!(breaker.state(), BreakerState::Closed);
        for _ in 0..3 {
            breaker.ended(Sign::Failing, false, start + 11 * SECOND);
        }
        assert_eq!(breaker.state(), BreakerState::Closed, "the earlier failures are cleared");
    }

    #[test]
    fn outcomes_older_than_the_window_do_not_count() {
        let start = Instant::now();
        let mut breaker = breaker(start);
        for second in 0..30 {
            for _ in 0..3 {
                breaker.ended(Sign::Failing, false, start + 11 * second * SECOND);
            }
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn outcomes_may_be_reported_late() {
        let start = Instant::now() + 100 * SECOND;
        let mut breaker = breaker(start);
        breaker.ended(Sign::Failing, false, start + 10 * SECOND);
        breaker.ended(Sign::Failing, false, start);
        for _ in 0..2 {
            breaker.ended(Sign::Failing, false, start + 10 * SECOND);
        }
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn unchanged_rules_keep_the_outcomes_counted_so_far() {
        let start = Instant::now();
        let mut breaker = breaker(start);
        for _ in 0..3 {
            breaker.ended(Sign::Failing, false, start);
            let rules = breaker.rules.clone();
            breaker.follow(&rules);
        }
        breaker.ended(Sign::Failing, false, start);
        assert_eq!(breaker.state(), BreakerState::Open);
    }
}

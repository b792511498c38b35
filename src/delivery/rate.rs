//! Rate limits: `governor`'s GCRA, with tokens that can be returned.
//!
//! A job may need a token of its endpoint, of its account and of the instance. If one of them has none, the tokens
//! taken so far are returned, so that a job that did not leave costs no token.

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The clock of all limits of an instance. It stands still while the next job is selected.
#[derive(Clone, Debug)]
pub(super) struct Time {
    base: Instant,
    nanos: Arc<AtomicU64>,
}

impl Time {
    pub(super) fn starting(base: Instant) -> Self {
        Self { base, nanos: Arc::default() }
    }

    pub(super) fn set(&self, now: Instant) {
        let nanos = now.saturating_duration_since(self.base).as_nanos();
        self.nanos.store(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Clock for Time {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}

/// The limiter's state, and the state before it. Only the holder of the lanes' lock uses it.
#[derive(Clone, Debug, Default)]
struct Tokens {
    now: Arc<AtomicU64>,
    before: Arc<AtomicU64>,
}

impl StateStore for Tokens {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let now = self.now.load(Ordering::Relaxed);
        let (answer, next) = measure(Some(now.into()))?;
        self.before.store(now, Ordering::Relaxed);
        self.now.store(next.into(), Ordering::Relaxed);
        Ok(answer)
    }
}

/// A number of attempts per second, above zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerSecond(f64);

impl PerSecond {
    /// The lowest rate: one attempt a day.
    pub const LEAST: f64 = 1.0 / 86_400.0;

    /// Returns the rate of `attempts` per second, or `None` below [`Self::LEAST`].
    #[must_use]
    pub fn new(attempts: f64) -> Option<Self> {
        (attempts.is_finite() && attempts >= Self::LEAST).then_some(Self(attempts))
    }

    /// Returns the attempts per second.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Returns the default burst: the attempts of one second, at least one.
    #[must_use]
    pub fn burst(self) -> NonZeroU32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float cast saturates, and no rate is negative"
        )]
        let whole = self.0 as u32;
        NonZeroU32::new(whole).unwrap_or(NonZeroU32::MIN)
    }
}

impl std::fmt::Display for PerSecond {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Ten an hour has no finite decimal form.
        write!(f, "{}", (self.0 * 1e6).round() / 1e6)
    }
}

/// A rate and its burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limit {
    per_second: f64,
    burst: NonZeroU32,
}

impl Limit {
    /// Returns the part `share` of a limit, or `None` for an empty part. Bursts are rounded down, so that the parts of
    /// all instances together never exceed the whole; but each part allows at least one attempt.
    pub(super) fn part(per_second: PerSecond, burst: NonZeroU32, share: f64) -> Option<Self> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of a u32 is one"
        )]
        let part = (f64::from(burst.get()) * share) as u32;
        let limit = Self {
            per_second: per_second.get() * share,
            burst: NonZeroU32::new(part).unwrap_or(NonZeroU32::MIN),
        };
        (share > 0.0).then_some(limit)
    }

    /// Returns the time from one token to the next.
    pub(super) fn period(self) -> Duration {
        Duration::from_secs_f64(1.0 / self.per_second).max(Duration::from_nanos(1))
    }

    /// Returns how many attempts pass within `time`, beginning with a full burst.
    pub(super) fn within(self, time: Duration) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float cast saturates, and neither is negative"
        )]
        let steady = (self.per_second * time.as_secs_f64()).ceil() as usize;
        steady.saturating_add(usize::try_from(self.burst.get()).unwrap_or(usize::MAX))
    }
}

/// A limit with its tokens.
pub(super) struct Rate {
    limit: Limit,
    limiter: RateLimiter<NotKeyed, Tokens, Time, NoOpMiddleware<Duration>>,
    tokens: Tokens,
    time: Time,
}

impl Rate {
    /// Starts without a token, because the limit's former owner may have used them up. `progress` is the elapsed part
    /// of the time to the first token, from 0 to 1.
    pub(super) fn starting(limit: Limit, progress: f64, time: Time) -> Self {
        let period = limit.period();
        // `with_period` returns `None` only for a period of zero.
        let quota = Quota::with_period(period).unwrap_or(Quota::per_second(NonZeroU32::MAX));
        let tokens = Tokens::default();
        let spent = period.saturating_mul(limit.burst.get());
        let spent = spent.saturating_sub(period.mul_f64(progress.clamp(0.0, 1.0))).as_nanos();
        tokens.now.store(u64::try_from(spent).unwrap_or(u64::MAX), Ordering::Relaxed);
        let quota = quota.allow_burst(limit.burst);
        let limiter = RateLimiter::new(quota, tokens.clone(), time.clone());
        Self { limit, limiter, tokens, time }
    }

    pub(super) fn limit(&self) -> Limit {
        self.limit
    }

    /// Returns the elapsed part of the time to the next token, from 0 to 1.
    pub(super) fn progress(&self) -> f64 {
        match self.take() {
            Ok(()) => {
                self.give_back();
                1.0
            }
            Err(wait) => 1.0 - wait.as_secs_f64() / self.limit.period().as_secs_f64(),
        }
    }

    /// Takes a token, or returns the time until there is one.
    pub(super) fn take(&self) -> Result<(), Duration> {
        self.limiter.check().map_err(|not_until| not_until.wait_time_from(self.time.now()))
    }

    /// Returns the token that was taken last.
    pub(super) fn give_back(&self) {
        self.tokens.now.store(self.tokens.before.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Limit, PerSecond, Rate, Time};
    use std::num::NonZeroU32;
    use std::time::{Duration, Instant};

    fn number(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).unwrap()
    }

    fn per_second(rate: f64) -> PerSecond {
        PerSecond::new(rate).unwrap()
    }

    /// Returns the times in milliseconds at which limits with these shares let a job pass, if each sends as fast as it
    /// can.
    fn passes(shares: &[f64], for_ms: u64) -> Vec<u64> {
        let base = Instant::now();
        let time = Time::starting(base);
        let limit = |share: &f64| Limit::part(per_second(20.0), number(5), *share).unwrap();
        let rates = shares.iter().map(|share| Rate::starting(limit(share), 0.0, time.clone()));
        let rates: Vec<Rate> = rates.collect();
        let mut passed = Vec::new();
        for ms in 0..for_ms {
            time.set(base + Duration::from_millis(ms));
            // A pause in the middle, followed by a burst.
            for rate in rates.iter().filter(|_| !(4000..5000).contains(&ms)) {
                while rate.take().is_ok() {
                    passed.push(ms);
                }
            }
        }
        passed
    }

    #[test]
    fn one_or_three_instances_use_the_limit_and_never_exceed_it() {
        for shares in [&[1.0][..], &[0.5, 0.25, 0.25], &[10.0 / 12.0, 1.0 / 12.0, 1.0 / 12.0]] {
            let passed = passes(shares, 10_000);
            for (first, start) in passed.iter().enumerate() {
                for (last, end) in passed.iter().enumerate().skip(first) {
                    let limit = 5 + (end - start) * 20 / 1000;
                    let count = u64::try_from(last - first + 1).unwrap();
                    assert!(count <= limit + 1, "{count} from {start} to {end} of {shares:?}");
                }
            }
            // Nine seconds count, and the first begins without a token.
            assert!(passed.len() >= 9 * 20 * 95 / 100, "{} of {shares:?}", passed.len());
        }
    }

    #[test]
    fn a_returned_token_can_be_taken_again() {
        let base = Instant::now();
        let time = Time::starting(base);
        let limit = Limit::part(per_second(1.0), number(1), 1.0).unwrap();
        let rate = Rate::starting(limit, 0.0, time.clone());
        assert_eq!(rate.take(), Err(Duration::from_secs(1)));
        time.set(base + Duration::from_secs(1));
        for _ in 0..3 {
            assert_eq!(rate.take(), Ok(()));
            rate.give_back();
        }
        assert_eq!(rate.take(), Ok(()));
        assert_eq!(rate.take(), Err(Duration::from_secs(1)));
    }

    #[test]
    fn a_rate_may_be_less_than_one_a_second() {
        let base = Instant::now();
        for (rate, wait) in [(0.5, 2), (30.0 / 60.0, 2), (10.0 / 3600.0, 360)] {
            let time = Time::starting(base);
            let rate = per_second(rate);
            let limit = Limit::part(rate, rate.burst(), 1.0).unwrap();
            assert_eq!(limit.within(Duration::from_millis(500)), 2, "a burst of one, and a part");
            let rate = Rate::starting(limit, 0.0, time.clone());
            let mut passed = 0;
            for second in 1..=10 * wait {
                time.set(base + Duration::from_secs(second));
                while rate.take().is_ok() {
                    passed += 1;
                }
            }
            assert!((9..=10).contains(&passed), "{passed} in ten times {wait} s");
        }
    }

    #[test]
    fn a_rate_is_shown_as_it_was_written_and_invalid_rates_are_refused() {
        for (rate, shown, burst) in
            [(50.0, "50", 50), (0.5, "0.5", 1), (2.5, "2.5", 2), (10.0 / 3600.0, "0.002778", 1)]
        {
            let rate = per_second(rate);
            assert_eq!((rate.to_string().as_str(), rate.burst().get()), (shown, burst));
        }
        for none in [0.0, -1.0, 1e-9, f64::NAN, f64::INFINITY] {
            assert_eq!(PerSecond::new(none), None, "{none}");
        }
    }
}

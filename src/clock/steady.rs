//! A time of day that does not jump when the wall clock jumps.
//!
//! It starts with the wall clock's time and runs at the monotonic clock's rate. It approaches the wall clock by at most
//! 1 % of the time that passes. So it follows a clock that is adjusted slowly, and never goes backwards.

use crate::domain::Timestamp;
use std::time::Duration;

/// The wall clock has jumped if its change differs by at least this much from the time that passed.
pub(super) const JUMP: Duration = Duration::from_secs(5);
/// Each reading approaches the wall clock by at most the time that passed, divided by this number. NTP adjusts a clock
/// by one part in 2,000.
const FOLLOWED: i64 = 100;
/// How far the state may be ahead of the clock when the process starts and has committed nothing.
const BELIEVED_AT_START: Duration = Duration::from_secs(7 * 86_400);
/// The same limit after the first commit. It is lower because the change also ages what waits in the process's other
/// partitions.
const BELIEVED_LATER: Duration = Duration::from_secs(6 * 3600);

const NS_PER_MS: i64 = 1_000_000;

/// A reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Nanoseconds of the monotonic clock.
    passed_ns: i64,
    /// Nanoseconds of the wall clock since the epoch.
    wall_ns: i64,
}

impl Reading {
    /// Creates a reading: `passed` is the monotonic time, `wall` the time since the epoch.
    pub(crate) fn of(passed: Duration, wall: Duration) -> Self {
        Self { passed_ns: ns(passed), wall_ns: ns(wall) }
    }
}

fn ns(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

fn of_ns(ns: i64) -> Duration {
    Duration::from_nanos(u64::try_from(ns).unwrap_or(0))
}

/// A jump of the wall clock, with its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Jump {
    Forward(Duration),
    Backward(Duration),
}

/// The result of [`Steady::not_before`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lift {
    /// The time was already later, or behind by less than [`JUMP`].
    No,
    /// The time was moved forward by this much.
    By(Duration),
    /// The time was not moved: the state is too far ahead, by this much.
    Refused(Duration),
}

/// The time of one process.
#[derive(Clone, Debug)]
pub(crate) struct Steady {
    last: Reading,
    now_ns: i64,
    /// Whether something was committed with this time.
    is_in_use: bool,
}

impl Steady {
    /// Starts with the wall clock's time.
    pub(crate) fn starting(reading: Reading) -> Self {
        Self { last: reading, now_ns: reading.wall_ns, is_in_use: false }
    }

    /// Returns the jump of the wall clock since the last reading, if there was one.
    pub(super) fn jump(&self, reading: Reading) -> Option<Jump> {
        let passed_ns = reading.passed_ns.saturating_sub(self.last.passed_ns);
        let moved_ns = reading.wall_ns.saturating_sub(self.last.wall_ns);
        let ahead_ns = moved_ns.saturating_sub(passed_ns);
        let size = of_ns(ahead_ns.saturating_abs());
        match ahead_ns {
            _ if size < JUMP => None,
            1.. => Some(Jump::Forward(size)),
            ..=0 => Some(Jump::Backward(size)),
        }
    }

    /// Advances the time to `reading` and returns it.
    pub(crate) fn read(&mut self, reading: Reading) -> Timestamp {
        let passed_ns = reading.passed_ns.saturating_sub(self.last.passed_ns).max(0);
        let off_ns = reading.wall_ns.saturating_sub(self.now_ns.saturating_add(passed_ns));
        let followed_ns = off_ns.clamp(-(passed_ns / FOLLOWED), passed_ns / FOLLOWED);
        self.now_ns = self.now_ns.saturating_add(passed_ns).saturating_add(followed_ns);
        self.last = reading;
        Timestamp::from_ms(self.now_ns.div_euclid(NS_PER_MS))
    }

    /// Marks the time as used for commits.
    pub(super) fn use_it(&mut self) {
        self.is_in_use = true;
    }

    /// Moves the time forward to `known`, a time found in the state, unless `known` is too far ahead.
    pub(super) fn not_before(&mut self, known: Timestamp) -> Lift {
        let known_ns = known.as_ms().saturating_mul(NS_PER_MS);
        let by = of_ns(known_ns.saturating_sub(self.now_ns));
        let believed = if self.is_in_use { BELIEVED_LATER } else { BELIEVED_AT_START };
        if by > believed {
            return Lift::Refused(by);
        }
        self.now_ns = self.now_ns.max(known_ns);
        if by < JUMP { Lift::No } else { Lift::By(by) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;
    const START_MS: i64 = 1_700_000_000_000;

    /// A machine with its clocks, and the time of a process on it.
    struct Machine {
        passed_ms: i64,
        wall_ms: i64,
        steady: Steady,
        jumps: Vec<Jump>,
    }

    fn reading(passed_ms: i64, wall_ms: i64) -> Reading {
        Reading { passed_ns: passed_ms * NS_PER_MS, wall_ns: wall_ms * NS_PER_MS }
    }

    impl Machine {
        fn started() -> Self {
            let steady = Steady::starting(reading(0, START_MS));
            Self { passed_ms: 0, wall_ms: START_MS, steady, jumps: Vec::new() }
        }

        /// Lets `ms` pass on the monotonic clock and `wall_ms` on the wall clock. Returns the time of the process since
        /// its start.
        fn pass(&mut self, ms: i64, wall_ms: i64) -> i64 {
            self.passed_ms += ms;
            self.wall_ms += wall_ms;
            let reading = reading(self.passed_ms, self.wall_ms);
            self.jumps.extend(self.steady.jump(reading));
            self.steady.read(reading).as_ms() - START_MS
        }
    }

    #[test]
    fn the_time_does_not_jump_with_the_wall_clock_and_each_jump_is_detected() {
        let mut machine = Machine::started();
        assert_eq!(machine.pass(1000, 1000), 1000);
        assert_eq!(machine.pass(1000, 1000 - 2 * HOUR_MS), 1990);
        assert_eq!(machine.pass(1000, 1000 + 48 * HOUR_MS), 3000);
        assert_eq!(machine.pass(1000, 1000 - 46 * HOUR_MS), 4000);
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let wanted =
            [Jump::Backward(hours(2)), Jump::Forward(hours(48)), Jump::Backward(hours(46))];
        assert_eq!(machine.jumps, wanted);
    }

    #[test]
    fn a_slow_adjustment_is_followed_and_is_no_jump() {
        let mut machine = Machine::started();
        // One day at NTP's fastest rate, and then a step of one second.
        let mut at = 0;
        for _ in 0..86_400 {
            at = machine.pass(2000, 2001);
        }
        assert_eq!(at, 86_400 * 2001);
        machine.pass(1000, 0);
        for _ in 0..200 {
            at = machine.pass(1000, 1000);
        }
        assert_eq!(at, 86_400 * 2001 + 200_000);
        assert_eq!(machine.jumps, []);
    }

    #[test]
    fn the_time_never_goes_backwards_and_finally_equals_the_wall_clock() {
        let mut machine = Machine::started();
        machine.pass(0, -HOUR_MS);
        let mut before = 0;
        for _ in 0..101 * 60 {
            let at = machine.pass(60_000, 60_000);
            assert!((59_400..=60_000).contains(&(at - before)), "{at} after {before}");
            before = at;
        }
        assert_eq!(START_MS + before, machine.wall_ms);
    }

    #[test]
    fn extreme_clock_readings_do_not_panic() {
        let ends = [i64::MIN, -1, 0, 1, i64::MAX];
        for (a, b) in ends.iter().flat_map(|a| ends.map(|b| (*a, b))) {
            let mut steady = Steady::starting(Reading { passed_ns: a, wall_ns: b });
            for (c, d) in ends.iter().flat_map(|c| ends.map(|d| (*c, d))) {
                let reading = Reading { passed_ns: c, wall_ns: d };
                let _ = (steady.jump(reading), steady.read(reading));
                let _ = steady.not_before(Timestamp::from_ms(d));
            }
        }
    }

    #[test]
    fn the_time_follows_the_state_unless_the_state_is_too_far_ahead() {
        let lift = |is_in_use: bool, hours: i64| {
            let mut steady = Steady::starting(reading(0, START_MS));
            if is_in_use {
                steady.use_it();
            }
            let lift = steady.not_before(Timestamp::from_ms(START_MS + hours * HOUR_MS));
            (lift, (steady.read(reading(0, START_MS)).as_ms() - START_MS) / HOUR_MS)
        };
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        assert_eq!(lift(false, -1), (Lift::No, 0));
        assert_eq!(lift(false, 2), (Lift::By(hours(2)), 2));
        assert_eq!(lift(true, 2), (Lift::By(hours(2)), 2));
        assert_eq!(lift(false, 7 * 24), (Lift::By(hours(7 * 24)), 7 * 24));
        assert_eq!(lift(true, 7), (Lift::Refused(hours(7)), 0));
        assert_eq!(lift(false, 7 * 24 + 1), (Lift::Refused(hours(7 * 24 + 1)), 0));
        // The clocks of two machines always differ slightly.
        let mut steady = Steady::starting(reading(0, START_MS));
        assert_eq!(steady.not_before(Timestamp::from_ms(START_MS + 900)), Lift::No);
        assert_eq!(steady.read(reading(0, START_MS)).as_ms(), START_MS + 900);
    }
}

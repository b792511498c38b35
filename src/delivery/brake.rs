//! Slows the instance down while the daemon itself lacks a resource.
//!
//! When the first attempt is put back, the limit of unanswered requests is halved, and no attempt starts for a short
//! pause. Each further attempt that is put back after the pause halves the limit again and doubles the pause. Finished
//! attempts raise the limit by one at a time. When no attempt was put back for a while, the shortage is over.

use super::shortage::Shortage;
use std::time::{Duration, Instant};

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The shortage is over when no attempt was put back for this long: several pauses, so that attempts were tried
/// meanwhile.
const QUIET: Duration = Duration::from_secs(5);

pub(super) struct Brake {
    /// The limit of unanswered requests without a shortage.
    most: usize,
    braking: Option<Braking>,
}

struct Braking {
    limit: usize,
    /// The missing resources, each once.
    lacking: Vec<Shortage>,
    /// Attempts that finished since the limit was last raised.
    ended: usize,
    pause: Duration,
    /// No attempt starts before this time.
    until: Instant,
    /// When the last attempt was put back.
    last: Instant,
    put_back: u64,
}

impl Brake {
    pub(super) fn new(most: usize) -> Self {
        Self { most, braking: None }
    }

    /// Returns how many requests may be unanswered.
    pub(super) fn limit(&self) -> usize {
        self.braking.as_ref().map_or(self.most, |braking| braking.limit)
    }

    pub(super) fn is_on(&self) -> bool {
        self.braking.is_some()
    }

    /// Returns whether no attempt may start now.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.braking.as_ref().is_some_and(|braking| now < braking.until)
    }

    /// An attempt is put back while `unanswered` others are in flight. Returns whether this begins a shortage.
    pub(super) fn put_back(&mut self, shortage: Shortage, unanswered: usize, now: Instant) -> bool {
        let braking = self.braking.get_or_insert(Braking {
            limit: self.most,
            lacking: Vec::new(),
            ended: 0,
            pause: PAUSE_MIN / 2,
            until: now,
            last: now,
            put_back: 0,
        });
        braking.put_back += 1;
        braking.last = now;
        // Attempts that started together failed for one reason: count them once.
        if now >= braking.until && !shortage.is_of_one_address() {
            braking.limit = (braking.limit.min(unanswered) / 2).max(1);
            braking.ended = 0;
            braking.pause = (braking.pause * 2).min(PAUSE_MAX);
            braking.until = now + braking.pause;
        }
        let begins = !braking.lacking.contains(&shortage);
        if begins {
            braking.lacking.push(shortage);
        }
        begins
    }

    /// Counts a finished attempt. After as many as the limit allows at a time, the limit rises by one.
    pub(super) fn ended(&mut self) {
        let Some(braking) = &mut self.braking else { return };
        braking.ended += 1;
        if braking.ended >= braking.limit && braking.limit < self.most {
            braking.limit += 1;
            braking.ended = 0;
            braking.pause = PAUSE_MIN / 2;
        }
    }

    /// Returns when to check the brake again.
    pub(super) fn alarm(&self, now: Instant) -> Option<Instant> {
        let braking = self.braking.as_ref()?;
        Some(if now < braking.until { braking.until } else { braking.last + QUIET })
    }

    /// Ends the shortage if it is over, and returns how many attempts were put back during it.
    pub(super) fn release(&mut self, now: Instant) -> Option<u64> {
        let braking = self.braking.take_if(|braking| now >= braking.last + QUIET)?;
        Some(braking.put_back)
    }
}

/// A change of the shortage, for log and events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortageNote {
    /// Attempts are put back from now on, because the daemon lacks this resource.
    Began(Shortage),
    /// An attempt was put back.
    PutBack(Shortage),
    /// No attempt was put back for a while. Holds the number of attempts that were put back before.
    Ended(u64),
}

#[cfg(test)]
mod tests {
    use super::{Brake, PAUSE_MAX, QUIET, Shortage};
    use std::time::{Duration, Instant};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_limit_halves_once_for_attempts_that_left_together_and_is_released_after_a_quiet_time() {
        let start = Instant::now();
        let mut brake = Brake::new(64);
        assert_eq!((brake.limit(), brake.is_on(), brake.alarm(start)), (64, false, None));
        assert!(brake.put_back(Shortage::OpenFiles, 40, start), "the shortage begins");
        for _ in 0..30 {
            assert!(!brake.put_back(Shortage::OpenFiles, 39, start + MS));
        }
        assert_eq!(brake.limit(), 20);
        assert!(brake.holds(start + MS) && !brake.holds(start + 50 * MS));
        assert_eq!(brake.alarm(start + MS), Some(start + 50 * MS));
        assert!(brake.put_back(Shortage::Memory, 19, start + 60 * MS), "another shortage");
        assert_eq!(brake.limit(), 9);
        assert!(brake.holds(start + 159 * MS) && !brake.holds(start + 160 * MS), "twice as long");
        for _ in 0..9 {
            brake.ended();
        }
        assert_eq!(brake.limit(), 10);
        let end = start + 60 * MS + QUIET;
        assert_eq!(brake.alarm(start + 200 * MS), Some(end));
        assert_eq!(brake.release(end - MS), None);
        assert_eq!((brake.release(end), brake.limit()), (Some(32), 64));
        assert_eq!(brake.release(end), None, "it is reported once");
    }

    #[test]
    fn a_port_shortage_at_one_address_does_not_slow_the_instance() {
        let start = Instant::now();
        let mut brake = Brake::new(64);
        assert!(brake.put_back(Shortage::Ports, 40, start));
        assert_eq!((brake.limit(), brake.holds(start)), (64, false));
        assert!(brake.put_back(Shortage::OpenFiles, 40, start), "another shortage");
        assert_eq!((brake.limit(), brake.holds(start)), (20, true));
        assert_eq!(brake.release(start + QUIET), Some(2));
    }

    #[test]
    fn the_brake_always_allows_one_attempt_and_never_pauses_for_long() {
        let mut now = Instant::now();
        let mut brake = Brake::new(64);
        for _ in 0..100 {
            brake.put_back(Shortage::Buffers, 0, now);
            assert_eq!(brake.limit(), 1);
            now += PAUSE_MAX;
            assert!(!brake.holds(now));
        }
    }
}

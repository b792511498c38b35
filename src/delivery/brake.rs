//! The instance slows down while the daemon itself lacks something.
//!
//! The first attempt that is put back halves what may be unanswered, and lets nothing leave for a moment; the next ones, after
//! that moment, halve it again and double the pause. Attempts that end raise it by one at a time. When nothing was put back for
//! a while, the shortage is over.

use super::shortage::Shortage;
use std::time::{Duration, Instant};

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// So long nothing is put back until the shortage counts as over; several pauses, so that it was tried.
const QUIET: Duration = Duration::from_secs(5);

pub(super) struct Brake {
    /// So many requests may be unanswered without it.
    most: usize,
    braking: Option<Braking>,
}

struct Braking {
    limit: usize,
    /// What was lacking, each once.
    lacking: Vec<Shortage>,
    /// Attempts that ended since the limit was raised.
    ended: usize,
    pause: Duration,
    /// Nothing leaves before.
    until: Instant,
    /// When an attempt was put back last.
    last: Instant,
    put_back: u64,
}

impl Brake {
    pub(super) fn new(most: usize) -> Self {
        Self { most, braking: None }
    }

    /// So many requests may be unanswered.
    pub(super) fn limit(&self) -> usize {
        self.braking.as_ref().map_or(self.most, |braking| braking.limit)
    }

    pub(super) fn is_on(&self) -> bool {
        self.braking.is_some()
    }

    /// Whether nothing may leave.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.braking.as_ref().is_some_and(|braking| now < braking.until)
    }

    /// An attempt is put back, with so many others still unanswered. Whether this shortage begins.
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
        // Those that left together went wrong at one place.
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

    /// An attempt was made.
    pub(super) fn ended(&mut self) {
        let Some(braking) = &mut self.braking else { return };
        braking.ended += 1;
        if braking.ended >= braking.limit && braking.limit < self.most {
            braking.limit += 1;
            braking.ended = 0;
            braking.pause = PAUSE_MIN / 2;
        }
    }

    /// When to look at it again.
    pub(super) fn alarm(&self, now: Instant) -> Option<Instant> {
        let braking = self.braking.as_ref()?;
        Some(if now < braking.until { braking.until } else { braking.last + QUIET })
    }

    /// How many attempts were put back, once the shortage is over.
    pub(super) fn release(&mut self, now: Instant) -> Option<u64> {
        let braking = self.braking.take_if(|braking| now >= braking.last + QUIET)?;
        Some(braking.put_back)
    }
}

/// What became of a shortage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortageNote {
    /// Attempts are put back from now on, since the daemon lacks this.
    Began(Shortage),
    /// An attempt was put back.
    PutBack(Shortage),
    /// Nothing was put back for a while; so many were before.
    Ended(u64),
}

#[cfg(test)]
mod tests {
    use super::{Brake, PAUSE_MAX, QUIET, Shortage};
    use std::time::{Duration, Instant};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn it_halves_once_for_those_that_left_together_and_lets_go_when_it_is_quiet() {
        let start = Instant::now();
        let mut brake = Brake::new(64);
        assert_eq!((brake.limit(), brake.is_on(), brake.alarm(start)), (64, false, None));
        assert!(brake.put_back(Shortage::OpenFiles, 40, start), "it begins");
        for _ in 0..30 {
            assert!(!brake.put_back(Shortage::OpenFiles, 39, start + MS));
        }
        assert_eq!(brake.limit(), 20);
        assert!(brake.holds(start + MS) && !brake.holds(start + 50 * MS));
        assert_eq!(brake.alarm(start + MS), Some(start + 50 * MS));
        assert!(brake.put_back(Shortage::Memory, 19, start + 60 * MS), "another one");
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
        assert_eq!(brake.release(end), None, "it is told once");
    }

    #[test]
    fn ports_of_one_address_slow_nobody_else() {
        let start = Instant::now();
        let mut brake = Brake::new(64);
        assert!(brake.put_back(Shortage::Ports, 40, start));
        assert_eq!((brake.limit(), brake.holds(start)), (64, false));
        assert!(brake.put_back(Shortage::OpenFiles, 40, start), "another one");
        assert_eq!((brake.limit(), brake.holds(start)), (20, true));
        assert_eq!(brake.release(start + QUIET), Some(2));
    }

    #[test]
    fn it_never_stands_still_nor_pauses_for_long() {
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

//! The limit of an endpoint's unanswered requests: additive increase, multiplicative decrease.
//!
//! A lane starts with a limit of one. While the limit is used up, each answer raises it by one. Above the point of the
//! last failure it grows more slowly. Each time-out halves the limit, down to one. A request that took most of its
//! time-out counts like a time-out, whatever its answer. So an endpoint that hangs, or nearly does, holds one slot.

use std::time::Duration;

/// An endpoint whose requests take this long on average is slow.
const SLOW: Duration = Duration::from_millis(500);

/// The experience with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Responsiveness {
    /// No request has ended yet.
    Untried,
    /// The last request ended in time, with any result.
    Sound,
    /// Like `Sound`, but requests take long on average.
    Slow,
    /// The last request took most of its time-out or all of it, and the limit is down to one.
    Hanging,
}

pub(super) struct Concurrency {
    limit: u32,
    max: u32,
    /// Below this value, the limit grows with every answer.
    threshold: u32,
    /// The answers since the limit last changed.
    answers: u32,
    /// Whether the last request took most of its time-out; `None` before the first one.
    held_long: Option<bool>,
    /// The average time of a request.
    average: Duration,
}

impl Concurrency {
    pub(super) fn new(max: u32) -> Self {
        let average = Duration::ZERO;
        Self { limit: 1, max, threshold: max, answers: 0, held_long: None, average }
    }

    /// Sets the maximum, and lowers the limit to it if necessary.
    pub(super) fn follow(&mut self, max: u32) {
        if self.max != max {
            (self.max, self.threshold) = (max, max);
            self.limit = self.limit.min(max);
        }
    }

    pub(super) fn limit(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    /// Returns the limit for retries, which leave a part of the limit to first attempts.
    pub(super) fn retries(&self) -> usize {
        usize::try_from(self.limit - self.limit / 4).unwrap_or(usize::MAX)
    }

    pub(super) fn responsiveness(&self) -> Responsiveness {
        match self.held_long {
            None => Responsiveness::Untried,
            Some(true) if self.limit == 1 => Responsiveness::Hanging,
            Some(_) if self.average >= SLOW => Responsiveness::Slow,
            Some(_) => Responsiveness::Sound,
        }
    }

    /// Records the time that a request took, with any result.
    pub(super) fn took(&mut self, time: Duration) {
        self.average = match self.held_long {
            None => time,
            Some(_) => (self.average * 3 + time) / 4,
        };
    }

    /// Records a request that failed in time. The limit stays.
    pub(super) fn failed(&mut self) {
        self.held_long = Some(false);
    }

    /// Records an answer. `full` says that the limit was used up.
    pub(super) fn answered(&mut self, full: bool) {
        self.held_long = Some(false);
        if !full || self.limit >= self.max {
            return;
        }
        self.answers += 1;
        if self.limit < self.threshold || self.answers >= self.limit {
            self.limit += 1;
            self.answers = 0;
        }
    }

    /// Records that the endpoint is busy, and halves the limit.
    pub(super) fn busy(&mut self) {
        self.held_long = Some(false);
        self.halve();
        self.threshold = self.limit;
    }

    /// Records a request that took most of its time-out or all of it, and halves the limit.
    pub(super) fn held_long(&mut self) {
        let is_first = self.held_long == Some(false);
        self.held_long = Some(true);
        self.halve();
        // Requests that hang together move the threshold once.
        if is_first {
            self.threshold = self.limit;
        }
    }

    fn halve(&mut self) {
        self.limit = (self.limit / 2).max(1);
        self.answers = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::{Concurrency, Responsiveness};
    use std::time::Duration;

    #[test]
    fn the_limit_starts_at_one_grows_with_answers_while_it_is_used_and_halves_on_time_outs() {
        let mut lane = Concurrency::new(32);
        assert_eq!((lane.limit(), lane.responsiveness()), (1, Responsiveness::Untried));
        lane.answered(false);
        let known = (1, Responsiveness::Sound);
        assert_eq!((lane.limit(), lane.responsiveness()), known, "an unused limit does not grow");
        lane.failed();
        assert_eq!((lane.limit(), lane.responsiveness()), known);
        for _ in 0..100 {
            lane.answered(true);
        }
        assert_eq!(lane.limit(), 32);
        lane.held_long();
        assert_eq!((lane.limit(), lane.responsiveness()), (16, Responsiveness::Sound));
        for _ in 0..10 {
            lane.held_long();
        }
        assert_eq!(
            (lane.limit(), lane.retries(), lane.responsiveness()),
            (1, 1, Responsiveness::Hanging)
        );
        lane.answered(true);
        assert!(lane.responsiveness() == Responsiveness::Sound && lane.limit() <= 2);
        for _ in 0..2000 {
            lane.answered(true);
        }
        assert_eq!((lane.limit(), lane.retries()), (32, 24));
    }

    #[test]
    fn a_new_maximum_applies_at_once() {
        let mut lane = Concurrency::new(1);
        lane.answered(true);
        assert_eq!(lane.limit(), 1);
        lane.follow(8);
        lane.answered(true);
        assert_eq!(lane.limit(), 2);
        lane.follow(1);
        assert_eq!(lane.limit(), 1);
    }

    #[test]
    fn a_busy_endpoint_gets_half_of_its_limit_and_more_again_when_it_answers() {
        let mut lane = Concurrency::new(32);
        for _ in 0..100 {
            lane.answered(true);
        }
        for half in [16, 8, 4, 2, 1, 1] {
            lane.busy();
            assert_eq!((lane.limit(), lane.responsiveness()), (half, Responsiveness::Sound));
        }
        for _ in 0..2000 {
            lane.answered(true);
        }
        assert_eq!(lane.limit(), 32);
    }

    #[test]
    fn an_endpoint_is_slow_while_its_requests_take_long_on_average() {
        let mut lane = Concurrency::new(32);
        let took = |lane: &mut Concurrency, ms| {
            lane.took(Duration::from_millis(ms));
            lane.answered(true);
            lane.responsiveness()
        };
        assert_eq!(took(&mut lane, 3000), Responsiveness::Slow);
        let times = std::iter::repeat_with(|| took(&mut lane, 20));
        let slow =
            times.take_while(|responsiveness| *responsiveness == Responsiveness::Slow).count();
        assert!((3..12).contains(&slow), "{slow}");
        for _ in 0..20 {
            took(&mut lane, 20);
        }
        assert_eq!(took(&mut lane, 1500), Responsiveness::Sound, "one slow request is not enough");
    }
}

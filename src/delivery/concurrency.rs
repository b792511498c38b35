//! The limit of an endpoint's unanswered requests: additive increase, multiplicative decrease.
//!
//! A limit starts at one. While it is used up, each answer raises it by one. Above the point of the last failure it
//! grows more slowly. Each time-out halves the limit, down to one. A request that took most of its time-out counts like
//! a time-out, whatever its answer. So an endpoint that hangs, or nearly does, holds one slot.
//!
//! Until the endpoint first fails or refuses a request, [`FIRST`] requests may be unanswered even if the limit is lower,
//! so that one slow answer does not hold back all others. After that only the limit counts. So a start costs each
//! delivery one attempt at most, and a limit that has grown is no higher than without it.

use std::time::Duration;

/// The number of requests that may be unanswered until an endpoint first fails, unless its maximum is smaller.
const FIRST: u32 = 8;

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
    /// Whether the endpoint has neither failed nor refused a request yet.
    is_fresh: bool,
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
        Self { limit: 1, max, is_fresh: true, threshold: max, answers: 0, held_long: None, average }
    }

    /// Sets the maximum, and lowers the limit to it if necessary.
    pub(super) fn follow(&mut self, max: u32) {
        if self.max != max {
            (self.max, self.threshold) = (max, max);
            self.limit = self.limit.min(max);
        }
    }

    pub(super) fn limit(&self) -> usize {
        usize::try_from(self.allowed()).unwrap_or(usize::MAX)
    }

    fn allowed(&self) -> u32 {
        if self.is_fresh { self.limit.max(FIRST.min(self.max)) } else { self.limit }
    }

    /// Returns whether `in_flight` unanswered requests use up the limit that answers have raised.
    pub(super) fn is_used_up(&self, in_flight: usize) -> bool {
        u32::try_from(in_flight).is_ok_and(|count| count >= self.limit)
    }

    /// Returns the limit for retries, which leave a part of the limit to first attempts.
    pub(super) fn retries(&self) -> usize {
        usize::try_from(self.allowed() - self.allowed() / 4).unwrap_or(usize::MAX)
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

    /// Records a request that the endpoint did not accept, although it works. The limit stays.
    pub(super) fn rejected(&mut self) {
        self.held_long = Some(false);
    }

    /// Records a request that failed in time. The limit stays.
    pub(super) fn failed(&mut self) {
        self.held_long = Some(false);
        self.is_fresh = false;
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
        self.failed();
        self.halve();
        self.threshold = self.limit;
    }

    /// Records a request that took most of its time-out or all of it, and halves the limit.
    pub(super) fn held_long(&mut self) {
        let is_first = self.held_long == Some(false);
        self.held_long = Some(true);
        self.is_fresh = false;
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
    fn the_limit_grows_with_answers_while_it_is_used_and_halves_on_time_outs() {
        let mut lane = Concurrency::new(32);
        lane.failed();
        let known = (1, Responsiveness::Sound);
        assert_eq!((lane.limit(), lane.responsiveness()), known);
        lane.answered(false);
        assert_eq!((lane.limit(), lane.responsiveness()), known, "an unused limit does not grow");
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
    fn several_requests_may_be_unanswered_until_the_endpoint_fails() {
        let start = (8, 6, Responsiveness::Untried);
        let of = |lane: &Concurrency| (lane.limit(), lane.retries(), lane.responsiveness());
        let mut lane = Concurrency::new(32);
        assert_eq!((of(&lane), Concurrency::new(2).limit()), (start, 2));
        for answers in 1..12 {
            assert!(lane.is_used_up(answers));
            lane.answered(true);
            lane.rejected();
            assert_eq!(lane.limit(), (answers + 1).max(8), "as if it had started at one");
        }
        type Failure = (fn(&mut Concurrency), Responsiveness);
        let failures: [Failure; 3] = [
            (Concurrency::failed, Responsiveness::Sound),
            (Concurrency::busy, Responsiveness::Sound),
            (Concurrency::held_long, Responsiveness::Hanging),
        ];
        for (fail, then) in failures {
            let mut lane = Concurrency::new(32);
            fail(&mut lane);
            assert_eq!(of(&lane), (1, 1, then));
            lane.answered(true);
            assert!(lane.limit() <= 2, "only answers raise it now");
        }
    }

    #[test]
    fn a_new_maximum_applies_at_once() {
        let mut lane = Concurrency::new(1);
        lane.answered(true);
        assert_eq!(lane.limit(), 1);
        lane.follow(4);
        assert_eq!(lane.limit(), 4, "it has not failed yet");
        lane.failed();
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

//! How many requests an endpoint may have unanswered: additive increase, multiplicative decrease.
//!
//! A lane starts with one. While its requests are answered and it uses what it has, it may have more, by one for each answer
//! up to where it last went wrong, and more slowly from there on. Each time-out halves it, down to one, so that endpoints that
//! hang hold one slot each.

/// What is known of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing yet.
    Untried,
    /// Its last request ended in time, in whatever way.
    Sound,
    /// Its last request was not answered in time, and it is down to one.
    Hanging,
}

pub(super) struct Concurrency {
    limit: u32,
    max: u32,
    /// Up to here it grows fast.
    threshold: u32,
    /// Answers since it grew last.
    answers: u32,
    /// The last that was heard of the endpoint is a time-out; `None`: nothing was.
    timed_out: Option<bool>,
}

impl Concurrency {
    pub(super) fn new(max: u32) -> Self {
        Self { limit: 1, max, threshold: max, answers: 0, timed_out: None }
    }

    /// Goes on with another maximum.
    pub(super) fn follow(&mut self, max: u32) {
        if self.max != max {
            (self.max, self.threshold) = (max, max);
            self.limit = self.limit.min(max);
        }
    }

    pub(super) fn limit(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    /// Retries leave some of it to first attempts.
    pub(super) fn retries(&self) -> usize {
        usize::try_from(self.limit - self.limit / 4).unwrap_or(usize::MAX)
    }

    /// What is known of the endpoint.
    pub(super) fn standing(&self) -> Standing {
        match self.timed_out {
            None => Standing::Untried,
            Some(true) if self.limit == 1 => Standing::Hanging,
            Some(_) => Standing::Sound,
        }
    }

    /// A request failed, but in time: that is no reason for more, nor for less.
    pub(super) fn failed(&mut self) {
        self.timed_out = Some(false);
    }

    /// A request was answered; `full`: no further one could have left.
    pub(super) fn answered(&mut self, full: bool) {
        self.timed_out = Some(false);
        if !full || self.limit >= self.max {
            return;
        }
        self.answers += 1;
        if self.limit < self.threshold || self.answers >= self.limit {
            self.limit += 1;
            self.answers = 0;
        }
    }

    /// A request was not answered in time.
    pub(super) fn timed_out(&mut self) {
        // Those that hang together went wrong at one place.
        if self.timed_out == Some(false) {
            self.threshold = (self.limit / 2).max(1);
        }
        (self.timed_out, self.answers) = (Some(true), 0);
        self.limit = (self.limit / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::{Concurrency, Standing};

    #[test]
    fn it_starts_low_grows_with_answers_while_it_is_used_and_halves_on_time_outs() {
        let mut lane = Concurrency::new(32);
        assert_eq!((lane.limit(), lane.standing()), (1, Standing::Untried));
        lane.answered(false);
        let known = (1, Standing::Sound);
        assert_eq!((lane.limit(), lane.standing()), known, "what is not used need not grow");
        lane.failed();
        assert_eq!((lane.limit(), lane.standing()), known);
        for _ in 0..100 {
            lane.answered(true);
        }
        assert_eq!(lane.limit(), 32);
        lane.timed_out();
        assert_eq!((lane.limit(), lane.standing()), (16, Standing::Sound));
        for _ in 0..10 {
            lane.timed_out();
        }
        assert_eq!((lane.limit(), lane.retries(), lane.standing()), (1, 1, Standing::Hanging));
        lane.answered(true);
        assert!(lane.standing() == Standing::Sound && lane.limit() <= 2);
        for _ in 0..2000 {
            lane.answered(true);
        }
        assert_eq!((lane.limit(), lane.retries()), (32, 24));
    }

    #[test]
    fn another_maximum_holds_at_once() {
        let mut lane = Concurrency::new(1);
        lane.answered(true);
        assert_eq!(lane.limit(), 1);
        lane.follow(8);
        lane.answered(true);
        assert_eq!(lane.limit(), 2);
        lane.follow(1);
        assert_eq!(lane.limit(), 1);
    }
}

//! Counts of times, with a coarse resolution that limits their number.

use crate::domain::Timestamp;
use std::collections::BTreeMap;

/// The number of occurrences by step of `STEP_MS` milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Times<const STEP_MS: i64> {
    counts: BTreeMap<i64, u64>,
    total: u64,
}

impl<const STEP_MS: i64> Times<STEP_MS> {
    pub(super) fn add(&mut self, at: Timestamp) {
        self.add_steps(step::<STEP_MS>(at), 1);
    }

    fn add_steps(&mut self, step: i64, count: u64) {
        *self.counts.entry(step).or_insert(0) += count;
        self.total += count;
    }

    pub(super) fn remove(&mut self, at: Timestamp) {
        let step = step::<STEP_MS>(at);
        let Some(count) = self.counts.get_mut(&step) else { return };
        *count -= 1;
        self.total -= 1;
        if *count == 0 {
            self.counts.remove(&step);
        }
    }

    /// Adds the counts of `others`.
    pub(super) fn absorb(&mut self, others: &Self) {
        for (step, count) in &others.counts {
            self.add_steps(*step, *count);
        }
    }

    pub(super) fn clear(&mut self) {
        self.counts.clear();
        self.total = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Returns the number of all occurrences.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// Returns the first time, rounded up to the end of its step, so that no age is overstated.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let (step, _) = self.counts.first_key_value()?;
        Some(Timestamp::from_ms(step.saturating_mul(STEP_MS).saturating_add(STEP_MS - 1)))
    }

    /// Removes the steps that are over at `now`. Returns the number of their occurrences.
    pub(super) fn pass(&mut self, now: Timestamp) -> u64 {
        let present = step::<STEP_MS>(now);
        let mut passed = 0;
        while let Some(first) = self.counts.first_entry()
            && *first.key() < present
        {
            passed += first.remove();
        }
        self.total -= passed;
        passed
    }
}

fn step<const STEP_MS: i64>(at: Timestamp) -> i64 {
    at.as_ms().div_euclid(STEP_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    #[test]
    fn times_are_counted_by_step_and_the_oldest_is_the_end_of_its_step() {
        let mut times = Times::<1000>::default();
        assert_eq!((times.total(), times.oldest()), (0, None));
        for ms in [5_500, 2_001, 2_999, 9_000] {
            times.add(at(ms));
        }
        assert_eq!((times.total(), times.oldest()), (4, Some(at(2_999))));
        times.remove(at(2_500));
        assert_eq!(times.oldest(), Some(at(2_999)), "another one of this second is left");
        times.remove(at(2_500));
        times.remove(at(2_500));
        assert_eq!((times.total(), times.oldest()), (2, Some(at(5_999))));
        let mut more = Times::default();
        more.add(at(1));
        more.absorb(&times);
        assert_eq!((more.total(), more.oldest()), (3, Some(at(999))));
    }

    #[test]
    fn a_step_passes_once_all_of_it_is_over() {
        let mut times = Times::<1000>::default();
        [2_000, 2_500, 2_999, 4_000].map(at).into_iter().for_each(|at| times.add(at));
        assert_eq!(times.pass(at(2_999)), 0);
        assert_eq!(times.pass(at(3_000)), 3);
        assert_eq!((times.total(), times.pass(at(10_000)), times.total()), (1, 1, 0));
    }
}

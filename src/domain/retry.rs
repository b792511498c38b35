//! The times of retries.

use super::DeliveryId;

/// The intervals between attempts: exponential, capped, and spread by a jitter that is derived from delivery and
/// attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct RetrySchedule {
    /// The interval after the first attempt, the second, and so on. The last one repeats.
    pub intervals_ms: Vec<u64>,
    /// The width of the jitter. 0.2 spreads an interval from 80 % to 120 % of itself.
    pub randomization_factor: f64,
}

impl RetrySchedule {
    /// Returns the time to wait after the failed `attempt` (the first is 1) of `delivery`, in milliseconds.
    #[must_use]
    pub fn delay_ms(&self, delivery: DeliveryId, attempt: u32) -> u64 {
        let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        let interval =
            self.intervals_ms.get(index).or(self.intervals_ms.last()).copied().unwrap_or(0);
        let unit = unit_interval(
            delivery.spread() ^ u64::from(attempt).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        );
        let factor = 1.0 + self.randomization_factor * (2.0 * unit - 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float cast saturates, and intervals are far below 2^53"
        )]
        let delay = (interval as f64 * factor).round() as u64;
        delay
    }
}

/// Mixes 64 bits (SplitMix64's finaliser) and returns them as a number in [0, 1).
fn unit_interval(bits: u64) -> f64 {
    let mut z = bits;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::RetrySchedule;
    use crate::domain::DeliveryId;

    #[test]
    fn delays_stay_within_the_factor_and_are_spread_and_repeatable() {
        let schedule = RetrySchedule { intervals_ms: vec![1000, 2000], randomization_factor: 0.2 };
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..1000_u128 {
            let id = DeliveryId::from_bytes((n * 0x1234_5678_9abc_def1).to_be_bytes());
            let first = schedule.delay_ms(id, 1);
            assert!((800..=1200).contains(&first), "{first}");
            assert_eq!(first, schedule.delay_ms(id, 1));
            let late = schedule.delay_ms(id, 9);
            assert!((1600..=2400).contains(&late), "the last interval repeats: {late}");
            seen.insert(first);
        }
        let id = DeliveryId::from_bytes([7; 16]);
        let later: std::collections::BTreeSet<_> =
            (2..20).map(|attempt| schedule.delay_ms(id, attempt)).collect();
        assert!(later.len() > 10, "each attempt has a jitter of its own: {later:?}");
        assert!(seen.len() > 200, "jitter spreads: {}", seen.len());
        assert_eq!(seen.first().map(|ms| *ms < 820), Some(true));
        assert_eq!(seen.last().map(|ms| *ms > 1180), Some(true));
    }

    #[test]
    fn without_jitter_the_schedule_is_exact() {
        let schedule = RetrySchedule { intervals_ms: vec![5, 10, 20], randomization_factor: 0.0 };
        let id = DeliveryId::from_bytes([7; 16]);
        assert_eq!([1, 2, 3, 4].map(|attempt| schedule.delay_ms(id, attempt)), [5, 10, 20, 20]);
    }
}

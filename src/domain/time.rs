//! Points in time, as milliseconds since the Unix epoch.

/// A point in time. Arithmetic saturates, because a due time in the far future means never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Returns the time `ms` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Returns the milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// Returns the time `ms` milliseconds later.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add_unsigned(ms))
    }

    /// Returns the time `ms` milliseconds earlier.
    #[must_use]
    pub const fn minus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_sub_unsigned(ms))
    }

    /// Returns the milliseconds from `earlier` to this time, or 0 if the clock went backwards.
    #[must_use]
    pub fn ms_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn no_time_passes_when_the_clock_goes_backwards() {
        let (early, late) = (Timestamp::from_ms(3), Timestamp::from_ms(10));
        assert_eq!((late.ms_since(early), early.ms_since(late)), (7, 0));
    }
}

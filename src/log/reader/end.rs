//! How far the partitions of the inputs go.

use crate::domain::Timestamp;
use crate::log::record::TopicPartition;

/// How far a partition goes.
pub struct End {
    /// Which one.
    pub place: TopicPartition,
    /// The first offset that there is.
    pub first: i64,
    /// The offset after the last that there is, readable or not.
    pub end: i64,
    /// No record below it is still to be handed out.
    pub passed: i64,
    /// The offset after the last record that was taken, if any was.
    pub taken: Option<i64>,
    /// The time of the first record that was taken and not handed on.
    pub waits_since: Option<Timestamp>,
}

impl End {
    /// The first offset that may have a record which is not processed, where everything below `position` is.
    #[must_use]
    pub fn next(&self, position: i64) -> i64 {
        let position = position.max(self.first);
        // Markers of transactions and records of aborted ones come behind the last record, and nobody processes them.
        let is_all = self.taken.is_none_or(|taken| taken <= position) && self.waits_since.is_none();
        if is_all { position.max(self.passed) } else { position }
    }
}

#[cfg(test)]
mod tests {
    use super::{End, Timestamp, TopicPartition};

    fn end(passed: i64, taken: Option<i64>, waits: bool) -> End {
        let place = TopicPartition { topic: "inbox".into(), partition: 0 };
        let waits_since = waits.then(|| Timestamp::from_ms(1));
        End { place, first: 2, end: 10, passed, taken, waits_since }
    }

    #[test]
    fn what_nobody_processes_is_not_left() {
        assert_eq!(end(10, Some(9), false).next(9), 10, "a marker comes behind the last record");
        assert_eq!(end(10, None, false).next(9), 10, "it was there before the start");
        assert_eq!(end(8, Some(8), false).next(8), 8, "a transaction is open");
        assert_eq!(end(0, None, false).next(0), 2, "what was before is deleted");
    }

    #[test]
    fn what_was_taken_and_is_not_processed_is_left() {
        assert_eq!(end(10, Some(9), false).next(7), 7);
        assert_eq!(end(10, None, true).next(9), 9, "it waits for its schema");
    }
}

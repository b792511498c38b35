//! The ends of the inputs' partitions.

use crate::domain::Timestamp;
use crate::log::record::TopicPartition;
use rdkafka::Statistics;
use std::sync::Arc;

/// The end of a partition, and the progress towards it.
pub struct End {
    pub place: TopicPartition,
    /// The first offset in the log.
    pub first: i64,
    /// The offset after the last one in the log, readable or not.
    pub end: i64,
    /// librdkafka delivers no more records below this offset.
    pub passed: i64,
    /// The offset after the last record that the reader took from librdkafka, if there is one.
    pub taken: Option<i64>,
    /// The time of the first record that the reader took and has not passed on.
    pub waits_since: Option<Timestamp>,
}

impl End {
    /// Returns the ends that librdkafka's statistics contain.
    pub(in crate::log) fn all_of(statistics: &Statistics) -> Vec<Self> {
        let ends = statistics.topics.iter().flat_map(|(topic, stats)| {
            let topic: Arc<str> = topic.as_str().into();
            // librdkafka's own lag counts from offsets that a consumer commits. Here, transactions commit them.
            let known = stats.partitions.values().filter(|p| p.partition >= 0 && p.hi_offset >= 0);
            known.map(move |p| Self {
                place: TopicPartition { topic: topic.clone(), partition: p.partition },
                first: p.lo_offset,
                // Not the last stable offset: records behind an open transaction have to be read too.
                end: p.hi_offset,
                // Records that were fetched and not yet delivered are not passed. Transaction markers are never
                // delivered.
                passed: if p.fetchq_cnt == 0 { p.next_offset } else { 0 }.max(p.app_offset),
                taken: None,
                waits_since: None,
            })
        });
        ends.collect()
    }

    /// Returns the first offset that may have an unprocessed record, if everything below `position` is processed.
    #[must_use]
    pub fn next(&self, position: i64) -> i64 {
        let position = position.max(self.first);
        // Transaction markers and records of aborted transactions follow the last record, and are never processed.
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
    fn offsets_without_records_are_not_left_to_process() {
        assert_eq!(end(10, Some(9), false).next(9), 10, "a marker comes behind the last record");
        assert_eq!(end(10, None, false).next(9), 10, "the marker existed before the start");
        assert_eq!(end(8, Some(8), false).next(8), 8, "a transaction is open");
        assert_eq!(end(0, None, false).next(0), 2, "the earlier records are deleted");
    }

    #[test]
    fn records_that_are_taken_and_not_processed_are_left_to_process() {
        assert_eq!(end(10, Some(9), false).next(7), 7);
        assert_eq!(end(10, None, true).next(9), 9, "the record waits for its schema");
    }
}

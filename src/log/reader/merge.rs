//! Merges several sequences of records in the order of their timestamps, as far as records are available.
//!
//! A consumer's single queue holds records in the order of the fetch responses. After a pause, one topic would be read
//! completely before the next: a hundred thousand flows, then their reports. In the order of time, a flow meets its
//! reports while it is still in memory.

use crate::domain::Timestamp;
use crate::log::record::Record;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The sources, each with its first record that is not taken yet.
pub(super) struct Merge<S> {
    sources: Vec<(S, Option<Record>)>,
    /// The first records, the earliest first. Among equal times, the earlier source comes first.
    order: BinaryHeap<Reverse<(Timestamp, usize)>>,
}

impl<S> Default for Merge<S> {
    fn default() -> Self {
        Self::of([])
    }
}

impl<S> Merge<S> {
    pub(super) fn of(sources: impl IntoIterator<Item = S>) -> Self {
        let sources = sources.into_iter().map(|source| (source, None));
        Self { sources: sources.collect(), order: BinaryHeap::new() }
    }

    /// Drops the records that were read from the sources and not taken. `each` does the same within a source.
    pub(super) fn forget(&mut self, each: impl Fn(&S)) {
        self.order.clear();
        for (source, first) in &mut self.sources {
            *first = None;
            each(source);
        }
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = &S> {
        self.sources.iter().map(|(source, _)| source)
    }

    /// Returns the sources, each with its first record.
    pub(super) fn firsts(&self) -> impl Iterator<Item = (&S, Option<&Record>)> {
        self.sources.iter().map(|(source, first)| (source, first.as_ref()))
    }

    /// Reads again from the sources that have no first record.
    pub(super) fn look(&mut self, read: &mut impl FnMut(&S) -> Option<Record>) {
        for index in 0..self.sources.len() {
            if self.sources.get(index).is_some_and(|(_, first)| first.is_none()) {
                self.refill(index, read);
            }
        }
    }

    fn refill(&mut self, index: usize, read: &mut impl FnMut(&S) -> Option<Record>) {
        let Some((source, first)) = self.sources.get_mut(index) else { return };
        *first = read(source);
        if let Some(record) = first {
            self.order.push(Reverse((record.source.timestamp, index)));
        }
    }

    /// Takes the earliest available record.
    pub(super) fn next(&mut self, read: &mut impl FnMut(&S) -> Option<Record>) -> Option<Record> {
        let Reverse((_, index)) = self.order.pop()?;
        let record = self.sources.get_mut(index)?.1.take();
        self.refill(index, read);
        record
    }
}

#[cfg(test)]
mod tests {
    use super::Merge;
    use crate::codec::source::Bad;
    use crate::domain::{DeadLetterReason, Headers, Source, Timestamp};
    use crate::log::record::{Record, RecordBody, TopicPartition};
    use bytes::Bytes;
    use std::cell::RefCell;
    use std::collections::VecDeque;

    type Queue = RefCell<VecDeque<Record>>;

    fn record(topic: &str, offset: i64, ms: i64) -> Record {
        let timestamp = Timestamp::from_ms(ms);
        let bad =
            Bad { reason: DeadLetterReason::Undecodable, detail: String::new(), account: None };
        Record {
            place: TopicPartition { topic: topic.into(), partition: 0 },
            offset,
            at: timestamp,
            source: Source {
                topic: topic.into(),
                partition: 0,
                offset,
                timestamp,
                index: None,
                trace: None,
            },
            letter: None,
            inbox_hops: None,
            body: RecordBody::Bad(bad),
            key: None,
            payload: Some(Bytes::new()),
            headers: Headers::default(),
        }
    }

    fn queue(topic: &str, times: &[i64]) -> Queue {
        let records = (0_i64..).zip(times).map(|(offset, ms)| record(topic, offset, *ms));
        RefCell::new(records.collect())
    }

    fn taken(merge: &mut Merge<Queue>, count: usize) -> String {
        let mut read = |queue: &Queue| queue.borrow_mut().pop_front();
        merge.look(&mut read);
        let next = |_| {
            merge.next(&mut read).map(|record| format!("{}{}", record.place.topic, record.offset))
        };
        (0..count).map_while(next).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn records_come_in_the_order_of_time_and_keep_the_order_of_their_source() {
        // The third record of `r` has an earlier timestamp than the one before it, and does not overtake it.
        let mut merge =
            Merge::of([queue("f", &[10, 20, 30]), queue("r", &[10, 25, 5]), queue("i", &[])]);
        assert_eq!(taken(&mut merge, 9), "f0 r0 f1 r1 r2 f2");
        merge.sources[2].0.borrow_mut().push_back(record("i", 0, 1));
        merge.sources[0].0.borrow_mut().push_back(record("f", 3, 40));
        assert_eq!(taken(&mut merge, 1), "i0");
        merge.forget(|_| {});
        merge.sources[1].0.borrow_mut().push_back(record("r", 3, 50));
        assert_eq!(taken(&mut merge, 9), "r3", "the records that were dropped are not merged");
    }
}

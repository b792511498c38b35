//! Remembers the records of a partition that were read last, to recognise those that are delivered again.
//!
//! librdkafka looks up a partition's offset again when its leader or the leader's epoch changes. A fetch that is in
//! flight at that moment may deliver records again. A record that is read twice would be decided twice, and the second
//! time produce an event about a duplicate that no producer sent. But an offset may also return with another record,
//! because a log was truncated or a topic recreated. That record was never read. So the reader skips only the same
//! record. It does not seek, because librdkafka knows where to continue.

use rdkafka::message::{BorrowedMessage, Message as _};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The number of remembered records. A record that comes again from before them counts as new.
const REMEMBERED: usize = 1024;

/// The records of one partition that were read last.
#[derive(Default)]
pub(super) struct Position {
    /// The offset after the last one.
    next: Cell<i64>,
    /// Offset and content hash of each.
    read: RefCell<VecDeque<(i64, u64)>>,
}

/// The result of a comparison with the records that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// The record was not read yet.
    New,
    /// The record was read before.
    Again,
    /// Another record was read at its offset or behind it.
    Other,
}

impl Position {
    /// Compares a record with those that were read, and remembers it unless it was read before.
    pub(super) fn judge(&self, offset: i64, content: u64) -> Judged {
        let mut read = self.read.borrow_mut();
        let mut judged = Judged::New;
        if !read.is_empty() && offset < self.next.get() {
            let found = read.binary_search_by_key(&offset, |(offset, _)| *offset).ok();
            if found.and_then(|index| read.get(index)).is_some_and(|(_, known)| *known == content) {
                return Judged::Again;
            }
            judged = Judged::Other;
            read.clear();
        }
        if read.len() == REMEMBERED {
            read.pop_front();
        }
        read.push_back((offset, content));
        self.next.set(offset.saturating_add(1));
        judged
    }

    /// Returns the offset after the last record; `None`: none was read since reading started again.
    pub(super) fn next(&self) -> Option<i64> {
        (!self.read.borrow().is_empty()).then(|| self.next.get())
    }

    /// Forgets all records, when reading starts again at any position.
    pub(super) fn forget(&self) {
        self.read.borrow_mut().clear();
    }
}

/// Returns a hash of the fields that identify `message`.
pub(super) fn content(message: &BorrowedMessage<'_>) -> u64 {
    let at = message.timestamp().to_millis().unwrap_or_default();
    let key = xxh3_64_with_seed(message.key().unwrap_or_default(), at.cast_unsigned());
    xxh3_64_with_seed(message.payload().unwrap_or_default(), key)
}

#[cfg(test)]
mod tests {
    use super::{Judged, Position, REMEMBERED};

    /// Creates a partition's position after the offsets 7, 8 and 10, each with its offset as content.
    fn position() -> Position {
        let position = Position::default();
        for offset in [7, 8, 10] {
            assert_eq!(position.judge(offset, offset.cast_unsigned()), Judged::New);
        }
        position
    }

    #[test]
    fn records_that_were_read_are_skipped_until_a_new_one_comes() {
        let position = position();
        for offset in [8, 10, 7, 8, 10] {
            assert_eq!(position.judge(offset, offset.cast_unsigned()), Judged::Again, "{offset}");
        }
        assert_eq!(position.judge(11, 11), Judged::New);
        assert_eq!(position.judge(11, 11), Judged::Again);
    }

    #[test]
    fn another_record_at_an_earlier_offset_counts_as_not_read() {
        let cut = position();
        assert_eq!(cut.judge(8, 80), Judged::Other, "the log was truncated at 8 and continues");
        assert_eq!(cut.judge(9, 90), Judged::New);
        assert_eq!(cut.judge(8, 80), Judged::Again, "compared with the present log");
        assert_eq!(
            cut.judge(10, 10),
            Judged::New,
            "records of the old log behind it are forgotten"
        );
        let anew = position();
        assert_eq!(anew.judge(0, 7), Judged::Other, "the topic was recreated");
        assert_eq!(anew.judge(1, 1), Judged::New);
        let gap = position();
        assert_eq!(gap.judge(9, 9), Judged::Other, "there was none at 9");
    }

    #[test]
    fn the_position_is_known_until_reading_starts_again() {
        assert_eq!(Position::default().next(), None);
        let position = position();
        assert_eq!(position.next(), Some(11));
        position.forget();
        assert_eq!(position.next(), None);
    }

    #[test]
    fn known_records_are_read_again_when_reading_starts_again() {
        let position = position();
        position.forget();
        assert_eq!(position.judge(7, 7), Judged::New);
    }

    #[test]
    fn the_number_of_remembered_records_is_limited() {
        let position = Position::default();
        for offset in 0..=i64::try_from(REMEMBERED).unwrap() {
            position.judge(offset, 0);
        }
        assert_eq!(position.read.borrow().len(), REMEMBERED);
        assert_eq!(position.judge(1, 0), Judged::Again);
        assert_eq!(position.judge(0, 0), Judged::Other, "this record is no longer remembered");
    }
}

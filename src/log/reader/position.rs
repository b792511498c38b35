//! What was read of a partition last, to know what comes again.
//!
//! librdkafka looks a partition's offset up again when its leader or the leader's epoch changes, and a fetch that was under way
//! then may bring records that were handed out before. What is read twice is decided twice: as a duplicate, of which an event
//! would tell that nobody made. But an offset may also come back with another record, where a log was cut off or a topic made
//! anew; that record was never read. So only what is the same record is passed over, and nothing is sought: librdkafka knows
//! better where it has to go on.

use rdkafka::message::{BorrowedMessage, Message as _};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// So many records are remembered. Of what comes again before them nothing is known, and it is read as if it were new.
const REMEMBERED: usize = 1024;

/// The records of one partition that were read last.
#[derive(Default)]
pub(super) struct Position {
    /// The offset after the last of them.
    next: Cell<i64>,
    /// Offset and content of each.
    read: RefCell<VecDeque<(i64, u64)>>,
}

/// What a record is beside those that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It was not read yet.
    New,
    /// It was.
    Again,
    /// Something else was read at its offset or behind it.
    Other,
}

impl Position {
    /// A record with this offset and content comes, and is read if it is new.
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

    /// The offset after the last record that was read; `None`: none was since reading started anew.
    pub(super) fn next(&self) -> Option<i64> {
        (!self.read.borrow().is_empty()).then(|| self.next.get())
    }

    /// Reading starts anew, wherever that is.
    pub(super) fn forget(&self) {
        self.read.borrow_mut().clear();
    }
}

/// A hash of what makes `message` the record that it is.
pub(super) fn content(message: &BorrowedMessage<'_>) -> u64 {
    let at = message.timestamp().to_millis().unwrap_or_default();
    let key = xxh3_64_with_seed(message.key().unwrap_or_default(), at.cast_unsigned());
    xxh3_64_with_seed(message.payload().unwrap_or_default(), key)
}

#[cfg(test)]
mod tests {
    use super::{Judged, Position, REMEMBERED};

    /// A partition of which 7, 8, and 10 were read, each with its offset as content.
    fn position() -> Position {
        let position = Position::default();
        for offset in [7, 8, 10] {
            assert_eq!(position.judge(offset, offset.cast_unsigned()), Judged::New);
        }
        position
    }

    #[test]
    fn what_was_read_is_passed_over_until_something_new_comes() {
        let position = position();
        for offset in [8, 10, 7, 8, 10] {
            assert_eq!(position.judge(offset, offset.cast_unsigned()), Judged::Again, "{offset}");
        }
        assert_eq!(position.judge(11, 11), Judged::New);
        assert_eq!(position.judge(11, 11), Judged::Again);
    }

    #[test]
    fn another_record_at_an_offset_was_never_read() {
        let cut = position();
        assert_eq!(cut.judge(8, 80), Judged::Other, "the log was cut off at 8 and goes on");
        assert_eq!(cut.judge(9, 90), Judged::New);
        assert_eq!(cut.judge(8, 80), Judged::Again, "by what is there now");
        assert_eq!(cut.judge(10, 10), Judged::New, "what was behind it counts no more");
        let anew = position();
        assert_eq!(anew.judge(0, 7), Judged::Other, "the topic was made anew");
        assert_eq!(anew.judge(1, 1), Judged::New);
        let gap = position();
        assert_eq!(gap.judge(9, 9), Judged::Other, "there was none at 9");
    }

    #[test]
    fn what_was_read_up_to_is_known_until_reading_starts_anew() {
        assert_eq!(Position::default().next(), None);
        let position = position();
        assert_eq!(position.next(), Some(11));
        position.forget();
        assert_eq!(position.next(), None);
    }

    #[test]
    fn whoever_starts_anew_reads_what_was_read() {
        let position = position();
        position.forget();
        assert_eq!(position.judge(7, 7), Judged::New);
    }

    #[test]
    fn no_more_is_remembered_than_is_allowed() {
        let position = Position::default();
        for offset in 0..=i64::try_from(REMEMBERED).unwrap() {
            position.judge(offset, 0);
        }
        assert_eq!(position.read.borrow().len(), REMEMBERED);
        assert_eq!(position.judge(1, 0), Judged::Again);
        assert_eq!(position.judge(0, 0), Judged::Other, "of that nothing is known any more");
    }
}

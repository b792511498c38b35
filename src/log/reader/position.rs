//! Where a partition's reading stands, by what was read of it.
//!
//! librdkafka looks a partition's offset up again when a leader or its epoch changes, and a fetch that was under way then may
//! bring records that were handed out before. What is read twice is decided twice: as a duplicate, of which an event would
//! tell that nobody made.

use std::cell::Cell;

/// The offset after the last record that was read, and whether it was gone back to.
#[derive(Default)]
pub(super) struct Position {
    next: Cell<Option<i64>>,
    is_sought: Cell<bool>,
}

/// What a record is by its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It was not read yet.
    New,
    /// It was, and reading goes on from this offset.
    Again(i64),
    /// It is below what was read, and there is nothing else: somebody has deleted the topic and made it anew.
    Anew,
}

impl Position {
    /// A record with this offset comes.
    pub(super) fn judge(&self, offset: i64) -> Judged {
        let behind = self.next.get().filter(|next| offset < *next);
        if let Some(next) = behind
            && !self.is_sought.replace(true)
        {
            return Judged::Again(next);
        }
        self.is_sought.set(false);
        self.next.set(Some(offset + 1));
        if behind.is_some() { Judged::Anew } else { Judged::New }
    }

    /// It could not be gone back to.
    pub(super) fn not_sought(&self) {
        self.is_sought.set(false);
    }

    /// Reading starts anew, wherever that is.
    pub(super) fn forget(&self) {
        self.next.set(None);
        self.is_sought.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::{Judged, Position};

    #[test]
    fn records_that_were_read_are_gone_back_from_once_and_then_believed() {
        let position = Position::default();
        assert_eq!(position.judge(7), Judged::New);
        assert_eq!(position.judge(9), Judged::New, "markers of transactions have offsets too");
        assert_eq!(position.judge(8), Judged::Again(10));
        assert_eq!(position.judge(10), Judged::New);
        assert_eq!(position.judge(8), Judged::Again(11), "once for each time");
        position.not_sought();
        assert_eq!(position.judge(9), Judged::Again(11));
        assert_eq!(position.judge(0), Judged::Anew, "there is no offset 11");
        assert_eq!(position.judge(1), Judged::New);
        position.forget();
        assert_eq!(position.judge(0), Judged::New, "whoever starts anew says where");
    }
}

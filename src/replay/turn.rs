//! The events that change the state of dead letters.

use crate::codec::event::{Became, Fact, read_notice_of};
use crate::domain::DeliveryId;

/// An event that changes the state of letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The delivery was delivered.
    Delivered(DeliveryId),
    /// The delivery is sent after all.
    Replayed(DeliveryId),
    /// The delivery was given up, after so many lives that had ended before.
    DeadLettered(DeliveryId, u32),
    /// The record of the letter at this place was sent back, read again, and became this.
    Record {
        /// The partition and offset of the letter.
        letter: (i32, i64),
        /// What became of its record.
        became: Became,
    },
}

impl Turn {
    /// What the event `value` changes; `None` when it changes nothing, or is of an unknown type.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        const TYPES: [&str; 4] = ["delivered", "replayed", "dead_lettered", "record_replayed"];
        match read_notice_of(value, &TYPES)?.fact {
            Fact::Delivered { about, .. } => Some(Self::Delivered(about.id)),
            Fact::Replayed { about, .. } => Some(Self::Replayed(about.id)),
            Fact::DeadLettered { about, replays, .. } => {
                Some(Self::DeadLettered(about.id, replays))
            }
            Fact::RecordReplayed { letter, became } => Some(Self::Record { letter, became }),
            Fact::FlowStarted(_)
            | Fact::FlowAccepted(_)
            | Fact::ReportAccepted { .. }
            | Fact::RecordIgnored { .. }
            | Fact::RecordDeadLettered { .. }
            | Fact::Scheduled { .. }
            | Fact::Rendered(_)
            | Fact::AttemptFailed { .. }
            | Fact::ReportTimedOut
            | Fact::CorrelationEnded { .. }
            | Fact::Input(_)
            | Fact::Other => None,
        }
    }
}

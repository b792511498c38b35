//! The events that change the state of dead letters.

use crate::codec::event::{Became, Fact, read_notice_of};
use crate::domain::DeliveryId;

/// An event that changes the state of letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The delivery was delivered.
    Delivered(DeliveryId),
    /// A replay of the delivery began.
    Replayed(DeliveryId),
    /// The delivery became a dead letter. The number counts the lives that ended before.
    DeadLettered(DeliveryId, u32),
    /// The record of the letter at this place was sent back and read again.
    Record {
        /// The partition and offset of the letter.
        letter: (i32, i64),
        /// The result of its record.
        became: Became,
    },
}

impl Turn {
    /// Reads the change from the event `value`. Returns `None` for events that change nothing and for unknown types.
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
            | Fact::Repartitioned { .. }
            | Fact::Other => None,
        }
    }
}

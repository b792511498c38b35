//! What does not fit, and where.

use super::Spot;
use crate::domain::{DeliveryId, Timestamp};

macro_rules! words {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)+) => {
        /// Which invariant is broken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum What { $($(#[$doc])* $variant,)+ }

        impl What {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word that reports use.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

words! {
    /// Something was read and nothing tells what became of it.
    Lost = "lost",
    /// Kafka deleted a record before it was read.
    Missed = "missed",
    /// Something happened twice that happens once.
    Twice = "twice",
    /// An event does not follow from those before it.
    Order = "order",
    /// Phase 2 was attempted before the end of phase 1.
    Early = "early",
    /// An event tells of what nothing else knows of.
    UnexplainedEvent = "unexplained_event",
    /// A row of the changelog is not what the events make of it.
    UnexplainedState = "unexplained_state",
    /// Dead letters and the events about them differ.
    DeadLetter = "dead_letter",
    /// The changelog and the group's offsets differ.
    Offsets = "offsets",
    /// A position or a row belongs to another topic, changelog, cluster or group.
    Identity = "identity",
    /// A row stands where it does not belong.
    Partition = "partition",
    /// A record of ours can't be read.
    Unreadable = "unreadable",
    /// The store is not what the changelog makes of it.
    Store = "store",
    /// A row waits for what can't come.
    Stuck = "stuck",
    /// Something waits though it is due.
    Overdue = "overdue",
    /// A record waits to be read.
    Unread = "unread",
    /// Something is told to be delivered that the receiver has not seen.
    Unseen = "unseen",
    /// The receiver has seen what nobody has scheduled.
    Unscheduled = "unscheduled",
    /// Requests of one webhook-id had different bodies.
    Body = "body",
    /// More requests were repeated than may be.
    Repeats = "repeats",
}

/// One thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Which invariant.
    pub what: What,
    /// Whose.
    pub uuid: Option<Box<str>>,
    /// Of which delivery.
    pub webhook_id: Option<DeliveryId>,
    /// Where: the topic.
    pub topic: Option<Box<str>>,
    /// The partition.
    pub partition: Option<i32>,
    /// The offset.
    pub offset: Option<i64>,
    /// What was seen, and what should have been.
    pub says: String,
}

impl Violation {
    pub(super) fn new(what: What, says: String) -> Self {
        let (uuid, webhook_id, topic, partition, offset) = (None, None, None, None, None);
        Self { what, uuid, webhook_id, topic, partition, offset, says }
    }

    pub(super) fn of(self, uuid: &str) -> Self {
        Self { uuid: Some(uuid.into()), ..self }
    }

    pub(super) fn about(self, id: DeliveryId) -> Self {
        Self { webhook_id: Some(id), ..self }
    }

    pub(super) fn at(self, place: Spot<'_>) -> Self {
        let (partition, offset) = (Some(place.partition), place.offset);
        Self { topic: Some(place.topic.into()), partition, offset, ..self }
    }
}

/// So many are kept; a report of more would be read by nobody.
const VIOLATIONS_MAX: usize = 10_000;

/// The violations so far.
#[derive(Default)]
pub(super) struct Book {
    pub(super) violations: Vec<Violation>,
    pub(super) more: u64,
}

impl Book {
    pub(super) fn note(&mut self, violation: Violation) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(violation);
        } else {
            self.more += 1;
        }
    }
}

/// A time as sentences show it.
pub(super) fn shown(at: Timestamp) -> String {
    crate::codec::event::rfc3339(at)
}

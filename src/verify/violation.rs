//! Violations and their places.

use super::Spot;
use crate::domain::{DeliveryId, Timestamp};

macro_rules! words {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)+) => {
        /// The kind of a violation: the invariant that is broken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum What { $($(#[$doc])* $variant,)+ }

        impl What {
            /// All kinds of violations.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the word that reports use.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

words! {
    /// A record was read, and no event reports its result.
    Lost = "lost",
    /// Kafka deleted a record before it was read.
    Missed = "missed",
    /// Something happened twice that must happen once.
    Twice = "twice",
    /// An event does not follow from those before it.
    Order = "order",
    /// Phase 2 was attempted before the end of phase 1.
    Early = "early",
    /// An event is about something that does not exist.
    UnexplainedEvent = "unexplained_event",
    /// A row of the changelog does not match the events.
    UnexplainedState = "unexplained_state",
    /// Dead letters and their events differ.
    DeadLetter = "dead_letter",
    /// The changelog and the group's offsets differ.
    Offsets = "offsets",
    /// A position or a row belongs to another topic, changelog, cluster or group.
    Identity = "identity",
    /// A row is in a partition that does not own it.
    Partition = "partition",
    /// A record of one of the daemon's own topics can't be decoded.
    Unreadable = "unreadable",
    /// The store does not match the changelog.
    Store = "store",
    /// A row waits for something that can't happen.
    Stuck = "stuck",
    /// Something that is due waits.
    Overdue = "overdue",
    /// A record was not read.
    Unread = "unread",
    /// An event reports a delivery that the receiver has not seen.
    Unseen = "unseen",
    /// The receiver has seen a delivery that no event mentions.
    Unscheduled = "unscheduled",
    /// Requests of one webhook-id had different bodies.
    Body = "body",
    /// More requests were repeated than the options allow.
    Repeats = "repeats",
}

/// One contradiction in the evidence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The kind of the violation.
    pub what: What,
    /// The uuid, if the violation is about one.
    pub uuid: Option<Box<str>>,
    /// The delivery, if the violation is about one.
    pub webhook_id: Option<DeliveryId>,
    /// The topic of the place, where it is known.
    pub topic: Option<Box<str>>,
    /// The partition of the place, where it is known.
    pub partition: Option<i32>,
    /// The offset of the place, where it is known.
    pub offset: Option<i64>,
    /// A description of what was found, and what was expected.
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

/// The maximum number of violations that are kept. A longer report would not be read.
const VIOLATIONS_MAX: usize = 10_000;

/// Collects the violations, and counts those beyond the maximum.
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

/// Formats a time for a sentence.
pub(super) fn shown(at: Timestamp) -> String {
    crate::codec::event::rfc3339(at)
}

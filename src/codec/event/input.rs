//! What happens to an input partition, or to the configuration. These events belong to no phonon-uuid; their key is the topic's
//! name, or the instance's.

use super::super::row::TopicId;
use super::open;
use crate::domain::Timestamp;
use crate::json::Object;
use std::sync::Arc;

/// What happens to an input partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputEvent {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// What happened.
    pub change: InputChange,
}

impl InputEvent {
    /// Where the partition is read from now on.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        match &self.change {
            InputChange::Recreated { offset, .. } => *offset,
            InputChange::Missed { to, .. } | InputChange::Moved { to, .. } => *to,
        }
    }
}

/// What happened to an input partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputChange {
    /// The topic was deleted and created again: offsets count anew.
    Recreated {
        /// The id of the topic that was read before; `None`: it had none, and its records are gone.
        former: Option<TopicId>,
        /// The id of the topic now.
        id: Option<TopicId>,
        /// How far the former topic was read.
        former_offset: i64,
        /// Where the topic is read from.
        offset: i64,
    },
    /// Kafka deleted records before they were read.
    Missed {
        /// The first offset that is missing.
        from: i64,
        /// The first offset that there is.
        to: i64,
    },
    /// An operator has moved the position, or another program the group's offset.
    Moved {
        /// Where it would have been read on.
        from: i64,
        /// Where it is read on.
        to: i64,
        /// How.
        by: MovedBy,
    },
}

/// How a position is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovedBy {
    /// `ringback offsets skip`
    Skip,
    /// `ringback offsets reset`
    Reset,
    /// Kafka's own tool, or another program, moved the group's offset back.
    Group,
}

impl MovedBy {
    /// As it stands in the event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Reset => "reset",
            Self::Group => "group",
        }
    }
}

/// So much of what is wrong with a configuration stands in an event.
const DETAIL_BYTES_MAX: usize = 4096;

/// What came of reading the configuration again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadEvent {
    /// It is wrong, and what was in force stays so; why, for people.
    Refused(String),
    /// It is in force but for these keys, which need a restart.
    RestartNeeded(Vec<String>),
}

impl ReloadEvent {
    /// It is wrong, and `detail` says why: so much of it as an event holds.
    #[must_use]
    pub fn refused(detail: &str) -> Self {
        let end = detail.floor_char_boundary(DETAIL_BYTES_MAX);
        Self::Refused(detail.get(..end).unwrap_or("").to_owned())
    }
}

/// Appends the published JSON of `event`, which happened to the instance `instance`.
pub fn write_reload_event(out: &mut Vec<u8>, at: Timestamp, instance: &str, event: &ReloadEvent) {
    match event {
        ReloadEvent::Refused(detail) => {
            let mut object = open(out, "reload_refused", None, None, at);
            object.text("instance", instance);
            object.text("detail", detail);
            object.close();
        }
        ReloadEvent::RestartNeeded(keys) => {
            let mut object = open(out, "restart_needed", None, None, at);
            object.text("instance", instance);
            object.texts("keys", keys.iter().map(String::as_str));
            object.close();
        }
    }
}

/// Appends the published JSON of `event`.
pub fn write_input_event(out: &mut Vec<u8>, at: Timestamp, event: &InputEvent) {
    let begin = |out, kind| {
        let mut object: Object<'_> = open(out, kind, None, None, at);
        object.text("topic", &event.topic);
        object.integer("partition", i64::from(event.partition));
        object
    };
    match &event.change {
        InputChange::Recreated { former, id, former_offset, offset } => {
            let mut object = begin(out, "input_recreated");
            if let Some(former) = former {
                object.text("former_topic_id", former.as_str());
            }
            if let Some(id) = id {
                object.text("topic_id", id.as_str());
            }
            object.integer("former_offset", *former_offset);
            object.integer("offset", *offset);
            object.close();
        }
        InputChange::Missed { from, to } => {
            let mut object = begin(out, "records_missed");
            object.integer("from_offset", *from);
            object.integer("to_offset", *to);
            object.integer("records", (to - from).max(0));
            object.close();
        }
        InputChange::Moved { from, to, by } => {
            let mut object = begin(out, "offsets_moved");
            object.integer("from_offset", *from);
            object.integer("to_offset", *to);
            object.text("by", by.as_str());
            object.close();
        }
    }
}

//! Events of input partitions and of the configuration. They belong to no phonon-uuid. Their key is the name of the
//! topic, or the id of the instance.

use super::super::row::TopicId;
use super::members::Members;
use super::open;
use crate::domain::Timestamp;
use crate::json::Object;
use std::borrow::Cow;
use std::sync::Arc;

/// An event of an input partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputEvent {
    pub topic: Arc<str>,
    pub partition: i32,
    pub change: InputChange,
}

impl InputEvent {
    /// Returns the offset from which the partition is read now.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        match &self.change {
            InputChange::Recreated { offset, .. } => *offset,
            InputChange::Missed { to, .. } | InputChange::Moved { to, .. } => *to,
        }
    }
}

/// A change of an input partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputChange {
    /// The topic was deleted and created again, so that its offsets start again.
    Recreated {
        /// The id of the former topic; `None` if it had none. Then its missing records showed the change.
        former: Option<TopicId>,
        /// The id of the new topic.
        id: Option<TopicId>,
        /// The position in the former topic.
        former_offset: i64,
        /// The offset from which the new topic is read.
        offset: i64,
    },
    /// Kafka deleted records before they were read.
    Missed {
        /// The first offset that is missing.
        from: i64,
        /// The first offset that exists.
        to: i64,
    },
    /// An operator moved the position, or another program moved the group's offset.
    Moved {
        /// The position before the move.
        from: i64,
        /// The position after the move.
        to: i64,
        by: MovedBy,
    },
}

/// How a position was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovedBy {
    /// An operator moved the position with `ringback offsets skip`.
    Skip,
    /// An operator moved the position with `ringback offsets reset`.
    Reset,
    /// Kafka's own tool, or another program, moved the group's offset back.
    Group,
}

impl MovedBy {
    /// All variants, in declaration order.
    pub const ALL: [Self; 3] = [Self::Skip, Self::Reset, Self::Group];

    /// Returns the word that events use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Reset => "reset",
            Self::Group => "group",
        }
    }
}

/// The longest explanation in an event about a wrong configuration, in bytes.
const DETAIL_BYTES_MAX: usize = 4096;

/// The result of reloading the configuration, if there is something to report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadEvent {
    /// The new configuration is wrong, for this reason. The former one stays in force.
    Refused(String),
    /// The new configuration is in force, except for these keys, which need a restart.
    RestartNeeded(Vec<String>),
}

/// Returns the beginning of `detail` that an event may contain.
pub(super) fn bounded(detail: &str) -> &str {
    detail.get(..detail.floor_char_boundary(DETAIL_BYTES_MAX)).unwrap_or_default()
}

impl ReloadEvent {
    /// Returns the event of a wrong configuration. `detail` is cut to the length that an event may have.
    #[must_use]
    pub fn refused(detail: &str) -> Self {
        Self::Refused(bounded(detail).to_owned())
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

/// Reads an event of an input partition. Returns `None` if a member is missing.
pub(super) fn read_input_event(members: Members<'_>) -> Option<InputEvent> {
    let range = members.from_offset.zip(members.to_offset);
    let id = |text: Option<Cow<'_, str>>| text.map(|text| TopicId::from(&*text));
    let change = match &*members.kind {
        "input_recreated" => InputChange::Recreated {
            former: id(members.former_topic_id),
            id: id(members.topic_id),
            former_offset: members.former_offset?,
            offset: members.offset?,
        },
        "records_missed" => {
            let (from, to) = range?;
            InputChange::Missed { from, to }
        }
        _ => {
            let (from, to) = range?;
            let word = members.by.unwrap_or_default();
            // A way that a later version writes counts as that of another program.
            let by = MovedBy::ALL.into_iter().find(|by| by.as_str() == word);
            InputChange::Moved { from, to, by: by.unwrap_or(MovedBy::Group) }
        }
    };
    let (topic, partition) = (members.topic?.as_ref().into(), members.partition?);
    Some(InputEvent { topic, partition, change })
}

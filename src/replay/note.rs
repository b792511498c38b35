//! The note that a run stores beside its committed offsets. A broker keeps a few thousand bytes for each partition.

use super::{Filter, When};
use crate::domain::Timestamp;
use serde::{Deserialize, Serialize};

/// The numbers of letters that a run has passed, by their result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Passed {
    /// Letters that were sent.
    pub replayed: u64,
    /// Letters that were skipped because their delivery was delivered since.
    pub delivered: u64,
    /// Letters that were skipped because their delivery has a newer letter.
    pub older: u64,
    /// Letters that were skipped because their replay was sent before.
    pub sent: u64,
    /// Letters that can't be replayed.
    pub unfit: u64,
}

/// The note for one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The offset at which the run began in the partition.
    pub start: i64,
    /// The offset at which the run will end in the partition.
    pub end: i64,
    /// The time that `--since` meant when the run began.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since_ms: Option<i64>,
    /// The time that `--until` meant when the run began.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until_ms: Option<i64>,
    /// Whether the run has finished: then the next call begins another run.
    pub done: bool,
    /// The numbers of letters in all partitions.
    pub passed: Passed,
}

impl Note {
    /// Parses a note. Returns `None` if the text is no note.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Returns the note as text.
    #[must_use]
    pub fn write(&self) -> String {
        // This can't fail: JSON can express numbers and a boolean.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Returns the filter with the times that it meant when the run began.
    #[must_use]
    pub fn filter(&self, filter: &Filter) -> Filter {
        let kept = |when: &Option<When>, ms: Option<i64>| {
            when.clone().map(|when| When { at: ms.map_or(when.at, Timestamp::from_ms), ..when })
        };
        Filter {
            since: kept(&filter.since, self.since_ms),
            until: kept(&filter.until, self.until_ms),
            ..filter.clone()
        }
    }
}

//! What a run says of itself beside its offsets: a broker keeps a few thousand bytes for each partition.

use super::{Filter, When};
use crate::domain::Timestamp;
use serde::{Deserialize, Serialize};

/// How many letters a run has passed by, by what became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Passed {
    /// Sent after all.
    pub replayed: u64,
    /// Delivered since.
    pub delivered: u64,
    /// Of deliveries that have a newer letter.
    pub older: u64,
    /// Whose replay was sent before.
    pub sent: u64,
    /// That can't be replayed.
    pub unfit: u64,
}

/// The note beside the offset of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Where the run began in the partition.
    pub start: i64,
    /// Where it will end there.
    pub end: i64,
    /// `--since`, as it was when the run began.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since_ms: Option<i64>,
    /// `--until`, likewise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until_ms: Option<i64>,
    /// It has finished: the next call begins another run.
    pub done: bool,
    /// In all partitions.
    pub passed: Passed,
}

impl Note {
    /// The note that `text` spells.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The note as text.
    #[must_use]
    pub fn write(&self) -> String {
        // Numbers and a boolean: there is nothing that JSON could not express.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The filter with the times that the run began with.
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

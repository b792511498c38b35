//! The faults of an answer.

use crate::json::TextFault;
use thiserror::Error;

/// The reason why an answer was not mapped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MapFault {
    /// The answer is not of its type (`INVALID_RESPONSE`).
    #[error("the answer cannot be read: {detail}")]
    Unreadable {
        /// The fault and its place. It quotes nothing of the answer.
        detail: String,
    },
    /// A mandatory entry is missing (`INVALID_RESPONSE_MAP`).
    #[error("entry {entry} of the map is mandatory, but the answer has no value at {path}")]
    Missing {
        /// The index of the entry, from 0.
        entry: usize,
        /// Its path, as it is written.
        path: String,
    },
    /// A value, mandatory or not, is longer than [`super::VALUE_MAX`] (`INVALID_RESPONSE_MAP`).
    #[error("entry {entry} of the map finds a value that is longer than 64 KiB")]
    TooLong {
        /// The index of the entry, from 0.
        entry: usize,
    },
    /// The XPaths up to this one exceed the limit of work on one answer (`INVALID_RESPONSE_MAP`).
    #[error("entry {entry} of the map takes too many steps on this answer")]
    TooCostly {
        /// The index of the entry, from 0.
        entry: usize,
    },
}

impl From<TextFault> for MapFault {
    fn from(fault: TextFault) -> Self {
        Self::Unreadable { detail: fault.to_string() }
    }
}

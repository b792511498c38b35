//! What can be wrong: with a path when it is loaded, with an answer when it comes.

use super::{ENTRIES_MAX, PATH_MAX};
use thiserror::Error;

/// Why a path cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("column {column}: {problem}; {mend}")]
pub struct PathFault {
    /// Where in the path, in characters from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: String,
    /// What to write instead.
    pub mend: String,
}

impl PathFault {
    pub(super) fn new(column: usize, problem: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { column, problem: problem.into(), mend: mend.into() }
    }

    pub(super) fn too_many_entries() -> Self {
        Self::new(1, format!("more than {ENTRIES_MAX} entries"), "map fewer values")
    }

    /// Refuses a path that is longer than any that is meant.
    pub(super) fn check_length(path: &str) -> Result<(), Self> {
        if path.chars().nth(PATH_MAX).is_none() {
            return Ok(());
        }
        let problem = format!("longer than {PATH_MAX} characters");
        Err(Self::new(PATH_MAX + 1, problem, "shorten the path"))
    }
}

/// Why a text is not the JSON or XML that it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{problem} (line {line}, column {column})")]
pub struct TextFault {
    /// From 1.
    pub line: usize,
    /// In characters from 1.
    pub column: usize,
    /// What is wrong there. It quotes nothing of the text.
    pub problem: &'static str,
}

impl TextFault {
    /// A fault at byte `at` of `text`. What comes before it and is not UTF-8 counts as one character per broken sequence.
    pub(super) fn at(text: &[u8], at: usize, problem: &'static str) -> Self {
        let before = text.get(..at.min(text.len())).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default());
        Self { line, column: 1 + column.chars().count(), problem }
    }
}

/// Why an answer was not mapped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MapFault {
    /// The answer is not of its type (`INVALID_RESPONSE`).
    #[error("the answer cannot be read: {detail}")]
    Unreadable {
        /// What is wrong, and where. It quotes nothing of the answer.
        detail: String,
    },
    /// A mandatory entry is not there (`INVALID_RESPONSE_MAP`).
    #[error("entry {entry} of the map is mandatory, and the answer has nothing at {path}")]
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
    /// The XPaths, up to this one, take more work on this answer than an answer is worth (`INVALID_RESPONSE_MAP`).
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

//! Why a text is not what it should be, and where in it.

use thiserror::Error;

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
    pub(crate) fn at(text: &[u8], at: usize, problem: &'static str) -> Self {
        let before = text.get(..at.min(text.len())).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default());
        Self { line, column: 1 + column.chars().count(), problem }
    }
}

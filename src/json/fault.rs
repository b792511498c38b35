//! A fault in a text, with its place.

use thiserror::Error;

/// The reason why a text is not valid JSON or XML.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{problem} (line {line}, column {column})")]
pub struct TextFault {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// A description of the fault. It quotes nothing of the text.
    pub problem: &'static str,
}

impl TextFault {
    /// Creates a fault at byte `at` of `text`. Each broken UTF-8 sequence before it counts as one character.
    pub(crate) fn at(text: &[u8], at: usize, problem: &'static str) -> Self {
        let before = text.get(..at.min(text.len())).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default());
        Self { line, column: 1 + column.chars().count(), problem }
    }
}

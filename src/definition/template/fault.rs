//! The faults of a template: the place, the problem, and how to correct it.

use super::TEXT_BYTES_MAX;
use thiserror::Error;

/// The most faults that are reported at once.
const FAULTS_MAX: usize = 100;

/// A fault that the author of a template has to correct.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {problem}; {fix}")]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// A description of the fault.
    pub problem: String,
    /// How to correct it.
    pub fix: String,
}

/// Returns the line and column, both from 1, of the byte at `offset` of `text`. Columns count characters.
#[must_use]
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let (before, _) = text.split_at_checked(text.floor_char_boundary(offset)).unwrap_or((text, ""));
    let mut position = Position::default();
    position.advance(before);
    (position.line, position.column)
}

/// The line and column behind the text that was passed so far.
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Default for Position {
    fn default() -> Self {
        Self { line: 1, column: 1 }
    }
}

impl Position {
    pub(super) fn advance(&mut self, text: &str) {
        for character in text.chars() {
            if character == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
    }
}

/// The faults of one text that are found so far.
pub(super) struct Faults<'t> {
    text: &'t str,
    found: Vec<Fault>,
}

impl<'t> Faults<'t> {
    /// Creates an empty list for `text`. Refuses a text that is too long.
    pub(super) fn of(text: &'t str) -> Result<Self, Vec<Fault>> {
        if text.len() <= TEXT_BYTES_MAX {
            return Ok(Self { text, found: Vec::new() });
        }
        let (line, column) = position(text, TEXT_BYTES_MAX);
        let problem = format!("the template is {} bytes long", text.len());
        let fix = format!("at most {TEXT_BYTES_MAX} bytes are allowed");
        Err(vec![Fault { line, column, problem, fix }])
    }

    pub(super) fn add(&mut self, at: usize, problem: impl Into<String>, fix: impl Into<String>) {
        if !self.is_full() {
            let (line, column) = position(self.text, at);
            self.add_at(line, column, problem, fix);
        }
    }

    /// Adds a fault, unless its position has one already: the first one found is more exact.
    pub(super) fn add_at(
        &mut self,
        line: usize,
        column: usize,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let known = self.found.iter().any(|fault| (fault.line, fault.column) == (line, column));
        if !known && !self.is_full() {
            self.found.push(Fault { line, column, problem: problem.into(), fix: fix.into() });
        }
    }

    /// Returns whether further faults would not be reported, so that the search for them can stop.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= FAULTS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Returns `done` if there are no faults, or all faults in the order of the text.
    pub(super) fn finish<T>(mut self, done: T) -> Result<T, Vec<Fault>> {
        if self.found.is_empty() {
            return Ok(done);
        }
        self.found.sort_by_key(|fault| (fault.line, fault.column));
        Err(self.found)
    }
}

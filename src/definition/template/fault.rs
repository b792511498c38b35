//! What is wrong with a template: where, what, and how to mend it.

use super::TEXT_BYTES_MAX;
use thiserror::Error;

/// More faults than this are not told at once.
const FAULTS_MAX: usize = 100;

/// A longer word is not compared with others.
const WORD_BYTES_MAX: usize = 64;

/// Something that the author of a template has to mend.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {problem}; {mend}")]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub mend: String,
}

/// Line and column, both from 1, of the byte at `offset` of `text`; columns count characters.
#[must_use]
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let (before, _) = text.split_at_checked(text.floor_char_boundary(offset)).unwrap_or((text, ""));
    let mut position = Position::default();
    position.advance(before);
    (position.line, position.column)
}

/// Line and column of what follows the text seen so far.
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

/// The faults of one text, found so far.
pub(super) struct Faults<'t> {
    text: &'t str,
    found: Vec<Fault>,
}

impl<'t> Faults<'t> {
    /// Of `text`, which is refused at once when it is too long.
    pub(super) fn of(text: &'t str) -> Result<Self, Vec<Fault>> {
        if text.len() <= TEXT_BYTES_MAX {
            return Ok(Self { text, found: Vec::new() });
        }
        let (line, column) = position(text, TEXT_BYTES_MAX);
        let problem = format!("the template is {} bytes long", text.len());
        let mend = format!("at most {TEXT_BYTES_MAX} bytes are allowed");
        Err(vec![Fault { line, column, problem, mend }])
    }

    pub(super) fn add(&mut self, at: usize, problem: impl Into<String>, mend: impl Into<String>) {
        if !self.is_full() {
            let (line, column) = position(self.text, at);
            self.add_at(line, column, problem, mend);
        }
    }

    /// One position has one fault: what is found first is the more exact one.
    pub(super) fn add_at(
        &mut self,
        line: usize,
        column: usize,
        problem: impl Into<String>,
        mend: impl Into<String>,
    ) {
        let known = self.found.iter().any(|fault| (fault.line, fault.column) == (line, column));
        if !known && !self.is_full() {
            self.found.push(Fault { line, column, problem: problem.into(), mend: mend.into() });
        }
    }

    /// Whether further faults would not be told, so that there is no use in looking for them.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= FAULTS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// `done`, or all faults in the text's order.
    pub(super) fn finish<T>(mut self, done: T) -> Result<T, Vec<Fault>> {
        if self.found.is_empty() {
            return Ok(done);
        }
        self.found.sort_by_key(|fault| (fault.line, fault.column));
        Err(self.found)
    }
}

/// The candidate that `word` most likely means.
pub(super) fn nearest<'c>(
    word: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let word = word.to_ascii_lowercase();
    candidates
        .filter(|candidate| candidate.len() <= WORD_BYTES_MAX)
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        // A third of the letters may be wrong, and one of the shortest names.
        .filter(|(distance, candidate)| *distance <= 1.max(candidate.len().max(word.len()) / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

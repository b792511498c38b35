//! The fault of a path, with its place.

use thiserror::Error;

/// The longest path, in characters.
pub const PATH_MAX: usize = 4_096;

/// The longest word that is compared with others, in bytes.
const WORD_BYTES_MAX: usize = 64;

/// The reason why a path can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("column {column}: {problem}; {fix}")]
pub struct PathFault {
    /// The column in the path, in characters from 1.
    pub column: usize,
    /// A description of the fault.
    pub problem: String,
    /// How to correct it.
    pub fix: String,
}

impl PathFault {
    pub(crate) fn new(column: usize, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { column, problem: problem.into(), fix: fix.into() }
    }

    /// Refuses a path that is longer than [`PATH_MAX`].
    pub(crate) fn check_length(path: &str) -> Result<(), Self> {
        if path.chars().nth(PATH_MAX).is_none() {
            return Ok(());
        }
        let problem = format!("longer than {PATH_MAX} characters");
        Err(Self::new(PATH_MAX + 1, problem, "shorten the path"))
    }
}

/// Returns the candidate that `word` most likely means.
pub fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let word = word.to_lowercase();
    candidates
        .filter(|candidate| candidate.len() <= WORD_BYTES_MAX)
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        // A third of the letters may be wrong, and at least one.
        .filter(|(distance, candidate)| *distance <= 1.max(candidate.len().max(word.len()) / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

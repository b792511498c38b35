//! Why a path cannot be used, and where in it.

use thiserror::Error;

/// The longest path, in characters.
pub const PATH_MAX: usize = 4_096;

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
    pub(crate) fn new(column: usize, problem: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { column, problem: problem.into(), mend: mend.into() }
    }

    /// Refuses a path that is longer than any that is meant.
    pub(crate) fn check_length(path: &str) -> Result<(), Self> {
        if path.chars().nth(PATH_MAX).is_none() {
            return Ok(());
        }
        let problem = format!("longer than {PATH_MAX} characters");
        Err(Self::new(PATH_MAX + 1, problem, "shorten the path"))
    }
}

//! What is wrong with a configuration, and how to mend it.

use crate::telemetry::escape::one_line;
use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file at fault; `environment` when an environment variable is.
    pub file: PathBuf,
    /// Where in the file, counted from 1.
    pub line: Option<usize>,
    /// Which key, with its section: `kafka.bootstrap_servers`, `webhook[crm].url`.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
    /// How to mend it.
    pub mend: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A quoted key may hold line breaks, and so may a file's name.
        write!(f, "{}", one_line(&self.file.to_string_lossy()))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        for part in [&self.key, &self.problem] {
            if !part.is_empty() {
                write!(f, ": {}", one_line(part))?;
            }
        }
        if !self.mend.is_empty() {
            write!(f, "; {}", one_line(&self.mend))?;
        }
        Ok(())
    }
}

/// Everything that is wrong, in the order of the files; never empty when it is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// `value` if there are no faults, else all of them, by file and line.
    pub(super) fn or<T>(mut faults: Vec<Fault>, value: T) -> Result<T, Self> {
        if faults.is_empty() {
            return Ok(value);
        }
        // Stable: faults of one line stay in the order in which they were found.
        faults.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        Err(Self(faults))
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

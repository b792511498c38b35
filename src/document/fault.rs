//! Faults of a configuration, each with its fix, and warnings.

use super::origin::Origin;
use crate::telemetry::escape::one_line;
use std::fmt;
use std::path::Path;

/// A fault of the configuration: its origin, the problem and the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The origin of the value.
    pub origin: Origin,
    /// The key with its section, such as `kafka.bootstrap_servers` or `webhook[crm].url`.
    pub key: String,
    pub problem: String,
    /// How to fix it.
    pub fix: String,
}

impl Fault {
    /// Returns the fault of a key that `file` does not contain.
    #[must_use]
    pub fn missing(file: &Path, key: &str, fix: &str) -> Self {
        Self {
            origin: Origin::File(file.into()),
            key: key.to_owned(),
            problem: "is missing".to_owned(),
            fix: fix.to_owned(),
        }
    }

    /// Writes the fault on one line. `kind` follows the origin.
    fn write(&self, f: &mut fmt::Formatter<'_>, kind: &str) -> fmt::Result {
        write!(f, "{}", self.origin)?;
        // A quoted key may contain line breaks.
        for part in [kind, &self.key, &self.problem] {
            if !part.is_empty() {
                write!(f, ": {}", one_line(part))?;
            }
        }
        if !self.fix.is_empty() {
            write!(f, "; {}", one_line(&self.fix))?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "")
    }
}

/// Something that works but should be changed, such as a key that no longer has an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(pub Fault);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, "warning")
    }
}

impl Warning {
    /// Sorts `warnings` by file and line.
    pub(crate) fn sort(warnings: &mut [Self]) {
        warnings.sort_by(|Self(a), Self(b)| a.origin.rank().cmp(&b.origin.rank()));
    }
}

/// An explanation of what is valid, for those who check a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(pub Fault);

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, "note")
    }
}

/// All faults in the order of the files. Never empty if it is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// Returns `value` if there are no faults, or all of them, sorted by file and line.
    pub(crate) fn or<T>(mut faults: Vec<Fault>, value: T) -> Result<T, Self> {
        if faults.is_empty() {
            return Ok(value);
        }
        // The sort is stable: faults of one line stay in the order in which they were found.
        faults.sort_by(|a, b| a.origin.rank().cmp(&b.origin.rank()));
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

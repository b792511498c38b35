//! The limit of open files that the system sets for this process, and its division among the daemon's parts.
//!
//! Sockets count as files. A process without a free descriptor can't call an endpoint, answer `/livez`, or read its
//! store. So the daemon raises the limit to its maximum, divides it among the parts, and checks how many descriptors
//! are free while they are short.

mod plan;

pub use plan::{FileNeeds, FilePlan, TooFewFiles, for_admin, for_look_ups, for_store};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// The descriptors that stay free for the store, the admin listener and Kafka when deliveries run short. The number is
/// lower than the reserve of a [`FilePlan`], so that a daemon that uses its whole plan is not short.
const SPARE: u64 = 16;

/// The limits of open files (`RLIMIT_NOFILE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// The limit in force.
    pub soft: u64,
    /// The maximum to which the process may raise the soft limit.
    pub hard: u64,
}

impl OpenFiles {
    /// Returns the current limits. An operator may change them while the process runs.
    #[must_use]
    pub fn now() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        Self { soft: current.unwrap_or(u64::MAX), hard: maximum.unwrap_or(u64::MAX) }
    }

    /// Raises the soft limit to the hard one, and returns the limits then in force.
    ///
    /// # Errors
    /// The system refuses, for example in a sandbox. The limits do not change.
    pub fn raise() -> io::Result<Self> {
        let limit = getrlimit(Resource::Nofile);
        if limit.current != limit.maximum {
            setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
        }
        Ok(Self::now())
    }
}

/// Opens a file that can be closed when its descriptor is needed.
///
/// # Errors
/// The process has no free descriptor.
pub fn spare_file() -> io::Result<File> {
    // `/` exists in every process's file system.
    File::open("/")
}

/// Returns whether the process has so few free descriptors that work which can wait must not use them.
#[must_use]
pub fn is_short_of_files() -> bool {
    let limit = OpenFiles::now().soft;
    // The system assigns the lowest free number. A number near the limit means that those below are in use.
    spare_file().map_or(true, |file| {
        let number = u64::try_from(file.as_raw_fd()).unwrap_or(0);
        number.saturating_add(SPARE.min(limit / 16)) >= limit
    })
}

/// Returns advice about too few open files, for an error or a log line.
#[must_use]
pub fn open_files_advice() -> String {
    let OpenFiles { soft, hard } = OpenFiles::now();
    format!(
        "open files: soft limit {soft}, hard limit {hard} (RLIMIT_NOFILE); raise LimitNOFILE= of the systemd unit, \
         `--ulimit nofile=` of the container or `ulimit -n` of the shell, or lower [delivery] in_flight_max"
    )
}

#[cfg(test)]
mod tests;

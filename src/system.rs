//! What the operating system allows this process: how many files it may have open, and what that suffices for.
//!
//! Sockets are files too. Whoever has none left can't call an endpoint, can't answer `/livez`, and can't read its own store; so
//! the limit is raised as far as it goes, divided among those that need files, and asked for while it is short.

mod plan;

pub use plan::{FileNeeds, FilePlan, TooFewFiles, for_admin, for_look_ups, for_store};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// So few free descriptors are left to the store, the admin listener and Kafka while deliveries lack some; fewer than the
/// reserve of a [`FilePlan`], so that a daemon that uses all of its plan lacks none.
const SPARE: u64 = 16;

/// How many files the process may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// What counts.
    pub soft: u64,
    /// How far the process may raise that by itself.
    pub hard: u64,
}

impl OpenFiles {
    /// The limits as they are now: an operator may change them while the process runs.
    #[must_use]
    pub fn now() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        Self { soft: current.unwrap_or(u64::MAX), hard: maximum.unwrap_or(u64::MAX) }
    }

    /// Raises the soft limit to the hard one, and returns the limits that are in force then.
    ///
    /// # Errors
    /// When the system refuses, as a sandbox may do; the limits stay as they are.
    pub fn raise() -> io::Result<Self> {
        let limit = getrlimit(Resource::Nofile);
        if limit.current != limit.maximum {
            setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
        }
        Ok(Self::now())
    }
}

/// A descriptor that can be closed when another one is needed.
///
/// # Errors
/// When there is none left.
pub fn spare_file() -> io::Result<File> {
    // The one path that exists wherever a process runs.
    File::open("/")
}

/// Whether the process has so few descriptors left that none may be used for what can wait.
#[must_use]
pub fn is_short_of_files() -> bool {
    let limit = OpenFiles::now().soft;
    // The system hands out the lowest free number: one near the limit means that those below are taken.
    spare_file().map_or(true, |file| {
        let number = u64::try_from(file.as_raw_fd()).unwrap_or(0);
        number.saturating_add(SPARE.min(limit / 16)) >= limit
    })
}

/// What to do about too few open files, for an error or a log line.
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

//! Moves a store out of the way with all its content, and deletes nothing of it.
//!
//! If possible, the whole directory is renamed: `data` becomes `data.damaged-20260131T120000.000Z` beside it. That is
//! impossible if the directory is a mount point or a link, or if it also holds other files. It is also impossible if
//! the daemon may not change the parent. Then the store's files are moved into a directory of that name inside it,
//! `data/damaged-20260131T120000.000Z`. This takes several steps. A [`Mark`] exists from before the first step until
//! after the last, and the next start continues the move.

use super::StoreError;
use super::damage::{MARK, Mark, NOTE};
use crate::codec::event::{parse_rfc3339, rfc3339};
use crate::domain::Timestamp;
use crate::failpoint::{self, Failpoint};
use rustix::fs::{FlockOperation, fcntl_lock};
use std::ffi::OsString;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The reason for which a store was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Damaged,
    /// An operator replaces it by another one.
    Replaced,
}

impl Why {
    /// All variants, in declaration order.
    pub const ALL: [Self; 2] = [Self::Damaged, Self::Replaced];

    /// Returns the word in the name of the copy's directory.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Replaced => "replaced",
        }
    }
}

/// A store that was set aside just now.
#[derive(Debug)]
pub struct SetAside {
    /// The path of the copy.
    pub copy: PathBuf,
    /// The reason. A move that was begun earlier keeps its first reason.
    pub why: Why,
    /// While this lock is held, no process can open the copy. Nor can a process that opened the lock file earlier use
    /// the new store in its place.
    _lock: std::fs::File,
}

/// A store that was set aside at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// The path of the copy.
    pub path: PathBuf,
    pub why: Why,
    /// The time at which it was set aside.
    pub at: Timestamp,
}

/// The kind of a file in a store's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum File {
    /// Names the present manifest.
    Current,
    Manifest,
    Table,
    Log,
    /// The process that has it locked has the store open.
    Lock,
    /// The mark of a damaged store or an unfinished move.
    Mark,
    /// Another file of the store.
    Other,
    /// A store that was set aside into the directory.
    Copy,
    /// A file that does not belong to a store.
    Foreign,
}

impl File {
    fn of(name: &str) -> Self {
        let numbered = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match name {
            "CURRENT" => return Self::Current,
            "LOCK" => return Self::Lock,
            MARK => return Self::Mark,
            "IDENTITY" | "LOG" | "scratch" | NOTE => return Self::Other,
            _ => {}
        }
        if let Some((number, kind)) = name.split_once('.')
            && numbered(number)
        {
            return match kind {
                "sst" => Self::Table,
                "log" => Self::Log,
                "blob" | "dbtmp" => Self::Other,
                _ => Self::Foreign,
            };
        }
        if name.strip_prefix("MANIFEST-").is_some_and(numbered) {
            return Self::Manifest;
        }
        let others = ["LOG.old", "OPTIONS-", "CURRENT.", "IDENTITY.", "MANIFEST-"];
        if others.iter().any(|prefix| name.starts_with(prefix)) || name == format!("{MARK}.new") {
            return Self::Other;
        }
        if copy_of(name).is_some() { Self::Copy } else { Self::Foreign }
    }
}

/// Returns the names and kinds of a directory's files, or nothing if the directory can't be read.
pub(super) fn files(directory: &Path) -> impl Iterator<Item = (OsString, File)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().map_while(Result::ok);
    entries.map(|entry| {
        let name = entry.file_name();
        let file = name.to_str().map_or(File::Foreign, File::of);
        (name, file)
    })
}

/// Sets the store in `directory` aside for the reason `why`, and keeps the text `says` with it. Afterwards the
/// directory has no store, and can be opened as a new one.
///
/// # Errors
/// There is no store, another process has it open, or it can't be moved.
pub fn set_aside(
    directory: &Path,
    why: Why,
    says: &str,
    now: Timestamp,
) -> Result<SetAside, StoreError> {
    if !files(directory).any(|(_, is)| matches!(is, File::Manifest | File::Table | File::Mark)) {
        return Err(StoreError::NoStore { directory: directory.to_owned(), says: says.to_owned() });
    }
    let failed = |copy: &Path, source: Error| StoreError::Aside {
        directory: directory.to_owned(),
        copy: copy.to_owned(),
        source,
    };
    let lock = lock(directory).map_err(|error| {
        if error.kind() == ErrorKind::WouldBlock {
            StoreError::Locked { directory: directory.to_owned() }
        } else {
            failed(directory, error)
        }
    })?;
    let begun = Mark::read(directory).and_then(|mark| mark.into);
    // Only a name of this module is accepted, since any other text could be a path to anywhere.
    let begun = begun.filter(|name| copy_of(name).is_some());
    if begun.is_none()
        && let Some(copy) = sibling(directory, why, now)
    {
        match rename(directory, &copy) {
            Ok(()) => {
                note(&copy, says, now);
                return Ok(SetAside { copy, why, _lock: lock });
            }
            Err(error) if wants_another_way(&error) => {}
            Err(error) => return Err(failed(&copy, error)),
        }
    }
    let name = begun.unwrap_or_else(|| free(now, |at| copy_name(why, at), directory));
    let why = copy_of(&name).map_or(why, |(why, _)| why);
    let copy = directory.join(&name);
    let mark = Mark { says: says.to_owned(), into: Some(name) };
    empty_into(directory, &copy, &mark, now).map_err(|error| failed(&copy, error))?;
    note(&copy, says, now);
    Ok(SetAside { copy, why, _lock: lock })
}

/// Leaves the finding in the copy, for operators. The copy gets no mark, because an operator may put it back.
fn note(copy: &Path, says: &str, now: Timestamp) {
    let mark = Mark { says: says.to_owned(), into: None };
    let written =
        mark.write(copy, now).and_then(|()| std::fs::rename(copy.join(MARK), copy.join(NOTE)));
    if let Err(error) = written {
        tracing::debug!(%error, "the reason can't be stored in the store that was set aside");
    }
}

/// Returns whether a process has the store open.
///
/// # Errors
/// The lock file can't be opened, or its state can't be determined.
pub fn is_open(directory: &Path) -> std::io::Result<bool> {
    if !directory.join("LOCK").exists() {
        return Ok(false);
    }
    match lock(directory) {
        Ok(_lock) => Ok(false),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}

/// Takes RocksDB's own lock. The lock belongs to the process, and ends with it.
fn lock(directory: &Path) -> std::io::Result<std::fs::File> {
    let path = directory.join("LOCK");
    let mut options = std::fs::File::options();
    let file = options.write(true).create(true).truncate(false).open(path)?;
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
        let error = Error::from(error);
        // Some systems report a taken lock with this error.
        let taken = error.kind() == ErrorKind::PermissionDenied;
        if taken { Error::from(ErrorKind::WouldBlock) } else { error }
    })?;
    Ok(file)
}

/// Returns a path for the copy beside the directory; `None`: the directory can't be renamed as a whole.
fn sibling(directory: &Path, why: Why, now: Timestamp) -> Option<PathBuf> {
    // The target of a link may be on another disk, and a copy in the directory is a store of its own.
    let is_plain = std::fs::symlink_metadata(directory).is_ok_and(|it| it.is_dir());
    let is_ours = |file| file != File::Foreign && file != File::Copy;
    if !is_plain || !files(directory).all(|(_, file)| is_ours(file)) {
        return None;
    }
    let (parent, own) = (parent(directory), directory.file_name()?.to_str()?);
    let name = free(now, |at| format!("{own}.{}", copy_name(why, at)), parent);
    Some(parent.join(name))
}

fn parent(directory: &Path) -> &Path {
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Renames the directory, and creates a new one with the same owner and permissions.
fn rename(directory: &Path, copy: &Path) -> std::io::Result<()> {
    let was = std::fs::metadata(directory)?;
    std::fs::rename(directory, copy)?;
    sync(parent(directory))?;
    std::fs::create_dir(directory)?;
    std::fs::set_permissions(directory, was.permissions())?;
    // Only root can change the owner. For any other user, the new directory already has the right one.
    let _ = std::os::unix::fs::chown(directory, Some(was.uid()), Some(was.gid()));
    sync(parent(directory))
}

/// Returns whether the error is that of a mount point, or of a parent that the daemon may not change.
fn wants_another_way(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ResourceBusy
            | ErrorKind::CrossesDevices
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
    )
}

/// Moves all files of the store into `copy`, the lock and the mark last.
fn empty_into(directory: &Path, copy: &Path, mark: &Mark, now: Timestamp) -> std::io::Result<()> {
    mark.write(directory, now)?;
    match std::fs::create_dir(copy) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let last = |file| (file == File::Lock, file == File::Mark);
    let mut ours: Vec<(OsString, File)> =
        files(directory).filter(|(_, file)| !matches!(file, File::Foreign | File::Copy)).collect();
    ours.sort_by_key(|(_, file)| last(*file));
    for (name, file) in ours {
        if file == File::Mark {
            // After the mark is moved, a crash must not bring any file of the store back.
            sync(copy)?;
            sync(directory)?;
        }
        let to = if file == File::Mark { copy.join(NOTE) } else { copy.join(&name) };
        std::fs::rename(directory.join(&name), to)?;
        failpoint::pass(Failpoint::Moving);
    }
    sync(copy)?;
    sync(directory)
}

/// Makes created, renamed and removed files of a directory durable.
pub(super) fn sync(directory: &Path) -> std::io::Result<()> {
    std::fs::File::open(directory)?.sync_all()
}

/// Formats a name such as `damaged-20260131T120000.000Z`.
fn copy_name(why: Why, at: Timestamp) -> String {
    let at: String = rfc3339(at).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{}-{at}", why.as_str())
}

fn copy_of(name: &str) -> Option<(Why, Timestamp)> {
    Why::ALL.into_iter().find_map(|why| {
        let at = name.strip_prefix(why.as_str())?.strip_prefix('-')?;
        let (date, time) = at.split_once('T')?;
        let date = [date.get(..4)?, date.get(4..6)?, date.get(6..)?].join("-");
        let time = [time.get(..2)?, time.get(2..4)?, time.get(4..)?].join(":");
        parse_rfc3339(&format!("{date}T{time}")).map(|at| (why, at))
    })
}

/// Returns the first name that does not exist yet.
fn free(now: Timestamp, name: impl Fn(Timestamp) -> String, directory: &Path) -> String {
    let names = (0..1000).map(|ms| name(now.plus_ms(ms)));
    let mut free = names.skip_while(|name| directory.join(name).symlink_metadata().is_ok());
    free.next().unwrap_or_else(|| name(now))
}

/// Returns the stores that were set aside from `directory`, the oldest first.
#[must_use]
pub fn copies(directory: &Path) -> Vec<Aside> {
    let own = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let prefix = format!("{own}.");
    let beside = names(parent(directory)).filter_map(|name| {
        let (why, at) = copy_of(name.strip_prefix(&prefix)?)?;
        Some(Aside { path: directory.with_file_name(name), why, at })
    });
    let within = names(directory).filter_map(|name| {
        let (why, at) = copy_of(&name)?;
        Some(Aside { path: directory.join(name), why, at })
    });
    let mut copies: Vec<Aside> = beside.chain(within).collect();
    copies.sort_by(|a, b| (a.at, &a.path).cmp(&(b.at, &b.path)));
    copies
}

fn names(directory: &Path) -> impl Iterator<Item = String> {
    files(directory).filter_map(|(name, _)| name.into_string().ok())
}

#[cfg(test)]
mod tests;

//! A store is moved out of the way, with all that it holds, and nothing of it is deleted.
//!
//! The whole directory is renamed where that can be done: `data` becomes `data.damaged-20260131T120000.000Z` beside it. Where
//! the directory is a mount point, a link, stands in one that the daemon may not change, or holds files of somebody else too,
//! the store's files are moved into a directory of that name in it, `data/damaged-20260131T120000.000Z`. That takes several
//! steps; a [`Mark`] says so from before the first until after the last, and whoever finds it goes on.

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

/// What a store was set aside as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is damaged.
    Damaged,
    /// An operator wants another one in its place.
    Replaced,
}

impl Why {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Damaged, Self::Replaced];

    /// The word in the name of its directory.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Replaced => "replaced",
        }
    }
}

/// A store that was moved out of the way just now.
#[derive(Debug)]
pub struct SetAside {
    /// Where it is.
    pub copy: PathBuf,
    /// What it was set aside as: a move that was begun before is ended as what it was begun.
    pub why: Why,
    /// As long as this is kept, nobody opens the copy, nor what stands in its place by a handle from before.
    _lock: std::fs::File,
}

/// A store that lies aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// Where it is.
    pub path: PathBuf,
    /// Why.
    pub why: Why,
    /// Since when.
    pub at: Timestamp,
}

/// What a file in a store's directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum File {
    /// It names the list of tables.
    Current,
    /// It lists the tables.
    Manifest,
    /// It holds rows.
    Table,
    /// RocksDB's own log.
    Log,
    /// Whoever has it locked has the store open.
    Lock,
    /// The mark.
    Mark,
    /// Something else that the store makes.
    Other,
    /// A copy.
    Copy,
    /// Somebody else's.
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

/// The files of a directory, by name; none, if it can't be read.
pub(super) fn files(directory: &Path) -> impl Iterator<Item = (OsString, File)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().map_while(Result::ok);
    entries.map(|entry| {
        let name = entry.file_name();
        let file = name.to_str().map_or(File::Foreign, File::of);
        (name, file)
    })
}

/// Moves the store in `directory` out of the way, because it is what `why` says; `says` is kept with it. The directory is empty
/// of it afterwards, and may be opened as a new store.
///
/// # Errors
/// When there is no store, or somebody has it open, or it can't be moved.
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
    // Only a name of ours: it is a path otherwise.
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

/// Leaves in the copy what was found, for whoever looks, and no mark: it may be put back by hand.
fn note(copy: &Path, says: &str, now: Timestamp) {
    let mark = Mark { says: says.to_owned(), into: None };
    let written =
        mark.write(copy, now).and_then(|()| std::fs::rename(copy.join(MARK), copy.join(NOTE)));
    if let Err(error) = written {
        tracing::debug!(%error, "no note of why a store was set aside");
    }
}

/// Whether a process has the store open.
///
/// # Errors
/// When that can't be found out.
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

/// RocksDB's own lock: of the process, and gone with it.
fn lock(directory: &Path) -> std::io::Result<std::fs::File> {
    let path = directory.join("LOCK");
    let mut options = std::fs::File::options();
    let file = options.write(true).create(true).truncate(false).open(path)?;
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
        let error = Error::from(error);
        // Some systems say it this way.
        let taken = error.kind() == ErrorKind::PermissionDenied;
        if taken { Error::from(ErrorKind::WouldBlock) } else { error }
    })?;
    Ok(file)
}

/// What it would be called beside the directory; nothing: it can't be moved there as a whole.
fn sibling(directory: &Path, why: Why, now: Timestamp) -> Option<PathBuf> {
    // A link's target may be on another disk, and a copy is one of its own.
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

/// Renames the directory, and makes another one like it.
fn rename(directory: &Path, copy: &Path) -> std::io::Result<()> {
    let was = std::fs::metadata(directory)?;
    std::fs::rename(directory, copy)?;
    sync(parent(directory))?;
    std::fs::create_dir(directory)?;
    std::fs::set_permissions(directory, was.permissions())?;
    // Root alone can do that, and for all others it is so already.
    let _ = std::os::unix::fs::chown(directory, Some(was.uid()), Some(was.gid()));
    sync(parent(directory))
}

/// A mount point, or a directory in one that the daemon may not change.
fn wants_another_way(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ResourceBusy
            | ErrorKind::CrossesDevices
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
    )
}

/// Moves all that is the store's into `copy`; the mark and the lock go last.
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
            // Nothing of the store may come back after the mark has gone.
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

/// Makes what was created, renamed or removed in a directory durable.
pub(super) fn sync(directory: &Path) -> std::io::Result<()> {
    std::fs::File::open(directory)?.sync_all()
}

/// `damaged-20260131T120000.000Z`
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

/// The first name that nothing has yet.
fn free(now: Timestamp, name: impl Fn(Timestamp) -> String, directory: &Path) -> String {
    let names = (0..1000).map(|ms| name(now.plus_ms(ms)));
    let mut free = names.skip_while(|name| directory.join(name).symlink_metadata().is_ok());
    free.next().unwrap_or_else(|| name(now))
}

/// The stores that were set aside from `directory`, the oldest first.
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

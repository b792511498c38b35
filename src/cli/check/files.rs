//! Checks this machine: the store's directory must be writable and have room, and no other user should be able to read
//! secrets.

use crate::config::{Accounts, Settings};
use crate::store;
use crate::telemetry::{err_line, out_line};
use rustix::fs::{Access, access, statvfs};
use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// With less free space, a store can't compact its files.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// The mode bits of users who are neither the owner nor in the group.
const OTHERS: u32 = 0o007;

/// Prints what is wrong. Returns whether the daemon can use its store's directory.
pub(super) fn check(settings: &Settings, accounts: &Accounts) -> bool {
    let secrets: BTreeSet<&PathBuf> =
        settings.secret_files.iter().chain(&accounts.secret_files).collect();
    for file in secrets {
        let mode = std::fs::metadata(file).map_or(0, |found| found.permissions().mode());
        if mode & OTHERS != 0 {
            err_line!(
                "{}: warning: every user of this machine may use this secret (mode {:04o}): chmod o= {0}",
                file.display(),
                mode & 0o7777
            );
        }
    }
    store(&settings.store.directory)
}

fn store(directory: &Path) -> bool {
    let shown = directory.display();
    let existing = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    // The last ancestor of a relative path is empty and means the working directory.
    let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
    if !existing.is_dir() {
        err_line!("store.directory: {} is not a directory: name another one", existing.display());
        return false;
    }
    if let Err(error) = access(existing, Access::WRITE_OK | Access::EXEC_OK) {
        err_line!(
            "store.directory: this user may not write to {}: {error}; change its owner, or name another directory",
            existing.display()
        );
        return false;
    }
    let (user, owner) = (rustix::process::geteuid().as_raw(), owner(existing));
    if existing == directory && owner.is_some_and(|owner| owner != user) {
        err_line!(
            "store.directory: warning: {shown} belongs to another user ({}) than the one that runs this command ({user}): the \
             daemon must run as a user that may write to it",
            owner.unwrap_or_default()
        );
    }
    let free =
        statvfs(existing).map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_frsize));
    if free < FREE_BYTES_MIN {
        err_line!(
            "store.directory: warning: {} MiB are free on the disk of {shown}, and the store needs room to compact its files: \
             make at least {} MiB free",
            free >> 20,
            FREE_BYTES_MIN >> 20
        );
    }
    match store::is_open(directory) {
        Ok(true) => out_line!("store in {shown}: a daemon has it open"),
        Ok(false) => {
            out_line!("store in {shown}: no daemon has it open, and the disk has room for it")
        }
        Err(error) => {
            err_line!("store.directory: {shown} can't be locked: {error}; change its owner");
            return false;
        }
    }
    true
}

fn owner(directory: &Path) -> Option<u32> {
    std::fs::metadata(directory).ok().map(|found| found.uid())
}

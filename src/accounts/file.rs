//! The accounts file as a source of entries.

use super::Entries;
use crate::document::{Fault, read_toml};
use std::path::Path;

/// Reads the entries of `file`.
pub(super) fn read(file: &Path) -> Result<Entries, Fault> {
    read_toml(file).map(Entries)
}

//! The accounts file, or a directory of such files, as a source of entries.

use super::Entries;
use super::build::schema;
use crate::document::{Fault, Faults, Node, Origin, Value, prune, read_toml};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Reads the entries of the file `path`, or of all files `*.toml` in the directory `path`, which count as one file.
pub(super) fn read(path: &Path) -> Result<Entries, Faults> {
    if !path.is_dir() {
        return read_toml(path).map(Entries).map_err(|fault| Faults(vec![fault]));
    }
    let files = files(path).map_err(|fault| Faults(vec![fault]))?;
    let (mut merged, mut faults) = (BTreeMap::new(), Vec::new());
    for file in files {
        match read_toml(&file) {
            Ok(root) => merge(&mut merged, root, &mut faults),
            Err(fault) => faults.push(fault),
        }
    }
    let root = Node::new(Origin::File(path.into()), Value::Table(merged));
    Faults::or(faults, Entries(root))
}

/// Returns the files of the directory in the order of their names. Hidden files, such as those that editors write, do
/// not count.
fn files(directory: &Path) -> Result<Vec<PathBuf>, Fault> {
    let origin = || Origin::File(directory.into());
    let listed = || -> std::io::Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(directory)?;
        entries.map(|entry| Ok(entry?.path())).collect()
    };
    let mut files = listed().map_err(|error| {
        let fix = "name a directory that this user may read";
        origin().fault("", format!("cannot be read: {error}"), fix)
    })?;
    let is_hidden = |file: &Path| {
        file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
    };
    files.retain(|file| file.extension().is_some_and(|it| it == "toml") && !is_hidden(file));
    files.retain(|file| !file.is_dir());
    files.sort();
    if files.is_empty() {
        return Err(origin().fault("", "has no file *.toml", "add one, or name a file"));
    }
    Ok(files)
}

/// Adds the lists of a file to those of the files before it.
fn merge(merged: &mut BTreeMap<String, Node>, root: Node, faults: &mut Vec<Fault>) {
    let Value::Table(table) = root.value else { return };
    for (key, node) in table {
        if !matches!(node.value, Value::List(_)) {
            // The check knows the fault and its fix, and here it can still name the file.
            let alone = Value::Table(BTreeMap::from([(key, node)]));
            faults.extend(prune(&mut Node::new(root.origin.clone(), alone), schema()));
            continue;
        }
        let before = merged.remove(&key);
        let origin = before.as_ref().unwrap_or(&node).origin.clone();
        let items = before.into_iter().chain([node]).flat_map(Node::into_items).collect();
        merged.insert(key, Node::list(origin, items));
    }
}

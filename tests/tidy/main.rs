//! Checks of the architecture that the compiler and clippy can't make, on the text of the files.
//!
//! Each check is a pure function from a file's path and text to faults. Its test also contains a text that the check
//! rejects.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod container;
mod documented;
mod documents;
mod floors;
mod reference;
mod rocksdb;
mod source;
mod words;

use std::path::{Path, PathBuf};

/// A file of the repository: its path from the root, with `/`, and its text.
struct File {
    path: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the files below `folder` whose names end with `extension`, in order, or none if there is no such folder.
fn files(folder: &str, extension: &str) -> Vec<File> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(file(&path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn file(path: &Path) -> File {
    let from_root = path.strip_prefix(root()).unwrap_or(path);
    let text = std::fs::read_to_string(path).expect("the file can be read");
    File { path: from_root.to_string_lossy().replace('\\', "/"), text }
}

fn sources() -> Vec<File> {
    let sources = files("src", "rs");
    assert!(sources.len() > 50, "the sources are where they are expected: {}", sources.len());
    sources
}

/// Runs `check` over `files`, and reports all faults at once.
#[track_caller]
fn assert_tidy(files: &[File], check: impl Fn(&str, &str) -> Vec<String>) {
    let faults: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let faults = check(&file.path, &file.text);
            faults.into_iter().map(|fault| format!("{}: {fault}", file.path))
        })
        .collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

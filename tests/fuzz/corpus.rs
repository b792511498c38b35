//! The inputs that are kept: one folder per target.

use crate::target::Target;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

fn read(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut inputs: Vec<_> = entries
        .map(|entry| entry.expect("the corpus can be read"))
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).expect("an input can be read"))
        })
        .collect();
    inputs.sort();
    inputs
}

/// Returns the names of the folders.
pub(crate) fn folders() -> Vec<String> {
    let entries = fs::read_dir(root()).expect("a corpus");
    entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// Returns the kept inputs of `target` by name, and those that the program itself writes.
pub(crate) fn kept(target: &Target) -> Vec<(String, Vec<u8>)> {
    let mut inputs = read(&root().join(target.name));
    let seeds = (target.seeds)().into_iter().enumerate();
    inputs.extend(seeds.map(|(index, input)| (format!("seed {index}"), input)));
    inputs
}

/// Returns the inputs with which mutations begin.
pub(crate) fn all(target: &Target) -> Vec<Vec<u8>> {
    kept(target).into_iter().map(|(_, input)| input).collect()
}

/// Writes an input that broke `target` to the corpus, and returns its file.
pub(crate) fn keep(target: &Target, input: &[u8]) -> PathBuf {
    let folder = root().join(target.name);
    fs::create_dir_all(&folder).expect("the corpus can be written");
    let file = folder.join(format!("broke-{:016x}", xxhash_rust::xxh3::xxh3_64(input)));
    fs::write(&file, input).expect("the corpus can be written");
    file
}

/// Returns the folder in which long runs keep new inputs for later runs, if there is one.
fn found(target: &Target) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("RINGBACK_FUZZ_FOUND")?).join(target.name);
    fs::create_dir_all(&folder).ok()?;
    Some(folder)
}

/// Returns the inputs that earlier long runs have kept.
pub(crate) fn remembered(target: &Target) -> Vec<Vec<u8>> {
    let inputs = found(target).map(|folder| read(&folder)).unwrap_or_default();
    inputs.into_iter().filter(|(name, _)| name != NOW).map(|(_, input)| input).collect()
}

/// Keeps an input that reached a new branch.
pub(crate) fn remember(target: &Target, input: &[u8]) {
    let Some(folder) = found(target) else { return };
    let name = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(input));
    fs::write(folder.join(name), input).expect("the input can be kept");
}

const NOW: &str = "now";

/// Creates the file for the current input. After an abort of the process it shows the input that caused it.
pub(crate) fn now(target: &Target) -> Option<fs::File> {
    fs::File::create(found(target)?.join(NOW)).ok()
}

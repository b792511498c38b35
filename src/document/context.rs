//! The context of reading a tree: the folder for relative paths, the environment variables, and the faults and warnings
//! found so far.

use super::fault::{Fault, Note, Warning};
use super::origin::Place;
use super::tree::{self, Node, Value};
use crate::delivery::Secret;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The environment variables of a process or of a test.
pub type Variables = BTreeMap<String, String>;

/// The size limit, in bytes, of a file to which a key refers: a secret, certificates or a template.
const SECRET_BYTES_MAX: u64 = 1 << 20;

/// The fix of a reference that a row can't have.
const REFERENCE_FIX: &str = "write the secret itself, or name a file or a variable for it alone";

/// A secret as a file contains it.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum SecretText {
    /// The secret itself.
    Literal(String),
    /// A reference to the secret. Exactly one of the two must be given.
    Reference {
        /// The name of an environment variable.
        env: Option<String>,
        /// The path of a file.
        file: Option<String>,
    },
}

impl JsonSchema for SecretText {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "writeOnly": true,
            "anyOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": {
                        "env": {
                            "type": "string",
                            "minLength": 1,
                            "description": "The environment variable that holds the secret."
                        },
                        "file": {
                            "type": "string",
                            "minLength": 1,
                            "description":
                                "The file that holds the secret; one newline at its end does not count."
                        }
                    },
                    "additionalProperties": false
                }
            ]
        })
    }
}

/// A digest of the content that a key refers to. The key is that of the value or of its `file`.
pub(crate) struct Referred {
    pub(crate) key: String,
    pub(crate) digest: [u8; 32],
}

impl Referred {
    fn new(place: &Place<'_>, content: &[u8]) -> Self {
        Self { key: place.full_key().to_owned(), digest: sha256(content) }
    }
}

/// Returns the SHA-256, for comparisons only: a short secret can be guessed from its digest.
pub(crate) fn sha256(content: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, content).as_ref());
    digest
}

/// The files and variables to which rows of a database can't refer. Those who write the rows may not be those who write
/// the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Reserved<'a> {
    /// Whether rows can't refer to any file or variable.
    pub all: bool,
    /// The configuration.
    pub file: &'a Path,
    /// The directory of the store.
    pub directory: &'a Path,
    /// The files with secrets of the configuration.
    pub files: &'a BTreeSet<PathBuf>,
    /// The variables with secrets of the configuration.
    pub variables: &'a BTreeSet<String>,
}

impl Reserved<'_> {
    /// Returns why a row can't refer to the file at `path`, if so.
    fn problem(&self, path: &Path) -> Option<String> {
        if self.all {
            return Some("names a file, and rows can't refer to files and variables".to_owned());
        }
        let full = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let found = full(path);
        let is_own = found == full(self.file)
            || found.starts_with(full(self.directory))
            || self.files.iter().any(|file| found == full(file));
        if is_own {
            return Some(format!("{} belongs to the daemon's own configuration", path.display()));
        }
        // Opening a pipe may take for ever, and the files of the system show the environment.
        let is_special = found.is_file() && found.starts_with("/proc");
        let is_special = is_special || found.exists() && !found.is_file();
        is_special.then(|| format!("{} is not a regular file", path.display()))
    }

    /// Returns why a row can't refer to the environment variable `name`, if so.
    fn problem_of(&self, name: &str) -> Option<String> {
        if self.all {
            return Some(
                "names a variable, and rows can't refer to files and variables".to_owned(),
            );
        }
        let is_key = name.get(..10).is_some_and(|prefix| prefix.eq_ignore_ascii_case("RINGBACK__"));
        let is_own = is_key || self.variables.contains(name);
        is_own.then(|| {
            format!("the environment variable `{name}` belongs to the daemon's own configuration")
        })
    }
}

/// The context of reading a tree.
pub(crate) struct Context<'a> {
    base: PathBuf,
    variables: &'a Variables,
    reserved: Option<Reserved<'a>>,
    /// The faults found so far.
    pub(crate) faults: Vec<Fault>,
    /// The warnings found so far.
    pub(crate) warnings: Vec<Warning>,
    /// The explanations so far.
    pub(crate) notes: Vec<Note>,
    /// The files that hold secrets.
    pub(crate) secret_files: BTreeSet<PathBuf>,
    /// The environment variables that hold secrets.
    pub(crate) secret_variables: BTreeSet<String>,
    /// Digests of the variables and files that keys refer to.
    pub(crate) referred: Vec<Referred>,
}

impl<'a> Context<'a> {
    /// Creates a context. `base` is the folder for relative paths of values that come from no file.
    pub(crate) fn new(base: &Path, variables: &'a Variables, faults: Vec<Fault>) -> Self {
        let (base, warnings, notes) = (base.to_owned(), Vec::new(), Vec::new());
        Self {
            base,
            variables,
            reserved: None,
            faults,
            warnings,
            notes,
            secret_files: BTreeSet::new(),
            secret_variables: BTreeSet::new(),
            referred: Vec::new(),
        }
    }

    /// Refuses references to these files and variables.
    pub(crate) fn reserving(self, reserved: Option<Reserved<'a>>) -> Self {
        Self { reserved, ..self }
    }

    /// Adds a fault of the value at `place`.
    pub(crate) fn fault(
        &mut self,
        place: &Place<'_>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.faults.push(place.fault(problem, fix));
    }

    /// Adds a warning about the value at `place`, which is valid.
    pub(crate) fn warn(
        &mut self,
        place: &Place<'_>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.warnings.push(Warning(place.fault(problem, fix)));
    }

    /// Adds an explanation of the value at `place`, or of its absence.
    pub(crate) fn note(
        &mut self,
        place: &Place<'_>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.notes.push(Note(place.fault(problem, fix)));
    }

    /// Returns the full path of `path`. A relative one starts at the folder of the file that contains it.
    pub(crate) fn path(&self, place: &Place<'_>, path: &str) -> PathBuf {
        place.origin().folder().unwrap_or(&self.base).join(path)
    }

    /// Reads the file at `path`. Reports a fault if that fails.
    pub(crate) fn bytes(&mut self, place: &Place<'_>, path: &str) -> Option<Vec<u8>> {
        let path = self.path(place, path);
        if let Some(problem) = self.reserved.and_then(|reserved| reserved.problem(&path)) {
            self.fault(place, problem, REFERENCE_FIX);
            return None;
        }
        match tree::read_bounded(&path, SECRET_BYTES_MAX) {
            Ok(bytes) => {
                self.referred.push(Referred::new(place, &bytes));
                Some(bytes)
            }
            Err(error) => {
                let problem = format!("cannot read {}: {error}", path.display());
                self.fault(place, problem, "name a file that this user may read");
                None
            }
        }
    }

    /// Reads the text file at `path`. Reports a fault if that fails.
    pub(crate) fn text_of_file(&mut self, place: &Place<'_>, path: &str) -> Option<String> {
        let text = String::from_utf8(self.bytes(place, path)?).ok();
        if text.is_none() {
            self.fault(place, "is not UTF-8", "name a text file");
        }
        text
    }

    /// Reads a file that contains a secret, and records its path.
    pub(crate) fn secret_bytes(&mut self, place: &Place<'_>, path: &str) -> Option<Vec<u8>> {
        let bytes = self.bytes(place, path)?;
        self.secret_files.insert(self.path(place, path));
        Some(bytes)
    }

    /// Returns the secret in `text`, or the one to which it refers. Reports a fault if there is none.
    pub(crate) fn secret(&mut self, place: &Place<'_>, text: &SecretText) -> Option<Secret> {
        match text {
            SecretText::Literal(text) => Some(Secret::new(text.clone())),
            SecretText::Reference { env: Some(name), file: None } => {
                if let Some(problem) = self.reserved.and_then(|it| it.problem_of(name)) {
                    self.fault(place, problem, REFERENCE_FIX);
                    return None;
                }
                self.secret_variables.insert(name.clone());
                let found = self.variables.get(name);
                self.referred.extend(found.map(|text| Referred::new(place, text.as_bytes())));
                if found.is_none() {
                    self.fault(
                        place,
                        format!("the environment variable `{name}` is not set"),
                        "set it, or write { file = \"PATH\" }",
                    );
                }
                found.cloned().map(Secret::new)
            }
            SecretText::Reference { env: None, file: Some(path) } => {
                let bytes = self.secret_bytes(&place.key("file"), path)?;
                let Ok(text) = String::from_utf8(bytes) else {
                    self.fault(place, "the file is not UTF-8", "store the secret as text");
                    return None;
                };
                Some(Secret::new(without_newline(&text).to_owned()))
            }
            SecretText::Reference { .. } => {
                self.fault(
                    place,
                    "must name either `env` or `file`",
                    "write { env = \"NAME\" } or { file = \"PATH\" }",
                );
                None
            }
        }
    }

    /// Converts the tree to `T`, which has defaults for everything that the check removed.
    pub(crate) fn typed<T: Default + for<'de> Deserialize<'de>>(&mut self, tree: &Node) -> T {
        match serde_path_to_error::deserialize(tree.to_toml()) {
            Ok(typed) => typed,
            // The check knows the same types, so the check and the types disagree.
            Err(error) => {
                let problem = error.inner().message().to_owned();
                let fix = "compare with the schema of the file";
                let mut fault = Place::root(tree).fault(problem, fix);
                fault.key = error.path().to_string();
                self.faults.push(fault);
                T::default()
            }
        }
    }
}

/// Removes one newline at the end: editors add it, and it does not belong to the secret.
fn without_newline(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// Converts nested tables back to dotted keys: `a.b = 1` becomes `"a.b" = 1`. TOML reads unquoted dotted keys as nested
/// tables. `below` selects the tables to convert. A secret's reference stays a table.
pub(crate) fn flatten(
    table: &mut BTreeMap<String, Node>,
    below: impl Fn(&str) -> bool,
    faults: &mut Vec<Fault>,
) {
    let nested: Vec<String> = table
        .iter()
        .filter(|(key, node)| below(key) && is_nested(node))
        .map(|(key, _)| key.clone())
        .collect();
    for key in nested {
        let Some(node) = table.remove(&key) else { continue };
        let mut lifted = Vec::new();
        lift(key, node, &mut lifted);
        for (key, node) in lifted {
            match table.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(node);
                }
                Entry::Occupied(entry) => {
                    let fix = "keep one of the two spellings";
                    let twice = "is set twice here";
                    faults.push(node.origin.fault(entry.key(), twice, fix));
                }
            }
        }
    }
}

fn lift(key: String, node: Node, lifted: &mut Vec<(String, Node)>) {
    if !is_nested(&node) {
        lifted.push((key, node));
        return;
    }
    if let Value::Table(table) = node.value {
        for (name, node) in table {
            lift(format!("{key}.{name}"), node, lifted);
        }
    }
}

fn is_nested(node: &Node) -> bool {
    let Value::Table(table) = &node.value else { return false };
    let mut keys = table.keys().map(String::as_str);
    !matches!((keys.next(), keys.next()), (Some("env" | "file"), None))
}

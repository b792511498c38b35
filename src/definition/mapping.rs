//! The values that are kept of an endpoint's answer. A definition's `response` says where in the JSON or XML each value
//! is; this module finds them.

mod fault;
mod json_path;
mod json_search;
#[cfg(test)]
mod tests;
pub(crate) mod xml;

pub use crate::json::{DEPTH_MAX, TextFault};
pub use crate::xpath::{PATH_MAX, PathFault, XPath};
pub use fault::MapFault;
pub(crate) use json_path::{DATA, push_item, push_member};
pub use json_path::{JsonPath, without_x};

use crate::{json::walk, xpath};
use json_search::Search;

/// The longest mapped value, as JSON text in bytes. It bounds what one answer adds to an event. A longer value is a
/// fault: a truncated value would be another value.
pub const VALUE_MAX: usize = 64 * 1024;

/// The most entries that a map may have.
pub const ENTRIES_MAX: usize = 256;

/// The format of an answer, or of an example of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFormat {
    /// JSON (RFC 8259), in UTF-8.
    Json,
    /// XML 1.0 without a document type declaration.
    Xml,
}

/// One entry of `response.map` as it is written. The caller knows where to store the value (`save_in`); entries are
/// identified by their index.
#[derive(Clone, Copy, Debug)]
pub struct EntryText<'a> {
    /// A JSON path or an XPath, depending on the kind of the map.
    pub path: &'a str,
    /// Whether an answer without this value fails the delivery.
    pub mandatory: bool,
}

/// An entry whose path cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryFault {
    /// The index of the entry, from 0.
    pub entry: usize,
    /// The fault in its path.
    pub fault: PathFault,
}

/// A definition's `response`: its type and its parsed paths.
#[derive(Debug)]
pub struct ResponseMap {
    entries: Vec<Entry>,
    paths: Paths,
}

#[derive(Debug)]
struct Entry {
    mandatory: bool,
    path: String,
}

#[derive(Debug)]
enum Paths {
    Json(Search),
    Xml(Vec<XPath>),
}

impl ResponseMap {
    /// Parses the paths of `entries`. `namespaces` are the prefixes that XPaths may use, each with its namespace's
    /// name.
    ///
    /// # Errors
    ///
    /// Paths are faulty, or there are more than [`ENTRIES_MAX`] entries. The error lists every faulty entry, not only
    /// the first.
    pub fn parse(
        kind: AnswerFormat,
        entries: &[EntryText<'_>],
        namespaces: &[(&str, &str)],
    ) -> Result<Self, Vec<EntryFault>> {
        if entries.len() > ENTRIES_MAX {
            return Err(vec![EntryFault {
                entry: ENTRIES_MAX,
                fault: PathFault::new(
                    1,
                    format!("more than {ENTRIES_MAX} entries"),
                    "map fewer values",
                ),
            }]);
        }
        let paths = match kind {
            AnswerFormat::Json => {
                let paths = all(entries, JsonPath::parse)?;
                Paths::Json(Search::new(&paths))
            }
            AnswerFormat::Xml => Paths::Xml(all(entries, |path| XPath::parse(path, namespaces))?),
        };
        let entries = entries
            .iter()
            .map(|entry| Entry { mandatory: entry.mandatory, path: entry.path.to_owned() })
            .collect();
        Ok(Self { entries, paths })
    }

    /// Returns the type that an answer must have.
    #[must_use]
    pub fn kind(&self) -> AnswerFormat {
        match self.paths {
            Paths::Json(_) => AnswerFormat::Json,
            Paths::Xml(_) => AnswerFormat::Xml,
        }
    }

    /// Finds the values in `answer`. Returns the index and the value as JSON text of each entry that is present, in the
    /// order of the entries.
    ///
    /// JSON values are passed on as they were spelt. An XML node-set or string becomes a JSON string; a number or
    /// boolean becomes the same in JSON. A JSON `null`, an empty node-set, and the numbers `NaN` and `Infinity` count
    /// as missing.
    ///
    /// # Errors
    ///
    /// The answer cannot be read as its type (even if nothing is mapped), or an entry has a fault.
    pub fn apply(&self, answer: &[u8]) -> Result<Vec<(usize, String)>, MapFault> {
        let found = match &self.paths {
            Paths::Json(search) => json(search, answer)?,
            Paths::Xml(paths) => xml_values(paths, answer)?,
        };
        let mut values = Vec::with_capacity(found.len());
        for (index, (entry, value)) in self.entries.iter().zip(found).enumerate() {
            match value {
                Some(value) if value.len() > VALUE_MAX => {
                    return Err(MapFault::TooLong { entry: index });
                }
                Some(value) => values.push((index, value)),
                None if entry.mandatory => {
                    return Err(MapFault::Missing { entry: index, path: entry.path.clone() });
                }
                None => {}
            }
        }
        Ok(values)
    }
}

/// Parses all paths, or returns all faults.
fn all<P>(
    entries: &[EntryText<'_>],
    parse: impl Fn(&str) -> Result<P, PathFault>,
) -> Result<Vec<P>, Vec<EntryFault>> {
    let mut paths = Vec::with_capacity(entries.len());
    let mut faults = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        match parse(entry.path) {
            Ok(path) => paths.push(path),
            Err(fault) => faults.push(EntryFault { entry: index, fault }),
        }
    }
    if faults.is_empty() { Ok(paths) } else { Err(faults) }
}

fn json(search: &Search, answer: &[u8]) -> Result<Vec<Option<String>>, MapFault> {
    let text = walk::check(answer)?;
    let found = search.find(text)?;
    // A copy that is too long is enough to report the fault, so the rest is not copied.
    let copy = |value: &str| match value.len() {
        0..=VALUE_MAX => value.to_owned(),
        _ => value.chars().take(VALUE_MAX + 1).collect(),
    };
    Ok(found.into_iter().map(|value| value.map(copy)).collect())
}

fn xml_values(paths: &[XPath], answer: &[u8]) -> Result<Vec<Option<String>>, MapFault> {
    let text = xml::decode(answer)?;
    let document = xml::parse(&text)?;
    let mut steps = xpath::Steps::new();
    let mut values = Vec::with_capacity(paths.len());
    for (entry, path) in paths.iter().enumerate() {
        let value = path.evaluate(&document, &mut steps);
        values.push(value.map_err(|xpath::Exhausted| MapFault::TooCostly { entry })?);
    }
    Ok(values)
}

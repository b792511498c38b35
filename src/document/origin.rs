//! The origin of a value, and its key.

use super::fault::Fault;
use super::tree::Node;
use crate::telemetry::escape::one_line;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file as a whole.
    File(Arc<Path>),
    /// A line of a file, counted from 1.
    Line(Arc<Path>, usize),
    Variable(String),
    /// A row of a database.
    Row(Arc<RowOrigin>),
}

/// The place of a value in a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowOrigin {
    /// The name of the table.
    pub table: Arc<str>,
    /// The row's id, as text.
    pub row: Box<str>,
    /// The name of the column, if the value is in one.
    pub column: Option<Arc<str>>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name of a file may contain line breaks.
        match self {
            Self::File(file) => f.write_str(&one_line(&file.to_string_lossy())),
            Self::Line(file, line) => write!(f, "{}:{line}", one_line(&file.to_string_lossy())),
            Self::Variable(_) => f.write_str("environment"),
            Self::Row(place) => {
                write!(f, "table {}, row {}", one_line(&place.table), one_line(&place.row))?;
                place
                    .column
                    .as_ref()
                    .map_or(Ok(()), |column| write!(f, ", column {}", one_line(column)))
            }
        }
    }
}

impl Origin {
    /// Returns the file as it was named, `environment` for a variable, or `None` for a row of a database.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(file) | Self::Line(file, _) => Some(file),
            Self::Variable(_) => Some(Path::new("environment")),
            Self::Row(_) => None,
        }
    }

    /// Returns the place in the database, if the value is in one.
    #[must_use]
    pub fn row(&self) -> Option<&RowOrigin> {
        match self {
            Self::Row(place) => Some(place),
            Self::File(_) | Self::Line(..) | Self::Variable(_) => None,
        }
    }

    /// Returns the key by which faults are sorted: the files first, each with its lines, then variables and rows.
    pub(super) fn rank(&self) -> (u8, &Path, Option<usize>, &str, &str) {
        match self {
            Self::File(file) => (0, file, None, "", ""),
            Self::Line(file, line) => (0, file, Some(*line), "", ""),
            Self::Variable(_) => (1, Path::new(""), None, "", ""),
            Self::Row(place) => (2, Path::new(""), None, &place.table, &place.row),
        }
    }

    /// Returns the line, if there is one.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Line(_, line) => Some(*line),
            Self::File(_) | Self::Variable(_) | Self::Row(_) => None,
        }
    }

    /// Returns the folder for relative paths, if the origin is a file.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::File(file) | Self::Line(file, _) => file.parent(),
            Self::Variable(_) | Self::Row(_) => None,
        }
    }

    /// Creates a fault of `key`, whose value has this origin.
    pub(crate) fn fault(
        &self,
        key: &str,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Fault {
        let key = match self {
            Self::File(_) | Self::Line(..) | Self::Row(_) => key.to_owned(),
            Self::Variable(name) => format!("{name} ({key})"),
        };
        Fault { origin: self.clone(), key, problem: problem.into(), fix: fix.into() }
    }
}

/// A key of a tree, whether it has a value or not. Faults refer to places.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    node: Option<&'a Node>,
    origin: &'a Origin,
    key: String,
}

impl<'a> Place<'a> {
    /// Returns the place of a whole tree.
    pub(crate) fn root(node: &'a Node) -> Self {
        Self { node: Some(node), origin: &node.origin, key: String::new() }
    }

    /// Returns the place of `key` below this one. A key without a value has the origin of the table.
    pub(crate) fn key(&self, key: &str) -> Self {
        let full = if self.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.key) };
        self.below(self.node.and_then(|node| node.get(key)), full)
    }

    /// Returns the place of the item at `index` of this list.
    pub(crate) fn item(&self, index: usize) -> Self {
        let node = self.node.and_then(|node| node.items().get(index));
        let label = node.map_or("?", Node::label);
        self.below(node, format!("{}[{label}]", self.key))
    }

    /// Returns the full key, as faults show it.
    pub(crate) fn full_key(&self) -> &str {
        &self.key
    }

    /// Returns the node, if there is one.
    pub(crate) fn node(&self) -> Option<&'a Node> {
        self.node
    }

    /// Returns whether there is a value.
    pub(crate) fn is_there(&self) -> bool {
        self.node.is_some()
    }

    pub(crate) fn origin(&self) -> &'a Origin {
        self.origin
    }

    /// Creates a fault of this value.
    pub(crate) fn fault(&self, problem: impl Into<String>, fix: impl Into<String>) -> Fault {
        self.origin.fault(&self.key, problem, fix)
    }

    fn below(&self, node: Option<&'a Node>, key: String) -> Self {
        Self { node, origin: node.map_or(self.origin, |node| &node.origin), key }
    }
}

//! A TOML file as a tree that knows where each value stands, so that a fault found late still names its line.

use super::fault::Fault;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// No configuration is larger; more is a mistaken path.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The file's whole.
    File,
    /// A line of the file, counted from 1.
    Line(usize),
    /// An environment variable.
    Variable(String),
}

/// A value and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where the value comes from.
    pub(super) origin: Origin,
    /// The value.
    pub(super) value: Value,
    /// What a person would call an item of a list; it stays when others are cut out.
    label: Option<String>,
}

/// TOML's values, with their origins.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Text, number, truth value or date.
    Scalar(toml::Value),
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(BTreeMap<String, Node>),
}

impl Node {
    /// A value.
    pub(super) fn new(origin: Origin, value: Value) -> Self {
        Self { origin, value, label: None }
    }

    /// A list, whose items get their labels here.
    pub(super) fn list(origin: Origin, mut items: Vec<Self>) -> Self {
        for (index, item) in items.iter_mut().enumerate() {
            item.label = Some(item.name().unwrap_or_else(|| format!("#{}", index + 1)));
        }
        Self::new(origin, Value::List(items))
    }

    /// The entry of a table.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Table(table) => table.get(key),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    /// The entry of a table, to change it.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.value {
            Value::Table(table) => table.get_mut(key),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    /// The items of a list; none of anything else.
    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            Value::Scalar(_) | Value::Table(_) => &[],
        }
    }

    /// What a person would call this item of a list.
    pub(super) fn label(&self) -> &str {
        self.label.as_deref().unwrap_or("?")
    }

    fn name(&self) -> Option<String> {
        ["name", "id"].into_iter().find_map(|key| match &self.get(key)?.value {
            Value::Scalar(toml::Value::String(text)) => Some(text.chars().take(64).collect()),
            Value::Scalar(toml::Value::Integer(id)) => Some(id.to_string()),
            Value::Scalar(_) | Value::List(_) | Value::Table(_) => None,
        })
    }

    /// The plain value, for serde.
    pub(super) fn to_toml(&self) -> toml::Value {
        match &self.value {
            Value::Scalar(scalar) => scalar.clone(),
            Value::List(items) => toml::Value::Array(items.iter().map(Self::to_toml).collect()),
            Value::Table(table) => toml::Value::Table(
                table.iter().map(|(key, node)| (key.clone(), node.to_toml())).collect(),
            ),
        }
    }

    /// The value that TOML's parser found, whose lines `lines` counts.
    fn from_parsed(line: usize, value: &DeValue<'_>, lines: &Lines) -> Self {
        let value = match value {
            DeValue::Table(table) => Value::Table(
                table
                    .iter()
                    .map(|(key, value)| {
                        let line = lines.of(key.span().start);
                        let node = Self::from_parsed(line, value.get_ref(), lines);
                        (key.get_ref().to_string(), node)
                    })
                    .collect(),
            ),
            DeValue::Array(items) => {
                let items = items.iter().map(|item| {
                    let line = lines.of(item.span().start);
                    Self::from_parsed(line, item.get_ref(), lines)
                });
                return Self::list(Origin::Line(line), items.collect());
            }
            DeValue::String(text) => Value::Scalar(toml::Value::String(text.to_string())),
            DeValue::Boolean(value) => Value::Scalar(toml::Value::Boolean(*value)),
            DeValue::Datetime(value) => Value::Scalar(toml::Value::Datetime(*value)),
            // A number that no key takes stands for those that TOML's parser leaves to us.
            DeValue::Integer(number) => Value::Scalar(
                i64::from_str_radix(number.as_str(), number.radix())
                    .map_or(toml::Value::Float(f64::MAX), toml::Value::Integer),
            ),
            DeValue::Float(number) => {
                Value::Scalar(toml::Value::Float(number.as_str().parse().unwrap_or(f64::NAN)))
            }
        };
        Self::new(Origin::Line(line), value)
    }
}

/// Turns byte offsets into lines.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: &str) -> Self {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        Self { starts }
    }

    fn of(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset) + 1
    }
}

/// A file that is TOML.
#[derive(Clone, Debug)]
pub(super) struct Document {
    /// The file, as it was named.
    pub(super) file: PathBuf,
    /// Its table.
    pub(super) root: Node,
}

impl Document {
    /// Reads and parses `file`.
    pub(super) fn read(file: &Path) -> Result<Self, Fault> {
        let text = read_bounded(file, FILE_BYTES_MAX)
            .and_then(|bytes| {
                String::from_utf8(bytes)
                    .map_err(|_| std::io::Error::other("it is not UTF-8 throughout"))
            })
            .map_err(|error| Fault {
                file: file.to_owned(),
                line: None,
                key: String::new(),
                problem: format!("cannot be read: {error}"),
                mend: "name a TOML file that this user may read".to_owned(),
            })?;
        Self::parse(file, &text)
    }

    fn parse(file: &Path, text: &str) -> Result<Self, Fault> {
        let lines = Lines::new(text);
        let table = DeTable::parse(text).map_err(|error| Fault {
            file: file.to_owned(),
            line: error.span().map(|span| lines.of(span.start)),
            key: String::new(),
            // The message alone: the whole error quotes the line, which may hold a secret.
            problem: format!("is not TOML: {}", error.message().replace('\n', ", ")),
            mend: "correct this line, then check again for faults behind it".to_owned(),
        })?;
        let mut root = Node::from_parsed(1, &DeValue::Table(table.into_inner()), &lines);
        root.origin = Origin::File;
        Ok(Self { file: file.to_owned(), root })
    }

    /// The place of the whole file, from which others are found.
    pub(super) fn place(&self) -> Place<'_> {
        Place {
            file: &self.file,
            node: Some(&self.root),
            origin: self.root.origin.clone(),
            key: String::new(),
        }
    }
}

/// The value of TOML that `text` writes.
pub(super) fn parse_value(text: &str, origin: &Origin) -> Option<Node> {
    fn set_origin(node: &mut Node, origin: &Origin) {
        node.origin = origin.clone();
        match &mut node.value {
            Value::Scalar(_) => {}
            Value::List(items) => items.iter_mut().for_each(|item| set_origin(item, origin)),
            Value::Table(table) => table.values_mut().for_each(|item| set_origin(item, origin)),
        }
    }
    let parsed = DeValue::parse(text).ok()?;
    let mut node = Node::from_parsed(1, parsed.get_ref(), &Lines::new(text));
    set_origin(&mut node, origin);
    Some(node)
}

/// Reads `file` unless it has more than `bytes_max`.
pub(super) fn read_bounded(file: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(std::io::Error::other(format!("it has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// A key of a document, whether it is there or not: what a fault points to.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    file: &'a Path,
    node: Option<&'a Node>,
    origin: Origin,
    key: String,
}

impl<'a> Place<'a> {
    /// The place of `key` below this one. A key that is not there stands where this does.
    pub(super) fn key(&self, key: &str) -> Self {
        let full = if self.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.key) };
        self.below(self.node.and_then(|node| node.get(key)), full)
    }

    /// The place of the item at `index` of the list that stands here.
    pub(super) fn item(&self, index: usize) -> Self {
        let node = self.node.and_then(|node| node.items().get(index));
        let label = node.map_or("?", Node::label);
        self.below(node, format!("{}[{label}]", self.key))
    }

    /// The full key, as faults name it.
    pub(super) fn full_key(&self) -> &str {
        &self.key
    }

    /// Whether something stands here.
    pub(super) fn is_there(&self) -> bool {
        self.node.is_some()
    }

    /// The line, if it stands on one.
    pub(super) fn line(&self) -> Option<usize> {
        match self.origin {
            Origin::Line(line) => Some(line),
            Origin::File | Origin::Variable(_) => None,
        }
    }

    /// The fault of what stands here.
    pub(super) fn fault(&self, problem: impl Into<String>, mend: impl Into<String>) -> Fault {
        fault(self.file, &self.origin, &self.key, problem, mend)
    }

    fn below(&self, node: Option<&'a Node>, key: String) -> Self {
        let origin = node.map_or_else(|| self.origin.clone(), |node| node.origin.clone());
        Self { file: self.file, node, origin, key }
    }
}

/// The fault of `key`, which comes from `origin`.
pub(super) fn fault(
    file: &Path,
    origin: &Origin,
    key: &str,
    problem: impl Into<String>,
    mend: impl Into<String>,
) -> Fault {
    let (file, line, key) = match origin {
        Origin::File => (file.to_owned(), None, key.to_owned()),
        Origin::Line(line) => (file.to_owned(), Some(*line), key.to_owned()),
        Origin::Variable(name) => (PathBuf::from("environment"), None, format!("{name} ({key})")),
    };
    Fault { file, line, key, problem: problem.into(), mend: mend.into() }
}

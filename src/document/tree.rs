//! A tree of values with their origins, so that a fault that is found later can still name its line. TOML is read as
//! such a tree.

use super::fault::Fault;
use super::origin::Origin;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// The size limit of a file, in bytes. No configuration is larger: a larger file means a wrong path.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A value with its origin.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The origin of the value.
    pub(crate) origin: Origin,
    pub(crate) value: Value,
    /// The label of a list's item. It stays the same when other items are removed.
    label: Option<String>,
}

/// A TOML value whose parts have origins.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A text, number, boolean or date.
    Scalar(toml::Value),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

impl Node {
    pub(crate) fn new(origin: Origin, value: Value) -> Self {
        Self { origin, value, label: None }
    }

    /// Creates a list, and labels its items.
    pub(crate) fn list(origin: Origin, mut items: Vec<Self>) -> Self {
        for (index, item) in items.iter_mut().enumerate() {
            item.label = Some(item.name().unwrap_or_else(|| format!("#{}", index + 1)));
        }
        Self::new(origin, Value::List(items))
    }

    /// Returns the entry `key` of a table.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Table(table) => table.get(key),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    /// Returns the entry `key` of a table, so that it can be changed.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.value {
            Value::Table(table) => table.get_mut(key),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    /// Returns the items of a list. Other values have none.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            Value::Scalar(_) | Value::Table(_) => &[],
        }
    }

    /// Returns the items of a list. Other values have none.
    pub(crate) fn into_items(self) -> Vec<Self> {
        match self.value {
            Value::List(items) => items,
            Value::Scalar(_) | Value::Table(_) => Vec::new(),
        }
    }

    /// Returns the label of a list's item: its name or its number.
    pub(crate) fn label(&self) -> &str {
        self.label.as_deref().unwrap_or("?")
    }

    fn name(&self) -> Option<String> {
        ["name", "id"].into_iter().find_map(|key| match &self.get(key)?.value {
            Value::Scalar(toml::Value::String(text)) => Some(text.chars().take(64).collect()),
            Value::Scalar(toml::Value::Integer(id)) => Some(id.to_string()),
            Value::Scalar(_) | Value::List(_) | Value::Table(_) => None,
        })
    }

    /// Returns the plain value for serde.
    pub(crate) fn to_toml(&self) -> toml::Value {
        match &self.value {
            Value::Scalar(scalar) => scalar.clone(),
            Value::List(items) => toml::Value::Array(items.iter().map(Self::to_toml).collect()),
            Value::Table(table) => toml::Value::Table(
                table.iter().map(|(key, node)| (key.clone(), node.to_toml())).collect(),
            ),
        }
    }

    /// Converts the value that TOML's parser found at the byte `at`.
    fn from_parsed(at: usize, value: &DeValue<'_>, lines: &Lines) -> Self {
        let value = match value {
            DeValue::Table(table) => Value::Table(
                table
                    .iter()
                    .map(|(key, value)| {
                        let node = Self::from_parsed(key.span().start, value.get_ref(), lines);
                        (key.get_ref().to_string(), node)
                    })
                    .collect(),
            ),
            DeValue::Array(items) => {
                let items = items
                    .iter()
                    .map(|item| Self::from_parsed(item.span().start, item.get_ref(), lines));
                return Self::list(lines.origin(at), items.collect());
            }
            DeValue::String(text) => Value::Scalar(toml::Value::String(text.to_string())),
            DeValue::Boolean(value) => Value::Scalar(toml::Value::Boolean(*value)),
            DeValue::Datetime(value) => Value::Scalar(toml::Value::Datetime(*value)),
            // An integer of more than 64 bits becomes a number that no key allows.
            DeValue::Integer(number) => Value::Scalar(
                i64::from_str_radix(number.as_str(), number.radix())
                    .map_or(toml::Value::Float(f64::MAX), toml::Value::Integer),
            ),
            DeValue::Float(number) => {
                Value::Scalar(toml::Value::Float(number.as_str().parse().unwrap_or(f64::NAN)))
            }
        };
        Self::new(lines.origin(at), value)
    }
}

/// Converts byte offsets to lines of a file.
struct Lines {
    file: Arc<Path>,
    starts: Vec<usize>,
}

impl Lines {
    fn new(file: &Path, text: &str) -> Self {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        Self { file: file.into(), starts }
    }

    fn origin(&self, offset: usize) -> Origin {
        let line = self.starts.partition_point(|start| *start <= offset) + 1;
        Origin::Line(self.file.clone(), line)
    }
}

/// Reads and parses a TOML file.
pub(crate) fn read(file: &Path) -> Result<Node, Fault> {
    let text = read_bounded(file, FILE_BYTES_MAX)
        .and_then(|bytes| {
            String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not valid UTF-8"))
        })
        .map_err(|error| {
            let problem = format!("cannot be read: {error}");
            let fix = "name a TOML file that this user may read";
            Origin::File(file.into()).fault("", problem, fix)
        })?;
    parse(file, &text)
}

fn parse(file: &Path, text: &str) -> Result<Node, Fault> {
    let lines = Lines::new(file, text);
    let table = DeTable::parse(text).map_err(|error| {
        let span = error.span();
        let origin = span.map_or_else(|| Origin::File(file.into()), |it| lines.origin(it.start));
        // Only the message is used: the whole error quotes the line, which may contain a secret.
        let problem = format!("is not TOML: {}", error.message().replace('\n', ", "));
        origin.fault("", problem, "correct this line, then check again for faults after it")
    })?;
    let mut root = Node::from_parsed(0, &DeValue::Table(table.into_inner()), &lines);
    root.origin = Origin::File(file.into());
    Ok(root)
}

/// Parses `text` as a TOML value. All of its parts get `origin`.
pub(crate) fn parse_value(text: &str, origin: &Origin) -> Option<Node> {
    fn set_origin(node: &mut Node, origin: &Origin) {
        node.origin = origin.clone();
        match &mut node.value {
            Value::Scalar(_) => {}
            Value::List(items) => items.iter_mut().for_each(|item| set_origin(item, origin)),
            Value::Table(table) => table.values_mut().for_each(|item| set_origin(item, origin)),
        }
    }
    let parsed = DeValue::parse(text).ok()?;
    let mut node = Node::from_parsed(0, parsed.get_ref(), &Lines::new(Path::new(""), text));
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

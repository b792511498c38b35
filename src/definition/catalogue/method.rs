//! The platform's internal webhooks: those that are built in, and those of an operator's file.

use crate::definition::template::Variable;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The end of a name that stands for a whole family of variables.
const WILDCARD: char = '*';

/// Internal webhooks by name.
pub type Methods = BTreeMap<String, Arc<Method>>;

/// One of the platform's internal webhooks.
///
/// The names of variables are the platform's. Templates do not know some of them, such as `$user.syskey.accountID`
/// ([`is_known`]). A name that ends with `.*` stands for every variable of its family.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// The method's name in requests.
    pub name: String,
    /// A description for operators.
    #[serde(default)]
    pub purpose: String,
    /// The variables that it expects. Empty if it expects none, or if the platform does not document them.
    #[serde(default)]
    pub request: Vec<Parameter>,
    /// The variables that its answer may contain. Empty if there are none, or if the platform does not document them.
    #[serde(default)]
    pub response: Vec<String>,
}

/// A variable that an internal webhook expects.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ParameterEntry")]
pub struct Parameter {
    pub name: String,
    /// The variables that give the value if none with the parameter's own name does. The first one with a value counts.
    pub from: Vec<Variable>,
    /// Whether the webhook works without it.
    pub optional: bool,
}

/// A parameter as files write it.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum ParameterEntry {
    Name(String),
    Table {
        name: String,
        #[serde(default)]
        from: Vec<String>,
        #[serde(default)]
        optional: bool,
    },
}

impl TryFrom<ParameterEntry> for Parameter {
    type Error = String;

    fn try_from(entry: ParameterEntry) -> Result<Self, String> {
        let (name, from, optional) = match entry {
            ParameterEntry::Name(name) => (name, Vec::new(), false),
            ParameterEntry::Table { name, from, optional } => (name, from, optional),
        };
        let from = from.iter().map(|text| text.parse::<Variable>().map_err(|it| it.to_string()));
        Ok(Self { name, from: from.collect::<Result<_, _>>()?, optional })
    }
}

impl Parameter {
    /// Returns whether a call must contain it.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        !self.optional && !self.name.ends_with(WILDCARD)
    }
}

impl Method {
    /// Returns a method that no catalogue describes.
    #[must_use]
    pub fn unknown(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            purpose: String::new(),
            request: Vec::new(),
            response: Vec::new(),
        }
    }

    /// Returns whether a request may contain `variable`.
    #[must_use]
    pub fn wants(&self, variable: &str) -> bool {
        self.request.iter().any(|parameter| stands_for(&parameter.name, variable))
    }

    /// Returns whether a request may contain `variable` or its value.
    #[must_use]
    pub fn uses(&self, variable: &str) -> bool {
        let mut sources = self.request.iter().flat_map(|parameter| &parameter.from);
        self.wants(variable) || sources.any(|source| source.key() == variable)
    }

    /// Returns the names of the variables that it expects.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.request.iter().map(|parameter| parameter.name.as_str())
    }

    /// Returns the full name of the only parameter that ends with `short`, as in `securityID`.
    #[must_use]
    pub fn full_name(&self, short: &str) -> Option<&str> {
        let has_end = |name: &&str| name.strip_suffix(short).is_some_and(|it| it.ends_with('.'));
        let mut found = self.names().filter(has_end);
        found.next().filter(|_| found.next().is_none())
    }

    /// Returns whether an answer can give `variable` a value.
    #[must_use]
    pub fn answers(&self, variable: &str) -> bool {
        // A name that is no variable belongs to no family, whatever its beginning.
        let key = variable.parse::<Variable>().map(|it| it.key());
        key.is_ok_and(|key| self.response.iter().any(|name| stands_for(name, &key)))
    }
}

/// Returns whether `name` is `variable` or its family.
fn stands_for(name: &str, variable: &str) -> bool {
    match name.strip_suffix(WILDCARD) {
        Some(family) => variable.starts_with(family),
        None => variable == name,
    }
}

/// Returns whether `name`, of a method's request or response, is a variable that templates know, or a family of such
/// variables.
#[must_use]
pub fn is_known(name: &str) -> bool {
    match name.strip_suffix(WILDCARD) {
        // Templates know a family if they know any name in it.
        Some(family) => format!("{family}x").parse::<Variable>().is_ok() && family.ends_with('.'),
        None => name.parse::<Variable>().is_ok(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MethodFile {
    method: Vec<Method>,
}

/// Why a catalogue can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// It is not TOML, or has other keys.
    #[error("{0}")]
    Unreadable(String),
    /// It has a method twice.
    #[error("the method `{0}` is there twice")]
    Twice(String),
    /// A name is empty.
    #[error("a method or a variable has no name")]
    Nameless,
}

/// Reads a catalogue.
pub(super) fn read(text: &str) -> Result<Methods, CatalogueError> {
    let file: MethodFile = toml::from_str(text).map_err(|error| unreadable(text, &error))?;
    let mut methods = Methods::new();
    for method in file.method {
        let names = method.names().chain(method.response.iter().map(String::as_str));
        if names.chain([method.name.as_str()]).any(str::is_empty) {
            return Err(CatalogueError::Nameless);
        }
        if methods.contains_key(&method.name) {
            return Err(CatalogueError::Twice(method.name));
        }
        methods.insert(method.name.clone(), Arc::new(method));
    }
    Ok(methods)
}

fn unreadable(text: &str, error: &toml::de::Error) -> CatalogueError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let message = error.message().replace('\n', " ");
    CatalogueError::Unreadable(format!("line {line}: {message}"))
}

/// Returns the built-in methods with those of the catalogue `text`, which replace built-in ones of the same name.
///
/// # Errors
/// The catalogue can't be read.
pub fn extended(text: &str) -> Result<Methods, CatalogueError> {
    let mut methods = super::methods().clone();
    methods.extend(read(text)?);
    Ok(methods)
}

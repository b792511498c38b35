//! A call of one of the platform's own HTTP functions: `{"method": …, "keys": [{"name": …, "value": …}, …]}`.

use super::body_secrets::write_placeholder;
use crate::definition::catalogue::{Method, Parameter};
use crate::definition::facts::Facts;
use crate::definition::template::{Missing, TextTemplate, Use, Values};
use crate::json::Object;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A family of variables that a call carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The fields of the customer's leg, as `$call.<field>`.
    Call,
    /// All `$flow.key.*`.
    FlowKey,
    /// All `$user.key.*`.
    UserKey,
}

/// The value that a definition gives to a variable of a function.
#[derive(Debug)]
pub enum Given {
    /// Text, which may contain variables.
    Text(TextTemplate),
    /// The JSON text of a number or a Boolean.
    Constant(Box<str>),
    /// A secret. The body contains a placeholder for it.
    Secret,
}

impl From<TextTemplate> for Given {
    fn from(template: TextTemplate) -> Self {
        Self::Text(template)
    }
}

/// The parameters of a call.
#[derive(Debug)]
pub struct Internal {
    /// The function to call.
    pub method: Arc<Method>,
    /// The families that the call carries beside the variables that the function expects.
    pub groups: Vec<Group>,
    /// The values that the definition gives to variables, by name.
    values: BTreeMap<String, Given>,
    /// The variables in the values.
    uses: Vec<Use>,
    /// The names that may lack a value although the function needs them.
    optional: BTreeSet<String>,
    /// The names that must have a value although the function does not need them.
    mandatory: BTreeSet<String>,
}

impl Internal {
    /// Creates a call. `values` are those that the definition gives to variables, by name.
    #[must_use]
    pub fn new(method: Arc<Method>, groups: Vec<Group>, values: BTreeMap<String, Given>) -> Self {
        let uses = values.values().flat_map(|value| match value {
            Given::Text(template) => template.variables(),
            Given::Constant(_) | Given::Secret => &[],
        });
        let uses = uses.cloned().collect();
        let (optional, mandatory) = (BTreeSet::new(), BTreeSet::new());
        Self { method, groups, values, uses, optional, mandatory }
    }

    /// Sets which of the function's variables may lack a value, and which others must have one.
    #[must_use]
    pub fn needing(self, mandatory: BTreeSet<String>, optional: BTreeSet<String>) -> Self {
        Self { mandatory, optional, ..self }
    }

    /// Returns the variables in the values.
    #[must_use]
    pub fn variables(&self) -> &[Use] {
        &self.uses
    }

    /// Appends the body: the secrets, the other values of the definition, the variables that the function expects, then
    /// the families. Each name is written once, and only if it has a value. A value of the definition that has none is
    /// not replaced by a key.
    ///
    /// # Errors
    /// A variable that the function needs has no value, or a mandatory variable in a value of the definition. The error
    /// is a text for operators.
    pub(super) fn render(&self, facts: &Facts<'_, '_>, out: &mut Vec<u8>) -> Result<(), String> {
        let given = self.given(facts).map_err(|missing| missing.to_string())?;
        let mut object = Object::open(out);
        object.text("method", &self.method.name);
        let out = object.name("keys");
        out.push(b'[');
        let mut keys = Keys { out, count: 0, names: BTreeSet::new(), reserved: BTreeSet::new() };
        for (name, value) in &self.values {
            if matches!(value, Given::Secret) {
                let mut placeholder = Vec::new();
                write_placeholder(&mut placeholder);
                keys.json(name, &String::from_utf8_lossy(&placeholder));
            }
        }
        for (name, json) in given {
            keys.json(name, &String::from_utf8_lossy(&json));
        }
        keys.reserved = self.values.keys().map(String::as_str).collect();
        for parameter in &self.method.request {
            match parameter.name.strip_suffix('*') {
                Some(prefix) => keys.family(facts, prefix),
                None => {
                    if let Some(value) = value_of(parameter, facts) {
                        keys.json(&parameter.name, &value);
                    }
                }
            }
        }
        for group in &self.groups {
            match group {
                Group::FlowKey => keys.family(facts, "$flow.key."),
                Group::UserKey => keys.family(facts, "$user.key."),
                Group::Call => {
                    for (name, value) in facts.leg() {
                        keys.json(&format!("$call.{name}"), &value);
                    }
                }
            }
        }
        keys.out.push(b']');
        let missing = self.missing(&keys.names);
        object.close();
        if missing.is_empty() {
            return Ok(());
        }
        Err(format!("no value for {}, which {} needs", missing.join(", "), self.method.name))
    }

    /// Returns the values of the definition that have a value, as JSON.
    fn given(&self, facts: &Facts<'_, '_>) -> Result<Vec<(&str, Vec<u8>)>, Missing> {
        let mut uses = Vec::new();
        let mut given = Vec::with_capacity(self.values.len());
        for (name, value) in &self.values {
            match value {
                Given::Secret => {}
                Given::Constant(json) => given.push((name.as_str(), json.as_bytes().to_vec())),
                Given::Text(template) => {
                    let mut json = Vec::new();
                    match template.render_json(facts, &mut json) {
                        Ok(true) => given.push((name, json)),
                        Ok(false) => {}
                        Err(missing) => uses.extend(missing.uses),
                    }
                }
            }
        }
        if uses.is_empty() { Ok(given) } else { Err(Missing { uses }) }
    }

    /// Returns the names that need a value and are not among `written`.
    fn missing(&self, written: &BTreeSet<String>) -> Vec<&str> {
        let of_function = self.method.request.iter().filter(|parameter| parameter.is_needed());
        let of_function = of_function.map(|parameter| parameter.name.as_str());
        let needed = of_function.filter(|name| !self.optional.contains(*name));
        let all: BTreeSet<&str> = needed.chain(self.mandatory.iter().map(String::as_str)).collect();
        all.into_iter().filter(|name| !written.contains(*name)).collect()
    }

    /// Returns whether the call may carry `variable`, or a variable of the family `$flow.key.*`.
    pub(super) fn uses(&self, variable: &str) -> bool {
        if let Some(family) = variable.strip_suffix('*') {
            let is_asked = |name: &str| name.starts_with(family);
            return self.groups.iter().filter_map(|group| group.prefix()).any(is_asked)
                || self.method.names().any(is_asked);
        }
        let in_groups = self
            .groups
            .iter()
            .filter_map(|group| group.prefix())
            .any(|it| variable.starts_with(it));
        !self.values.contains_key(variable) && (self.method.uses(variable) || in_groups)
    }

    /// Returns whether the body may contain `name`.
    #[must_use]
    pub fn carries(&self, name: &str) -> bool {
        self.values.contains_key(name)
            || self.uses(name)
            || (name.starts_with("$call.") && self.groups.contains(&Group::Call))
    }
}

/// Returns the value of a parameter: that of its own name, else that of the first source that has one.
fn value_of<'f>(parameter: &Parameter, facts: &'f Facts<'_, '_>) -> Option<Cow<'f, str>> {
    let own = || facts.get(&parameter.name.parse().ok()?);
    let sources = || parameter.from.iter().find_map(|source| facts.get(source));
    facts.named(&parameter.name).or_else(own).or_else(sources)
}

impl Group {
    /// Returns the beginning of the names of flow and user keys.
    const fn prefix(self) -> Option<&'static str> {
        match self {
            Self::Call => None,
            Self::FlowKey => Some("$flow.key."),
            Self::UserKey => Some("$user.key."),
        }
    }
}

/// The list `keys` of the body.
struct Keys<'a> {
    out: &'a mut Vec<u8>,
    count: usize,
    /// The names that are written.
    names: BTreeSet<String>,
    /// The names that must not be written any more.
    reserved: BTreeSet<&'a str>,
}

impl Keys<'_> {
    fn family(&mut self, facts: &Facts<'_, '_>, prefix: &str) {
        for (name, value) in facts.under(prefix) {
            self.json(name, &value);
        }
    }

    fn json(&mut self, name: &str, value: &str) {
        if self.reserved.contains(name) || !self.names.insert(name.to_owned()) {
            return;
        }
        if self.count > 0 {
            self.out.push(b',');
        }
        self.count += 1;
        let mut key = Object::open(self.out);
        key.text("name", name);
        key.name("value").extend_from_slice(value.as_bytes());
        key.close();
    }
}

//! A call of one of the platform's own HTTP functions: `{"method": …, "keys": [{"name": …, "value": …}, …]}`.

use crate::definition::catalogue::Method;
use crate::definition::facts::Facts;
use crate::definition::template::{Missing, TextTemplate, Use, Values};
use crate::json::Object;
use std::collections::{BTreeMap, BTreeSet};

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

/// The parameters of a call.
#[derive(Debug)]
pub struct Internal {
    /// The function to call.
    pub method: &'static Method,
    /// The families that the call carries beside the variables that the function expects.
    pub groups: Vec<Group>,
    /// The values that the definition gives to variables, by name.
    values: BTreeMap<String, TextTemplate>,
    /// The variables in the values.
    uses: Vec<Use>,
}

impl Internal {
    /// Creates a call. `values` are those that the definition gives to variables, by name.
    #[must_use]
    pub fn new(
        method: &'static Method,
        groups: Vec<Group>,
        values: BTreeMap<String, TextTemplate>,
    ) -> Self {
        let uses = values.values().flat_map(TextTemplate::variables).cloned().collect();
        Self { method, groups, values, uses }
    }

    /// Returns the variables in the values.
    pub(super) fn variables(&self) -> &[Use] {
        &self.uses
    }

    /// Appends the body: the values of the definition, the variables that the function expects, then the families. Each name is
    /// written once, and only if it has a value. A value of the definition that has none is not replaced by a key.
    ///
    /// # Errors
    /// A mandatory variable in a value of the definition has no value.
    pub(super) fn render(&self, facts: &Facts<'_>, out: &mut Vec<u8>) -> Result<(), Missing> {
        let mut uses = Vec::new();
        let mut given = Vec::with_capacity(self.values.len());
        for (name, value) in &self.values {
            let mut json = Vec::new();
            match value.render_json(facts, &mut json) {
                Ok(true) => given.push((name, json)),
                Ok(false) => {}
                Err(missing) => uses.extend(missing.uses),
            }
        }
        if !uses.is_empty() {
            return Err(Missing { uses });
        }
        let mut object = Object::open(out);
        object.text("method", &self.method.name);
        let out = object.name("keys");
        out.push(b'[');
        let mut keys = Keys { out, count: 0, names: BTreeSet::new() };
        for (name, json) in given {
            keys.json(name, &String::from_utf8_lossy(&json));
        }
        keys.names.extend(self.values.keys().cloned());
        for name in &self.method.request {
            match name.strip_suffix('*') {
                Some(prefix) => keys.family(facts, prefix),
                None => {
                    let field = || {
                        let variable = name.parse().ok()?;
                        facts.get(&variable)
                    };
                    if let Some(value) = facts.named(name).or_else(field) {
                        keys.json(name, &value);
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
        object.close();
        Ok(())
    }

    /// Returns whether the call may carry `variable`.
    pub(super) fn uses(&self, variable: &str) -> bool {
        let in_groups = self.groups.iter().any(|group| match group {
            Group::Call => false,
            Group::FlowKey => variable.starts_with("$flow.key."),
            Group::UserKey => variable.starts_with("$user.key."),
        });
        !self.values.contains_key(variable) && (self.method.wants(variable) || in_groups)
    }
}

/// The list `keys` of the body.
struct Keys<'a> {
    out: &'a mut Vec<u8>,
    count: usize,
    /// The names that are written or must not be.
    names: BTreeSet<String>,
}

impl Keys<'_> {
    fn family(&mut self, facts: &Facts<'_>, prefix: &str) {
        for (name, value) in facts.under(prefix) {
            self.json(name, &value);
        }
    }

    fn json(&mut self, name: &str, value: &str) {
        if !self.names.insert(name.to_owned()) {
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

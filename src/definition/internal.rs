//! A call of one of the platform's own HTTP functions: `{"method": …, "keys": [{"name": …, "value": …}, …]}`.

use crate::definition::catalogue::Method;
use crate::definition::facts::Facts;
use crate::json::{self, Object};
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
    /// Variables with a fixed value, by name.
    pub values: BTreeMap<String, String>,
}

impl Internal {
    /// Appends the body: the fixed values, the variables that the function expects, then the families. Each name is
    /// written once, and only if it has a value.
    pub(super) fn render(&self, facts: &Facts<'_, '_>, out: &mut Vec<u8>) {
        let mut object = Object::open(out);
        object.text("method", &self.method.name);
        let out = object.name("keys");
        out.push(b'[');
        let mut keys = Keys { out, names: BTreeSet::new() };
        for (name, value) in &self.values {
            keys.text(name, value);
        }
        for name in &self.method.request {
            match name.strip_suffix('*') {
                Some(prefix) => keys.family(facts, prefix),
                None => {
                    let field = || {
                        let variable = name.parse().ok()?;
                        crate::definition::template::Values::get(facts, &variable)
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
    names: BTreeSet<String>,
}

impl Keys<'_> {
    fn family(&mut self, facts: &Facts<'_, '_>, prefix: &str) {
        for (name, value) in facts.under(prefix) {
            self.json(name, &value);
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        let mut quoted = Vec::with_capacity(value.len() + 2);
        json::write_string(&mut quoted, value);
        self.json(name, &String::from_utf8_lossy(&quoted));
    }

    fn json(&mut self, name: &str, value: &str) {
        if !self.names.insert(name.to_owned()) {
            return;
        }
        if self.names.len() > 1 {
            self.out.push(b',');
        }
        let mut key = Object::open(self.out);
        key.text("name", name);
        key.name("value").extend_from_slice(value.as_bytes());
        key.close();
    }
}

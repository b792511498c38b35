//! Checks a tree against its schema, and reports all unknown keys, wrong types and values out of bounds at once. Values
//! with faults are removed, so that the rest can be read and checked further.

use super::fault::Fault;
use super::origin::Origin;
use super::tree::{Node, Value};
use crate::definition::nearest;
use serde_json::Value as Json;

/// Removes the values from the tree that `schema` does not allow. Returns their faults.
pub(crate) fn prune(tree: &mut Node, schema: &Json) -> Vec<Fault> {
    let mut check = Check { root: schema, faults: Vec::new() };
    check.value(tree, schema, "");
    check.faults
}

struct Check<'a> {
    root: &'a Json,
    faults: Vec<Fault>,
}

impl Check<'_> {
    /// Checks `node`, and returns whether to keep it.
    fn value(&mut self, node: &mut Node, schema: &Json, key: &str) -> bool {
        let kind = kind(node);
        let Some(schema) = branch(schema, kind) else {
            let tables = schema.pointer("/items/properties").is_some();
            let fix = if tables && kind == "object" {
                format!("write [[{key}]], with two brackets on each side")
            } else {
                format!("write {}", wanted(schema))
            };
            self.fault(&node.origin, key, format!("is {}", article(kind)), fix);
            return false;
        };
        match &mut node.value {
            Value::Scalar(scalar) => match out_of_bounds(scalar, schema) {
                None => true,
                Some((problem, fix)) => {
                    self.fault(&node.origin, key, problem, fix);
                    false
                }
            },
            Value::List(items) => {
                self.list(items, &node.origin, schema, key);
                true
            }
            Value::Table(_) => {
                self.table(node, schema, key);
                true
            }
        }
    }

    fn list(&mut self, items: &mut Vec<Node>, origin: &Origin, schema: &Json, key: &str) {
        let length = items.len() as u64;
        if schema.get("minItems").and_then(Json::as_u64).is_some_and(|least| length < least) {
            self.fault(origin, key, "is an empty list", "name at least one, or remove the key");
        }
        let Some(of_items) = schema.get("items") else { return };
        items.retain_mut(|item| {
            let key = format!("{key}[{}]", item.label());
            self.value(item, of_items, &key)
        });
    }

    fn table(&mut self, node: &mut Node, schema: &Json, key: &str) {
        let origin = node.origin.clone();
        let Value::Table(table) = &mut node.value else { return };
        for wanted in schema.get("required").and_then(Json::as_array).into_iter().flatten() {
            let Some(name) = wanted.as_str() else { continue };
            if !table.contains_key(name) {
                let what = schema
                    .pointer(&format!("/properties/{name}"))
                    .map_or_else(|| "a value".to_owned(), self::wanted);
                self.fault(
                    &origin,
                    &join(key, name),
                    "is missing",
                    format!("add `{name}`: {what}"),
                );
            }
        }
        table.retain(|name, node| {
            let full = join(key, name);
            match property(schema, name) {
                Some(schema) => self.value(node, schema, &full),
                None => {
                    let fix = self.fix_unknown(name, schema, key);
                    self.fault(&node.origin, &full, "unknown key", fix);
                    false
                }
            }
        });
    }

    /// Returns the fix for the unknown key `name`: a similar key of this table, or another table with this key, or the
    /// known keys.
    fn fix_unknown(&self, name: &str, schema: &Json, key: &str) -> String {
        let known = keys(schema);
        if let Some(near) = nearest(name, known.iter().copied()) {
            return format!("did you mean `{near}`?");
        }
        let mut elsewhere = Vec::new();
        tables_with(self.root, name, "", &mut elsewhere);
        elsewhere.retain(|table| table != key);
        match elsewhere.first() {
            Some(table) if table.is_empty() => format!("`{name}` belongs outside of all tables"),
            Some(table) => format!("`{name}` is a key of `{table}`"),
            None => format!("remove it; known here: {}", known.join(", ")),
        }
    }

    fn fault(
        &mut self,
        origin: &Origin,
        key: &str,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.faults.push(origin.fault(key, problem, fix));
    }
}

/// Returns the schema of the key `name` of a table.
fn property<'a>(schema: &'a Json, name: &str) -> Option<&'a Json> {
    let named = schema.get("properties").and_then(|properties| properties.get(name));
    match (named, schema.get("additionalProperties")) {
        (Some(named), _) => Some(named),
        (None, Some(other @ Json::Object(_))) => Some(other),
        // A table without listed keys allows any.
        (None, None) if schema.get("properties").is_none() => Some(&Json::Bool(true)),
        (None, _) => None,
    }
}

/// Returns the part of `schema` for values of `kind`.
pub(crate) fn branch<'a>(schema: &'a Json, kind: &str) -> Option<&'a Json> {
    if let Some(branches) = schema.get("anyOf").and_then(Json::as_array) {
        return branches.iter().find_map(|one| branch(one, kind));
    }
    types(schema)
        .is_none_or(|types| {
            types.iter().any(|name| *name == kind || (*name == "number" && kind == "integer"))
        })
        .then_some(schema)
}

/// Returns the keys that a table may have.
pub(crate) fn keys(schema: &Json) -> Vec<&str> {
    let properties = schema.get("properties").and_then(Json::as_object);
    properties.into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

/// Returns `name` as a full key of `table`.
pub(crate) fn join(table: &str, name: &str) -> String {
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}

/// Describes the values that `schema` allows.
pub(crate) fn wanted(schema: &Json) -> String {
    if let Some(branches) = schema.get("anyOf").and_then(Json::as_array) {
        return branches.iter().map(wanted).collect::<Vec<_>>().join(" or ");
    }
    let bound = |name| schema.get(name).filter(|bound| bound.is_number());
    let range = match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(" of {least} or more"),
        (None, Some(most)) => format!(" of {most} at most"),
        (None, None) => String::new(),
    };
    if let Some(words) = words(schema) {
        return format!("one of {}", words.join(", "));
    }
    let names = types(schema).unwrap_or_default();
    let one = |name: &&str| match *name {
        "integer" => format!("a whole number{range}"),
        "number" => format!("a number{range}"),
        "string" => "text".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => "a list".to_owned(),
        "object" => match keys(schema).as_slice() {
            [] => "a table".to_owned(),
            keys if keys.len() <= 3 => {
                format!("a table with {}", keys.join(" or "))
            }
            _ => "a table".to_owned(),
        },
        other => other.to_owned(),
    };
    names.iter().map(one).collect::<Vec<_>>().join(" or ")
}

/// Returns the words of an enumeration.
fn words(schema: &Json) -> Option<Vec<&str>> {
    let listed = schema.get("enum").and_then(Json::as_array);
    if let Some(listed) = listed {
        return Some(listed.iter().filter_map(Json::as_str).collect());
    }
    // A schema with a description for each word lists the words here.
    let branches = schema.get("oneOf").and_then(Json::as_array)?;
    branches.iter().map(|branch| branch.get("const").and_then(Json::as_str)).collect()
}

fn types(schema: &Json) -> Option<Vec<&str>> {
    match schema.get("type")? {
        Json::String(one) => Some(vec![one]),
        Json::Array(several) => Some(several.iter().filter_map(Json::as_str).collect()),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => None,
    }
}

fn kind(node: &Node) -> &'static str {
    match &node.value {
        Value::List(_) => "array",
        Value::Table(_) => "object",
        Value::Scalar(scalar) => match scalar {
            toml::Value::String(_) => "string",
            toml::Value::Integer(_) => "integer",
            toml::Value::Float(number) if *number == f64::MAX => "huge",
            toml::Value::Float(_) => "number",
            toml::Value::Boolean(_) => "boolean",
            toml::Value::Datetime(_) => "date",
            toml::Value::Array(_) => "array",
            toml::Value::Table(_) => "object",
        },
    }
}

fn article(kind: &str) -> &str {
    match kind {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number with a fraction",
        "boolean" => "a truth value",
        "date" => "a date",
        "huge" => "a number of more than 64 bits",
        "array" => "a list",
        _ => "a table",
    }
}

/// Returns the problem and the fix if a scalar of the right type is out of bounds. Plain text is never quoted: it may
/// be a secret.
fn out_of_bounds(scalar: &toml::Value, schema: &Json) -> Option<(String, String)> {
    match scalar {
        toml::Value::Integer(number) => number_out_of_bounds(*number as f64, number, schema),
        toml::Value::Float(number) => number_out_of_bounds(*number, number, schema),
        toml::Value::String(text) => text_out_of_bounds(text, schema),
        toml::Value::Boolean(_)
        | toml::Value::Datetime(_)
        | toml::Value::Array(_)
        | toml::Value::Table(_) => None,
    }
}

fn number_out_of_bounds(
    number: f64,
    shown: &dyn std::fmt::Display,
    schema: &Json,
) -> Option<(String, String)> {
    let bound = |name| schema.get(name).and_then(Json::as_f64);
    let least = bound("minimum").is_none_or(|least| number >= least);
    let most = bound("maximum").is_none_or(|most| number <= most);
    let finite = number.is_finite() && least && most;
    (!finite).then(|| (format!("is {shown}"), format!("write {}", wanted(schema))))
}

fn text_out_of_bounds(text: &str, schema: &Json) -> Option<(String, String)> {
    if let Some(words) = words(schema) {
        if words.contains(&text) {
            return None;
        }
        let fix = match nearest(text, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write {}", wanted(schema)),
        };
        return Some((format!("unknown word `{}`", text.escape_debug()), fix));
    }
    let length = text.chars().count() as u64;
    let bound = |name| schema.get(name).and_then(Json::as_u64);
    if bound("minLength").is_some_and(|least| length < least) {
        return Some(("is empty".to_owned(), "write some text, or remove the key".to_owned()));
    }
    bound("maxLength").filter(|most| length > *most).map(|most| {
        (format!("has {length} characters"), format!("shorten it to {most} characters"))
    })
}

/// Finds the tables that have a key `name`.
fn tables_with(schema: &Json, name: &str, table: &str, found: &mut Vec<String>) {
    for part in schema.get("anyOf").and_then(Json::as_array).into_iter().flatten() {
        tables_with(part, name, table, found);
    }
    if let Some(items) = schema.get("items") {
        tables_with(items, name, table, found);
    }
    for (key, below) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
        if key == name {
            found.push(table.to_owned());
        }
        tables_with(below, name, &join(table, key), found);
    }
}

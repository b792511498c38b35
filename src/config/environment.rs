//! Environment variables that override keys of the configuration, such as `RINGBACK__KAFKA__BOOTSTRAP_SERVERS`.

use crate::document::{
    Fault, Node, Origin, Value, Variables, branch, join, keys, nearest, parse_value, wanted,
};
use serde_json::Value as Json;
use std::collections::BTreeMap;

const PREFIX: &str = "RINGBACK__";

/// Returns the variables of this process. A variable that is not UTF-8 counts as not set.
pub(super) fn of_process() -> Variables {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Writes the values of the variables into the tree, with the types of `schema`. Returns the faults.
pub(super) fn apply(root: &mut Node, schema: &Json, variables: &Variables) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen: BTreeMap<Vec<String>, &str> = BTreeMap::new();
    for (name, text) in variables {
        let Some((prefix, rest)) = name.split_at_checked(PREFIX.len()) else { continue };
        if !prefix.eq_ignore_ascii_case(PREFIX) {
            continue;
        }
        let origin = Origin::Variable(name.clone());
        let mut add = |key: &str, problem: String, fix: String| {
            faults.push(origin.fault(key, problem, fix));
        };
        let target = match find(rest, schema) {
            Ok(target) => target,
            Err((key, fix)) => {
                add(&key, "does not name a key".to_owned(), fix);
                continue;
            }
        };
        let key = target.path.join(".");
        if let Some(other) = seen.insert(target.path.clone(), name) {
            add(&key, format!("`{other}` sets the same key"), "remove one of them".to_owned());
            continue;
        }
        match typed(text, target.schema, &origin) {
            Some(node) => put(root, &target, node, &origin),
            None if target.schema.get("properties").is_some() => {
                let keys = keys(target.schema).join(", ");
                add(&key, "is a table".to_owned(), format!("name one of its keys: {keys}"));
            }
            None => {
                let wanted = wanted(target.schema);
                add(&key, "has another type".to_owned(), format!("write {wanted}"));
            }
        }
    }
    faults
}

/// The key that a variable names.
struct Target<'a> {
    path: Vec<String>,
    schema: &'a Json,
    /// From this depth on, the path replaces the file's value, for example another way to give a secret.
    replace_at: Option<usize>,
}

/// Returns the key that `rest` names. The error has the part of the key that exists, and the fix.
fn find<'a>(rest: &str, root: &'a Json) -> Result<Target<'a>, (String, String)> {
    let rest = rest.to_lowercase();
    let mut target = Target { path: Vec::new(), schema: root, replace_at: None };
    let mut parts = rest.split("__");
    while let Some(part) = parts.next() {
        if target.schema.get("anyOf").is_some() {
            target.replace_at = Some(target.path.len());
        }
        let table = branch(target.schema, "object").unwrap_or(target.schema);
        if let (None, Some(any)) = (table.get("properties"), table.get("additionalProperties")) {
            let rest: Vec<&str> = std::iter::once(part).chain(parts).collect();
            // In a property of librdkafka, underscores in the variable's name stand for its dots.
            let is_property = target.path == ["kafka", "client"];
            target.path.push(if is_property {
                rest.join(".").replace('_', ".")
            } else {
                rest.join("__")
            });
            target.schema = any;
            return Ok(target);
        }
        let known = keys(table);
        let found = table.get("properties").and_then(|properties| properties.get(part));
        let Some(schema) = found else {
            let key = target.path.join(".");
            let variable = |key: &str| {
                let path = target.path.iter().map(String::as_str).chain([key]);
                format!("{PREFIX}{}", path.collect::<Vec<_>>().join("__").to_uppercase())
            };
            let fix = match nearest(part, known.iter().copied()) {
                Some(near) => format!("did you mean `{}`?", variable(near)),
                None if known.is_empty() => format!("`{key}` has no keys below it"),
                None => format!("unset it; known here: {}", known.join(", ")),
            };
            return Err((join(&key, part), fix));
        };
        target.path.push(part.to_owned());
        target.schema = schema;
    }
    Ok(target)
}

/// Parses `text` as a value of the type in `schema`.
fn typed(text: &str, schema: &Json, origin: &Origin) -> Option<Node> {
    let scalar = |value| Some(Node::new(origin.clone(), Value::Scalar(value)));
    let trimmed = text.trim();
    if let Some(list) = branch(schema, "array") {
        let one = branch(schema, "string").is_some() && !trimmed.contains(',');
        if trimmed.starts_with('[') {
            return parse_value(trimmed, origin);
        }
        if !one {
            let of_items = list.get("items")?;
            let parts = trimmed.split(',').map(str::trim).filter(|part| !part.is_empty());
            let items = parts.map(|part| typed(part, of_items, origin)).collect::<Option<_>>()?;
            return Some(Node::list(origin.clone(), items));
        }
    }
    if branch(schema, "string").is_some() {
        return scalar(toml::Value::String(text.to_owned()));
    }
    if branch(schema, "boolean").is_some() {
        return scalar(toml::Value::Boolean(trimmed.to_lowercase().parse().ok()?));
    }
    if branch(schema, "number").is_some() {
        return scalar(toml::Value::Float(trimmed.parse().ok()?));
    }
    branch(schema, "integer")?;
    scalar(toml::Value::Integer(trimmed.parse().ok()?))
}

/// Puts `leaf` at the path of `target`, and creates the tables of the path.
fn put(root: &mut Node, target: &Target<'_>, leaf: Node, origin: &Origin) {
    let Some((last, tables)) = target.path.split_last() else { return };
    let mut node = root;
    for (depth, name) in tables.iter().enumerate() {
        let Value::Table(table) = &mut node.value else { return };
        let next = table
            .entry(name.clone())
            .or_insert_with(|| Node::new(origin.clone(), Value::Table(BTreeMap::new())));
        if target.replace_at == Some(depth + 1) {
            *next = Node::new(origin.clone(), Value::Table(BTreeMap::new()));
        }
        node = next;
    }
    // If the file has no table here, the check reports it.
    if let Value::Table(table) = &mut node.value {
        table.insert(last.clone(), leaf);
    }
}

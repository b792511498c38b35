//! Makes entries of rows: the same tree that a file would be.

use super::row::{Cell, DEFINITION, Kind, Row};
use crate::document::{Fault, Node, Origin, Value, branch};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Returns the tree with the entries of the rows of one account. Adds the faults of values that can't be in a tree.
pub(super) fn tree(rows: &[Arc<Row>], faults: &mut Vec<Fault>) -> Option<Node> {
    let mut lists: BTreeMap<String, Node> = BTreeMap::new();
    for kind in Kind::ALL {
        let of_kind: Vec<&Row> =
            rows.iter().map(AsRef::as_ref).filter(|row| row.kind() == kind).collect();
        let Some(first) = of_kind.first() else { continue };
        let items = match first.shape.setting {
            Some(_) => vec![of_settings(&of_kind, faults)],
            None => of_kind.iter().map(|row| of_row(row, faults)).collect(),
        };
        lists.insert(kind.key().to_owned(), Node::list(first.origin(None), items));
    }
    let origin = rows.first()?.origin(None);
    Some(Node::new(origin, Value::Table(lists)))
}

/// Returns the name of the webhook that a row describes. It may be in the definition.
pub(super) fn webhook_name(row: &Row) -> Option<String> {
    if row.kind() != Kind::Webhook {
        return None;
    }
    if let Some(name) = row.text_of("name") {
        return Some(name.to_owned());
    }
    let is_definition = |name: &str| name.eq_ignore_ascii_case(DEFINITION);
    let index = row.shape.columns.iter().position(|column| is_definition(&column.name))?;
    let members: serde_json::Map<String, Json> = serde_json::from_str(row.text(index)?).ok()?;
    members.get("name")?.as_str().map(str::to_owned)
}

/// Makes an entry of a row whose columns are keys.
fn of_row(row: &Row, faults: &mut Vec<Fault>) -> Node {
    let schema = row.kind().schema();
    let mut table: BTreeMap<String, Node> = BTreeMap::new();
    let mut definition = None;
    for (column, cell) in row.shape.columns.iter().zip(&row.cells) {
        let origin = || row.origin(Some(&column.name));
        match (&column.key, cell) {
            (_, Cell::Null) => {}
            (Some(key), Cell::Binary) => faults.push(no_text(&origin(), key)),
            (Some(key), Cell::Text(text)) => {
                let node = typed(text, property(schema, key), &origin());
                table.insert(key.to_string(), node);
            }
            (None, cell) if column.name.eq_ignore_ascii_case(DEFINITION) => {
                definition = Some((origin(), cell));
            }
            (None, Cell::Text(_) | Cell::Binary) => {}
        }
    }
    if let Some((origin, cell)) = definition {
        add_definition(&mut table, cell, &origin, faults);
    }
    Node::new(row.origin(None), Value::Table(table))
}

/// Makes one entry of rows that are settings of one account. Settings of other parts of the platform do not count.
fn of_settings(rows: &[&Row], faults: &mut Vec<Fault>) -> Node {
    let schema = Kind::Account.schema();
    let known = crate::document::keys(schema);
    let mut table: BTreeMap<String, Node> = BTreeMap::new();
    let mut origin = None;
    for row in rows {
        let Some((name, value)) = row.shape.setting else { continue };
        origin = origin.or(Some(row.origin(None)));
        if let Some(id) = row.text_of("id") {
            let origin = row.origin(None);
            table
                .entry("id".to_owned())
                .or_insert_with(|| typed(id, property(schema, "id"), &origin));
        }
        let Some(name) = row.text(name).map(str::trim) else { continue };
        let column = row.shape.columns.get(value).map(|column| &column.name);
        let (origin, cell) = (row.origin(column), row.cells.get(value));
        if name.eq_ignore_ascii_case(DEFINITION) {
            add_definition(&mut table, cell.unwrap_or(&Cell::Null), &origin, faults);
            continue;
        }
        let Some(key) = known.iter().find(|key| key.eq_ignore_ascii_case(name)) else { continue };
        match cell {
            None | Some(Cell::Null) => {}
            Some(Cell::Binary) => faults.push(no_text(&origin, key)),
            Some(Cell::Text(_)) if *key == "id" => {}
            Some(Cell::Text(text)) => {
                let node = typed(text, property(schema, key), &origin);
                add(&mut table, key, node, faults);
            }
        }
    }
    let origin = origin.unwrap_or(Origin::Variable(String::new()));
    Node::new(origin, Value::Table(table))
}

/// Adds the members of a JSON object as keys.
fn add_definition(
    table: &mut BTreeMap<String, Node>,
    cell: &Cell,
    origin: &Origin,
    faults: &mut Vec<Fault>,
) {
    let members = match cell {
        Cell::Null => return,
        Cell::Text(text) if text.trim().is_empty() => return,
        Cell::Text(text) => serde_json::from_str::<serde_json::Map<String, Json>>(text)
            // Only the place is used: the whole error may quote a secret.
            .map_err(|error| format!("line {}, column {}", error.line(), error.column())),
        Cell::Binary => Err("it is not UTF-8".to_owned()),
    };
    match members {
        Ok(members) => {
            for (key, value) in members {
                if let Some(node) = of_json(value, origin) {
                    add(table, &key, node, faults);
                }
            }
        }
        Err(problem) => {
            let problem = format!("is not a JSON object ({problem})");
            faults.push(origin.fault(
                DEFINITION,
                problem,
                "write an object as in {\"method\": \"PUT\"}",
            ));
        }
    }
}

fn add(table: &mut BTreeMap<String, Node>, key: &str, node: Node, faults: &mut Vec<Fault>) {
    if table.contains_key(key) {
        faults.push(node.origin.fault(key, "is set twice", "keep one of the two values"));
    } else {
        table.insert(key.to_owned(), node);
    }
}

fn no_text(origin: &Origin, key: &str) -> Fault {
    origin.fault(key, "is not UTF-8 text", "store text, a number or a truth value")
}

fn property<'a>(schema: &'a Json, key: &str) -> &'a Json {
    schema.get("properties").and_then(|properties| properties.get(key)).unwrap_or(&Json::Null)
}

/// Converts the text of a value to the type that its schema wants. A text that can't be converted stays one, and the
/// check reports it.
fn typed(text: &str, schema: &Json, origin: &Origin) -> Node {
    let trimmed = text.trim();
    let scalar = |value| Node::new(origin.clone(), Value::Scalar(value));
    let allows = |kind| branch(schema, kind).is_some();
    if (allows("array") && trimmed.starts_with('[') || allows("object") && trimmed.starts_with('{'))
        && let Ok(value) = serde_json::from_str(trimmed)
        && let Some(node) = of_json(value, origin)
    {
        return node;
    }
    if allows("boolean")
        && let Some(value) = truth(trimmed)
    {
        return scalar(toml::Value::Boolean(value));
    }
    if !allows("string") {
        if let Ok(number) = trimmed.parse()
            && (allows("integer") || allows("number"))
        {
            return scalar(toml::Value::Integer(number));
        }
        if allows("number")
            && let Ok(number) = trimmed.parse()
        {
            return scalar(toml::Value::Float(number));
        }
    }
    scalar(toml::Value::String(text.to_owned()))
}

/// Returns the truth value in any of the platform's spellings.
fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "b'1'" | "yes" | "\u{1}" => Some(true),
        "false" | "0" | "b'0'" | "no" | "\0" => Some(false),
        _ => None,
    }
}

/// Converts JSON. `null` counts as not set.
fn of_json(value: Json, origin: &Origin) -> Option<Node> {
    let scalar = |value| Some(Node::new(origin.clone(), Value::Scalar(value)));
    match value {
        Json::Null => None,
        Json::Bool(value) => scalar(toml::Value::Boolean(value)),
        Json::String(text) => scalar(toml::Value::String(text)),
        Json::Number(number) => scalar(match (number.as_i64(), number.is_f64()) {
            (Some(number), _) => toml::Value::Integer(number),
            (None, true) => toml::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            // No key allows more than 64 bits.
            (None, false) => toml::Value::Float(f64::MAX),
        }),
        Json::Array(items) => {
            let items = items.into_iter().filter_map(|item| of_json(item, origin)).collect();
            Some(Node::list(origin.clone(), items))
        }
        Json::Object(members) => {
            let members = members.into_iter();
            let members = members.filter_map(|(key, value)| Some((key, of_json(value, origin)?)));
            Some(Node::new(origin.clone(), Value::Table(members.collect())))
        }
    }
}

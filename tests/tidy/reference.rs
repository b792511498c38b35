//! The configuration reference of the guide. It is generated from the JSON Schemas, which are generated from the types
//! that read the configuration. `UPDATE_GUIDE=1 cargo test --release --test tidy reference::` writes it again.

use crate::root;
use serde_json::Value;
use std::fmt::Write as _;

const PAGE: &str = "ops/guide/configuration.md";

/// The configuration files: name, schema, commented example (which gives the order of keys), and description.
const FILES: [(&str, &str, &str, &str); 2] = [
    (
        "ringback.toml",
        "schemas/config.schema.json",
        "config/ringback.toml",
        "The configuration of the daemon.",
    ),
    (
        "accounts.toml",
        "schemas/accounts.schema.json",
        "config/accounts.toml",
        "Accounts, their webhooks, flows and rules. The key `accounts.file` of `ringback.toml` names this file. Environment \
         variables do not override its keys. Where a webhook has no value of its own for a key that `[delivery]` has too, that of \
         `[delivery]` counts.",
    ),
];

const INTRODUCTION: &str = include_str!("reference/introduction.md");

/// The content of an empty cell.
const NOTHING: &str = "–";

/// Returns the page.
fn page() -> String {
    let mut out = INTRODUCTION.to_owned();
    for (file, schema, example, about) in FILES {
        let text = std::fs::read_to_string(root().join(schema)).expect("a schema");
        let schema: Value = serde_json::from_str(&text).expect("JSON");
        let example = std::fs::read_to_string(root().join(example)).expect("an example");
        let _ = write!(out, "\n## {file}\n\n{about}\n");
        let file = File { example: &example, variables: file == "ringback.toml" };
        file.table(&mut out, &schema, &[], "###");
    }
    out
}

struct File<'a> {
    example: &'a str,
    /// Whether environment variables can override its keys.
    variables: bool,
}

impl File<'_> {
    /// Writes the keys of `schema` as a table, and then a section for each table in it.
    fn table(&self, out: &mut String, schema: &Value, path: &[&str], level: &str) {
        let table = below(schema);
        let keys = self.ordered(table, path.last().copied());
        let required = table.get("required").and_then(Value::as_array);
        let is_required = |key: &str| required.is_some_and(|it| it.iter().any(|it| it == key));
        let (tables, values): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|(_, value)| is_table(value));
        if !values.is_empty() {
            out.push_str("\n| Key | Type | Default | Unit | Meaning |");
            out.push_str(if self.variables { " Environment variable |\n" } else { "\n" });
            out.push_str(if self.variables {
                "|---|---|---|---|---|---|\n"
            } else {
                "|---|---|---|---|---|\n"
            });
        }
        for (key, value) in values {
            let default = if is_required(key) { "required".to_owned() } else { default(value) };
            let cells =
                [quoted(key), kind(value), default, unit(key, value).to_owned(), meaning(value)];
            let _ = write!(out, "| {} |", cells.join(" | "));
            if self.variables {
                let _ = write!(out, " {} |", variable(path, key));
            }
            out.push('\n');
        }
        for (key, value) in tables {
            let path = [path, &[key]].concat();
            let name = path.join(".");
            let name = match value.get("items") {
                Some(_) if path.len() == 1 => format!("[[{name}]]"),
                Some(_) => format!("{name}[]"),
                None if self.variables => format!("[{name}]"),
                None => name,
            };
            let _ = write!(out, "\n{level} {name}\n\n{}\n", meaning(value));
            match value.get("additionalProperties").filter(|any| any.is_object()) {
                Some(any) => free_keys(out, any),
                None => self.table(out, value, &path, if level.len() < 5 { "####" } else { level }),
            }
        }
    }

    /// Returns the keys in the order of the commented example, which groups related keys.
    fn ordered<'s>(&self, table: &'s Value, section: Option<&str>) -> Vec<(&'s str, &'s Value)> {
        let keys = table.get("properties").and_then(Value::as_object).into_iter().flatten();
        let from = section.and_then(|name| {
            let heads =
                [format!("\n[{name}]\n"), format!("\n[[{name}]]\n"), format!("\n# [[{name}]]\n")];
            heads.iter().find_map(|head| self.example.find(head))
        });
        let from = from.unwrap_or_default();
        let rest = self.example.get(from..).unwrap_or_default();
        let place = |key: &str| {
            let forms = [
                format!("\n{key} ="),
                format!("\n# {key} ="),
                format!("\n\"{key}\" ="),
                format!("\n[{key}]"),
                format!("\n[[{key}]]"),
                format!("\n# [[{key}]]"),
                format!("\n# [{key}]"),
            ];
            forms.iter().filter_map(|form| rest.find(form)).min().unwrap_or(usize::MAX)
        };
        let mut keys: Vec<_> = keys.map(|(key, value)| (key.as_str(), value)).collect();
        keys.sort_by_key(|(key, _)| (place(key), *key));
        keys
    }
}

/// Returns the schema of the items, if it is a list.
fn below(schema: &Value) -> &Value {
    schema.get("items").unwrap_or(schema)
}

fn is_table(schema: &Value) -> bool {
    let table = below(schema);
    table.get("type").is_some_and(|it| it == "object")
        && (table.get("properties").is_some()
            || table.get("additionalProperties").is_some_and(Value::is_object))
        && schema.get("anyOf").is_none()
}

fn free_keys(out: &mut String, any: &Value) {
    let _ = write!(out, "\nIts keys are free. The type of each value: {}.\n", kind(any));
}

fn quoted(key: &str) -> String {
    if key.contains('.') { format!("`\"{key}\"`") } else { format!("`{key}`") }
}

/// Returns the type, with its bounds.
fn kind(schema: &Value) -> String {
    if is_secret(schema) {
        return "string or [secret](#secrets)".to_owned();
    }
    let consts =
        schema.get("oneOf").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let words = consts.iter().filter_map(|it| it.get("const"));
    let words: Vec<_> = words.chain(values(schema, "enum")).map(|it| format!("`{it}`")).collect();
    if !words.is_empty() {
        return words.join(", ");
    }
    let branches = values(schema, "anyOf").map(kind).collect::<Vec<_>>();
    if !branches.is_empty() {
        return branches.join(" or ");
    }
    if let Some(Value::Array(types)) = schema.get("type") {
        return types.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    }
    match schema.get("type").and_then(Value::as_str).expect("a key has a type") {
        "array" => format!("list of {}", plural(&kind(below(schema)))),
        "object" => "table".to_owned(),
        name @ ("integer" | "number") => format!("{name}{}", bounds(schema)),
        name => name.to_owned(),
    }
}

fn plural(kind: &str) -> String {
    match kind.split_once(|c: char| !c.is_alphabetic()) {
        None => format!("{kind}s"),
        Some((word @ ("string" | "integer" | "number"), rest)) => {
            let at = kind.len() - rest.len() - 1;
            format!("{word}s{}", kind.get(at..).unwrap_or_default())
        }
        Some(_) => kind.to_owned(),
    }
}

fn values<'a>(schema: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    schema.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// Returns whether the value may be a secret: a string, or a table that refers to one.
fn is_secret(schema: &Value) -> bool {
    values(schema, "anyOf").any(|branch| branch.pointer("/properties/env").is_some())
}

fn bounds(schema: &Value) -> String {
    let of = |key: &str| schema.get(key).map(number);
    match (of("minimum"), of("maximum")) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", at least {least}"),
        (None, Some(most)) => format!(", at most {most}"),
        (None, None) => String::new(),
    }
}

/// Returns the number without the `.0` of a whole number.
fn number(value: &Value) -> String {
    let text = value.to_string();
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn default(schema: &Value) -> String {
    match schema.get("default") {
        None => NOTHING.to_owned(),
        Some(value @ Value::Number(_)) => format!("`{}`", number(value)),
        Some(value) => format!("`{value}`"),
    }
}

/// Returns the unit, which is the last word of the key.
fn unit(key: &str, schema: &Value) -> &'static str {
    let is_number = schema.get("type").is_some_and(|it| it == "integer" || it == "number");
    match key.rsplit('_').next() {
        _ if !is_number => NOTHING,
        Some("ms") => "milliseconds",
        Some("s") => "seconds",
        Some("second") => "per second",
        Some("bytes") => "bytes",
        Some(_) | None => NOTHING,
    }
}

/// Returns the description, with those of the possible values.
fn meaning(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or(NOTHING);
    let mut text = text.to_owned();
    for word in values(schema, "oneOf") {
        let said = |key: &str| word.get(key).and_then(Value::as_str).unwrap_or_default();
        let (word, about) = (said("const"), said("description"));
        if !text.contains(&format!("{word}:")) && !text.contains(&format!("\"{word}\":")) {
            let _ = write!(text, " `{word}`: {about}");
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "\\<")
}

fn variable(path: &[&str], key: &str) -> String {
    let words: Vec<String> = path.iter().chain([&key]).map(|it| it.to_uppercase()).collect();
    format!("`RINGBACK__{}`", words.join("__"))
}

#[test]
fn the_configuration_reference_is_the_generated_one() {
    let (path, generated) = (root().join(PAGE), page());
    if std::env::var_os("UPDATE_GUIDE").is_some() {
        std::fs::write(&path, &generated).expect("the page can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "{PAGE} is not what the schemas generate: run `UPDATE_GUIDE=1 cargo test --release --test tidy reference::` and commit it"
    );
}

#[test]
fn the_reference_has_every_key_of_the_schemas() {
    fn keys(schema: &Value, found: &mut Vec<String>) {
        for (key, value) in
            below(schema).get("properties").and_then(Value::as_object).into_iter().flatten()
        {
            found.push(key.clone());
            if is_table(value) {
                keys(value, found);
            }
        }
    }
    let page = page();
    for (_, schema, _, _) in FILES {
        let text = std::fs::read_to_string(root().join(schema)).expect("a schema");
        let mut all = Vec::new();
        keys(&serde_json::from_str(&text).expect("JSON"), &mut all);
        assert!(all.len() > 20, "{schema}");
        for key in all {
            let forms = [
                format!("| {} |", quoted(&key)),
                format!("{key}]"),
                format!("{key}[]\n"),
                format!(".{key}\n"),
            ];
            assert!(
                forms.iter().any(|form| page.contains(form.as_str())),
                "{key} is not in the reference"
            );
        }
    }
}

#[test]
fn types_are_said_in_words() {
    for (schema, said) in [
        (r#"{"type": "integer", "minimum": 1, "maximum": 2.0}"#, "integer, 1 to 2"),
        (r#"{"type": "array", "items": {"type": "string"}}"#, "list of strings"),
        (
            r#"{"type": "array", "items": {"type": "integer", "minimum": 1}}"#,
            "list of integers, at least 1",
        ),
        (r#"{"anyOf": [{"type": "string"}, {"type": "boolean"}]}"#, "string or boolean"),
        (r#"{"oneOf": [{"const": "a"}, {"const": "b"}]}"#, "`\"a\"`, `\"b\"`"),
        (
            r#"{"anyOf": [{"type": "string"}, {"properties": {"env": {}}}]}"#,
            "string or [secret](#secrets)",
        ),
    ] {
        assert_eq!(kind(&serde_json::from_str(schema).expect("JSON")), said);
    }
}

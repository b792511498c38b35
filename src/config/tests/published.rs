//! The published files: they load, have the default values, and show every key.

use super::{Folder, Variables, load_with};
use crate::accounts::entry::AccountsFile;
use crate::config::settings::file::SettingsFile;
use crate::document::schema_of;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

fn published(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(published(path)).unwrap()
}

#[test]
fn the_published_settings_are_the_defaults() {
    let (written, _) = load_with(&published("config/ringback.toml"), &Variables::new()).unwrap();
    let (mut built_in, _) = Folder::new("", "").loaded();
    built_in.file = published("config/ringback.toml");
    built_in.accounts_file = published("config/accounts.toml");
    built_in.store.directory = published("config/data");
    assert_eq!(written, built_in);
}

#[test]
fn the_published_accounts_load() {
    let (_, accounts) = load_with(&published("config/ringback.toml"), &Variables::new()).unwrap();
    assert_eq!(accounts.accounts.len(), 1);
    assert_eq!(accounts.webhooks.len(), 1);
}

/// Returns `text` with the keys and tables in comments made effective.
fn uncommented(text: &str) -> String {
    let is_key = |line: &str| {
        let key = line.split_once('=').map(|(key, _)| key.trim().trim_matches('"'));
        let letters =
            |key: &str| key.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c));
        key.is_some_and(|key| !key.is_empty() && letters(key)) || line.starts_with('[')
    };
    let line = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if is_key(rest) => rest.to_owned(),
        Some(_) | None => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Finds the keys of `schema` that `table` and its subtables do not show.
fn missing(schema: &Json, table: &toml::Value, at: &str, found: &mut Vec<String>) {
    let table = table.as_array().and_then(|items| items.first()).unwrap_or(table);
    let schema = schema.get("items").unwrap_or(schema);
    for (key, below) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
        match table.get(key) {
            None => found.push(format!("{at}.{key}")),
            // A comment describes a short table on one line.
            Some(_)
                if ["retry", "auth", "response"].contains(&key.as_str()) && at == ".webhook" => {}
            Some(_) if key == "when" => {}
            Some(value) => missing(below, value, &format!("{at}.{key}"), found),
        }
    }
}

#[test]
fn the_published_files_show_every_key_each_with_a_comment() {
    for (file, schema) in [
        ("config/ringback.toml", schema_of::<SettingsFile>()),
        ("config/accounts.toml", schema_of::<AccountsFile>()),
    ] {
        let text = uncommented(&text(file));
        let table: toml::Table = toml::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
        let mut found = Vec::new();
        missing(&schema, &toml::Value::Table(table), "", &mut found);
        assert!(found.is_empty(), "{file} does not show {found:?}");
        let mut before = "";
        let mut in_client = false;
        for line in text.lines() {
            in_client = if line.starts_with('[') { line == "[kafka.client]" } else { in_client };
            let needs = !line.is_empty() && !line.starts_with('#') && !in_client;
            assert!(!needs || before.starts_with("# "), "{file}: no comment before {line}");
            before = line;
        }
    }
}

#[test]
fn the_published_schemas_are_the_generated_ones() {
    for (file, schema) in [
        ("schemas/config.schema.json", schema_of::<SettingsFile>()),
        ("schemas/accounts.schema.json", schema_of::<AccountsFile>()),
    ] {
        let generated = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::write(published(file), &generated).unwrap();
        }
        let committed = std::fs::read_to_string(published(file)).unwrap_or_default();
        assert!(
            committed == generated,
            "{file} is not what the types generate: run \
             `UPDATE_SCHEMAS=1 cargo test --release --lib config::` and commit it"
        );
    }
}

/// The check of a file walks the schema, so the schema must contain everything that it needs.
#[test]
fn schemas_have_no_references_no_nulls_and_a_description_everywhere() {
    fn walk(schema: &Json, at: &str) {
        assert!(schema.get("$ref").is_none(), "{at}");
        assert!(!schema.to_string().contains("null"), "{at}: {schema}");
        for (key, below) in schema.get("properties").and_then(Json::as_object).into_iter().flatten()
        {
            let at = format!("{at}.{key}");
            assert!(below.get("description").is_some_and(Json::is_string), "{at}: {below}");
            let integer = below.get("type").is_some_and(|kind| kind == "integer");
            let id = ["id", "account", "flow"].contains(&key.as_str());
            assert!(!integer || id || below.get("maximum").is_some(), "{at} has no limit");
            walk(below, &at);
        }
        if let Some(items) = schema.get("items") {
            walk(items, at);
        }
    }
    walk(&schema_of::<SettingsFile>(), "config");
    walk(&schema_of::<AccountsFile>(), "accounts");
}

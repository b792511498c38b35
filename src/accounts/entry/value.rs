//! Entries of values for variables of the platform's functions.

use crate::document::SecretText;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::borrow::Cow;

/// The value of a variable of a function.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum ValueEntry {
    /// true or false.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A number with a fraction.
    Number(f64),
    /// Text, or a reference to a secret.
    Text(SecretText),
}

impl JsonSchema for ValueEntry {
    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let secret = SecretText::json_schema(generator);
        let text = secret.get("anyOf").and_then(|it| it.as_array()).cloned().unwrap_or_default();
        let mut branches = text;
        branches.push(serde_json::json!({ "type": ["integer", "number", "boolean"] }));
        json_schema!({ "writeOnly": true, "anyOf": branches })
    }
}

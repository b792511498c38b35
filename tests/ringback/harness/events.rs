//! Checks each event that a test reads against the published schema.

use serde_json::Value;
use std::sync::LazyLock;

/// The published schema. It also rejects members that it does not name, which consumers accept.
static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/events.schema.json");
    let text = std::fs::read_to_string(file).expect("the schema can be read");
    let mut schema: Value = serde_json::from_str(&text).expect("the schema is JSON");
    for one in schema["oneOf"].as_array_mut().expect("a schema for each type") {
        one["additionalProperties"] = false.into();
    }
    jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .expect("the schema is a JSON Schema")
});

/// Checks `value` if it is an event: of all that the daemon writes, events alone have a `type` and an `at`.
#[track_caller]
pub(crate) fn check(value: &Value) {
    if value["type"].is_string() && value["at"].is_string() {
        let faults: Vec<String> =
            SCHEMA.iter_errors(value).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "schemas/events.schema.json does not allow {value}: {faults:?}");
    }
}

#[test]
fn an_event_that_the_schema_does_not_allow_is_found() {
    let event = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let at = "2026-01-31T12:00:00.000Z";
    check(&event(&format!(r#"{{"type":"endpoint_enabled","at":"{at}","webhook":"crm"}}"#)));
    check(&event(r#"{"webhook":"crm"}"#));
    for wrong in [
        format!(r#"{{"type":"endpoint_enabled","at":"{at}"}}"#),
        format!(r#"{{"type":"endpoint_enabled","at":"{at}","webhook":"crm","more":1}}"#),
        format!(r#"{{"type":"to_come","at":"{at}"}}"#),
        r#"{"type":"endpoint_enabled","at":"now","webhook":"crm"}"#.to_owned(),
    ] {
        assert!(!SCHEMA.is_valid(&event(&wrong)), "{wrong}");
    }
}

//! Framings of the schema registry: JSON Schema, Protobuf, references and Apicurio's ids, with a real registry.

use super::keyed;
use crate::harness::check::{Then, check};
use crate::harness::samples::{flow, phase_1, phase_2, report};
use crate::harness::stage::Stage;
use crate::harness::{avro, broker, registry};
use serde_json::{Value, json};

const KIND: &str = "flow-complete";

fn stage(name: &str) -> Stage {
    let mut stage = Stage::on(broker::shared(), name, 1);
    stage.set("schema_registry.url", registry::shared().url());
    stage
}

fn framed(id: u32, value: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), value].concat()
}

#[test]
fn json_schema_and_ids_in_headers_are_read_and_protobuf_is_named() {
    let stage = stage("framings");
    let register = |subject: &str, kind: &str, schema: &str| {
        let body = json!({"schema": schema, "schemaType": kind});
        registry::shared().register_as(&format!("framings-{subject}"), &body)
    };
    let of_json = register(
        "json",
        "JSON",
        r#"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "title": "framings"}"#,
    );
    let proto = "syntax = \"proto3\"; message Framings { string phononUuid = 1; }";
    let of_proto = register("proto", "PROTOBUF", proto);
    let of_avro = registry::shared().register("framings-avro", &avro::schema_text(KIND));
    let (one, two) = (flow("json-schema", &["s-1"]), flow("in-header", &[]));
    let status = report("json-schema", "s-1", "DELIVERED");
    let protobuf = framed(of_proto, b"\x00\x0a\x01u");
    let records = [
        keyed(&stage, KIND, "json-schema", framed(of_json, one.to_string().as_bytes())),
        keyed(
            &stage,
            "sms-delivery-report",
            "json-schema",
            framed(of_json, status.to_string().as_bytes()),
        ),
        keyed(&stage, KIND, "proto", protobuf.clone()),
    ];
    let in_header = keyed(&stage, KIND, "in-header", avro::datum(&avro::schema_text(KIND), &two));
    let header = framed(of_avro, b"");
    let then = Then::default()
        .delivered(phase_1(&one))
        .delivered(phase_2(&one, &[status]))
        .delivered(phase_1(&two))
        .dead_letter("undecodable")
        .event("correlation_ended")
        .event("correlation_ended");
    let outcome = check(
        &stage,
        |_| {
            stage.kafka.produce(&records);
            stage.kafka.produce_raw(&[in_header], &[("__value_schema_id", Some(&header))]);
        },
        then,
    );
    let [letter] = &outcome.dead_letters[..] else { panic!("one dead letter") };
    assert_eq!(letter.value.as_ref(), Some(&protobuf));
    let detail = letter.header("ringback.detail");
    assert!(detail.contains(&format!("Protobuf by the schema id {of_proto}")), "{detail}");
}

/// The registry of the tests is Apicurio, which ignores `?format=resolved`.
#[test]
fn references_are_fetched_from_a_real_registry() {
    let stage = stage("framings-references");
    let mut schema: Value = serde_json::from_str(&avro::schema_text(KIND)).expect("a schema");
    let mut references = Vec::new();
    for field in schema["fields"].as_array_mut().expect("fields") {
        let mut kind = field["type"][1]["items"].clone();
        let Some(name) = kind["name"].as_str().map(str::to_owned) else { continue };
        kind["namespace"] = json!("ringback");
        field["type"][1]["items"] = json!(format!("ringback.{name}"));
        let subject = format!("framings-{name}");
        registry::shared().register(&subject, &kind.to_string());
        references
            .push(json!({"name": format!("ringback.{name}"), "subject": subject, "version": 1}));
    }
    assert_eq!(references.len(), 3);
    let body = json!({"schema": schema.to_string(), "references": references});
    let id = registry::shared().register_as("framings-whole", &body);
    let flow = flow("whole", &[]);
    let value = framed(id, &avro::datum(&avro::schema_text(KIND), &flow));
    let record = keyed(&stage, KIND, "whole", value);
    let then = Then::default().delivered(phase_1(&flow)).event("correlation_ended");
    check(&stage, |_| stage.kafka.produce(&[record]), then);
}

#[test]
fn apicurios_ids_of_eight_bytes_are_looked_up_by_its_own_interface() {
    let stage = stage("framings-global");
    let schema = avro::with_field(&avro::schema_text(KIND), "framings");
    let id = registry::shared().create("framings-global", &schema);
    let wide = |id: u64, datum: &[u8]| [&[0][..], &id.to_be_bytes(), datum].concat();
    let mut flow = flow("global", &[]);
    flow["framings"] = json!("x");
    let records = [
        keyed(&stage, KIND, "unknown", wide(4_000_000_000, b"garbage")),
        keyed(&stage, KIND, "global", wide(id, &avro::datum(&schema, &flow))),
    ];
    let then = Then::default()
        .dead_letter("unknown_schema")
        .delivered(phase_1(&flow))
        .event("correlation_ended");
    check(&stage, |_| stage.kafka.produce(&records), then);
}

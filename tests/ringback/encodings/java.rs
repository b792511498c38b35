//! Records that Java's own Avro library writes, and how it resolves them, beside the daemon's decoder.

use crate::harness::avro;
use crate::harness::child::{cache, mortal, run_dir};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringback::codec::source::{Decoded, Decoder};
use ringback::domain::RecordKind;
use serde_json::{Value, json};
use std::path::Path;

/// A record by a writer's schema.
struct Case {
    name: &'static str,
    kind: RecordKind,
    writer: Value,
    /// The record in Avro's JSON encoding, in which a union's value names its branch.
    record: Value,
    /// The members that differ from what Java reads, or all members where Java reads nothing.
    lenient: Option<Value>,
}

/// Returns a report whose schema has these fields beside the required ones, which come last.
fn report(name: &'static str, fields: Value, values: Value) -> Case {
    let string = |name: &str| json!({"name": name, "type": "string"});
    let required = [
        string("phononUuid"),
        json!({"name": "accountID", "type": "int"}),
        string("deliveryStatus"),
        string("id"),
    ];
    let mut all = fields.as_array().expect("fields").clone();
    all.retain(|field| !field.is_null());
    let named = |wanted: &Value| {
        let alias = |field: &Value| {
            field["aliases"].as_array().is_some_and(|all| all.contains(&wanted["name"]))
        };
        all.iter().any(|field| field["name"] == wanted["name"] || alias(field))
    };
    let missing: Vec<Value> = required.into_iter().filter(|field| !named(field)).collect();
    all.extend(missing);
    let mut record =
        json!({"id": "s", "phononUuid": "u", "accountID": 28, "deliveryStatus": "SENT"});
    for (name, value) in values.as_object().expect("values") {
        record[name] = value.clone();
    }
    // A name that the schema has only as an alias.
    record.as_object_mut().expect("a record").retain(|_, value| !value.is_null());
    let writer = json!({"type": "record", "name": "SmsDeliveryReport", "namespace": "gateway", "fields": all});
    Case { name, kind: RecordKind::Report, writer, record, lenient: None }
}

/// Returns a report that Java can't resolve. The decoder reads it with the members `lenient`.
fn lenient(name: &'static str, fields: Value, values: Value, lenient: Value) -> Case {
    Case { lenient: Some(lenient), ..report(name, fields, values) }
}

fn logical(kind: &str, logical: &str) -> Value {
    json!({"type": kind, "logicalType": logical})
}

fn resolved_by_java() -> Vec<Case> {
    let flow = json!({"type": "record", "name": "FlowComplete", "namespace": "gateway", "fields": [
        {"name": "keys", "type": {"type": "array", "items": {"type": "record", "name": "FlowKey", "fields": [
            {"name": "value", "type": ["double", "int", "string", "null", "boolean"]}, {"name": "name", "type": "string"}]}}},
        {"name": "accountID", "type": "int"}, {"name": "phononUuid", "type": logical("string", "uuid")},
        {"name": "sms", "type": ["null", {"type": "array", "items": "string"}]},
        {"name": "webhookEnabled", "type": "boolean"},
    ]});
    let key = |value: Value| json!({"name": "k", "value": value});
    let keys = json!([
        key(json!({"double": 0.5})),
        key(json!({"int": 7})),
        key(json!({"string": "फोनन \"x\""})),
        key(Value::Null),
        key(json!({"boolean": true}))
    ]);
    let many: Vec<String> = (0..50).map(|number| format!("sms-{number}")).collect();
    let record = json!({"keys": keys, "accountID": 28, "phononUuid": "bd706f90-aa14-47ea-9844-3d1e1123f4ee",
        "sms": {"array": many}, "webhookEnabled": true});
    vec![
        report(
            "a uuid on a string",
            json!([{"name": "phononUuid", "type": logical("string", "uuid")}]),
            json!({}),
        ),
        report(
            "times and dates on numbers",
            json!([{"name": "length", "type": logical("int", "date")}, {"name": "flowId", "type": logical("long", "timestamp-millis")}]),
            json!({"length": 19649, "flowId": 1_697_696_721_042_i64}),
        ),
        report(
            "bytes as text",
            json!([{"name": "text", "type": "bytes"}]),
            json!({"text": "phonon"}),
        ),
        report(
            "an int and a float as wider numbers",
            json!([{"name": "cost", "type": ["null", {"type": "record", "name": "SmsCost", "fields": [
                {"name": "smsUnit", "type": "int"}, {"name": "amount", "type": ["null", "float"]}]}]}]),
            json!({"cost": {"gateway.SmsCost": {"smsUnit": 2, "amount": {"float": 0.75}}}}),
        ),
        report(
            "fields that are left out",
            json!([
                {"name": "map", "type": {"type": "map", "values": "long"}},
                {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
                {"name": "choice", "type": {"type": "enum", "name": "Choice", "symbols": ["A", "B"]}},
                {"name": "fixed", "type": {"type": "fixed", "name": "Four", "size": 4}},
                {"name": "list", "type": {"type": "array", "items": ["null", "string"]}},
                {"name": "to", "type": ["string", "null"]}]),
            json!({"map": {"a": 1, "b": 2}, "price": "\u{1}", "choice": "B", "fixed": "abcd",
                "list": [null, {"string": "x"}], "to": {"string": "91"}}),
        ),
        Case {
            name: "a flow in another order",
            kind: RecordKind::Flow,
            writer: flow,
            record,
            lenient: None,
        },
    ]
}

/// Returns records that Java refuses, or reads as bytes. The decoder reads them as JSON would have them.
fn lenient_ones() -> Vec<Case> {
    let status = json!({"type": "enum", "name": "Status", "symbols": ["SENT", "DELIVERED"]});
    let cost = |amount: Value| json!([{"name": "cost", "type": {"type": "record", "name": "SmsCost", "fields": [{"name": "amount", "type": amount}]}}]);
    let decimal = |kind: Value| {
        let mut schema = json!({"logicalType": "decimal", "precision": 9, "scale": 2});
        for (name, value) in kind.as_object().expect("a type") {
            schema[name] = value.clone();
        }
        schema
    };
    vec![
        lenient(
            "an enum as text",
            json!([{"name": "deliveryStatus", "type": status}]),
            json!({"deliveryStatus": "DELIVERED"}),
            json!({"deliveryStatus": "DELIVERED"}),
        ),
        lenient(
            "a decimal on bytes",
            cost(decimal(json!({"type": "bytes"}))),
            json!({"cost": {"amount": "\u{4}\u{d2}"}}),
            json!({"cost": {"amount": 12.34}}),
        ),
        lenient(
            "a negative decimal on fixed",
            cost(decimal(json!({"type": "fixed", "name": "D", "size": 2}))),
            json!({"cost": {"amount": "\u{ff}\u{9c}"}}),
            json!({"cost": {"amount": -1.00}}),
        ),
        lenient(
            "an account as text",
            json!([{"name": "accountID", "type": "string"}]),
            json!({"accountID": "28"}),
            json!({"accountID": "28"}),
        ),
        lenient(
            "a time in milliseconds instead of text",
            json!([{"name": "sendTime", "type": logical("long", "timestamp-millis")}]),
            json!({"sendTime": 1_697_696_721_042_i64}),
            json!({"sendTime": 1_697_696_721_042_i64}),
        ),
        lenient(
            "a uuid of 16 bytes",
            json!([{"name": "id", "type": {"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}}]),
            json!({"id": "\u{bd}\u{70}\u{6f}\u{90}\u{aa}\u{14}\u{47}\u{ea}\u{98}\u{44}\u{3d}\u{1e}\u{11}\u{23}\u{f4}\u{ee}"}),
            json!({"id": "bd706f90-aa14-47ea-9844-3d1e1123f4ee"}),
        ),
        lenient(
            "a field by its alias",
            json!([{"name": "state", "aliases": ["deliveryStatus"], "type": "string"}]),
            json!({"state": "FAILED", "deliveryStatus": null}),
            json!({"deliveryStatus": "FAILED"}),
        ),
    ]
}

fn without_nulls(json: Value) -> Value {
    match json {
        Value::Object(fields) => {
            let present = fields.into_iter().filter(|(_, value)| !value.is_null());
            present.map(|(name, value)| (name, without_nulls(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => json,
    }
}

/// Lets Java write and read the cases. Returns a line of JSON for each.
fn java(cases: &[Case]) -> Vec<Value> {
    let lines: Vec<String> = cases
        .iter()
        .map(|case| {
            let own = match case.kind {
                RecordKind::Flow => "flow-complete",
                RecordKind::Report | RecordKind::Start => "sms-delivery-report",
            };
            let (writer, record) = (case.writer.to_string(), case.record.to_string());
            json!({"writer": writer, "reader": avro::schema_text(own), "record": record})
                .to_string()
        })
        .collect();
    let file = run_dir().join("avro-cases.jsonl");
    std::fs::write(&file, lines.join("\n")).expect("a file");
    let libs = cache().join("avro/libs");
    assert!(libs.is_dir(), "{} is missing: run ops/local/setup.sh test", libs.display());
    let program =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ringback/encodings/Compare.java");
    let mut command = mortal("java");
    command.args(["-Xmx128m", "-cp"]).arg(libs.join("*")).arg(program).arg(file);
    let output = command.output().expect("java");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Returns the members of the record as the decoder reads them.
fn read(case: &Case, datum: &[u8]) -> Value {
    let decoded = Decoder::new(false).decode_by(&case.writer.to_string(), case.kind, datum);
    let json = match decoded.expect("the schema can be used") {
        Decoded::Report(report) => report.body,
        Decoded::Flow(flow) => flow.record,
        other @ (Decoded::Start(_)
        | Decoded::Items(_)
        | Decoded::Skipped
        | Decoded::NeedsSchema(_)
        | Decoded::Bad(_)) => panic!("{}: {other:?}", case.name),
    };
    serde_json::from_slice(&json).expect("JSON")
}

#[test]
fn records_that_javas_library_writes_are_read_as_it_reads_them_or_as_json_has_them() {
    let expected = resolved_by_java().len();
    let cases: Vec<Case> = resolved_by_java().into_iter().chain(lenient_ones()).collect();
    let answers = java(&cases);
    assert_eq!(answers.len(), cases.len());
    for (index, (case, answer)) in cases.iter().zip(&answers).enumerate() {
        let bytes =
            |name: &str| STANDARD.decode(answer[name].as_str().expect("text")).expect("base64");
        let own = read(case, &bytes("datum"));
        assert_eq!(read(case, &bytes("blocks")), own, "{}: blocks with their sizes", case.name);
        if index < expected {
            let text =
                answer["read"].as_str().unwrap_or_else(|| panic!("{}: not resolved", case.name));
            let by_java = serde_json::from_str(text).expect("JSON");
            assert_eq!(own, without_nulls(by_java), "{}", case.name);
            continue;
        }
        let members = case.lenient.as_ref().and_then(Value::as_object).expect("members");
        for (name, value) in members {
            assert_eq!(own[name], *value, "{}", case.name);
        }
    }
}

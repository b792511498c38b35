//! Source records in three encodings, well formed and not.

mod bad;
mod content;
mod encodings;

use super::{Bad, Decoded, Decoder};
use crate::codec::schema::{self, Known};
use crate::domain::{DeadLetterReason, DeliveryReport, FlowComplete, RecordKind};
use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;

const FLOW: &str = include_str!("../../../tests/ringback/samples/flow-complete.json");
const REPORT: &str = include_str!("../../../tests/ringback/samples/sms-delivery-report.json");
/// The body; the file ends with a newline, the body does not.
const PHASE_1: &str =
    include_str!("../../../tests/ringback/samples/webhook-phase-1.json").trim_ascii_end();
const PHASE_2: &str =
    include_str!("../../../tests/ringback/samples/webhook-phase-2.json").trim_ascii_end();

fn flow(payload: impl AsRef<[u8]>) -> FlowComplete {
    match Decoder::new(false).decode(RecordKind::Flow, payload.as_ref()) {
        Decoded::Flow(flow) => *flow,
        other => panic!("{other:?}"),
    }
}

fn report(payload: impl AsRef<[u8]>) -> DeliveryReport {
    match Decoder::new(false).decode(RecordKind::Report, payload.as_ref()) {
        Decoded::Report(report) => *report,
        other => panic!("{other:?}"),
    }
}

fn bad(kind: RecordKind, payload: impl AsRef<[u8]>) -> Bad {
    match Decoder::new(false).decode(kind, payload.as_ref()) {
        Decoded::Bad(bad) => bad,
        other => panic!("{other:?}"),
    }
}

fn undecodable(kind: RecordKind, payload: impl AsRef<[u8]>) -> String {
    let bad = bad(kind, payload);
    assert_eq!(bad.reason, DeadLetterReason::Undecodable, "{}", bad.detail);
    bad.detail
}

/// The datum of `json` by `schema`.
fn datum(schema: &Schema, json: &str) -> Vec<u8> {
    let json: serde_json::Value = serde_json::from_str(json).expect("the sample is JSON");
    let value = Value::try_from(json)
        .expect("Avro has such values")
        .resolve(schema)
        .expect("the sample fits the schema");
    let writer = GenericDatumWriter::builder(schema).build().expect("the schema is whole");
    writer.write_value_to_vec(value).expect("the value fits the schema")
}

fn single_object(schema_text: &str, json: &str) -> Vec<u8> {
    let known = Known::parse(schema_text).expect("the schema parses");
    [&[0xc3, 1][..], &known.fingerprint, &datum(&known.schema, json)].concat()
}

fn flow_avro(json: &str) -> Vec<u8> {
    single_object(schema::FLOW_COMPLETE, json)
}

fn report_avro(json: &str) -> Vec<u8> {
    single_object(schema::DELIVERY_REPORT, json)
}

#[test]
#[ignore = "timing"]
fn timing() {
    use std::time::Instant;
    let mut decoder = Decoder::new(false);
    let flow_c = {
        let v: serde_json::Value = serde_json::from_str(FLOW).unwrap();
        serde_json::to_vec(&v).unwrap()
    };
    for (name, kind, payload) in [
        ("flow json", RecordKind::Flow, FLOW.as_bytes().to_vec()),
        ("flow json compact", RecordKind::Flow, flow_c),
        ("report json", RecordKind::Report, REPORT.as_bytes().to_vec()),
        ("flow avro", RecordKind::Flow, flow_avro(FLOW)),
        ("report avro", RecordKind::Report, report_avro(REPORT)),
    ] {
        let n = 100_000;
        let start = Instant::now();
        for _ in 0..n {
            std::hint::black_box(decoder.decode(kind, std::hint::black_box(&payload)));
        }
        println!("{name} {} B: {:?}", payload.len(), start.elapsed() / n);
    }
    println!("{}", size_of::<Value>());
}

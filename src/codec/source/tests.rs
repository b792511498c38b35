//! Source records in three encodings, valid and invalid.

mod avro;
mod bad;
mod content;
mod encodings;
mod envelopes;
mod framings;
mod kinds;
mod lenient;

use super::{Bad, Decoded, Decoder};
use crate::codec::schema::{self, Known};
use crate::domain::{DeadLetterReason, DeliveryReport, FlowComplete, RecordKind};
use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;

const FLOW: &str = include_str!("../../../tests/ringback/samples/flow-complete.json");
const REPORT: &str = include_str!("../../../tests/ringback/samples/sms-delivery-report.json");
/// The body. The file ends with a newline, and the body does not.
const PHASE_1: &str =
    include_str!("../../../tests/ringback/samples/webhook-phase-1.json").trim_ascii_end();
const PHASE_2: &str =
    include_str!("../../../tests/ringback/samples/webhook-phase-2.json").trim_ascii_end();

fn flow(payload: impl AsRef<[u8]>) -> FlowComplete {
    let decoded = Decoder::new(false).decode(RecordKind::Flow, payload.as_ref());
    let Decoded::Flow(flow) = decoded else { panic!("{decoded:?}") };
    *flow
}

fn report(payload: impl AsRef<[u8]>) -> DeliveryReport {
    let decoded = Decoder::new(false).decode(RecordKind::Report, payload.as_ref());
    let Decoded::Report(report) = decoded else { panic!("{decoded:?}") };
    *report
}

fn bad(kind: RecordKind, payload: impl AsRef<[u8]>) -> Bad {
    let decoded = Decoder::new(false).decode(kind, payload.as_ref());
    let Decoded::Bad(bad) = decoded else { panic!("{decoded:?}") };
    bad
}

fn undecodable(kind: RecordKind, payload: impl AsRef<[u8]>) -> String {
    let bad = bad(kind, payload);
    assert_eq!(bad.reason, DeadLetterReason::Undecodable, "{}", bad.detail);
    bad.detail
}

/// Returns the datum of `json` by `schema`.
fn datum(schema: &Schema, json: &str) -> Vec<u8> {
    let json: serde_json::Value = serde_json::from_str(json).expect("the sample is JSON");
    let value = Value::try_from(json)
        .expect("Avro can express the value")
        .resolve(schema)
        .expect("the sample fits the schema");
    let writer = GenericDatumWriter::builder(schema).build().expect("the schema is complete");
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

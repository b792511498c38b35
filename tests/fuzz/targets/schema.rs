//! Answers of a schema registry: the answer itself, the schema in it, and records by that schema.

use super::record::{FLOW_SCHEMA, REPORT_SCHEMA, check};
use super::{FLOW, REPORT, sample, seen, split};
use crate::target::{Seen, Target};
use apache_avro::Schema;
use ringback::codec::source::Decoder;
use ringback::domain::RecordKind;
use ringback::log::read_answer;

pub(super) const ANSWER: Target = Target {
    name: "registry-answer",
    run: |input| seen(read_answer(input)),
    seeds: || {
        let answer = |schema: &str| serde_json::json!({"schema": schema}).to_string().into_bytes();
        let other = br#"{"schemaType":"PROTOBUF","schema":"syntax"}"#.to_vec();
        vec![answer(FLOW_SCHEMA), answer(REPORT_SCHEMA), other]
    },
    words: &["\"schema\":", "\"schemaType\":", "\"AVRO\"", "\"JSON\"", "null"],
    bytes_per_byte: 16,
};

pub(super) const SCHEMA: Target = Target {
    name: "registry-schema",
    run: schema,
    seeds: || {
        let seed = |text: &str, json: &str| {
            let schema = Schema::parse_str(text).expect("a schema");
            let record = serde_json::from_str(json).expect("the sample is JSON");
            let text: serde_json::Value = serde_json::from_str(text).expect("a schema is JSON");
            [text.to_string().as_bytes(), b"\n\n", &sample::datum(&schema, &record)].concat()
        };
        vec![seed(FLOW_SCHEMA, FLOW), seed(REPORT_SCHEMA, REPORT)]
    },
    words: &[
        "\"type\":",
        "\"record\"",
        "\"name\":",
        "\"fields\":[",
        "\"array\"",
        "\"items\":",
        "\"map\"",
        "\"values\":",
        "\"enum\"",
        "\"symbols\":[",
        "\"fixed\"",
        "\"size\":",
        "\"default\":",
        "\"aliases\":[",
        "\"namespace\":",
        "\"null\"",
        "\"long\"",
        "\"int\"",
        "\"bytes\"",
        "\"string\"",
        "\"double\"",
        "\"float\"",
        "\"boolean\"",
        "\"logicalType\":",
        "\"decimal\"",
        "\"precision\":",
        "\"scale\":",
        "\"uuid\"",
        "\"duration\"",
        "\"timestamp-millis\"",
        "\"big-decimal\"",
        "\"FlowComplete\"",
        "\"ringback.CallLeg\"",
        "\"phononUuid\"",
        "\"accountID\"",
        "[\"null\",",
    ],
    bytes_per_byte: 4000,
};

/// The input is the text of a schema, an empty line, and a datum by it.
fn schema(input: &[u8]) -> Seen {
    let (text, datum) = split(input);
    let text = String::from_utf8_lossy(text);
    let decoded = [RecordKind::Flow, RecordKind::Report].map(|kind| {
        let mut decoder = Decoder::new(true);
        let decoded = decoder.decode_by(&text, kind, datum);
        if let Ok(decoded) = &decoded {
            check(&mut decoder, kind, decoded, datum, false);
        }
        decoded.map_err(|error| error.to_string())
    });
    seen(decoded)
}

//! Records of the input topics, in all encodings.

use super::{FLOW as FLOW_SAMPLE, JSON_WORDS, REPORT as REPORT_SAMPLE, sample, seen};
use crate::target::{Seen, Target};
use apache_avro::Schema;
use ringback::codec::source::{Decoded, Decoder, Envelope, ItemContent, SchemaId, Unwrap};
use ringback::domain::{FlowComplete, RecordKind};
use std::cell::RefCell;

pub(super) const FLOW: Target = Target {
    name: "flow-complete",
    run: |input| record(RecordKind::Flow, input),
    seeds: || seeds(FLOW_SCHEMA, FLOW_SAMPLE),
    words: JSON_WORDS,
    bytes_per_byte: 600,
};

pub(super) const START: Target = Target {
    name: "flow-started",
    run: |input| record(RecordKind::Start, input),
    seeds: || {
        let call = br#"{"phononUuid":"u","accountID":28,"flowId":2.0,"webhookEnabled":"true"}"#;
        vec![FLOW_SAMPLE.as_bytes().to_vec(), call.to_vec()]
    },
    words: JSON_WORDS,
    bytes_per_byte: 600,
};

pub(super) const REPORT: Target = Target {
    name: "delivery-report",
    run: |input| record(RecordKind::Report, input),
    seeds: || seeds(REPORT_SCHEMA, REPORT_SAMPLE),
    words: JSON_WORDS,
    bytes_per_byte: 600,
};

/// Reports in envelopes and arrays.
pub(super) const ENVELOPE: Target = Target {
    name: "report-in-envelope",
    run: |input| {
        let decoded = UNWRAPPING.with_borrow_mut(|decoder| {
            let decoded = decoder.decode(RecordKind::Report, input);
            if let Decoded::Report(report) = &decoded {
                assert_json(&report.body);
                assert_eq!(report.raw.as_deref().unwrap_or(&report.body), input);
            } else {
                check(decoder, RecordKind::Report, &decoded, input, false);
            }
            decoded
        });
        seen(decoded)
    },
    seeds: envelopes,
    words: &[
        "\"schema\":",
        "\"payload\":",
        "\"op\":",
        "\"c\"",
        "\"u\"",
        "\"d\"",
        "\"before\":",
        "\"after\":",
        "\"source\":",
        "\"operationType\":",
        "\"insert\"",
        "\"update\"",
        "\"delete\"",
        "\"fullDocument\":",
        "\"updateDescription\":",
        "\"updatedFields\":",
        "\"specversion\":",
        "\"type\":",
        "\"data\":",
        "\"data_base64\":",
        "\"_id\":",
        "\"$oid\":",
        "\"$numberLong\":",
        "\"$numberDecimal\":",
        "\"$date\":",
        "\"deliveryStatus\":",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\"{\\\"id\\\":1}\"",
        "null",
        "\u{feff}",
    ],
    bytes_per_byte: 2000,
};

fn envelopes() -> Vec<Vec<u8>> {
    let text = serde_json::Value::from(REPORT_SAMPLE);
    let compact: serde_json::Value = serde_json::from_str(REPORT_SAMPLE).expect("JSON");
    let base64 =
        "eyJpZCI6InMiLCJwaG9ub25VdWlkIjoidSIsImFjY291bnRJRCI6MjgsImRlbGl2ZXJ5U3RhdHVzIjoiU0VOVCJ9";
    [
        format!("[{REPORT_SAMPLE}, {REPORT_SAMPLE}, {{}}, 1]"),
        format!(r#"{{"schema":{{"type":"struct"}},"payload":{REPORT_SAMPLE}}}"#),
        format!(r#"{{"schema":null,"payload":{{"op":"c","before":null,"after":{REPORT_SAMPLE},"source":{{}}}}}}"#),
        format!(r#"{{"op":"u","after":{text},"source":{{}}}}"#),
        format!(r#"{{"operationType":"update","fullDocument":{compact},"updateDescription":{{"updatedFields":{{"deliveryStatus":"SENT"}}}}}}"#),
        r#"{"_id":1,"operationType":"insert","fullDocument":{"_id":{"$oid":"65a"},"accountID":{"$numberLong":"28"},"phononUuid":"u","deliveryStatus":"SENT","at":{"$date":{"$numberLong":"5"}}}}"#.to_owned(),
        format!(r#"[{{"specversion":"1.0","type":"t","id":"1","source":"s","data":{compact}}}]"#),
        format!(r#"{{"specversion":"1.0","type":"t","id":"1","source":"s","data_base64":"{base64}"}}"#),
    ]
    .map(String::into_bytes)
    .to_vec()
}

pub(crate) const FLOW_SCHEMA: &str = include_str!("../../../schemas/flow-complete.avsc");
pub(crate) const REPORT_SCHEMA: &str = include_str!("../../../schemas/sms-delivery-report.avsc");

/// Returns versions of the schemas that a registry may have. Their ids begin with 1.
fn registry() -> Vec<String> {
    let newer = |text: &str| {
        text.replacen("\"fields\": [", "\"fields\": [{\"name\": \"more\", \"type\": {\"type\": \"map\", \"values\": [\"null\", \"bytes\", \"float\", {\"type\": \"array\", \"items\": \"double\"}]}, \"default\": {}},", 1)
    };
    [FLOW_SCHEMA, REPORT_SCHEMA].iter().flat_map(|text| [(*text).to_owned(), newer(text)]).collect()
}

fn seeds(schema: &str, json: &str) -> Vec<Vec<u8>> {
    let record = serde_json::from_str(json).expect("the sample is JSON");
    let mut seeds = vec![json.as_bytes().to_vec(), sample::single_object(schema, &record)];
    for (id, writer) in (1_u32..).zip(registry()) {
        let schema = Schema::parse_str(&writer).expect("a schema");
        let mut record = record.clone();
        record["more"] = serde_json::json!({"a": null, "b": [1.5], "c": 0.5});
        if writer.contains("FlowComplete") == (json == FLOW_SAMPLE) {
            seeds.push([&[0][..], &id.to_be_bytes(), &sample::datum(&schema, &record)].concat());
        }
    }
    seeds
}

thread_local! {
    static UNWRAPPING: RefCell<Decoder> = RefCell::new({
        let unwrap = Envelope::ALL.into_iter().fold(Unwrap::default(), Unwrap::with);
        Decoder::unwrapping(unwrap, true)
    });
    static DECODER: RefCell<Decoder> = RefCell::new({
        let mut decoder = Decoder::new(true);
        for (id, schema) in (1..).zip(registry()) {
            decoder.add_schema(id, &schema).expect("the schema can be used");
        }
        decoder
    });
}

fn record(kind: RecordKind, input: &[u8]) -> Seen {
    let decoded = DECODER.with_borrow_mut(|decoder| {
        let decoded = decoder.decode(kind, input);
        check(decoder, kind, &decoded, input, is_json(input));
        decoded
    });
    seen(decoded)
}

/// Checks the invariants of each decoded record.
pub(super) fn check(
    decoder: &mut Decoder,
    kind: RecordKind,
    decoded: &Decoded,
    input: &[u8],
    json: bool,
) {
    match decoded {
        Decoded::Start(start) => {
            assert_eq!(kind, RecordKind::Start);
            assert_json(&start.record);
        }
        Decoded::Flow(flow) => {
            assert_eq!(kind, RecordKind::Flow);
            assert_json(&flow.record);
            assert_json(&flow.body);
            assert_json(&flow.body[flow.keys.clone()]);
            if json {
                assert!(
                    flow.body.len() <= 2 * input.len() + 100,
                    "a body is about as long as its record"
                );
                // Input that the decoder accepts as JSON must be JSON for the library too.
                assert_json(input);
            }
            again_from_its_body(decoder, flow);
        }
        Decoded::Report(report) => {
            assert_eq!(kind, RecordKind::Report);
            assert_json(&report.body);
            assert_eq!(
                report.raw.as_deref().unwrap_or(&report.body),
                input,
                "the original record is kept"
            );
            let again = decoder.decode(kind, &report.body);
            let Decoded::Report(again) = again else {
                panic!("the report's own JSON is read as {again:?}")
            };
            assert_eq!(
                (again.uuid, again.account, again.sms),
                (report.uuid.clone(), report.account, report.sms.clone())
            );
            assert_eq!((again.status, again.content), (report.status.clone(), report.content));
            assert_eq!((&again.body, again.raw), (&report.body, None));
        }
        Decoded::Items(items) => {
            assert_eq!(kind, RecordKind::Report);
            for item in items {
                let alone = decoder.decode(kind, &item.raw);
                match &item.content {
                    ItemContent::Report(report) => {
                        assert_eq!(alone, Decoded::Report(report.clone()), "each item is a report");
                    }
                    ItemContent::Skipped => assert_eq!(alone, Decoded::Skipped),
                    ItemContent::Bad(bad) => assert!(!bad.detail.is_empty()),
                }
            }
        }
        Decoded::Skipped => assert!(decoder.unwraps(), "only change events are skipped"),
        Decoded::NeedsSchema(SchemaId::Id(id)) => {
            let framed = [&[0][..], &id.to_be_bytes()].concat();
            assert!(decoder.unwraps() || input.starts_with(&framed));
        }
        Decoded::NeedsSchema(SchemaId::Global(id)) => {
            let framed = [&[0][..], &id.to_be_bytes()].concat();
            assert!(decoder.unwraps() || input.starts_with(&framed));
        }
        Decoded::NeedsSchema(SchemaId::Guid(_)) => panic!("no header names it"),
        Decoded::Bad(bad) => assert!(!bad.detail.is_empty() && bad.detail.len() < 300),
    }
}

/// Checks that a record with the parts of a body gives the same body.
fn again_from_its_body(decoder: &mut Decoder, flow: &FlowComplete) {
    let body = std::str::from_utf8(&flow.body).expect("a body is UTF-8");
    let record = body.replacen("\"phonon-uuid\":", "\"phononUuid\":", 1).replacen(
        '{',
        "{\"accountID\":7,",
        1,
    );
    // The keys come before the uuid in the body, and may contain the same name.
    if flow.body.windows(14).filter(|part| part == b"\"phonon-uuid\":").count() > 1 {
        return;
    }
    let again = decoder.decode(RecordKind::Flow, record.as_bytes());
    let Decoded::Flow(again) = again else { panic!("the body as a record is read as {again:?}") };
    assert_eq!((again.uuid, &again.body, &again.keys), (flow.uuid.clone(), &flow.body, &flow.keys));
}

fn is_json(input: &[u8]) -> bool {
    !matches!(input, [0, ..] | [0xc3, 1, ..])
}

/// Panics unless the library reads the text as JSON. The values of numbers and surrogates are not checked.
fn assert_json(text: &[u8]) {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read: Result<serde::de::IgnoredAny, _> = serde::Deserialize::deserialize(&mut reader);
    let end = read.and_then(|_| reader.end());
    assert!(end.is_ok(), "{} is no JSON: {end:?}", text.escape_ascii());
}

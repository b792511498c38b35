//! Records in the envelopes of other programs, and arrays of reports.

use super::{FLOW, PHASE_1, REPORT, flow, report, undecodable};
use crate::codec::source::{
    Decoded, Decoder, Envelope, ItemContent, RegisteredSchema, SchemaId, Unwrap,
};
use crate::domain::{DeadLetterReason, DeliveryReport, RecordKind};
use crate::json::scan::SCANS;
use serde_json::{Value, json};

fn all() -> Unwrap {
    Envelope::ALL.into_iter().fold(Unwrap::default(), Unwrap::with)
}

fn unwrapped(kind: RecordKind, record: &str) -> Decoded {
    Decoder::unwrapping(all(), false).decode(kind, record.as_bytes())
}

fn report_in(record: &str) -> DeliveryReport {
    let decoded = unwrapped(RecordKind::Report, record);
    let Decoded::Report(report) = decoded else { panic!("{record}: {decoded:?}") };
    assert_eq!(report.raw.as_deref(), Some(record.as_bytes()), "a dead letter keeps the envelope");
    *report
}

fn sample() -> Value {
    serde_json::from_str(REPORT).unwrap()
}

fn text(json: &str) -> Value {
    Value::from(json)
}

#[test]
fn a_record_is_taken_out_of_each_envelope_in_its_own_spelling() {
    let compact = report(REPORT).body;
    let compact = std::str::from_utf8(&compact).unwrap();
    let base64 = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(REPORT)
    };
    for envelope in [
        format!(r#"{{"schema":{{"type":"struct","fields":[]}},"payload":{REPORT}}}"#),
        format!(r#"{{"schema":{{"type":"string"}},"payload":{}}}"#, text(REPORT)),
        format!(r#"{{"before":null,"after":{REPORT},"source":{{"db":"sms"}},"op":"c","ts_ms":1}}"#),
        format!(r#"{{"schema":null,"payload":{{"before":null,"after":{REPORT},"op":"r"}}}}"#),
        format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{REPORT}}}"#),
        format!(
            r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{}}}"#,
            text(REPORT)
        ),
        format!(
            r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"{base64}"}}"#
        ),
    ] {
        assert_eq!(report_in(&envelope).body, compact, "{envelope}");
    }
    let record = format!(r#"{{"schema":{{}},"payload":{FLOW}}}"#);
    let Decoded::Flow(read) = unwrapped(RecordKind::Flow, &record) else { panic!() };
    assert_eq!((&read.body[..], read.content), (PHASE_1.as_bytes(), flow(FLOW).content));
    // An Avro record of the embedded schema as the data of a CloudEvent.
    use base64::Engine as _;
    let avro = base64::engine::general_purpose::STANDARD.encode(super::report_avro(REPORT));
    let event = format!(
        r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"{avro}"}}"#
    );
    assert_eq!(report_in(&event).content, report(REPORT).content);
}

#[test]
fn a_document_of_mongodb_becomes_plain_json() {
    let mut document = sample();
    let id = document.as_object_mut().unwrap().remove("id").unwrap();
    document["_id"] = id;
    document["accountID"] = json!({"$numberLong": "28"});
    document["length"] = json!({"$numberInt": "40"});
    let insert = json!({"_id": {"_data": "8265"}, "operationType": "insert", "ns": {"db": "sms"},
        "documentKey": {"_id": 1}, "fullDocument": document});
    let read = report_in(&insert.to_string());
    let body: Value = serde_json::from_slice(&read.body).unwrap();
    let mut expected = sample();
    expected["length"] = json!(40);
    assert_eq!(body, expected);
    // Kafka Connect's string converter, and Debezium's connector for MongoDB, write documents as text.
    let in_text = json!({"schema": {"type": "string"}, "payload": insert.to_string()});
    assert_eq!(report_in(&in_text.to_string()).content, read.content);
    let debezium = json!({"op": "c", "after": document.to_string(), "source": {}});
    assert_eq!(report_in(&debezium.to_string()).content, read.content);
}

#[test]
fn change_events_that_bring_no_new_status_are_skipped() {
    let report = sample();
    let mut without = report.clone();
    without.as_object_mut().unwrap().remove("deliveryStatus");
    let mut older = report.clone();
    older["deliveryStatus"] = json!("SENT");
    let update = |fields: Value| {
        json!({"operationType": "update", "documentKey": {"_id": 1}, "fullDocument": report,
            "updateDescription": {"updatedFields": fields}})
    };
    let of_text = |fields: &str| {
        json!({"op": "u", "before": null, "after": report.to_string(),
            "updateDescription": {"updatedFields": fields}})
    };
    for (event, is_skipped) in [
        (json!({"op": "d", "before": report, "after": null}), true),
        (json!({"op": "t", "source": {}}), true),
        (json!({"op": "u", "before": report, "after": report}), true),
        (json!({"op": "c", "after": without}), true),
        (json!({"op": "u", "before": older, "after": report}), false),
        (json!({"op": "u", "before": without, "after": report}), false),
        (json!({"schema": {"type": "struct"}, "payload": null}), true),
        (json!({"operationType": "delete", "documentKey": {"_id": 1}}), true),
        (json!({"operationType": "insert", "documentKey": {}, "fullDocument": without}), true),
        (update(json!({"notify_on_delivery": {}})), true),
        (update(json!({"deliveryStatus": "DELIVERED"})), false),
        // Debezium's connector of MongoDB writes texts, and no document before the update.
        (of_text(r#"{"notify_on_delivery":{}}"#), true),
        (of_text(r#"{"deliveryStatus":"DELIVERED"}"#), false),
    ] {
        let decoded = unwrapped(RecordKind::Report, &event.to_string());
        assert_eq!(decoded == Decoded::Skipped, is_skipped, "{event}: {decoded:?}");
        assert_eq!(matches!(decoded, Decoded::Report(_)), !is_skipped, "{event}: {decoded:?}");
    }
    assert_eq!(unwrapped(RecordKind::Report, ""), Decoded::Skipped, "a tombstone");
    let events = Unwrap::default().with(Envelope::CloudEvents);
    let decoded = Decoder::unwrapping(events, false).decode(RecordKind::Report, b"");
    assert!(matches!(decoded, Decoded::Bad(_)), "CloudEvents have no tombstones");
}

#[test]
fn without_the_setting_the_envelope_is_named() {
    for (record, word) in [
        (json!({"schema": {}, "payload": sample()}), "[\"connect\"]"),
        (json!({"op": "c", "before": null, "after": sample()}), "[\"debezium\"]"),
        (json!({"operationType": "insert", "fullDocument": sample()}), "[\"mongodb\"]"),
        (json!({"specversion": "1.0", "type": "t", "data": sample()}), "[\"cloudevents\"]"),
    ] {
        for kind in RecordKind::ALL {
            let detail = undecodable(kind, record.to_string());
            assert!(detail.contains(&format!("set [topics] unwrap = {word}")), "{detail}");
        }
    }
}

#[test]
fn an_envelope_without_a_record_says_why() {
    for (record, word) in [
        (json!({"op": "u", "source": {}}), "no after"),
        (json!({"operationType": "update", "documentKey": {}}), "updateLookup"),
        (json!({"specversion": "1.0", "type": "t"}), "neither data nor a data_base64"),
        (json!({"specversion": "1.0", "type": "t", "data": 7}), "no record"),
        (json!({"payload": {"payload": {"payload": {"payload": {"payload": {}}}}}}), "envelopes"),
        (json!({"payload": "<xml/>"}), "XML"),
    ] {
        let decoded = unwrapped(RecordKind::Flow, &record.to_string());
        let Decoded::Bad(bad) = decoded else { panic!("{record}: {decoded:?}") };
        assert_eq!(bad.reason, DeadLetterReason::Undecodable);
        assert!(bad.detail.contains(word), "{record}: {}", bad.detail);
    }
}

#[test]
fn a_record_may_be_in_four_envelopes() {
    let within = |envelopes: usize| {
        (0..envelopes).fold(sample(), |record, _| json!({"schema": null, "payload": record}))
    };
    let content = report(REPORT).content;
    assert_eq!(report_in(&within(4).to_string()).content, content);
    let decoded = unwrapped(RecordKind::Report, &within(5).to_string());
    let Decoded::Bad(bad) = decoded else { panic!("{decoded:?}") };
    assert_eq!(bad.detail, "the record is in more than 4 envelopes");
}

#[test]
fn an_array_of_reports_is_taken_apart_in_its_order() {
    let second = REPORT.replace("DELIVERED", "FAILED");
    let array = format!(" [ {REPORT} , {second},7, {{\"id\": 1}} ]\n");
    let decoded = Decoder::new(false).decode(RecordKind::Report, array.as_bytes());
    let Decoded::Items(items) = decoded else { panic!("{decoded:?}") };
    let [one, two, three, four] = &items[..] else { panic!("{items:?}") };
    for (item, sample) in [(one, REPORT), (two, &second)] {
        let ItemContent::Report(read) = &item.content else { panic!("{item:?}") };
        assert_eq!(item.raw, sample.trim_end().as_bytes(), "each keeps its own bytes");
        assert_eq!(read.content, report(sample).content);
    }
    for (item, raw) in [(three, "7"), (four, "{\"id\": 1}")] {
        assert!(matches!(item.content, ItemContent::Bad(_)), "{item:?}");
        assert_eq!(item.raw, raw.as_bytes());
    }
    let many = format!("[{}]", vec!["{}"; 10_001].join(","));
    assert!(undecodable(RecordKind::Report, many).contains("more than 10000"));
    for (broken, word) in [
        ("[{}", "malformed"),
        ("[{},]", "malformed"),
        ("[] 1", "malformed"),
        ("[]", "holds no"),
        ("[1, [{}], null]", "holds no"),
    ] {
        assert!(undecodable(RecordKind::Report, broken).contains(word), "{broken}");
    }
}

#[test]
fn arrays_and_envelopes_may_be_inside_each_other() {
    let event = json!({"specversion": "1.0", "type": "t", "data": sample()});
    let gone = json!({"op": "d", "before": sample()});
    let batch = json!([event, gone]);
    for record in [batch.clone(), json!({"schema": null, "payload": batch})] {
        let decoded = unwrapped(RecordKind::Report, &record.to_string());
        let Decoded::Items(items) = decoded else { panic!("{decoded:?}") };
        let [ItemContent::Report(read), ItemContent::Skipped] =
            [&items[0].content, &items[1].content]
        else {
            panic!("{items:?}")
        };
        assert_eq!(read.content, report(REPORT).content);
        assert_eq!(read.raw.as_ref(), Some(&items[0].raw), "its dead letter is the item");
    }
}

#[test]
fn an_event_that_can_not_be_read_is_not_skipped() {
    let report = sample();
    for event in [
        json!({"op": "c", "after": "{\"deliveryStatus\":"}),
        json!({"op": "c", "after": "{\"deliveryStatus\":\"A\",\"deliveryStatus\":\"B\"}"}),
        json!({"op": "airtel", "source": "api", "after": report}),
        json!({"operationType": "upsert", "documentKey": {}, "fullDocument": report}),
        json!({"schema": {"type": "struct"}, "other": 1}),
    ] {
        let decoded = unwrapped(RecordKind::Report, &event.to_string());
        assert!(matches!(decoded, Decoded::Bad(_)), "{event}: {decoded:?}");
    }
}

/// Returns an array of CloudEvents, each with a report by the registry's schema with this id.
fn array_by(ids: impl Iterator<Item = u32>) -> String {
    use base64::Engine as _;
    let event = |id: u32| {
        let framed = [&[0][..], &id.to_be_bytes(), REPORT.as_bytes()].concat();
        let data = base64::engine::general_purpose::STANDARD.encode(framed);
        json!({"specversion": "1.0", "type": "t", "data_base64": data})
    };
    Value::from_iter(ids.map(event)).to_string()
}

#[test]
fn an_array_needs_the_schema_of_each_item() {
    let mut decoder = Decoder::unwrapping(all(), true);
    let array = array_by(7..9);
    for id in [7, 8].map(SchemaId::Id) {
        let decoded = decoder.decode(RecordKind::Report, array.as_bytes());
        assert_eq!(decoded, Decoded::NeedsSchema(id));
        decoder.add(id, &RegisteredSchema::Json).unwrap();
    }
    let decoded = decoder.decode(RecordKind::Report, array.as_bytes());
    let Decoded::Items(items) = decoded else { panic!("{decoded:?}") };
    assert!(items.iter().all(|item| matches!(item.content, ItemContent::Report(_))), "{items:?}");
}

/// All schemas of a record must be known at the same time. So their number is limited.
#[test]
fn an_array_that_names_too_many_schemas_needs_only_the_first_ones() {
    let mut decoder = Decoder::unwrapping(all(), true);
    let array = array_by((1..2000).chain(1..2));
    let mut decoded = decoder.decode(RecordKind::Report, array.as_bytes());
    let mut asked = 0;
    while let Decoded::NeedsSchema(id) = decoded {
        asked += 1;
        assert_eq!(id, SchemaId::Id(asked));
        decoder.add(id, &RegisteredSchema::Json).unwrap();
        decoded = decoder.decode(RecordKind::Report, array.as_bytes());
    }
    let Decoded::Items(items) = decoded else { panic!("{decoded:?}") };
    let reports = items.iter().filter(|item| matches!(item.content, ItemContent::Report(_)));
    assert_eq!((asked, reports.count()), (16, 17));
    let ItemContent::Bad(bad) = &items[16].content else { panic!("{:?}", items[16]) };
    assert!(bad.detail.contains("more than 16 schemas"), "{}", bad.detail);
}

/// Returns how often a record is copied and hashed.
fn scans(record: &Value) -> usize {
    let before = SCANS.get();
    let decoded = unwrapped(RecordKind::Report, &record.to_string());
    assert!(matches!(decoded, Decoded::Report(_) | Decoded::Items(_)), "{decoded:?}");
    SCANS.get() - before
}

/// The envelope is scanned once, because it may be a report, and then the report.
#[test]
fn a_report_in_an_envelope_is_scanned_once_more_than_a_report() {
    let report = sample();
    let mut older = report.clone();
    older["deliveryStatus"] = json!("SENT");
    assert_eq!(scans(&report), 1);
    for envelope in [
        json!({"schema": {}, "payload": report}),
        json!({"op": "u", "before": older, "after": report, "source": {}}),
        json!({"op": "c", "after": report.to_string(), "source": {}}),
        json!({"operationType": "update", "fullDocument": report, "documentKey": {"_id": 1},
            "updateDescription": {"updatedFields": {"deliveryStatus": "DELIVERED"}}}),
        json!({"specversion": "1.0", "type": "t", "data": report}),
    ] {
        assert_eq!(scans(&envelope), 2, "{envelope}");
    }
    assert_eq!(scans(&json!([report, older, report])), 3, "each item of an array once");
}

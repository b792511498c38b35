//! A record of another kind is never believed, and its dead letter says what it looks like.

use super::{FLOW, REPORT, bad, flow, report, single_object, undecodable};
use crate::codec::source::{Decoded, Decoder};
use crate::domain::{AccountId, RecordKind};

#[test]
fn a_report_in_the_topic_of_flows_is_undecodable_and_recognised() {
    let bad = bad(RecordKind::Flow, REPORT);
    assert_eq!(bad.account, Some(AccountId(28)), "the letter is found by its account");
    assert_eq!(
        bad.detail,
        "the record has deliveryStatus and looks like a delivery report, but the topic is one of flow complete records"
    );
    // A field of a flow beside the status does not make it one.
    let mixed = r#"{"phononUuid":"u","accountID":28,"keys":[],"deliveryStatus":"SENT"}"#;
    assert!(undecodable(RecordKind::Flow, mixed).contains("looks like a delivery report"));
}

#[test]
fn a_flow_without_any_field_of_a_flow_is_undecodable() {
    for rest in ["", r#","flowId":200,"webhookEnabled":true"#, r#","calldetails":[],"key":[]"#] {
        let record = format!(r#"{{"phononUuid":"u","accountID":28{rest}}}"#);
        let detail = undecodable(RecordKind::Flow, record);
        assert!(detail.contains("none of callDetails, keys, sms and completedAt"), "{detail}");
        assert!(detail.contains("looks like a call begin record"), "{detail}");
    }
    for one in [r#""callDetails":[]"#, r#""keys":[]"#, r#""sms":[]"#, r#""completedAt":"x""#] {
        flow(format!(r#"{{"phononUuid":"u","accountID":28,{one}}}"#));
    }
}

#[test]
fn a_flow_in_the_topic_of_reports_is_undecodable_and_recognised() {
    let detail = undecodable(RecordKind::Report, FLOW);
    assert!(detail.contains("has callDetails and looks like a flow complete record"), "{detail}");
    let detail = undecodable(RecordKind::Report, r#"{"phononUuid":"u","accountID":28}"#);
    assert!(detail.contains("the field id is missing"), "{detail}");
}

#[test]
fn a_flow_or_a_report_in_the_topic_of_calls_that_begin_is_undecodable_and_recognised() {
    for (record, looks) in [(FLOW, "flow complete record"), (REPORT, "delivery report")] {
        let detail = undecodable(RecordKind::Start, record);
        assert!(detail.contains(&format!("looks like a {looks}")), "{detail}");
    }
    let call = r#"{"phononUuid":"u","accountID":28,"callDetails":[],"keys":[]}"#;
    assert!(matches!(
        Decoder::new(false).decode(RecordKind::Start, call.as_bytes()),
        Decoded::Start(_)
    ));
}

#[test]
fn an_avro_record_with_the_name_of_another_kind_is_undecodable() {
    let report_by_flow = super::flow_avro(FLOW);
    let detail = undecodable(RecordKind::Report, &report_by_flow);
    assert!(detail.contains("flow complete record"), "{detail}");
    let detail = undecodable(RecordKind::Flow, super::report_avro(REPORT));
    assert!(detail.contains("delivery report"), "{detail}");
    // The fields fit, and only the name shows it.
    let writer = r#"{"type": "record", "name": "NAME", "namespace": "gateway", "fields": [
        {"name": "phononUuid", "type": "string"}, {"name": "accountID", "type": "long"},
        {"name": "keys", "type": {"type": "array", "items": "string"}}]}"#;
    let record = r#"{"phononUuid":"u","accountID":28,"keys":[]}"#;
    for (name, kind) in [
        ("SmsDeliveryReport", RecordKind::Flow),
        ("DeliveryReport", RecordKind::Start),
        ("FlowComplete", RecordKind::Start),
        ("FlowStarted", RecordKind::Flow),
    ] {
        let writer = writer.replace("NAME", name);
        let datum = &single_object(&writer, record)[10..];
        let decoded = Decoder::new(true).decode_by(&writer, kind, datum).unwrap();
        let Decoded::Bad(bad) = decoded else { panic!("{name}: {decoded:?}") };
        assert!(
            bad.detail.contains("the name of the record's schema is that of"),
            "{}",
            bad.detail
        );
    }
    let writer = writer.replace("NAME", "Whatever");
    let datum = &single_object(&writer, record)[10..];
    let decoded = Decoder::new(true).decode_by(&writer, RecordKind::Flow, datum).unwrap();
    assert!(matches!(decoded, Decoded::Flow(_)), "{decoded:?}");
}

#[test]
fn samples_are_still_records_of_their_own_kind() {
    assert_eq!(flow(FLOW).account, report(REPORT).account);
}

#[test]
fn other_encodings_are_named() {
    for (record, word) in [
        (&b"\x1f\x8b\x08\x00"[..], "gzip"),
        (b"\x28\xb5\x2f\xfd\x00", "zstd"),
        (b"Obj\x01\x04", "Avro container file"),
        (b"\xff\xfe{\0", "UTF-16"),
        (b" <flow><id>1</id></flow>", "XML"),
        (b"phononUuid=u&accountID=28", "a form"),
        (br#""{\"phononUuid\":\"u\"}""#, "JSON string that holds JSON"),
        (b"7", "single JSON value"),
        (b"hello", "neither a JSON object nor Avro"),
    ] {
        let detail = undecodable(RecordKind::Report, record);
        assert!(detail.contains(word), "{word}: {detail}");
    }
    let detail = undecodable(RecordKind::Flow, format!("[{FLOW}]"));
    assert!(detail.contains("only delivery reports may come in arrays"), "{detail}");
}

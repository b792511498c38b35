//! Records of writers' schemas that differ from ours, resolved as Java's library resolves them, and as leniently as
//! JSON.

use super::REPORT;
use crate::codec::source::{Decoded, Decoder, RegisteredSchema, SchemaId};
use crate::domain::{AccountId, DeliveryReport, RecordKind};

const UUID: [u8; 16] = 0xbd70_6f90_aa14_47ea_9844_3d1e_1123_f4ee_u128.to_be_bytes();

fn text(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len() * 2).unwrap()][..], text.as_bytes()].concat()
}

fn decode(kind: RecordKind, fields: &str, datum: &[u8]) -> Decoded {
    let schema = format!(r#"{{"type": "record", "name": "G", "fields": [{fields}]}}"#);
    Decoder::new(true).decode_by(&schema, kind, datum).unwrap()
}

/// Decodes a report whose schema also has the field `field`.
fn report_with(field: &str, value: &[u8]) -> Decoded {
    let fields = format!(
        r#"{{"name": "id", "type": "string"}}, {{"name": "phononUuid", "type": "string"}},
        {{"name": "accountID", "type": "long"}}, {{"name": "deliveryStatus", "type": "string"}}, {field}"#
    );
    let datum = [&text("s")[..], &text("u"), &[56], &text("SENT"), value].concat();
    decode(RecordKind::Report, &fields, &datum)
}

fn report(decoded: Decoded) -> (String, DeliveryReport) {
    let Decoded::Report(report) = decoded else { panic!("{decoded:?}") };
    (String::from_utf8(report.body.to_vec()).unwrap(), *report)
}

fn detail(decoded: Decoded) -> String {
    let Decoded::Bad(bad) = decoded else { panic!("{decoded:?}") };
    bad.detail
}

#[test]
fn logical_types_count_as_the_types_below_them() {
    let uuid = "bd706f90-aa14-47ea-9844-3d1e1123f4ee";
    for (of_uuid, datum) in [
        (r#"{"type": "string", "logicalType": "uuid"}"#, text(uuid)),
        (r#"{"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}"#, UUID.to_vec()),
        (r#"{"type": "fixed", "name": "U", "size": 16}"#, UUID.to_vec()),
    ] {
        let fields = format!(
            r#"{{"name": "phononUuid", "type": {of_uuid}}}, {{"name": "accountID", "type": "int"}},
            {{"name": "id", "type": "bytes"}},
            {{"name": "deliveryStatus", "type": {{"type": "enum", "name": "E", "symbols": ["SENT", "FAILED"]}}}}"#
        );
        let datum = [&datum[..], &[56], &text("s"), &[2]].concat();
        let (body, read) = report(decode(RecordKind::Report, &fields, &datum));
        assert_eq!(
            body,
            format!(
                r#"{{"id":"s","phononUuid":"{uuid}","accountID":28,"deliveryStatus":"FAILED"}}"#
            ),
            "the members have the order of our schema"
        );
        assert_eq!(read.uuid.as_str(), uuid);
    }
    for (logical, kind, value, number) in [
        ("timestamp-millis", "long", &[0xd0, 0x0f][..], "1000"),
        ("timestamp-micros", "long", &[2], "1"),
        ("local-timestamp-millis", "long", &[2], "1"),
        ("time-micros", "long", &[4], "2"),
        ("date", "int", &[0xd0, 0x0f], "1000"),
        ("time-millis", "int", &[2], "1"),
    ] {
        let field = format!(
            r#"{{"name": "sendTime", "type": {{"type": "{kind}", "logicalType": "{logical}"}}}}"#
        );
        let (body, _) = report(report_with(&field, value));
        assert!(body.contains(&format!(r#""sendTime":{number},"#)), "{logical}: {body}");
    }
}

#[test]
fn decimals_become_the_text_of_their_number() {
    let cost = |amount: &str| {
        format!(
            r#"{{"name": "cost", "type": {{"type": "record", "name": "C", "fields": [{{"name": "amount", "type": {amount}}}]}}}}"#
        )
    };
    let decimal = r#""logicalType": "decimal", "precision": 9, "scale": 2"#;
    for (amount, value) in [
        (format!(r#"{{"type": "bytes", {decimal}}}"#), &[2, 10][..]),
        (format!(r#"{{"type": "fixed", "name": "D", "size": 3, {decimal}}}"#), &[0, 0, 10]),
        (r#"{"type": "bytes", "logicalType": "big-decimal"}"#.to_owned(), &[6, 2, 10, 4]),
    ] {
        let (body, _) = report(report_with(&cost(&amount), value));
        assert!(body.contains(r#""cost":{"amount":0.10}"#), "{amount}: {body}");
    }
}

#[test]
fn numbers_and_texts_stand_for_each_other_as_in_json() {
    for (account, id, datum) in [
        ("\"string\"", "\"long\"", [&text("28")[..], &[14]].concat()),
        ("\"double\"", "\"int\"", [&28.0_f64.to_le_bytes()[..], &[14]].concat()),
        (
            "[\"null\", \"string\"]",
            "[\"long\", \"null\"]",
            [&[2][..], &text("28"), &[0, 14]].concat(),
        ),
    ] {
        let fields = format!(
            r#"{{"name": "accountID", "type": {account}}}, {{"name": "id", "type": {id}}},
            {{"name": "phononUuid", "type": "string"}}, {{"name": "deliveryStatus", "type": "string"}}"#
        );
        let datum = [&datum[..], &text("u"), &text("SENT")].concat();
        let (_, read) = report(decode(RecordKind::Report, &fields, &datum));
        assert_eq!((read.account, read.sms.as_str()), (AccountId(28), "7"));
    }
    let fields = r#"{"name": "phononUuid", "type": "string"}, {"name": "accountID", "type": "long"},
        {"name": "webhookEnabled", "type": "string"}, {"name": "sms", "type": {"type": "array", "items": "long"}}"#;
    let datum = [&text("u")[..], &[56], &text("true"), &[4, 2, 4, 0]].concat();
    let decoded = decode(RecordKind::Flow, fields, &datum);
    let Decoded::Flow(flow) = decoded else { panic!("{decoded:?}") };
    assert_eq!(flow.webhook_enabled, Some(true));
    let sms: Vec<_> = flow.sms.iter().flatten().map(|id| id.as_str()).collect();
    assert_eq!(sms, ["1", "2"]);
}

#[test]
fn a_type_that_cannot_be_resolved_is_named_with_its_field() {
    let array = r#"{"name": "to", "type": {"type": "array", "items": "string"}}"#;
    assert_eq!(
        detail(report_with(array, &[0])),
        "the field to can't be read: the record's schema has the type array, and string is expected"
    );
    let nested = r#"{"name": "cost", "type": {"type": "record", "name": "C", "fields": [
        {"name": "currency", "type": {"type": "map", "values": "string"}}]}}"#;
    assert_eq!(
        detail(report_with(nested, &[0])),
        "the field cost.currency can't be read: the record's schema has the type map, and record is expected"
    );
    let amount = r#"{"name": "cost", "type": {"type": "record", "name": "C", "fields": [
        {"name": "amount", "type": "boolean"}]}}"#;
    assert!(detail(report_with(amount, &[1])).contains("cost.amount"), "it names the whole path");
    let wanted = "the type boolean, and long or double or string is expected";
    assert!(detail(report_with(amount, &[1])).contains(wanted));
    // A branch that is not used does no harm, as in Java.
    let union = r#"{"name": "to", "type": ["null", "string", {"type": "map", "values": "int"}]}"#;
    let (body, _) = report(report_with(union, &[&[2][..], &text("91")].concat()));
    assert!(body.contains(r#""to":"91""#), "{body}");
    let Decoded::Bad(_) = report_with(union, &[4, 0]) else { panic!() };
    let whole = Decoder::new(true).decode_by("\"string\"", RecordKind::Flow, &text("u")).unwrap();
    assert!(detail(whole).contains("the record can't be read: its schema has the type string"));
}

#[test]
fn fields_are_found_by_their_aliases() {
    let alias = r#"{"name": "receiver", "aliases": ["other", "to"], "type": "string"}"#;
    let (body, _) = report(report_with(alias, &text("91")));
    assert!(body.contains(r#""to":"91""#), "{body}");
}

#[test]
fn of_several_fields_with_an_alias_of_one_name_the_first_counts() {
    let aliases = r#"{"name": "receiver", "aliases": ["to"], "type": "string"},
        {"name": "number", "aliases": ["to"], "type": "string"}"#;
    let (body, _) = report(report_with(aliases, &[text("91"), text("92")].concat()));
    assert!(body.contains(r#""to":"91""#) && !body.contains("92"), "{body}");
    let named = r#"{"name": "to", "type": "string"},
        {"name": "receiver", "aliases": ["to"], "type": "string"}"#;
    let (body, _) = report(report_with(named, &[text("91"), text("92")].concat()));
    assert!(body.contains(r#""to":"91""#) && !body.contains("92"), "{body}");
}

#[test]
fn a_schema_that_refers_to_others_is_read_with_them() {
    let text_of = |text: &str| text.to_owned();
    let schema = RegisteredSchema::Avro {
        text: text_of(
            r#"{"type": "record", "name": "G", "namespace": "gw", "fields": [
            {"name": "id", "type": "string"}, {"name": "phononUuid", "type": "string"}, {"name": "accountID", "type": "long"},
            {"name": "cost", "type": "gw.types.Cost"}, {"name": "deliveryStatus", "type": "string"}]}"#,
        ),
        references: vec![
            text_of(
                r#"{"type": "record", "name": "Cost", "namespace": "gw.types", "fields": [
                {"name": "currency", "type": "Currency"}, {"name": "smsUnit", "type": "int"}]}"#,
            ),
            text_of(
                r#"{"type": "record", "name": "Currency", "namespace": "gw.types", "fields": [
                {"name": "currencyName", "type": "string"}]}"#,
            ),
        ],
    };
    let mut decoder = Decoder::new(true);
    decoder.add(SchemaId::Id(1), &schema).unwrap();
    let datum = [&text("s")[..], &text("u"), &[56], &text("INR"), &[2], &text("SENT")].concat();
    let framed = [&[0, 0, 0, 0, 1][..], &datum].concat();
    let (body, _) = report(decoder.decode(RecordKind::Report, &framed));
    assert!(body.contains(r#""cost":{"currency":{"currencyName":"INR"},"smsUnit":1}"#), "{body}");
    let RegisteredSchema::Avro { text, .. } = schema else { panic!() };
    assert!(decoder.add_schema(2, &text).is_err(), "without the references it can't be read");
}

#[test]
fn fields_that_our_schema_lacks_are_skipped_whatever_their_type() {
    let field = r#"{"name": "more", "type": {"type": "record", "name": "M", "fields": [
        {"name": "a", "type": "float"}, {"name": "b", "type": "double"}, {"name": "c", "type": "boolean"},
        {"name": "d", "type": {"type": "map", "values": "bytes"}}, {"name": "e", "type": {"type": "fixed", "name": "F", "size": 3}},
        {"name": "f", "type": {"type": "array", "items": ["null", "int"]}},
        {"name": "g", "type": {"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"}}]}}"#;
    let mut value = vec![0; 4];
    value.extend(f64::NAN.to_le_bytes());
    value.extend([1, 2, 2, b'k', 4, 0xff, 0xfe, 0, 1, 2, 3]);
    // A block with its size in front.
    value.extend([3, 6, 0, 2, 4, 0]);
    value.extend([0; 12]);
    let (body, _) = report(report_with(field, &value));
    assert_eq!(body, r#"{"id":"s","phononUuid":"u","accountID":28,"deliveryStatus":"SENT"}"#);
}

#[test]
fn a_call_begin_record_loses_no_member() {
    let fields = r#"{"name": "phononUuid", "type": "string"}, {"name": "accountID", "type": "long"},
        {"name": "text", "type": "bytes"}, {"name": "raw", "type": "bytes"},
        {"name": "fixed", "type": {"type": "fixed", "name": "F", "size": 2}},
        {"name": "pbx", "type": {"type": "fixed", "name": "U", "size": 16}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 1}},
        {"name": "since", "type": {"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"}}"#;
    let mut datum = [&text("u")[..], &[56], &text("a\""), &[4, 0xff, b'x'], b"ok"].concat();
    datum.extend(UUID);
    datum.extend([2, 0xf6]);
    datum.extend([1; 12]);
    let decoded = decode(RecordKind::Start, fields, &datum);
    let Decoded::Start(start) = decoded else { panic!("{decoded:?}") };
    let expected = r#"{"phononUuid":"u","accountID":28,"text":"a\"","raw":"ÿx","fixed":"ok","pbx":"bd706f90-aa14-47ea-9844-3d1e1123f4ee","price":-1.0,"since":"\u0001\u0001\u0001\u0001\u0001\u0001\u0001\u0001\u0001\u0001\u0001\u0001"}"#;
    assert_eq!(std::str::from_utf8(&start.record).unwrap(), expected);
}

#[test]
fn a_change_event_in_avro_is_opened_like_one_in_json() {
    use crate::codec::source::{Envelope, Unwrap};
    let row = r#"{"type": "record", "name": "Value", "fields": [
        {"name": "id", "type": "string"}, {"name": "phononUuid", "type": "string"}, {"name": "accountID", "type": "long"},
        {"name": "deliveryStatus", "type": ["null", "string"]}]}"#;
    let envelope = format!(
        r#"{{"type": "record", "name": "Envelope", "fields": [{{"name": "before", "type": ["null", {row}]}},
        {{"name": "after", "type": ["null", "Value"]}}, {{"name": "op", "type": "string"}}]}}"#
    );
    let after = [&text("s")[..], &text("u"), &[56, 2], &text("SENT")].concat();
    let insert = [&[0, 2][..], &after, &text("c")].concat();
    let delete = [&[2][..], &after, &[0], &text("d")].concat();
    let unwrap = Unwrap::default().with(Envelope::Debezium);
    let mut decoder = Decoder::unwrapping(unwrap, true);
    let (body, read) = report(decoder.decode_by(&envelope, RecordKind::Report, &insert).unwrap());
    assert_eq!(body, r#"{"id":"s","phononUuid":"u","accountID":28,"deliveryStatus":"SENT"}"#);
    assert_eq!(read.raw.as_deref(), Some(&insert[..]));
    let deleted = decoder.decode_by(&envelope, RecordKind::Report, &delete).unwrap();
    assert_eq!(deleted, Decoded::Skipped);
    let off = Decoder::new(true).decode_by(&envelope, RecordKind::Report, &insert).unwrap();
    assert!(detail(off).contains("[\"debezium\"]"));
}

#[test]
fn the_sample_in_avro_is_the_sample() {
    assert_eq!(super::report(super::report_avro(REPORT)).content, super::report(REPORT).content);
}

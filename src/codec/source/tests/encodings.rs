//! The samples become the two bodies in every encoding, and the parts that are passed on keep their spelling.

use super::{FLOW, PHASE_1, PHASE_2, REPORT, datum, flow, flow_avro, report, report_avro};
use crate::codec::schema::{self, Known};
use crate::codec::source::{Decoded, Decoder, SchemaId};
use crate::definition::body::render_phase2;
use crate::domain::{AccountId, DeadLetterReason, FlowId, RecordKind, SmsId};
use apache_avro::Schema;
use bytes::Bytes;

fn text(body: &Bytes) -> &str {
    std::str::from_utf8(body).expect("bodies are UTF-8")
}

#[test]
fn the_flow_sample_becomes_the_body_of_phase_1_in_json_and_avro() {
    for payload in [FLOW.as_bytes().to_vec(), flow_avro(FLOW)] {
        let flow = flow(payload);
        assert_eq!(text(&flow.body), PHASE_1);
        assert_eq!(flow.uuid.as_str(), "bd706f90-aa14-47ea-9844-3d1e1123f4ee");
        assert_eq!((flow.account, flow.flow), (AccountId(28), Some(FlowId(200))));
        assert_eq!(flow.webhook_enabled, Some(true));
        assert_eq!(
            flow.sms,
            Some(vec![SmsId::new("290a4138-5729-475f-95e1-9ff30f851d67").unwrap()])
        );
    }
}

#[test]
fn the_report_sample_becomes_the_body_of_phase_2_in_json_and_avro() {
    let flow = flow(FLOW);
    let keys = flow.body.slice(flow.keys);
    for payload in [REPORT.as_bytes().to_vec(), report_avro(REPORT)] {
        let report = report(&payload);
        assert_eq!(&*report.status, "DELIVERED");
        assert_eq!(report.raw.as_deref(), Some(&payload[..]));
        let body = render_phase2(report.uuid.as_str(), &[report.body], Some(&keys));
        assert_eq!(text(&body), PHASE_2);
    }
}

#[test]
fn a_report_that_is_compact_already_is_kept_once() {
    let compact = report(REPORT).body;
    assert_eq!(report(&compact).raw, None);
    assert_eq!(report(&compact).body, compact);
}

/// An id of the registry is requested once, and its schema may be any version.
#[test]
fn a_record_with_confluent_framing_is_decoded_once_its_schema_was_requested() {
    let framed = [&[0, 0, 0, 1, 2][..], &flow_avro(FLOW)[10..]].concat();
    let mut decoder = Decoder::new(true);
    assert_eq!(decoder.decode(RecordKind::Flow, &framed), Decoded::NeedsSchema(SchemaId::Id(258)));
    decoder.reject_schema(SchemaId::Id(258));
    let Decoded::Bad(bad) = decoder.decode(RecordKind::Flow, &framed) else { panic!() };
    assert_eq!(bad.reason, DeadLetterReason::UnknownSchema);
    decoder.add_schema(258, schema::FLOW_COMPLETE).unwrap();
    let Decoded::Flow(flow) = decoder.decode(RecordKind::Flow, &framed) else { panic!() };
    assert_eq!(text(&flow.body), PHASE_1);
    let mut without = Decoder::new(false);
    let Decoded::Bad(bad) = without.decode(RecordKind::Flow, &framed) else { panic!() };
    assert_eq!(bad.reason, DeadLetterReason::UnknownSchema);
}

/// A registry refuses a request for such an id in any case.
#[test]
fn a_schema_id_above_the_registrys_range_is_not_requested() {
    let decoder = Decoder::new(true);
    for (id, is_asked) in [(1, true), (0x7fff_ffff, true), (0x8000_0000, false), (u32::MAX, false)]
    {
        let framed = [&[0][..], &id.to_be_bytes(), b"whatever"].concat();
        let decoded = Decoder::new(true).decode(RecordKind::Flow, &framed);
        if is_asked {
            assert_eq!(decoded, Decoded::NeedsSchema(SchemaId::Id(id)));
        } else {
            let Decoded::Bad(bad) = decoded else { panic!("{id}: {decoded:?}") };
            assert_eq!(bad.reason, DeadLetterReason::UnknownSchema);
        }
        assert_eq!(decoder.unknown_schema(&framed, &[]), is_asked.then_some(SchemaId::Id(id)));
    }
}

#[test]
fn a_schema_id_that_was_forgotten_is_requested_again() {
    let framed = [0, 0, 0, 1, 2, 7];
    let mut decoder = Decoder::new(true);
    decoder.reject_schema(SchemaId::Id(258));
    assert_eq!(decoder.unknown_schema(&framed, &[]), None);
    decoder.forget_schema(SchemaId::Id(258));
    assert_eq!(decoder.unknown_schema(&framed, &[]), Some(SchemaId::Id(258)));
    assert_eq!(decoder.decode(RecordKind::Flow, &framed), Decoded::NeedsSchema(SchemaId::Id(258)));
    assert_eq!(Decoder::new(false).unknown_schema(&framed, &[]), None, "no registry is configured");
}

fn framed(writer: &str, json: &str) -> (Decoder, Vec<u8>) {
    let mut decoder = Decoder::new(true);
    decoder.add_schema(1, writer).unwrap();
    let datum = datum(&Schema::parse_str(writer).unwrap(), json);
    (decoder, [&[0, 0, 0, 0, 1][..], &datum].concat())
}

fn through(kind: RecordKind, writer: &str, json: &str) -> Decoded {
    let (mut decoder, payload) = framed(writer, json);
    decoder.decode(kind, &payload)
}

#[test]
fn records_of_an_older_writer_with_fewer_fields_and_a_newer_one_with_more_are_decoded() {
    let older = r#"{"type": "record", "name": "SmsDeliveryReport", "namespace": "ringback", "fields": [
        {"name": "accountID", "type": "int"}, {"name": "deliveryStatus", "type": "string"},
        {"name": "phononUuid", "type": "string"}, {"name": "id", "type": "string"}]}"#;
    let json = r#"{"id":"s","phononUuid":"u","accountID":28,"deliveryStatus":"SENT"}"#;
    let Decoded::Report(decoded) = through(RecordKind::Report, older, json) else { panic!() };
    assert_eq!(text(&decoded.body), json, "the members have the order of our schema");
    assert_eq!(decoded.content, report(json).content);

    let newer = schema::FLOW_COMPLETE.replace(
        r#"{"name": "flowId","#,
        r#"{"name": "campaign", "type": ["null", {"type": "map", "values": "string"}], "default": null}, {"name": "flowId","#,
    );
    assert_ne!(newer, schema::FLOW_COMPLETE);
    let json = FLOW.replacen('{', r#"{"campaign": {"a": "b"},"#, 1);
    let Decoded::Flow(decoded) = through(RecordKind::Flow, &newer, &json) else { panic!() };
    assert_eq!(text(&decoded.body), PHASE_1);
    assert_eq!(
        decoded.content,
        flow(FLOW).content,
        "fields that Avro drops are no part of the content"
    );
}

#[test]
fn a_writers_schema_without_the_uuid_gives_the_reason_no_uuid() {
    for uuid in ["", r#"{"name": "phononUuid", "type": ["null", "string"], "default": null},"#] {
        let writer = format!(
            r#"{{"type": "record", "name": "F", "fields": [{uuid} {{"name": "accountID", "type": "long"}}]}}"#
        );
        let decoded = through(RecordKind::Flow, &writer, r#"{"accountID": 28}"#);
        let Decoded::Bad(bad) = decoded else { panic!("{decoded:?}") };
        assert_eq!((bad.reason, bad.account), (DeadLetterReason::NoUuid, Some(AccountId(28))));
    }
    let writer = r#"{"type": "record", "name": "F", "fields": [{"name": "a", "type": "long"}]}"#;
    let decoded = through(RecordKind::Flow, writer, r#"{"a": 28}"#);
    let Decoded::Bad(bad) = decoded else { panic!("{decoded:?}") };
    assert_eq!((bad.reason, bad.account), (DeadLetterReason::Undecodable, None));
}

#[test]
fn schemas_of_unbounded_data_are_refused() {
    let mut decoder = Decoder::new(true);
    for schema in [
        "nonsense",
        r#"{"type": "record", "name": "N", "fields": [{"name": "n", "type": ["null", "N"]}]}"#,
        r#"{"type": "array", "items": "null"}"#,
        r#"{"type": "record", "name": "A", "fields": [
            {"name": "e", "type": {"type": "record", "name": "E", "fields": []}},
            {"name": "n", "type": {"type": "array", "items": "E"}}]}"#,
    ] {
        assert!(decoder.add_schema(1, schema).is_err(), "{schema}");
    }
}

#[test]
fn parts_that_are_passed_on_keep_their_spelling() {
    let json = " \n{\"phononUuid\":\t\"u\\u0041\\\"\", \"accountID\" : \"28\", \"new\": {},
        \"keys\" : [ {\"name\": \"a b\", \"value\" : 0.10} ,\r\n 1234567890123456789 , \"\\u0041 \\/\", \"फोनन  \", 1E+2 ],
        \"sms\": [7, \"b\", \"7\", \"b\"], \"recordingUrls\": [ ], \"callDetails\": null } ";
    let flow = flow(json);
    assert_eq!(
        text(&flow.body),
        r#"{"callDetails":[],"keys":[{"name":"a b","value":0.10},1234567890123456789,"\u0041 \/","फोनन  ",1E+2],"phonon-uuid":"uA\""}"#
    );
    assert_eq!(flow.uuid.as_str(), "uA\"");
    assert_eq!(flow.account, AccountId(28));
    assert_eq!(
        &flow.body[flow.keys.clone()],
        r#"[{"name":"a b","value":0.10},1234567890123456789,"\u0041 \/","फोनन  ",1E+2]"#.as_bytes()
    );
    let sms: Vec<&str> = flow.sms.as_ref().unwrap().iter().map(SmsId::as_str).collect();
    assert_eq!(sms, ["7", "b"]);
}

#[test]
fn members_that_are_null_or_missing_are_absent() {
    let flow = flow(
        r#"{"accountID":1,"phononUuid":"u","flowId":null,"webhookEnabled":null,"sms":null,"keys":null,"recordingUrls":null,"completedAt":""}"#,
    );
    assert_eq!((flow.flow, flow.webhook_enabled, flow.sms), (None, None, None));
    assert_eq!(text(&flow.body), r#"{"callDetails":[],"keys":[],"phonon-uuid":"u"}"#);
    assert_eq!(&flow.body[flow.keys], b"[]");
}

#[test]
fn a_report_is_passed_on_whole_with_its_unknown_fields() {
    let json = "{\"id\": 7, \"x\": [1, 2 ], \"phononUuid\":\"u\",\"accountID\":28,\"deliveryStatus\":\"\\u0053ENT\"}";
    let report = report(json);
    assert_eq!(
        text(&report.body),
        r#"{"id":7,"x":[1,2],"phononUuid":"u","accountID":28,"deliveryStatus":"\u0053ENT"}"#
    );
    assert_eq!((report.sms.as_str(), &*report.status), ("7", "SENT"));
}

#[test]
fn a_status_may_be_a_number_or_have_blanks_and_is_passed_on_as_it_came() {
    for (written, status) in [("8", "8"), ("-1", "-1"), ("\" SENT \\t\"", " SENT \t")] {
        let json =
            format!(r#"{{"id":"s","phononUuid":"u","accountID":28,"deliveryStatus":{written}}}"#);
        let report = report(&json);
        assert_eq!((&*report.status, text(&report.body)), (status, json.as_str()));
    }
}

/// Another program computed the fingerprints from the text of the specification.
#[test]
fn the_fingerprints_are_those_of_the_specification() {
    for (schema, fingerprint) in [
        (schema::FLOW_COMPLETE, 0xc5b1_197e_63ed_7fe2_u64),
        (schema::DELIVERY_REPORT, 0x278c_7e77_981c_371e),
        (schema::STATE, 0x5184_def1_e647_8a1c),
        (schema::META, 0xda61_be12_9a75_c0a9),
        ("\"null\"", 0x63dd_24e7_cc25_8f8a),
    ] {
        assert_eq!(Known::parse(schema).unwrap().fingerprint, fingerprint.to_le_bytes());
    }
}

#[test]
fn every_retired_schema_is_listed_and_parses() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/retired");
    let files = std::fs::read_dir(folder).unwrap().filter_map(Result::ok);
    let schemas = files.filter(|file| file.path().extension().is_some_and(|x| x == "avsc"));
    assert_eq!(schemas.count(), schema::RETIRED.len());
    assert_eq!(schema::RETIRED_SCHEMAS.len(), schema::RETIRED.len());
}

#[test]
fn a_decoder_can_be_moved_to_its_thread() {
    fn movable<T: Send>() {}
    movable::<Decoder>();
}

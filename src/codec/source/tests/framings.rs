//! The ids of schemas, in front of the record and in its headers.

use super::{FLOW, REPORT, datum, flow, report};
use crate::codec::schema;
use crate::codec::source::{Bad, Decoded, Decoder, RegisteredSchema, SchemaId};
use crate::domain::{DeadLetterReason, Header, RecordKind};
use apache_avro::Schema;
use bytes::Bytes;

const GUID: u128 = 0x290a_4138_5729_475f_95e1_9ff3_0f85_1d67;

fn header(value: &[u8]) -> Vec<Header> {
    vec![Header { name: "__value_schema_id".into(), value: Some(Bytes::copy_from_slice(value)) }]
}

fn bad(decoded: Decoded) -> Bad {
    let Decoded::Bad(bad) = decoded else { panic!("{decoded:?}") };
    bad
}

fn avro() -> RegisteredSchema {
    let text = schema::FLOW_COMPLETE.to_owned();
    RegisteredSchema::Avro { text, references: Vec::new() }
}

fn flow_datum() -> Vec<u8> {
    datum(&Schema::parse_str(schema::FLOW_COMPLETE).unwrap(), FLOW)
}

#[test]
fn json_with_the_id_of_a_json_schema_is_read() {
    let framed = [&[0, 0, 0, 0, 7][..], REPORT.as_bytes()].concat();
    let mut decoder = Decoder::new(true);
    assert_eq!(decoder.decode(RecordKind::Report, &framed), Decoded::NeedsSchema(SchemaId::Id(7)));
    decoder.add(SchemaId::Id(7), &RegisteredSchema::Json).unwrap();
    let decoded = decoder.decode(RecordKind::Report, &framed);
    let Decoded::Report(read) = decoded else { panic!("{decoded:?}") };
    assert_eq!((read.content, read.raw.as_deref()), (report(REPORT).content, Some(&framed[..])));
    // JSON needs no schema, and so no registry.
    let decoded = Decoder::new(false).decode(RecordKind::Report, &framed);
    assert!(matches!(decoded, Decoded::Report(_)), "{decoded:?}");
}

#[test]
fn ids_and_guids_in_a_header_are_read() {
    for (value, id) in [
        (vec![0, 0, 0, 1, 2], SchemaId::Id(258)),
        ([&[1][..], &GUID.to_be_bytes()].concat(), SchemaId::Guid(GUID)),
    ] {
        let mut decoder = Decoder::new(true);
        let (datum, headers) = (flow_datum(), header(&value));
        let decode =
            |decoder: &mut Decoder| decoder.decode_with(RecordKind::Flow, &datum, &headers);
        assert_eq!(decoder.unknown_schema(&datum, &headers), Some(id));
        assert_eq!(decode(&mut decoder), Decoded::NeedsSchema(id));
        decoder.add(id, &avro()).unwrap();
        let decoded = decode(&mut decoder);
        let Decoded::Flow(read) = decoded else { panic!("{decoded:?}") };
        assert_eq!(read.content, flow(FLOW).content);
        decoder.reject_schema(id);
        let bad = bad(decode(&mut decoder));
        assert_eq!(bad.reason, DeadLetterReason::UnknownSchema);
        assert!(bad.detail.contains(&id.text()), "{}", bad.detail);
    }
    assert_eq!(SchemaId::Guid(GUID).text(), "290a4138-5729-475f-95e1-9ff30f851d67");
    // A record of Confluent's serialiser for JSON Schema, without a registry.
    let headers = header(&[0, 0, 0, 0, 1]);
    let decoded = Decoder::new(false).decode_with(RecordKind::Flow, FLOW.as_bytes(), &headers);
    assert!(matches!(decoded, Decoded::Flow(_)), "{decoded:?}");
}

#[test]
fn a_header_that_holds_no_id_is_undecodable_and_other_headers_have_no_effect() {
    for value in [&b""[..], b"7", &[0, 0, 1], &[1, 2, 3], &[2; 17]] {
        let decoded =
            Decoder::new(true).decode_with(RecordKind::Flow, FLOW.as_bytes(), &header(value));
        assert!(bad(decoded).detail.contains("__value_schema_id"), "{value:?}");
    }
    let mut headers = header(&[0, 0, 0, 0, 1]);
    headers[0].name = "__key_schema_id".into();
    headers.push(Header { name: "__value_schema_id".into(), value: None });
    let decoded = Decoder::new(true).decode_with(RecordKind::Flow, FLOW.as_bytes(), &headers);
    assert!(matches!(decoded, Decoded::Flow(_)), "{decoded:?}");
}

#[test]
fn ids_of_eight_bytes_are_apicurios() {
    let framed = [&[0, 0, 0, 0, 0, 0, 0, 1, 2][..], &flow_datum()].concat();
    let mut decoder = Decoder::new(true);
    let id = SchemaId::Global(258);
    assert_eq!(decoder.decode(RecordKind::Flow, &framed), Decoded::NeedsSchema(id));
    decoder.add(id, &avro()).unwrap();
    assert!(matches!(decoder.decode(RecordKind::Flow, &framed), Decoded::Flow(_)));
}

#[test]
fn protobuf_is_named() {
    let mut decoder = Decoder::new(true);
    decoder.add(SchemaId::Id(7), &RegisteredSchema::Protobuf).unwrap();
    let bad = bad(decoder.decode(RecordKind::Flow, &[0, 0, 0, 0, 7, 0, 10, 1, b'u']));
    assert_eq!(bad.reason, DeadLetterReason::Undecodable);
    assert!(bad.detail.contains("Protobuf by the schema id 7"), "{}", bad.detail);
}

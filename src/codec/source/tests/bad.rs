//! Records that are no source event are reported without a panic or a large allocation, in one clear sentence.

use super::{FLOW, REPORT, bad, flow_avro, report_avro, undecodable};
use crate::codec::source::{Decoded, Decoder, RECORD_BYTES_MAX};
use crate::domain::{AccountId, DeadLetterReason, RecordKind};
use crate::json::{DEPTH_MAX, scan};
use proptest::prelude::*;

const FLOW_KIND: RecordKind = RecordKind::Flow;
const REPORT_KIND: RecordKind = RecordKind::Report;

#[test]
fn a_record_that_is_cut_anywhere_is_undecodable() {
    for (kind, whole) in [
        (FLOW_KIND, flow_avro(FLOW)),
        (REPORT_KIND, report_avro(REPORT)),
        (FLOW_KIND, FLOW.trim_end().as_bytes().to_vec()),
        (REPORT_KIND, REPORT.trim_end().as_bytes().to_vec()),
    ] {
        for length in 0..whole.len() {
            undecodable(kind, &whole[..length]);
        }
        undecodable(kind, [&whole[..], b"0"].concat());
    }
    assert!(undecodable(FLOW_KIND, [flow_avro(FLOW), vec![0]].concat()).contains("follow"));
    assert!(undecodable(FLOW_KIND, &flow_avro(FLOW)[..200]).contains("breaks off"));
}

#[test]
fn an_unknown_schema_is_named_in_the_detail() {
    let bad = bad(FLOW_KIND, [0xc3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 7]);
    assert_eq!(bad.reason, DeadLetterReason::UnknownSchema);
    assert!(bad.detail.contains("0000000000000001"), "{}", bad.detail);
    assert!(undecodable(FLOW_KIND, [0xc3, 1, 0]).contains("fingerprint"));
    assert!(undecodable(FLOW_KIND, [0, 0, 0]).contains("schema id"));
}

#[test]
fn bytes_that_are_no_record_are_undecodable() {
    for payload in [
        &b""[..],
        b" ",
        b"null",
        b"[]",
        b"\"{\"",
        b"\xff\xfe",
        b"\xc3",
        b"hello",
        b"\xef\xbb\xbf{}",
    ] {
        undecodable(FLOW_KIND, payload);
        undecodable(REPORT_KIND, payload);
    }
    let long = format!("{{\"accountID\":1,\"phononUuid\":\"{}\"}}", "a".repeat(RECORD_BYTES_MAX));
    assert!(undecodable(FLOW_KIND, long).contains("bytes long"));
    assert!(undecodable(FLOW_KIND, b"{\"a\":\"\xff\"}").contains("UTF-8 at byte 6"));
}

#[test]
fn json_of_another_shape_is_undecodable() {
    for rest in [
        r#""flowId":"x""#,
        r#""flowId":1.5"#,
        r#""flowId":9223372036854775808"#,
        r#""webhookEnabled":"yes""#,
        r#""webhookEnabled":1"#,
        r#""callDetails":{}"#,
        r#""keys":"a""#,
        r#""recordingUrls":1"#,
        r#""sms":"a""#,
        r#""sms":[["a"]]"#,
        r#""sms":[{}]"#,
        r#""sms":[null]"#,
        r#""sms":[1.5]"#,
        r#""sms":[true]"#,
        r#""sms":[""]"#,
        r#""sms":["\ud800"]"#,
        r#""accountID":28"#,
    ] {
        let json = format!(r#"{{"phononUuid":"u","accountID":28,"completedAt":"x",{rest}}}"#);
        undecodable(FLOW_KIND, json);
    }
    for json in [
        "{}",
        r#"{"phononUuid":"u"}"#,
        r#"{"phononUuid":"u","accountID":null}"#,
        r#"{"phononUuid":"u","accountID":"x"}"#,
        r#"{"phononUuid":"u","accountID":"-1"}"#,
        r#"{"phononUuid":"u","accountID":""}"#,
        r#"{"phononUuid":"u","accountID":1.5}"#,
        r#"{"phononUuid":"u","accountID":"1.0"}"#,
        r#"{"phononUuid":"u","accountID":true}"#,
    ] {
        assert!(undecodable(FLOW_KIND, json).contains("accountID"));
    }
    for rest in [
        r#""id":"s""#,
        r#""deliveryStatus":"SENT""#,
        r#""id":"s","deliveryStatus":"""#,
        r#""id":"s","deliveryStatus":" \t""#,
        r#""id":"s","deliveryStatus":true"#,
        r#""id":"s","deliveryStatus":["SENT"]"#,
        r#""id":"","deliveryStatus":"SENT""#,
        r#""id":1.5,"deliveryStatus":"SENT""#,
        r#""id":{},"deliveryStatus":"SENT""#,
    ] {
        undecodable(REPORT_KIND, format!(r#"{{"phononUuid":"u","accountID":28,{rest}}}"#));
    }
}

#[test]
fn a_record_of_an_account_without_a_uuid_has_its_own_reason() {
    let long = format!(r#""{}""#, "a".repeat(257));
    for uuid in ["null", "\"\"", "7", "{}", "[]", r#""\ud800""#, &long] {
        let json = format!(r#"{{"phononUuid":{uuid},"accountID":28,"keys":7}}"#);
        for kind in [FLOW_KIND, REPORT_KIND] {
            let bad = bad(kind, &json);
            assert_eq!(bad.reason, DeadLetterReason::NoUuid, "{uuid}");
            assert_eq!(bad.account, Some(AccountId(28)));
        }
    }
}

#[test]
fn json_that_is_nested_too_deep_is_undecodable() {
    let nested = |depth: usize, open: &str, close: &str| {
        format!(
            r#"{{"phononUuid":"u","accountID":1,"keys":[],"x":{}{}}}"#,
            open.repeat(depth),
            close.repeat(depth)
        )
    };
    super::flow(nested(DEPTH_MAX - 1, "[", "]"));
    assert!(undecodable(FLOW_KIND, nested(DEPTH_MAX, "[", "]")).contains("nested"));
    assert!(undecodable(FLOW_KIND, nested(1_000_000, "[", "")).contains("nested"));
    assert!(undecodable(FLOW_KIND, nested(500_000, "{\"a\":", "")).contains("nested"));
}

/// A few bytes may claim a lot. Neither the tree of the library nor the copy may grow with the claim.
#[test]
fn avro_that_claims_more_than_it_contains_is_undecodable() {
    let head = &flow_avro(FLOW)[..10];
    // A uuid "u", account 1, three nulls, then 2^40 legs.
    let claim = [head, &[2, b'u', 2, 0, 0, 0, 2, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40]].concat();
    assert!(undecodable(FLOW_KIND, &claim).contains("breaks off"));
    assert!(
        undecodable(FLOW_KIND, [head, &[0xfe, 0xff, 0xff, 0xff, 0x0f]].concat())
            .contains("breaks off")
    );
    // Many legs that contain only nulls, in another version of the schema.
    let evolved =
        crate::codec::schema::FLOW_COMPLETE.replace("\"FlowKey\"", "\"Variable\"").replace(
            r#"{"name": "flowId","#,
            r#"{"name": "more", "type": "long", "default": 0}, {"name": "flowId","#,
        );
    let mut decoder = Decoder::new(true);
    decoder.add_schema(9, &evolved).unwrap();
    let mut legs = |count: [u8; 3], bytes: usize| {
        let head = [0, 0, 0, 0, 9, 2, b'u', 2, 0, 0, 0, 0, 2];
        let nulls = std::iter::repeat_n(0, bytes).collect::<Vec<u8>>();
        decoder.decode(FLOW_KIND, &[&head[..], &count, &nulls, &[0, 0, 0, 0]].concat())
    };
    // 200,000 legs fit, 380,000 do not.
    let fits = legs([0x80, 0xb5, 0x18], 11 * 200_000);
    assert!(matches!(fits, Decoded::Flow(_)), "{fits:?}");
    let Decoded::Bad(bad) = legs([0xc0, 0xb1, 0x2e], 11 * 380_000) else { panic!() };
    assert!(bad.detail.contains("too many"), "{}", bad.detail);
}

#[test]
fn a_number_that_json_cannot_express_is_undecodable() {
    let mut nan =
        flow_avro(r#"{"phononUuid":"u","accountID":1,"keys":[{"name":"n","value":0.5}]}"#);
    let place = nan.windows(8).position(|bytes| bytes == 0.5_f64.to_le_bytes()).unwrap();
    nan[place..place + 8].copy_from_slice(&f64::NAN.to_le_bytes());
    assert!(undecodable(FLOW_KIND, nan).contains("JSON"));
}

/// Pieces of JSON in random order.
fn jsonish() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"a\":", "1", "0", "-", ".", "e", "+", "true",
            "false", "null", "\\", "\\u00", " ", "\n", "{}", "[]", "01", "1.5e3", "\"\\n\"",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,3}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("{{{}}}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn the_scanner_accepts_the_same_json_as_serde_json(text in jsonish()) {
        let mut out = Vec::new();
        let scanned = scan::scan(text.as_bytes(), &[], &mut out);
        let expected = serde_json::from_str::<&serde_json::value::RawValue>(&text);
        prop_assert_eq!(scanned.is_ok(), expected.is_ok(), "{}", text);
    }
}

#[test]
fn the_scanner_accepts_the_same_escapes_as_serde_json() {
    for text in [
        r#""\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00""#,
        r#""\'""#,
        r#""\x41""#,
        r#""\u12g4""#,
        r#""\u+123""#,
        r#""\u12""#,
        r#""\""#,
    ] {
        let object = format!("{{\"a\":{text}}}");
        let scanned = scan::scan(object.as_bytes(), &[], &mut Vec::new());
        let expected = serde_json::from_str::<&serde_json::value::RawValue>(&object);
        assert_eq!(scanned.is_ok(), expected.is_ok(), "{text}");
    }
}

fn arbitrary_json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,9}".prop_map(Value::from),
        "[\"\\\\\n\u{1}a]{0,9}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map("[a-c\"]{0,2}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn only_white_space_is_removed_from_json(value in arbitrary_json()) {
        let object = serde_json::json!({ "x": value });
        let (mut pretty, mut compact) = (Vec::new(), Vec::new());
        let text = serde_json::to_string_pretty(&object).unwrap();
        let one = scan::scan(text.as_bytes(), &["x"], &mut pretty).unwrap();
        let text = serde_json::to_string(&object).unwrap();
        let other = scan::scan(text.as_bytes(), &["x"], &mut compact).unwrap();
        prop_assert_eq!(std::str::from_utf8(&pretty).unwrap(), &text);
        prop_assert_eq!(&pretty, &compact);
        prop_assert_eq!(one.content.finish(), other.content.finish());
        if let [Some(member)] = one.members {
            let expected = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(&pretty[member.range], expected.as_bytes());
        }
    }

    #[test]
    fn damaged_avro_never_panics(at in 10_usize..900, byte: u8, noise in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut decoder = Decoder::new(false);
        for (kind, whole) in [(FLOW_KIND, flow_avro(FLOW)), (REPORT_KIND, report_avro(REPORT))] {
            let mut bytes = whole.clone();
            let index = at % bytes.len();
            bytes[index] = byte;
            let _ = decoder.decode(kind, &bytes);
            let _ = decoder.decode(kind, &[&whole[..10], &noise].concat());
        }
    }
}

#[test]
fn an_avro_record_that_is_too_long_as_json_is_undecodable() {
    // Each key takes two bytes of Avro, and a dozen of JSON.
    let keys = |count: usize| {
        let keys = vec![r#"{"name":"","value":null}"#; count].join(",");
        super::flow_avro(&format!(r#"{{"phononUuid":"u","accountID":28,"keys":[{keys}]}}"#))
    };
    let fits = keys(300_000);
    assert!(fits.len() < 1 << 20);
    super::flow(&fits);
    assert!(undecodable(FLOW_KIND, keys(400_000)).contains("longer as JSON"));
}

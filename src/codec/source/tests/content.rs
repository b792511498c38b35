//! The content hash: equal for equal content, whatever the spelling.

use super::{FLOW, REPORT, flow, flow_avro, report, report_avro};

fn with(json: &str) -> u64 {
    flow(format!(r#"{{"accountID":1,"phononUuid":"u","keys":[],"x":{json}}}"#)).content
}

#[test]
fn the_samples_have_the_same_content_hash_in_every_encoding() {
    assert_eq!(flow(FLOW).content, flow(flow_avro(FLOW)).content);
    assert_eq!(report(REPORT).content, report(report_avro(REPORT)).content);
    assert_eq!(report(REPORT).content, report(report(REPORT).body).content);
    assert_ne!(flow(FLOW).content, flow(FLOW.replace("4670", "4671")).content);
}

#[test]
fn the_content_hash_does_not_depend_on_the_spelling() {
    for (one, other) in [
        ("[1, 2]", "[1,2]"),
        (r#"{"a":1,"b":2}"#, r#"{ "b":2,"a":1 }"#),
        (r#"{"a":1,"b":null}"#, r#"{"a":1}"#),
        (r#"[{"a":1,"b":{"c":null}}]"#, r#"[{"b":{},"a":1}]"#),
        (r#""A/""#, r#""\u0041\/""#),
        (r#""😀""#, r#""\ud83d\uDE00""#),
        (r#"{"A":1}"#, r#"{"\u0041":1}"#),
        ("0.75", "0.750"),
        ("0.75", "7.5e-1"),
        ("0.75", "75E-2"),
        ("1", "1.0"),
        ("100", "1e2"),
        ("100", "1.00E+2"),
        ("0", "-0.0"),
        ("0", "0e99999999999999999999"),
        ("12345678901234567890123456789", "12345678901234567890123456789.0"),
        ("null", "null "),
    ] {
        assert_eq!(with(one), with(other), "{one} and {other}");
    }
    assert_eq!(with("null"), flow(r#"{"phononUuid":"u","accountID":1,"keys":[]}"#).content);
}

#[test]
fn different_contents_have_different_hashes() {
    let all = [
        "1",
        "10",
        "-1",
        "0.1",
        "0",
        "\"1\"",
        "true",
        "false",
        "\"\"",
        "[]",
        "{}",
        "[1]",
        "[[1]]",
        "[1,2]",
        "[2,1]",
        "[null]",
        r#"{"a":1}"#,
        r#"{"a":{"b":1}}"#,
        r#"{"b":{"a":1}}"#,
        r#"{"a":"b"}"#,
        r#"{"b":"a"}"#,
        r#"{"a":1,"b":2}"#,
        r#"{"a":2,"b":1}"#,
        "1e400",
        "1e401",
        "12345678901234567890123456789",
        "12345678901234567890123456788",
        r#""\ud83d""#,
        r#""\ud83e""#,
        r#""\ufffd""#,
        "1e-1000000000000000000000",
        "null",
    ];
    for (index, one) in all.iter().enumerate() {
        for other in &all[..index] {
            assert_ne!(with(one), with(other), "{one} and {other}");
        }
    }
}

/// The hashes are stored. A version that changes them would report duplicates as conflicts.
#[test]
fn the_content_hashes_of_the_samples_never_change() {
    assert_eq!(flow(FLOW).content, 12_625_390_570_641_401_040);
    assert_eq!(report(REPORT).content, 9_314_525_137_261_997_251);
}

#[test]
fn the_spelling_of_the_uuid_does_not_count() {
    let bare = "bd706f90-aa14-47ea-9844-3d1e1123f4ee";
    for spelling in [bare.to_ascii_uppercase(), format!("{{{bare}}}")] {
        assert_eq!(flow(FLOW.replace(bare, &spelling)).content, flow(FLOW).content, "{spelling}");
        let mut other: serde_json::Value = serde_json::from_str(REPORT).unwrap();
        other["phononUuid"] = spelling.clone().into();
        assert_eq!(report(other.to_string()).content, report(REPORT).content, "{spelling}");
    }
    // Only UUIDs have several spellings.
    assert_ne!(flow(FLOW.replace(bare, "a")).content, flow(FLOW.replace(bare, "A")).content);
}

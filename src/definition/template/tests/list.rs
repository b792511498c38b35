//! Entries of the query list and the header list.

use super::super::{HeaderTemplate, QueryTemplate};
use super::{assert_faults, given, tokens};

fn query(name: &str, value: &str, mandatory: bool) -> QueryTemplate {
    QueryTemplate::parse(name, value, mandatory, &tokens()).unwrap()
}

#[track_caller]
fn check_header(value: &str, values: &[(&str, &str)], expected: Option<&str>) {
    let template = HeaderTemplate::parse("X-Lead", value, false, &tokens()).unwrap();
    let mut out = b"before ".to_vec();
    let there = template.render(&given(values), &mut out).unwrap();
    assert_eq!(there, expected.is_some());
    assert_eq!(String::from_utf8(out).unwrap(), format!("before {}", expected.unwrap_or_default()));
}

#[test]
fn query_entries_are_encoded_completely() {
    let mut out = Vec::new();
    let entry = query("a b%20", "100%+é $flow.key.a %%ani%%", false);
    assert!(entry.render(&given(&[("a", "\"&\\n\"")]), &mut out).unwrap());
    assert_eq!(String::from_utf8(out).unwrap(), "a+b%2520=100%25%2B%C3%A9+%26%0A+%25ani%25");
}

#[test]
fn an_optional_entry_without_a_value_is_left_out_and_a_mandatory_one_fails() {
    for (name, value) in
        [("a", "x $flow.key.a $flow.key.b"), ("a$flow.key.a", "$flow.key.b"), ("$flow.key.b", "")]
    {
        let mut out = b"x".to_vec();
        assert!(!query(name, value, false).render(&given(&[("a", "1")]), &mut out).unwrap());
        let missing = query(name, value, true).render(&given(&[("a", "1")]), &mut out).unwrap_err();
        assert_eq!(missing.uses.len(), 1);
        assert!(missing.to_string().contains("`$flow.key.b` in the query entry"), "{missing}");
        assert_eq!(out, b"x");
    }
    let both = query("$flow.key.a", "$flow.key.b", true);
    assert_eq!(both.variables().filter(|found| found.mandatory).count(), 2);
    assert_eq!(both.render(&given(&[]), &mut Vec::new()).unwrap_err().uses.len(), 2);
    check_header("x $flow.key.a $flow.key.b", &[("a", "1")], None);
    check_header("fixed", &[], Some("fixed"));
    let header = HeaderTemplate::parse("X-Lead", "a$flow.key.b", true, &tokens()).unwrap();
    let missing = header.render(&given(&[]), &mut Vec::new()).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "no value for `$flow.key.b` in the header `X-Lead` (line 1, column 2)"
    );
}

#[test]
fn a_header_contains_no_control_characters() {
    check_header(
        "a: $flow.key.a",
        &[("a", r#""x\r\nSet-Cookie: y\u0000\u007f\u0085\tz""#)],
        Some("a: x  Set-Cookie: y    z"),
    );
    check_header(
        " \r\n$flow.key.a$flow.key.b ",
        &[("a", "\"\\n \""), ("b", "\" फ\\r\"")],
        Some("फ"),
    );
    check_header("$flow.key.a", &[("a", "\" \\n\"")], Some(""));
    check_header("\ta\u{1}b\n", &[], Some("a b"));
    check_header("$flow.key.a", &[("a", "[1,\"é\"]")], Some("[1,\"é\"]"));
}

#[test]
fn a_headers_name_is_checked() {
    for (name, expected) in [
        ("X Lead", "1:2 ` `"),
        ("", "1:1 no name"),
        ("X-é", "1:3 `é`"),
        ("X\r\n", "1:2 `\\r`"),
        ("%ani:", "1:5 `:`"),
        ("$flow.key.a", "1:1 a variable cannot stand in the name of a header; write the name out"),
        ("X-$flow.key.a(", "1:3 a variable cannot stand"),
        ("X-$flow.kee.a", "1:3 a variable cannot stand"),
        ("X-${flow.key.a}", "1:3 a variable cannot stand"),
        ("X-%ani%", "1:3 a variable cannot stand"),
    ] {
        assert_faults(HeaderTemplate::parse(name, "", false, &tokens()), &[expected]);
    }
    let long = "x".repeat(70_000);
    assert_faults(
        HeaderTemplate::parse(&long, "%anni%", false, &tokens()),
        &["1:1 too long", "1:1 %ani%"],
    );
    for name in ["X-Lead", "X-%word%", "X$$"] {
        let parsed = HeaderTemplate::parse(name, "", false, &tokens()).unwrap();
        assert_eq!(parsed.name().as_str(), name.to_lowercase());
    }
    let secret = HeaderTemplate::with_secret("$sms.id", "s", &tokens());
    assert_faults(secret, &["1:1 a variable cannot stand in the name of a header"]);
    assert_faults(
        QueryTemplate::parse("%anni%", "$sms.", false, &tokens()),
        &["1:1 %ani%", "1:1 $sms.<path>"],
    );
}

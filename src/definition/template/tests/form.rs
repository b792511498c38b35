//! Form bodies.

use super::super::{BodyTemplate, Language};
use super::{assert_faults, given, mandatory, tokens};

#[track_caller]
fn check(text: &str, values: &[(&str, &str)], expected: &str) {
    let template = BodyTemplate::parse(Language::Form, text, &tokens(), &mandatory).unwrap();
    let mut out = b"before".to_vec();
    template.render(&given(values), &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), format!("before{expected}"), "{text}");
}

#[test]
fn values_are_encoded_completely() {
    check(
        "a=$flow.key.a&b=text $flow.key.b",
        &[("a", r#""x&y=z+1 %00\u0000é😀\ud800~*""#), ("b", "0.10")],
        "a=x%26y%3Dz%2B1+%2500%00%C3%A9%F0%9F%98%80%EF%BF%BD%7E*&b=text+0.10",
    );
    check("$flow.key.a=%ad%", &[("a", "\"=&\""), ("ad", r#"{"k":1}"#)], "%3D%26=%7B%22k%22%3A1%7D");
}

#[test]
fn fixed_text_keeps_its_encodings_and_the_rest_is_encoded() {
    check(
        "a=b+c%20%c3%A9 é:/=100%&b=%zz-%2",
        &[],
        "a=b+c%20%c3%A9+%C3%A9%3A%2F%3D100%25&b=%25zz-%252",
    );
    check("a=%%ani%%$$flow.key.a", &[], "a=%25ani%25%24flow.key.a");
    check("a=100%$flow.key.a", &[("a", "20")], "a=100%2520");
    check("a=1&&b&\r\n", &[], "a=1&b");
    check("", &[], "");
}

#[test]
fn a_known_token_wins_over_percent_encoding() {
    check("a=%ad%20%ca%callid%", &[("ad", "1"), ("$call.phononUuid", "2")], "a=120%ca2");
    check("a=%ab%20", &[], "a=%ab%20");
    check("a=%%ad%%", &[], "a=%25ad%25");
    let parsed = BodyTemplate::parse(Language::Form, "a=%anni%", &tokens(), &mandatory);
    assert_faults(parsed, &["1:3 did you mean `%ani%`"]);
}

#[test]
fn a_pair_without_its_value_is_left_out() {
    let text = "a=$flow.key.a&b=1&c=$flow.key.c&$flow.key.d&e=x$flow.key.e&$flow.key.f=";
    check(text, &[], "b=1&e=x&=");
    check(text, &[("a", "\"\""), ("c", "2"), ("d", "3")], "a=&b=1&c=2&3&e=x&=");
    check("a=$flow.key.a", &[], "");
    check("$flow.key.a$flow.key.b&c=1", &[], "c=1");
}

#[test]
fn missing_mandatory_values_and_line_breaks_are_reported() {
    let template =
        BodyTemplate::parse(Language::Form, "a=$flow.key.m", &tokens(), &mandatory).unwrap();
    assert_eq!(
        template.render(&given(&[]), &mut Vec::new()).unwrap_err().uses,
        template.variables()
    );
    assert_faults(
        BodyTemplate::parse(Language::Form, "a=1&\nb=2\n", &tokens(), &mandatory),
        &["1:5 line break"],
    );
}

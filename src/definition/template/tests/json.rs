//! JSON bodies.

use super::super::{BodyTemplate, Language};
use super::{assert_faults, given, mandatory, tokens};

fn parse(text: &str) -> Result<BodyTemplate, Vec<super::Fault>> {
    BodyTemplate::parse(Language::Json, text, &tokens(), &mandatory)
}

#[track_caller]
fn check(text: &str, values: &[(&str, &str)], expected: &str) {
    let template = parse(text).unwrap();
    let mut out = b"before".to_vec();
    template.render(&given(values), &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert_eq!(out, format!("before{expected}"), "{text}");
    serde_json::from_str::<&serde_json::value::RawValue>(expected).unwrap();
}

#[test]
fn within_a_string_a_value_is_escaped() {
    let text = r#"{"s": "<$flow.key.a>"}"#;
    check(
        text,
        &[("a", r#""q\"\u00e9\\ \ud83d\ude00é""#)],
        r#"{"s":"<q\"\u00e9\\ \ud83d\ude00é>"}"#,
    );
    check(text, &[("a", "0.10")], r#"{"s":"<0.10>"}"#);
    check(text, &[("a", "true")], r#"{"s":"<true>"}"#);
    check(text, &[("a", r#"{"k":["\"",1]}"#)], r#"{"s":"<{\"k\":[\"\\\"\",1]}>"}"#);
    check(text, &[], r#"{"s":"<>"}"#);
    check(text, &[("a", "null")], r#"{"s":"<>"}"#);
    check(r#""$flow.key.a""#, &[("a", r#"{"k":"v"}"#)], r#""{\"k\":\"v\"}""#);
    check(r#"["$flow.key.a$flow.key.b"]"#, &[("a", "\"\\u0000\""), ("b", "1")], r#"["\u00001"]"#);
}

#[test]
fn a_bare_value_keeps_its_type_and_spelling() {
    for json in
        ["0.10", "-1e400", "12345678901234567890", "true", r#""a\u0041""#, r#"{"a":[1]}"#, "[]"]
    {
        check(r#"{"n": $flow.key.n}"#, &[("n", json)], &format!(r#"{{"n":{json}}}"#));
        check("$flow.key.n", &[("n", json)], json);
        check("[%ad%]", &[("ad", json)], &format!("[{json}]"));
    }
}

#[test]
fn an_item_without_a_value_is_left_out_with_its_comma() {
    let text = r#"{"a": $flow.key.a, "b": "$flow.key.b", "c": 1, "d": "$flow.key.d", "e": [$flow.key.e, "$flow.key.f"]}"#;
    check(text, &[], r#"{"c":1,"e":[]}"#);
    check(text, &[("a", "1")], r#"{"a":1,"c":1,"e":[]}"#);
    check(text, &[("b", "2")], r#"{"b":"2","c":1,"e":[]}"#);
    check(
        text,
        &[("a", "1"), ("b", "2"), ("d", "\"3\""), ("e", "4"), ("f", "5")],
        r#"{"a":1,"b":"2","c":1,"d":"3","e":[4,"5"]}"#,
    );
    check(text, &[("d", "1"), ("f", "5")], r#"{"c":1,"d":"1","e":["5"]}"#);
    check(r#"[1, $flow.key.a, 2, $flow.key.b]"#, &[], "[1,2]");
    check(r#"{"x": {"a": $flow.key.a}, "y": [[$flow.key.a]]}"#, &[], r#"{"x":{},"y":[[]]}"#);
    // An item that ends with a bracket is not mistaken for the beginning of the container.
    check(
        r#"[$flow.key.a, "$flow.key.b", $flow.key.c]"#,
        &[("a", "\"[\""), ("b", "\"{\""), ("c", "[]")],
        r#"["[","{",[]]"#,
    );
    check(r#"[$flow.key.a, [$flow.key.b], 1]"#, &[], "[[],1]");
    check(
        r#"{"a": $flow.key.a, "$flow.key.b{": 1, "c": "$flow.key.c"}"#,
        &[("c", "1")],
        r#"{"{":1,"c":"1"}"#,
    );
}

#[test]
fn the_whole_body_without_a_value_is_null() {
    check(" $flow.key.a ", &[], "null");
    check("\"$flow.key.a\"", &[("a", "null")], "null");
    check("\"%ad% \"", &[], "\" \"");
}

#[test]
fn names_may_contain_variables() {
    check(
        r#"{"k_$flow.key.a": 1, "$flow.key.b": $flow.key.b}"#,
        &[("a", "\"x\\\"\""), ("b", "2")],
        r#"{"k_x\"":1,"2":2}"#,
    );
    check(r#"{"k_$flow.key.a": 1, "$flow.key.b": 2}"#, &[], r#"{"k_":1,"":2}"#);
}

#[test]
fn fixed_text_is_rendered_as_it_is_spelt_without_white_space() {
    check(
        "\t{ \"a b\" : [ 1.0 , -0e+5, true,false , null, \"\\u0041 \\/é$\" ] ,\r\n \"o\": { } , \"l\":[ ]}\n",
        &[],
        r#"{"a b":[1.0,-0e+5,true,false,null,"\u0041 \/é$"],"o":{},"l":[]}"#,
    );
    check(
        r#"{"a": "$$flow.key.a %%ani%% 100% \u0024flow.key.a"}"#,
        &[],
        r#"{"a":"$flow.key.a %ani% 100% \u0024flow.key.a"}"#,
    );
    check(r#""\\$flow.key.a\n""#, &[("a", "1")], r#""\\1\n""#);
}

#[test]
fn a_mandatory_variable_without_a_value_renders_nothing() {
    let template = parse(
        "{\"a\": $flow.key.m,\n \"b\": \"$flow.key.x $flow.key.m2\", \"c\": [\"$flow.key.m\"]}",
    )
    .unwrap();
    let stands: Vec<_> = template
        .variables()
        .iter()
        .map(|found| (found.line, found.column, found.mandatory))
        .collect();
    assert_eq!(stands, [(1, 7, true), (2, 8, false), (2, 20, true), (2, 42, true)]);
    for (values, expected) in [
        (&[][..], vec![(1, 7), (2, 20), (2, 42)]),
        (&[("m", "null"), ("m2", "")], vec![(1, 7), (2, 20), (2, 42)]),
        (&[("m", "1")], vec![(2, 20)]),
    ] {
        let mut out = b"x".to_vec();
        let missing = template.render(&given(values), &mut out).unwrap_err();
        let places: Vec<_> = missing.uses.iter().map(|found| (found.line, found.column)).collect();
        assert_eq!(places, expected);
        assert_eq!(out, b"x");
    }
    let missing = template.render(&given(&[("m", "1")]), &mut Vec::new()).unwrap_err();
    assert_eq!(missing.to_string(), "no value for `$flow.key.m2` in the body (line 2, column 20)");
    check(r#"[$flow.key.a, $flow.key.m, "$flow.key.m"]"#, &[("m", "1")], r#"[1,"1"]"#);
}

#[test]
fn text_that_is_not_json_is_refused_with_the_place_of_the_fault() {
    for (text, expected) in [
        ("", "1:1 the text ends here; expected a value"),
        ("{\"a\": 1,\n}", "1:8 nothing follows this comma"),
        ("[1,]", "1:3 nothing follows"),
        ("[1 2]", "1:4 `2` is not expected here; expected `,` or `]`"),
        ("{\"a\" 1}", "1:6 expected `:`"),
        ("{\"a\":1 \"b\":2}", "1:8 expected `,` or `}`"),
        ("{a: 1}", "1:2 expected a member's name in double quotes"),
        ("{'a': 1}", "1:2 double quotes"),
        ("['a']", "1:2 JSON has double quotes only"),
        ("// x\n1", "1:1 no comments"),
        ("{$flow.key.a: 1}", "1:2 name in double quotes"),
        ("[$flow.key.a x]", "1:14 expected `,`"),
        ("[$flow.key.a$flow.key.b]", "1:13 joined with other text in double quotes"),
        ("[1$flow.key.b]", "1:3 in double quotes"),
        ("[$$flow.key.b]", "1:2 expected a value"),
        ("{\"a\": 1", "1:8 the text ends here"),
        ("\"abc", "1:1 does not end"),
        ("\"a\nb\"", "1:3 control character"),
        ("\"\\x\"", "1:2 not an escape"),
        ("\"\\u12%ad%\"", "1:2 not an escape"),
        ("\"\\u+123\"", "1:2 not an escape"),
        ("\"\\ud83d\"", "1:2 half of a surrogate"),
        ("\"\\ud83d\\u0041\"", "1:2 half of a surrogate"),
        ("\"\\ude00\"", "1:2 half of a surrogate"),
        ("\"\\ud83d$flow.key.a\"", "1:2 half of a surrogate"),
        ("01", "1:1 begins with 0"),
        ("-", "1:1 not complete"),
        ("1.", "1:1 not complete"),
        (".5", "1:1 expected a value"),
        ("1e+", "1:1 not complete"),
        ("nul", "1:1 expected a value"),
        ("truex", "1:1 expected a value"),
        ("1 2", "1:3 expected the end"),
        ("\u{feff}1", "1:1 byte order mark"),
        ("\u{a0}1", "1:1 expected a value"),
    ] {
        assert_faults(parse(text), &[expected]);
    }
    assert_faults(
        parse("{\"a\": \"%foo%\", \"b\": $flow.keys.a, \"c\": x}"),
        &["1:8 %foo%", "1:21 did you mean", "1:40 expected a value"],
    );
}

#[test]
fn names_are_unique_in_their_object() {
    assert_faults(
        parse(r#"{"a":1,"b":{"a":2,"\u0061":3},"a":4}"#),
        &["1:19 same name", "1:31 same name"],
    );
    assert_faults(
        parse(r#"{"x$flow.key.a":1,"x%ad%":2,"\u0078$flow.key.a":3}"#),
        &["1:29 same name"],
    );
    check(
        r#"{"$$flow.key.a":1,"$flow.key.a":2,"$flow.key.b":3}"#,
        &[("a", "\"a\""), ("b", "\"b\"")],
        r#"{"$flow.key.a":1,"a":2,"b":3}"#,
    );
}

#[test]
fn nesting_is_limited() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested(128)).is_ok());
    assert_faults(parse(&nested(129)), &["1:129 deeper than 128"]);
    assert_faults(parse(&"{\"a\":".repeat(40_000)), &["1:641 deeper than 128"]);
}

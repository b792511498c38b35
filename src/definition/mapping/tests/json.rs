//! JSON paths and the values that they find.

use super::super::{
    AnswerFormat, DEPTH_MAX, JsonPath, PATH_MAX, push_item, push_member, without_x,
};
use super::{find, find_one, path_fault, unreadable};

const ANSWER: &str = r#" {
    "data": {"a": {"b": [0.10, 1234567890123456789, -1e5, {"id": "x\u0041"}]}, "on": true},
    "odd": {"a.b": 1, "it's": 2, "say \"hi\"": 3, "": 4, "tab\t": 5, "é😀": 6, "$x": 7, "@id": 8, "a-b": 9},
    "no": null, "none": [], "empty": {}
} "#;

fn check(path: &str, expected: Option<&str>) {
    assert_eq!(find_one(AnswerFormat::Json, ANSWER, path).as_deref(), expected, "{path}");
}

#[test]
fn values_are_found_as_they_were_spelt() {
    check("data.a.b[0]", Some("0.10"));
    check("data.a.b[1]", Some("1234567890123456789"));
    check("data.a.b[2]", Some("-1e5"));
    check("data.a.b[3].id", Some("\"x\\u0041\""));
    check("data.a.b[3]", Some(r#"{"id": "x\u0041"}"#));
    check("data.on", Some("true"));
    check("$.data.on", Some("true"));
    check("$", Some(ANSWER.trim()));
    check("none", Some("[]"));
    check("empty", Some("{}"));
    assert_eq!(find_one(AnswerFormat::Json, "[[1,2],[3]]", "$[1][0]").unwrap(), "3");
    assert_eq!(find_one(AnswerFormat::Json, "[{\"id\":7}]", "[0].id").unwrap(), "7");
    assert_eq!(find_one(AnswerFormat::Json, " 7 ", "$").unwrap(), "7");
}

#[test]
fn a_path_that_begins_with_data_starts_at_the_answer() {
    let of =
        |answer: &str, path: &str| find_one(AnswerFormat::Json, answer, path).unwrap_or_default();
    let glossary = r#"{"glossary":{"title":"t","ids":[5,6]}}"#;
    for path in ["data.glossary.title", "glossary.title", "$.glossary.title"] {
        assert_eq!(of(glossary, path), "\"t\"", "{path}");
    }
    assert_eq!(of(glossary, "data.glossary.ids[1]"), "6");
    assert_eq!(of(glossary, "data"), glossary);
    assert_eq!(of(glossary, r#"data["glossary"]["title"]"#), "\"t\"");
    assert_eq!(of(r#"[{"id":5},{"data":7}]"#, "data[0].id"), "5");
    assert_eq!(of(r#"[{"id":5},{"data":7}]"#, "data[1].data"), "7");
    assert_eq!(of(r#"[{"id":5}]"#, "[0].id"), "5");
    for scalar in ["7", "\"x\"", "true"] {
        assert_eq!([of(scalar, "data"), of(scalar, "$")], [scalar, scalar]);
        assert_eq!(of(scalar, "data.a"), "");
    }
    assert_eq!(of("null", "data"), "");
}

#[test]
fn a_member_data_of_the_answer_is_tried_first() {
    let of =
        |answer: &str, path: &str| find_one(AnswerFormat::Json, answer, path).unwrap_or_default();
    let own = r#"{"data":{"a":1,"data":{"c":3}},"a":2,"b":[4]}"#;
    for (path, expected) in [
        ("data.a", "1"),
        ("a", "2"),
        ("$.a", "2"),
        // Only the answer has it, so that the manual's form finds it.
        ("data.b[0]", "4"),
        ("data.data.c", "3"),
        ("data.data.a", "1"),
        ("data", r#"{"a":1,"data":{"c":3}}"#),
        // These always start at the answer.
        ("$.data.a", "1"),
        ("$.data.b", ""),
        (r#"["data"].b"#, ""),
    ] {
        assert_eq!(of(own, path), expected, "{path}");
    }
    let nothing = r#"{"data":null,"a":2}"#;
    assert_eq!([of(nothing, "data"), of(nothing, "data.a")], ["", "2"]);
    assert_eq!(of(r#"{"data":{"a":null},"a":2}"#, "data.a"), "2");
    // Of several members of this name the last one counts.
    assert_eq!(of(r#"{"data":1,"data":null}"#, "data"), "");
}

#[test]
fn a_path_as_path_finders_show_it_is_recognised() {
    assert_eq!(without_x("x.glossary.title").unwrap(), "data.glossary.title");
    assert_eq!(without_x("x[0].id").unwrap(), "data[0].id");
    for path in ["x", "xy.a", "$.x.a", "data.x.a"] {
        assert_eq!(without_x(path), None, "{path}");
    }
}

#[test]
fn unusual_names_are_written_in_quotes() {
    check(r#"odd["a.b"]"#, Some("1"));
    check("odd['a.b']", Some("1"));
    check(r#"odd["it's"]"#, Some("2"));
    check(r"odd['it\'s']", Some("2"));
    check(r#"odd["say \"hi\""]"#, Some("3"));
    check(r#"odd[""]"#, Some("4"));
    check(r#"odd["tab\t"]"#, Some("5"));
    check(r#"odd["\u00e9\ud83d\ude00"]"#, Some("6"));
    check("odd.é😀", Some("6"));
    check("odd.$x", Some("7"));
    check("odd.@id", Some("8"));
    check("odd.a-b", Some("9"));
    assert_eq!(find_one(AnswerFormat::Json, r#"{"$x":1}"#, "$x").unwrap(), "1");
    // No path can spell a name with half a surrogate pair, and such a name is no fault.
    assert_eq!(find_one(AnswerFormat::Json, r#"{"\ud800":1,"a":2}"#, "a").unwrap(), "2");
}

#[test]
fn null_and_absent_places_give_no_value() {
    for path in [
        "no",
        "no.a",
        "data.a.b[4]",
        "data.a.b[99999999]",
        "data.b",
        "data.a.b.id",
        "data[0]",
        "none[0]",
        "empty.a",
        "data.on.x",
    ] {
        check(path, None);
    }
    assert_eq!(find_one(AnswerFormat::Json, "null", "$"), None);
}

#[test]
fn the_last_of_several_members_with_one_name_counts() {
    let find = |answer| find(AnswerFormat::Json, answer, &["a", "a.b", "a[0]", "c"]).unwrap();
    let text = |value: &str| Some(value.to_owned());
    assert_eq!(find(r#"{"a":{"b":1},"a":{"b":2}}"#), [text(r#"{"b":2}"#), text("2"), None, None]);
    assert_eq!(find(r#"{"a":{"b":1},"c":3,"a":[4]}"#), [text("[4]"), None, text("4"), text("3")]);
    assert_eq!(find(r#"{"a":{"b":1},"\u0061":null}"#), [None, None, None, None]);
    assert_eq!(find(r#"{"a":{"b":1,"b":null}}"#)[1], None);
}

#[test]
fn a_path_may_continue_another_and_appear_twice() {
    let found = find(AnswerFormat::Json, r#"{"a":{"b":[1,2]}}"#, &["a.b[1]", "a", "a.b[1]", "a.b"])
        .unwrap();
    let found: Vec<_> = found.into_iter().flatten().collect();
    assert_eq!(found, ["2", r#"{"b":[1,2]}"#, "2", "[1,2]"]);
}

#[test]
fn faults_of_paths_say_where_and_how_to_correct_them() {
    for (path, column, problem, fix) in [
        ("", 1, "empty", "`$`"),
        ("/data/id", 1, "XPath", "data.id"),
        (".a", 1, "begin with a dot", "leave the dot out"),
        ("$flow.key.x", 1, "variable", "save_in"),
        ("a..b", 3, "every depth", "every name"),
        ("a.", 3, "name is missing", "write a name"),
        ("a.[0]", 3, "name is missing", "leave the dot out"),
        ("a.*", 3, "many values", "an index"),
        ("*", 1, "many values", "a name"),
        ("a[*]", 3, "many values", "an index"),
        ("a[-1]", 3, "not negative", "0 for the first"),
        ("a[?(@.b)]", 3, "filters", "index"),
        ("a[1:2]", 4, "slices", "one index"),
        ("a[0,1]", 4, "slices", "one index"),
        ("a[]", 3, "are empty", "[0]"),
        ("a[b]", 3, "in quotes", "[\"name\"]"),
        ("a[0", 4, "not closed", "`]`"),
        ("a[0]b", 5, "`b` is not allowed here", ".name"),
        ("a[\"b", 3, "not closed", "\""),
        ("a[\"\\x\"]", 5, "not an escape", "backslash"),
        ("a[\"\\ud800\"]", 9, "not an escape", "backslash"),
        ("a b", 2, "needs quotes", "[\"the name\"]"),
        ("a]", 2, "`]` is not allowed here", "[0]"),
        ("é.count()", 8, "needs quotes", "brackets"),
        ("a[99999999999999999999]", 3, "too large", "smaller"),
    ] {
        let fault = path_fault(AnswerFormat::Json, path);
        assert_eq!(fault.column, column, "{path}: {fault}");
        assert!(fault.problem.contains(problem) && fault.fix.contains(fix), "{path}: {fault}");
    }
}

#[test]
fn a_path_has_limits() {
    let deep = "a.".repeat(DEPTH_MAX - 1) + "a";
    assert!(JsonPath::parse(&deep).is_ok());
    assert!(
        path_fault(AnswerFormat::Json, &format!("{deep}.a")).problem.contains("deeper than 128")
    );
    let long = "é".repeat(PATH_MAX);
    assert!(JsonPath::parse(&long).is_ok());
    for kind in [AnswerFormat::Json, AnswerFormat::Xml] {
        let fault = path_fault(kind, &format!("{long}é"));
        assert!(fault.problem.contains("longer") && fault.column == PATH_MAX + 1, "{fault}");
    }
}

#[test]
fn a_path_that_is_written_finds_its_value() {
    for names in [["a", "b"], ["", "$"], ["$x", "a.b"], ["a\"\\\n\u{7f}", "é 😀"], ["/", "*"]] {
        let mut path = String::new();
        for name in names {
            push_member(&mut path, name);
        }
        push_item(&mut path, 10);
        let text = serde_json::json!({names[0]: {names[1]: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]}});
        assert_eq!(find_one(AnswerFormat::Json, text.to_string(), &path).unwrap(), "7", "{path}");
    }
}

#[test]
fn text_that_is_not_json_is_unreadable_and_the_fault_has_a_position() {
    for (answer, detail) in [
        (&b""[..], "empty (line 1, column 1)"),
        (b" \r\n\t", "empty (line 1, column 1)"),
        (b"\xef\xbb\xbf", "empty (line 1, column 1)"),
        (b"{\"a\":1", "not JSON: it ends too early (line 1, column 6)"),
        (b"{}\n\n {}", "not JSON (line 3, column 2)"),
        ("{\"é\": x}".as_bytes(), "not JSON (line 1, column 7)"),
        (b"[1,]", "not JSON (line 1, column 4)"),
        (b"[01]", "not JSON (line 1, column 3)"),
        (b"NaN", "not JSON (line 1, column 1)"),
        (b"\n<html>", "not JSON: it begins as XML or HTML does (line 1, column 1)"),
        (b"[\"\xff\"]", "not UTF-8 (line 1, column 3)"),
        (b"\xff\xfe[\0]\0", "UTF-16, and only UTF-8 is read (line 1, column 1)"),
    ] {
        assert_eq!(unreadable(AnswerFormat::Json, answer), detail, "{answer:?}");
    }
    assert_eq!(find_one(AnswerFormat::Json, b"\xef\xbb\xbf {\"a\":1}", "a").unwrap(), "1");
}

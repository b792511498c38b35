//! XML answers in general. The tests of `xpath` check which values XPaths find.

use super::super::AnswerFormat;
use super::{find, find_one, unreadable};

#[test]
fn each_xpath_type_becomes_its_json_type() {
    let answer = "<o xmlns:s='urn:s'><id a='1&quot;'>a\"b\n&amp;</id><s:id>2</s:id><e/></o>";
    for (path, value) in [
        ("/o/id", Some(r#""a\"b\n&""#)),
        ("o/id", Some(r#""a\"b\n&""#)),
        ("//@a", Some(r#""1\"""#)),
        ("//s:id", Some("\"2\"")),
        ("//*[local-name()='id'][2]", Some("\"2\"")),
        ("/o/e", Some("\"\"")),
        ("/o/x", None),
        ("count(//*)", Some("4")),
        ("7 div 2", Some("3.5")),
        ("1 div 0", None),
        ("number('x')", None),
        ("-0", Some("0")),
        ("boolean(//e)", Some("true")),
        ("1 > 2", Some("false")),
        ("name(/*)", Some("\"o\"")),
        ("string(/none)", Some("\"\"")),
    ] {
        assert_eq!(find_one(AnswerFormat::Xml, answer, path).as_deref(), value, "{path}");
    }
}

#[test]
fn utf_8_and_iso_8859_1_are_decoded_and_others_are_unreadable() {
    let latin = |name: &str| {
        [format!("<?xml version=\"1.0\" encoding=\"{name}\"?><a>").as_bytes(), b"\xe9</a>"].concat()
    };
    let text = |answer: &[u8]| find_one(AnswerFormat::Xml, answer, "/a");
    assert_eq!(text("\u{feff}<a>é</a>".as_bytes()).unwrap(), "\"é\"");
    assert_eq!(
        text("\u{feff}<?xml version='1.0' encoding = 'utf-8'?><a>é</a>".as_bytes()).unwrap(),
        "\"é\""
    );
    assert_eq!(text(&latin("iso-8859-1")).unwrap(), "\"é\"");
    assert!(
        unreadable(AnswerFormat::Xml, latin("UTF-8")).starts_with("not UTF-8 (line 1, column 42)")
    );
    assert!(unreadable(AnswerFormat::Xml, latin("Shift_JIS")).starts_with("declares an encoding"));
    assert!(unreadable(AnswerFormat::Xml, b"\xfe\xff\0<\0a").starts_with("UTF-16"));
}

#[test]
fn text_that_is_not_xml_is_unreadable_and_the_fault_has_a_position() {
    for (answer, detail) in [
        ("", "empty (line 1, column 1)"),
        (" \n", "empty (line 1, column 1)"),
        ("{\"a\":1}", "not XML (line 1, column 1)"),
        ("<a>\n  <b>", "not XML: it ends before its elements do (line 2, column 6)"),
        ("<a>\n</b>", "not XML: the wrong element is closed (line 2, column 1)"),
        ("<a/><b/>", "not XML (line 1, column 5)"),
        ("<a>&nbsp;</a>", "not XML: an unknown entity (line 1, column 4)"),
        ("<s:a/>", "not XML: a prefix that is not declared (line 1, column 2)"),
        ("<a b='' b=''/>", "not XML: an element has the same attribute twice (line 1, column 9)"),
        ("<a>\u{1}</a>", "not XML (line 1, column 4)"),
        ("<!-- a -->", "not XML: no element (line 1, column 11)"),
        ("\n<!DOCTYPE html><html/>", "a DOCTYPE, which is not allowed (line 2, column 1)"),
    ] {
        assert_eq!(unreadable(AnswerFormat::Xml, answer), detail, "{answer}");
    }
}

#[test]
fn an_empty_cdata_section_is_no_text_node() {
    let found = find(
        AnswerFormat::Xml,
        "<a><![CDATA[]]><b/>x</a>",
        &["count(/a/text())", "count(/a/node())", "/a/text()[1]"],
    );
    let found: Vec<_> = found.unwrap().into_iter().flatten().collect();
    assert_eq!(found, ["1", "2", "\"x\""]);
}

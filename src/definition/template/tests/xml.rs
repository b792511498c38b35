//! XML bodies.

use super::super::{BodyTemplate, Language};
use super::{assert_faults, given, mandatory, tokens};

fn parse(text: &str) -> Result<BodyTemplate, Vec<super::Fault>> {
    BodyTemplate::parse(Language::Xml, text, &tokens(), &mandatory)
}

#[track_caller]
fn check(text: &str, values: &[(&str, &str)], expected: &str) {
    let mut out = b"before".to_vec();
    parse(text).unwrap().render(&given(values), &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), format!("before{expected}"), "{text}");
    roxmltree::Document::parse(expected).unwrap();
}

const HOSTILE: &str = r#""</x>&\"'\t\r\n]]>\u0000\u0001\ufffe\uffff\ud800é""#;

#[test]
fn a_value_is_escaped_for_its_place() {
    check(
        "<a>x$flow.key.a</a>",
        &[("a", HOSTILE)],
        "<a>x&lt;/x&gt;&amp;\"'\t&#13;\n]]&gt;\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}é</a>",
    );
    check(
        "<a b='$flow.key.a'/>",
        &[("a", HOSTILE)],
        "<a b='&lt;/x&gt;&amp;&quot;&apos;&#9;&#13;&#10;]]&gt;\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}é'/>",
    );
    check(
        "<a><![CDATA[x$flow.key.a]]></a>",
        &[("a", HOSTILE)],
        "<a><![CDATA[x</x>&\"'\t]]>&#13;<![CDATA[\n]]]]><![CDATA[>\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}é]]></a>",
    );
    check("<a>%ad%</a>", &[("ad", "0.10")], "<a>0.10</a>");
    check("<a>%ad%</a>", &[("ad", r#"{"k":"<"}"#)], r#"<a>{"k":"&lt;"}</a>"#);
    check(
        "<a>$$flow.key.a &#36;flow.key.a 100% &amp;</a>",
        &[],
        "<a>$flow.key.a &#36;flow.key.a 100% &amp;</a>",
    );
}

#[test]
fn a_value_and_the_text_around_it_never_make_a_cdata_end_in_text() {
    check("<a>$flow.key.a> ></a>", &[("a", "\"]]\"")], "<a>]]&gt; &gt;</a>");
    check(
        "<a>$flow.key.a]><b c='$flow.key.a>'/>></a>",
        &[("a", "\"]\"")],
        "<a>]]&gt;<b c=']>'/>></a>",
    );
    check("<a>]]$flow.key.a</a>", &[("a", "\">\"")], "<a>]]&gt;</a>");
}

#[test]
fn a_value_and_the_text_around_it_never_end_a_cdata_section() {
    for (text, a, b) in [
        ("]]$flow.key.a", "\">\"", "1"),
        ("]$flow.key.a", "\"]>\"", "1"),
        ("$flow.key.a>", "\"]]\"", "1"),
        ("$flow.key.a]>", "\"]\"", "1"),
        ("$flow.key.a]$flow.key.b>", "\"]\"", "\"\""),
        ("$flow.key.a$flow.key.b", "\"]\"", "\"]>\""),
        ("$flow.key.a]$flow.key.b", "\"]\"", "\">\""),
        ("$flow.key.a]]", "\"]\"", "1"),
        ("$flow.key.a>>]>", "\"]]>]]\"", "1"),
    ] {
        let template = parse(&format!("<a>{}</a>", format_args!("<![CDATA[{text}]]>"))).unwrap();
        let mut out = Vec::new();
        template.render(&given(&[("a", a), ("b", b)]), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let plain = |json: &str| json.trim_matches('"').to_owned();
        let expected = text.replace("$flow.key.a", &plain(a)).replace("$flow.key.b", &plain(b));
        let document = roxmltree::Document::parse(&out).unwrap();
        assert_eq!(document.root_element().text().unwrap_or_default(), expected, "{out}");
    }
}

#[test]
fn attributes_and_elements_without_a_value_are_left_out() {
    let text = "<r  a=\"$flow.key.a\"\n b='1' c = '$flow.key.c' ><x y='1'>$flow.key.x</x>-<c><![CDATA[$flow.key.d]]></c></r>";
    check(text, &[], "<r\n b='1' >-</r>");
    check(
        text,
        &[("a", "1"), ("c", "2"), ("x", "3"), ("d", "4")],
        "<r  a=\"1\"\n b='1' c = '2' ><x y='1'>3</x>-<c><![CDATA[4]]></c></r>",
    );
    check(text, &[("a", "\"\""), ("x", "\"\"")], "<r  a=\"\"\n b='1' ><x y='1'></x>-</r>");
    check("<r>$flow.key.a</r>", &[], "<r></r>");
    check(
        "<r><a> $flow.key.a</a><b>$flow.key.a$flow.key.b</b><c d='x$flow.key.a'/></r>",
        &[],
        "<r><a> </a><b></b><c d='x'/></r>",
    );
    check("<r><a><b>$flow.key.a</b></a></r>", &[], "<r><a></a></r>");
    check("<r><a>$flow.key.a</a ><!--x--></r>", &[], "<r><!--x--></r>");
    check("<r><a>$flow.key.m</a></r>", &[("m", "1")], "<r><a>1</a></r>");
}

#[test]
fn a_mandatory_variable_counts_within_an_element_that_is_left_out() {
    let template = parse("<r><a b='$flow.key.m'>$flow.key.a</a></r>").unwrap();
    let missing = template.render(&given(&[("a", "1")]), &mut Vec::new()).unwrap_err();
    assert_eq!(missing.uses.len(), 1);
    assert_eq!((missing.uses[0].line, missing.uses[0].column), (1, 10));
    assert!(template.render(&given(&[]), &mut Vec::new()).is_err());
    check("<r><a b='$flow.key.m'>$flow.key.a</a></r>", &[("m", "1")], "<r></r>");
}

#[test]
fn variables_stand_in_text_attribute_values_and_cdata_only() {
    for (text, expected) in [
        (
            "<a><$flow.key.x>1</$flow.key.x></a>",
            "1:5 the name of an element|1:20 the name of an element",
        ),
        ("<a %ad%='1'/>", "1:4 the name of an attribute"),
        ("<a><!-- $flow.key.x --></a>", "1:9 a comment"),
        ("<a><?p $flow.key.x?></a>", "1:8 a processing instruction"),
        (
            "<?xml version='1.0' encoding='$flow.key.x'?><a/>",
            "1:21 encoding `vvvvvvvvvvv`|1:31 declaration",
        ),
        ("<a xmlns='$flow.key.x'/>", "1:11 the declaration of a namespace"),
        ("<a xmlns:b='$flow.key.x'/>", "1:13 the declaration of a namespace"),
        ("<a/>$flow.key.x", "1:5 outside of the root"),
        ("<!DOCTYPE a><a/>", "1:1 document type"),
        ("<!DOCTYPE a [<!ENTITY e '$flow.key.x'>]><a/>", "1:1 document type"),
        ("<a><!DOCTYPE a></a>", "1:4 document type"),
        ("<a>&$flow.key.x;</a>", "1:4 unknown entity"),
    ] {
        assert_faults(parse(text), &expected.split('|').collect::<Vec<_>>());
    }
}

#[test]
fn text_that_is_not_well_formed_is_refused_with_the_place_of_the_fault() {
    for (text, expected) in [
        ("", "1:1 root node"),
        ("text", "1:1 one root element"),
        ("<a>\n<b></a>", "2:4 close `b` first"),
        ("<a>", "1:4 never closed"),
        ("<a/><b/>", "1:5 one root element"),
        ("<a>&nbsp;</a>", "1:4 &amp;nbsp;"),
        ("<a>b & c</a>", "1:6 &amp;"),
        ("<a b='<'/>", "1:7 "),
        ("<a b='1' b='2'/>", "1:10 twice"),
        ("<a xmlns='x' xmlns='y'/>", "1:14 twice"),
        ("<a xmlns:b=''/>", "1:13 without a namespace"),
        ("<b:a/>", "1:2 xmlns:b="),
        ("<a b:c='1'/>", "1:4 xmlns:b="),
        ("<a b=1/>", "1:6 "),
        ("<a b='1'c='2'/>", "1:9 whitespace"),
        ("<a b='1/>", "1:10 "),
        ("<a>]]></a>", "1:7 ]]&gt;"),
        ("<a><!-- -- --></a>", "1:4 '--'"),
        ("<a>\u{1}</a>", "1:4 non-XML"),
        ("<a>&#0;</a>", "1:4 "),
        ("<a><![CDATA[</a>", "1:17 "),
        ("<a/><?xml version='1.0'?>", "1:5 only at the beginning"),
        (" <?xml version='1.0'?><a/>", "1:2 only at the beginning"),
        ("<a><?XML x?></a>", "1:4 only at the beginning"),
        ("<?p\"x\"?><a/>", "1:1 cannot be read"),
        ("<?xml version='1.1'?><a/>", "1:7 version `1.1`"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><a/>", "1:21 write UTF-8"),
        ("<?xml\tencoding='UTF-8'?><a/>", "1:23 cannot be read"),
    ] {
        assert_faults(parse(text), &[expected]);
    }
    for text in [
        "\u{feff}<?xml version=\"1.0\" encoding='utf-8' standalone='no' ?>\n<a/>",
        "<?xml version='1.0'?><a/><!--x--><?p?>\n",
    ] {
        check(text, &[], text);
    }
}

#[test]
fn depth_attributes_and_namespaces_are_limited() {
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(parse(&nested(128)).is_ok());
    assert_faults(parse(&nested(129)), &["1:385 deeper than 128"]);
    let attributes = |count: usize| {
        format!("<a{}/>", (0..count).map(|index| format!(" b{index}=''")).collect::<String>())
    };
    assert!(parse(&attributes(256)).is_ok());
    assert_faults(parse(&attributes(257)), &["1:1 256 attributes"]);
    assert_faults(parse(&attributes(20_000)), &["1:1 256 attributes"]);
    let namespaces = |count: usize| format!("<r>{}</r>", "<a xmlns='b'/>".repeat(count));
    assert!(parse(&namespaces(256)).is_ok());
    assert_faults(parse(&namespaces(257)), &["1:3588 namespaces"]);
}

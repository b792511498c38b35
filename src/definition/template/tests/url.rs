//! URLs.

use super::super::{Need, QueryTemplate, Unrenderable, UrlTemplate, Variable};
use super::{assert_faults, given, tokens};

/// Returns the need of a variable: mandatory if its name begins with `m`, optional with `o`.
fn need(variable: &Variable) -> Need {
    match variable.name().chars().next() {
        Some('m') => Need::Mandatory,
        Some('o') => Need::Optional,
        _ => Need::Unsaid,
    }
}

fn parse(text: &str) -> Result<UrlTemplate, Vec<super::Fault>> {
    UrlTemplate::parse(text, &tokens(), &need)
}

fn render(
    text: &str,
    query: &[QueryTemplate],
    values: &[(&str, &str)],
) -> Result<String, Unrenderable> {
    let mut out = b"before".to_vec();
    let rendered = parse(text).unwrap().render(query, &given(values), &mut out);
    let out = String::from_utf8(out).unwrap();
    let out = out.strip_prefix("before").unwrap().to_owned();
    if rendered.is_err() {
        assert_eq!(out, "");
    }
    rendered.map(|()| out)
}

#[track_caller]
fn check(text: &str, values: &[(&str, &str)], expected: &str) {
    assert_eq!(render(text, &[], values).unwrap(), expected, "{text}");
    ::url::Url::parse(expected).unwrap();
}

#[test]
fn a_value_stays_within_its_place() {
    check(
        "https://h/a/$flow.key.a/b",
        &[("a", r#""x/../?y#%2e\\;é \r\n.""#)],
        "https://h/a/x%2F..%2F%3Fy%23%252e%5C%3B%C3%A9%20%0D%0A./b",
    );
    check(
        "https://h/x?a=$flow.key.a&%ad%=1",
        &[("a", "\"&=#+ \""), ("ad", "\"é\"")],
        "https://h/x?a=%26%3D%23%2B+&%C3%A9=1",
    );
    check("http://h/$flow.key.a", &[("a", "\"\"")], "http://h/");
    check("https://h/%callid%/%20%c3%a9", &[("$call.phononUuid", "7")], "https://h/7/%20%c3%a9");
}

#[test]
fn fixed_text_is_encoded_where_it_must_be() {
    check(
        "HTTPS://u:p@h:1/a b/é{}%zz?q=a b'<é&r=/:@[]%zz#frag",
        &[],
        "HTTPS://u:p@h:1/a%20b/%C3%A9%7B%7D%25zz?q=a%20b%27%3C%C3%A9&r=/:@[]%25zz",
    );
    check(
        "https://h/100%$flow.key.a/%%ad%%?a=$$flow.key.a%%callid%%",
        &[("a", "20")],
        "https://h/100%2520/%25ad%25?a=$flow.key.a%25callid%25",
    );
    check("https://h", &[], "https://h");
    check("https://h?a=1", &[], "https://h?a=1");
}

#[test]
fn a_value_never_makes_a_dot_segment() {
    for (text, value) in [
        ("https://h/a/$flow.key.a/b", "\".\""),
        ("https://h/a/$flow.key.a/b", "\"..\""),
        ("https://h/a/$flow.key.a", "\"\\u002e.\""),
        ("https://h/a/.$flow.key.a?x", "\".\""),
        ("https://h/a/.$flow.key.a", "\"\""),
        ("https://h/a/%2E$flow.key.a", "\".\""),
        ("https://h/a/..$flow.key.o", "\"\""),
    ] {
        let refused = render(text, &[], &[("a", value)]);
        assert_eq!(refused, Err(Unrenderable::DotSegment { line: 1, column: 13 }), "{text}");
    }
    check("https://h/$flow.key.a", &[("a", "\"%2e\"")], "https://h/%252e");
    check("https://h/$flow.key.a", &[("a", "\"...\"")], "https://h/...");
    check("https://h/a$flow.key.a", &[("a", "\"..\"")], "https://h/a..");
    for text in ["https://h/a/../b", "https://h/./b", "https://h/%2e", "https://h/.%2E/$flow.key.a"]
    {
        assert!(parse(text).unwrap_err()[0].problem.contains("not segments"), "{text}");
    }
}

#[test]
fn pairs_and_entries_leave_no_dangling_separators() {
    check("https://h/?a=$flow.key.a", &[], "https://h/");
    check("https://h/?a=$flow.key.a&b=1&c=$flow.key.c", &[], "https://h/?b=1");
    check("https://h/?&&a=1&", &[], "https://h/?a=1");
    check("https://h/?", &[], "https://h/");
    let entry = |value| QueryTemplate::parse("n", value, false, &tokens()).unwrap();
    let entries = [entry("$flow.key.x"), entry("1"), entry("$flow.key.y")];
    assert_eq!(render("https://h/?a=$flow.key.a#f", &entries, &[]).unwrap(), "https://h/?n=1");
    assert_eq!(
        render("https://h/?a=$flow.key.a", &entries, &[("a", "0"), ("x", "\"&\"")]).unwrap(),
        "https://h/?a=0&n=%26&n=1"
    );
}

#[test]
fn variables_of_the_path_are_mandatory_unless_they_are_declared_optional() {
    let missing = |text, query: &[QueryTemplate]| match render(text, query, &[]) {
        Err(Unrenderable::Missing(missing)) => missing.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        missing("https://h/$flow.key.a?a=$flow.key.a", &[]),
        "no value for `$flow.key.a` in the URL (line 1, column 11)"
    );
    assert_eq!(
        missing("https://h/?a=$flow.key.m", &[]),
        "no value for `$flow.key.m` in the URL (line 1, column 14)"
    );
    check("https://h/x$flow.key.o/y", &[], "https://h/x/y");
    let entry = QueryTemplate::parse("n", "$flow.key.a", true, &tokens()).unwrap();
    assert_eq!(
        missing("https://h/$flow.key.b", &[entry]),
        "no value for `$flow.key.b` in the URL (line 1, column 11), `$flow.key.a` in the query entry `n` (line 1, column 1)"
    );
}

#[test]
fn no_variable_decides_where_a_delivery_goes() {
    for (text, expected) in [
        ("$flow.key.base/x", "1:1 the scheme and host"),
        ("https://$flow.key.h/x", "1:9 the host"),
        ("https://h$flow.key.h", "1:10 the host"),
        ("https://h$flow.key.h?x", "1:10 the host"),
        ("https://a.%ad%.com/", "1:11 the host"),
        ("https://h:$flow.key.p/", "1:11 the port"),
        ("https://[::1]:$flow.key.p/", "1:15 the port"),
        ("https://u:$flow.key.p@h/", "1:11 the user or password"),
        ("https://$$flow.key.h/x", "1:9 the host"),
        ("$flow.key.s://h/x", "1:1 the scheme and host"),
        ("https://h/#$flow.key.f", "1:12 the fragment"),
        ("https://h/?a#$flow.key.f", "1:14 the fragment"),
    ] {
        assert_faults(parse(text), &[expected]);
    }
}

#[test]
fn text_that_is_not_a_url_is_refused() {
    for (text, expected) in [
        ("", "1:1 https:// or http://"),
        ("hooks.example.com/x", "1:1 https:// or http://"),
        ("ftp://h/", "1:1 https:// or http://"),
        ("https:/h", "1:1 https:// or http://"),
        ("https://", "1:9 host"),
        ("https:///x", "1:9 host"),
        ("https://h:99999/", "1:9 port"),
        ("https://h ost/", "1:10 space"),
        ("https://h/ ", "1:11 space"),
        ("https://h/a\nb", "1:12 line break"),
        ("https://h\\x/", "1:10 backslash"),
        ("https://h/a\\b", "1:12 backslash"),
        ("https://h<x/", "1:9 domain"),
        ("https://h/%anni%", "1:11 %ani%"),
    ] {
        assert_faults(parse(text), &[expected]);
    }
    assert!(parse("https://h/").unwrap().is_https() && !parse("http://s.com").unwrap().is_https());
    assert_eq!(parse("https://h:1/x?y").unwrap().base(), "https://h:1");
}

//! Answers made to take much time, memory or stack.

use super::super::{AnswerFormat, DEPTH_MAX, MapFault};
use super::{find, find_one, unreadable};
use std::time::{Duration, Instant};

const BIG: usize = 10 * 1024 * 1024;

/// Runs `work` with a time limit: a hundred times what it needs, but far less than quadratic work would need.
fn quickly<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(30), "{what} took {took:?}");
    result
}

fn big(part: &str) -> String {
    part.repeat(BIG / part.len())
}

#[test]
fn entities_are_neither_expanded_nor_fetched() {
    let laughs =
        "<!DOCTYPE a [<!ENTITY x 'ha'><!ENTITY y '&x;&x;&x;&x;&x;&x;&x;&x;&x;&x;'>]><a>&y;</a>";
    let quadratic = format!(
        "<!DOCTYPE a [<!ENTITY x '{}'>]><a>{}</a>",
        "x".repeat(50_000),
        "&x;".repeat(50_000)
    );
    let file = "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>";
    let remote = "<?xml version='1.0'?><!DOCTYPE a SYSTEM 'http://127.0.0.1/a.dtd'><a/>";
    for answer in [laughs, quadratic.as_str(), file, remote, "<!DOCTYPE a><a/>"] {
        assert!(unreadable(AnswerFormat::Xml, answer).starts_with("a DOCTYPE"));
    }
}

#[test]
fn nesting_is_bounded() {
    for (kind, open, close, path) in [
        (AnswerFormat::Json, "[", "]", "[0]".repeat(DEPTH_MAX - 1)),
        (AnswerFormat::Json, "{\"a\":", "}", "a.".repeat(DEPTH_MAX - 2) + "a"),
        (AnswerFormat::Xml, "<a>", "</a>", "/a".repeat(DEPTH_MAX)),
    ] {
        let inner = if kind == AnswerFormat::Json { "7" } else { "" };
        let nested = |depth| open.repeat(depth) + inner + &close.repeat(depth);
        assert!(find_one(kind, nested(DEPTH_MAX), &path).is_some(), "{open}");
        for depth in [DEPTH_MAX + 1, 100_000, BIG / (open.len() + close.len())] {
            let detail = quickly(open, || unreadable(kind, nested(depth)));
            let column = DEPTH_MAX * open.len() + 1;
            let many_tags = kind == AnswerFormat::Xml && depth >= 100_000;
            let deep = format!("nested deeper than 128 levels (line 1, column {column})");
            assert!(detail == deep || many_tags && detail.starts_with("more than 200,000 tags"));
            // The limit also holds on the way to a path's value, and for text without an end.
            assert!(find(kind, nested(depth), &[&path]).is_err());
            quickly(open, || unreadable(kind, open.repeat(depth)));
        }
    }
}

#[test]
fn a_big_json_answer_takes_linear_time() {
    let numbers = format!("{{\"a\":[{}0],\"b\":7}}", big("1,"));
    let found =
        quickly("numbers", || find(AnswerFormat::Json, &numbers, &["b", "a[4000000]", "a[9]"]));
    assert_eq!(found.unwrap(), [Some("7".into()), Some("1".into()), Some("1".into())]);
    let same = format!("{{{}\"b\":7}}", big("\"a\":1,"));
    let paths: Vec<_> = (0..200).map(|index| format!("a[{index}].x")).collect();
    let mut paths: Vec<_> = paths.iter().map(String::as_str).collect();
    paths.push("a");
    assert_eq!(
        quickly("names", || find(AnswerFormat::Json, &same, &paths)).unwrap()[200],
        Some("1".into())
    );
    let text = format!("[\"{}\",7]", big("\\\""));
    assert_eq!(quickly("text", || find_one(AnswerFormat::Json, &text, "[1]")).unwrap(), "7");
    let long = quickly("long", || find(AnswerFormat::Json, &text, &["$"]));
    assert_eq!(long, Err(MapFault::TooLong { entry: 0 }));
    quickly("open", || unreadable(AnswerFormat::Json, big("{\"a\":{},")));
    quickly("space", || unreadable(AnswerFormat::Json, big(" ")));
}

#[test]
fn a_big_xml_answer_takes_linear_time() {
    let text = format!("<a><b>{}</b><c>7</c></a>", big("x "));
    assert_eq!(quickly("text", || find_one(AnswerFormat::Xml, &text, "/a/c")).unwrap(), "\"7\"");
    let long = quickly("long", || find(AnswerFormat::Xml, &text, &["/a/b"]));
    assert_eq!(long, Err(MapFault::TooLong { entry: 0 }));
    let cdata = format!("<a>{}</a>", "<![CDATA[x]]>y\r\n&#65;".repeat(99_000));
    assert_eq!(
        quickly("cdata", || find_one(AnswerFormat::Xml, &cdata, "string-length(/a)")).unwrap(),
        "396000"
    );
    let elements = format!("<a>{}</a>", "<b i='1'/>".repeat(99_990));
    let found =
        quickly("elements", || find_one(AnswerFormat::Xml, &elements, "count(//b[@i='1'])"));
    assert_eq!(found.unwrap(), "99990");
}

#[test]
fn documents_that_would_slow_the_parser_are_refused_before_parsing() {
    let namespaces: String = (0..40).map(|n| format!(" xmlns:n{n} = '{n}'")).collect();
    let attributes: String = (0..100_000).map(|n| format!(" a{n}=''")).collect();
    for (answer, problem) in [
        (format!("<a>{}</a>", "<b/>".repeat(100_000)), "more than 100,000 nodes"),
        (format!("<a>{}</a>", "<b></b>".repeat(100_000)), "more than 200,000 tags"),
        (big("<"), "more than 200,000 tags"),
        (format!("<a>{}</a>", big("=")), "more than 1,000,000 equals signs"),
        (format!("<a{attributes}/>"), "an element with more than 256 attributes"),
        (
            format!("<a {}/>", attributes.replace('=', " = ")),
            "an element with more than 256 attributes",
        ),
        (
            format!("<a{namespaces}><b{namespaces}/></a>"),
            "more than 64 namespace declarations in one another",
        ),
        (format!("<!--><?--><a{attributes}/>"), "an element with more than 256 attributes"),
        (
            format!("<?x ><!--?><a><![CDATA[<!--]]><a b='>'{attributes}/></a>"),
            "an element with more than 256 attributes",
        ),
    ] {
        let detail = quickly(problem, || unreadable(AnswerFormat::Xml, &answer));
        assert!(detail.starts_with(problem), "{detail}");
    }
    // The maximum number of attributes and namespaces is accepted.
    let some: String = (0..256).map(|n| format!(" a{n}='<'").replace('<', "&lt;")).collect();
    assert!(
        find_one(
            AnswerFormat::Xml,
            format!("<a{some}><b{namespaces}/><b{namespaces}/></a>"),
            "/a/b"
        )
        .is_some()
    );
}

#[test]
fn an_xpath_ends_at_the_limit_of_steps() {
    let answer = format!("<a>{}</a>", "<b><c>x</c></b>".repeat(20_000));
    for path in [
        "//b[following::b[following::c = 'y']]",
        "count(//b/preceding::c)",
        "//b[count(//c) = 0]",
        "//b[string(/a) = 'x']",
        "concat(//a,//a,//a,//a,concat(//a,//a,translate(//a,//a,//a),//a),concat(//a,//a))[//c/..//c]",
        "//c[. = //c[. = //c[. = 'y']]]",
        "//*[//*[//*[//*[//*[. = 'y']]]]]",
    ] {
        let path = path.replace(")[", ") and //b[");
        let found = quickly(&path, || find(AnswerFormat::Xml, &answer, &["/a/b/c", &path]));
        assert_eq!(found, Err(MapFault::TooCostly { entry: 1 }), "{path}");
    }
    let attributes: String = (0..200).map(|n| format!(" a{n}=''")).collect();
    let nested =
        format!("<a{attributes}>").repeat(100) + &"<b/>".repeat(50_000) + &"</a>".repeat(100);
    let found = quickly("lang", || find(AnswerFormat::Xml, &nested, &["//b[lang('en')]"]));
    assert_eq!(found, Err(MapFault::TooCostly { entry: 0 }));
    // Nodes that are below several selected nodes are visited once.
    assert_eq!(
        quickly("below", || find_one(AnswerFormat::Xml, &nested, "count(//a//b)")).unwrap(),
        "50000"
    );
    // The cost of a text depends on its length.
    let long = format!("<r><t>{}</t><a>{}</a></r>", "x".repeat(1_000_000), "<b/>".repeat(5_000));
    let found = quickly("texts", || find(AnswerFormat::Xml, &long, &["//b[contains(/r/t, 'y')]"]));
    assert_eq!(found, Err(MapFault::TooCostly { entry: 0 }));
    // The paths of a map share one limit.
    let paths = vec!["count(//c)"; 200];
    let found = quickly("together", || find(AnswerFormat::Xml, &answer, &paths));
    assert!(matches!(found, Err(MapFault::TooCostly { .. })));
}

#[test]
fn usual_xpaths_are_cheap_on_a_big_answer() {
    let row = "<row id='1'><name>x</name><name>y</name></row>";
    let answer = format!("<a><rows>{}</rows><last>7</last></a>", row.repeat(16_000));
    let paths = [
        "//last",
        "/a/rows/row[16000]/name[2]",
        "//row[last()]/name",
        "//row//name",
        "(//name)[32000]",
        "count(//row[@id='1']/name)",
        "//row/following-sibling::row[1]/@id",
        "//name[. = 'x']",
        "//rows//row//name[1]",
        "//row = //name",
    ];
    let found = quickly("usual", || find(AnswerFormat::Xml, &answer, &paths)).unwrap();
    assert_eq!(found[0].as_deref(), Some("\"7\""));
    assert!(found.iter().all(Option::is_some), "{found:?}");
}

//! Hostile values: none breaks out of its place in a request.

use super::{default_webhook, record, stage};
use crate::harness::PATIENCE;
use crate::harness::check::Scene;
use crate::harness::receiver::Received;
use serde_json::Value;
use url::{Url, form_urlencoded};

/// Terminators of strings, elements, comments, sections and lines; variables of other languages; characters that XML
/// can't hold; and scripts of all directions and widths.
const HOSTILE: &str = "\"quotes' \\ </b></a> <!-- &amp; & ?> \r\n\r\nX-Evil: 1\t\u{0}\u{b}\u{7f}\u{ffff} \u{202e}עברית फोनन 😀𝒳 \
                       %41+=;/../ $flow.key.y $$ %ani% ${jndi:x} {{x}} {\"a\":1}]]>]]";
/// The size of the large value, which is larger than usual fields of a form.
const BYTES: usize = 1 << 20;

const JSON: &str = r#"url = "{url}/json"
    body = "json"
    template = '{"bare": $flow.key.x, "whole": "$flow.key.x", "part": "<$flow.key.x>"}'"#;
const XML: &str = r#"url = "{url}/xml"
    body = "xml"
    template = '<a part="[$flow.key.x" whole="$flow.key.x"><b>$flow.key.x</b><c><![CDATA[<$flow.key.x>]]></c></a>'"#;
const FORM: &str = r#"url = "{url}/form"
    body = "form"
    template = 'x=$flow.key.x&fixed=1'"#;
const REQUEST: &str = r#"url = "{url}/request/$flow.key.x?x=$flow.key.x"
    query = [{ name = "n$flow.key.x", value = "<$flow.key.x>" }]
    headers = [{ name = "X-Value", value = "<$flow.key.x>" }]
    body = "none""#;

fn assert_json(request: &Received, value: &str) {
    let body = request.json();
    let whole = Value::from(value);
    assert!(body["bare"] == whole && body["whole"] == whole, "{:.1000}", request.text());
    assert!(body["part"] == *format!("<{value}>"), "{:.1000}", request.text());
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(3));
}

/// Some characters can't occur in XML, and are replaced by U+FFFD.
fn assert_xml(request: &Received, value: &str) {
    let held = |c: char| match c {
        '\t' | '\n' | '\r' => c,
        '\0'..' ' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        _ => c,
    };
    let value: String = value.chars().map(held).collect();
    let document = roxmltree::Document::parse(request.text()).expect("well-formed");
    let root = document.root_element();
    assert!(root.attribute("whole") == Some(value.as_str()), "{:.1000}", request.text());
    assert!(root.attribute("part") == Some(format!("[{value}").as_str()));
    assert_eq!((root.attributes().count(), root.children().count()), (2, 2));
    for (name, wanted) in [("b", value.clone()), ("c", format!("<{value}>"))] {
        let element = root.children().find(|child| child.has_tag_name(name)).expect("it is there");
        assert!(element.children().all(|child| child.is_text()), "{:.1000}", request.text());
        let text: String = element.children().filter_map(|child| child.text()).collect();
        assert!(text == wanted, "{name}: {:.1000}", request.text());
    }
}

fn assert_form(request: &Received, value: &str) {
    let pairs: Vec<_> = form_urlencoded::parse(&request.body).into_owned().collect();
    let wanted = [("x", value), ("fixed", "1")];
    let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert!(pairs == wanted, "{:.1000}", request.text());
}

fn assert_request(request: &Received, value: &str) {
    let url = Url::parse(&format!("http://receiver{}", request.path)).expect("a URL");
    let segments: Vec<_> = url.path_segments().expect("a path").collect();
    let ["request", segment] = segments[..] else { panic!("{segments:?}") };
    let segment = percent_encoding::percent_decode_str(segment).decode_utf8().expect("UTF-8");
    assert_eq!(segment, value);
    let pairs: Vec<_> = url.query_pairs().into_owned().collect();
    let wanted = [("x".to_owned(), value.to_owned()), (format!("n{value}"), format!("<{value}>"))];
    assert_eq!(pairs, wanted);
    // Control characters can't occur in a header, and are replaced by spaces.
    let printed: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    assert_eq!(request.header("x-value"), format!("<{printed}>"));
    assert!(!request.headers.contains_key("x-evil"), "{request:?}");
}

#[test]
fn a_value_arrives_unchanged_in_every_place() {
    let definitions = [(28, JSON), (29, XML), (30, FORM), (31, REQUEST)];
    let text = definitions.map(|(account, text)| default_webhook(account, text)).concat();
    let stage = stage("definitions-hostile", &text);
    let mut scene = Scene::open(&stage);
    let large = HOSTILE.repeat(BYTES.div_ceil(HOSTILE.len()));
    let spelt = [HOSTILE, large.as_str()].map(|value| Value::from(value).to_string());
    assert!(spelt[0].contains("\\u0000"), "{}", spelt[0]);
    let mut records = Vec::new();
    for (account, _) in definitions {
        records.push(record(
            &stage,
            &format!("small-{account}"),
            account,
            &[("x", spelt[0].as_str())],
        ));
    }
    // The large value is not used in URLs and headers, because no server accepts them at this size.
    for (account, _) in &definitions[..3] {
        records.push(record(
            &stage,
            &format!("large-{account}"),
            *account,
            &[("x", spelt[1].as_str())],
        ));
    }
    stage.kafka.produce(&records);
    scene.wait_for("delivered", records.len());
    scene.wait_for("correlation_ended", records.len());
    let requests = stage.receiver.wait_for(records.len(), PATIENCE);
    scene.daemon.stop();
    assert_eq!(requests.len(), records.len());
    type Holds = fn(&Received, &str);
    let bodies = [("/json", assert_json as Holds), ("/xml", assert_xml), ("/form", assert_form)];
    for (path, holds) in bodies {
        let of = |request: &&Received| request.path == path;
        let mut found: Vec<_> = requests.iter().filter(of).collect();
        found.sort_by_key(|request| request.body.len());
        let [small, big] = found[..] else { panic!("{path}: {} requests", found.len()) };
        holds(small, HOSTILE);
        holds(big, &large);
    }
    let request = requests.iter().find(|request| request.path.starts_with("/request/"));
    assert_request(request.expect("it came"), HOSTILE);
    stage.verify();
}

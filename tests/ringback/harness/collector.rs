//! A collector of traces: a real HTTP server that reads OTLP as JSON.

use super::PATIENCE;
use super::receiver::{Answer, Received, Receiver};
use serde_json::Value;
use std::collections::BTreeMap;

/// A span that was exported.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty: the span is the first of its trace.
    pub(crate) parent: String,
    pub(crate) state: String,
    pub(crate) flags: u64,
    pub(crate) name: String,
    pub(crate) kind: u64,
    pub(crate) attributes: BTreeMap<String, String>,
    /// The attributes of the program.
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) is_error: bool,
    pub(crate) begin_ns: u64,
    pub(crate) end_ns: u64,
}

impl Span {
    /// Returns an attribute, or an empty text without it.
    pub(crate) fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

/// A collector. It runs until the test's process ends.
pub(crate) struct Collector(Receiver);

impl Collector {
    /// Starts a collector that accepts everything.
    pub(crate) fn start() -> Self {
        let receiver = Receiver::start();
        receiver.script(|_, _| accepted());
        Self(receiver)
    }

    /// Returns the address for traces.
    pub(crate) fn url(&self) -> String {
        self.0.url("/v1/traces")
    }

    /// Answers every request in this way from now on.
    pub(crate) fn answer(&self, answer: impl Fn() -> Answer + Send + Sync + 'static) {
        self.0.script(move |_, _| answer());
    }

    /// Returns all requests so far.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.0.requests()
    }

    /// Returns all spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.requests().iter().flat_map(spans).collect()
    }

    /// Waits until the spans satisfy `enough`, and returns them.
    pub(crate) fn wait(&self, what: &str, enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let all = |requests: &[Received]| requests.iter().flat_map(spans).collect::<Vec<Span>>();
        all(&self.0.wait(what, PATIENCE, |requests| enough(&all(requests))))
    }
}

/// Returns the answer of a collector that has taken all spans.
pub(crate) fn accepted() -> Answer {
    Answer::status(200).header("content-type", "application/json").body("{\"partialSuccess\":{}}")
}

/// Reads the spans of a request, and checks what OTLP demands.
fn spans(request: &Received) -> Vec<Span> {
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/traces"));
    assert_eq!(request.header("content-type"), "application/json");
    let mut spans = Vec::new();
    for of_resource in array(&request.json()["resourceSpans"]) {
        let resource = attributes(&of_resource["resource"]["attributes"]);
        for of_scope in array(&of_resource["scopeSpans"]) {
            assert_eq!(of_scope["scope"]["name"], "ringback");
            spans.extend(array(&of_scope["spans"]).iter().map(|span| read(span, &resource)));
        }
    }
    spans
}

fn read(span: &Value, resource: &BTreeMap<String, String>) -> Span {
    let text = |key: &str| span[key].as_str().unwrap_or_default().to_owned();
    let nanos = |key: &str| text(key).parse().expect("a time as text");
    let span = Span {
        trace: text("traceId"),
        id: text("spanId"),
        parent: text("parentSpanId"),
        state: text("traceState"),
        flags: span["flags"].as_u64().expect("flags"),
        name: text("name"),
        kind: span["kind"].as_u64().expect("a kind"),
        attributes: attributes(&span["attributes"]),
        resource: resource.clone(),
        is_error: span["status"]["code"] == 2,
        begin_ns: nanos("startTimeUnixNano"),
        end_ns: nanos("endTimeUnixNano"),
    };
    let is_id = |id: &str, length| {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        id.len() == length && id.bytes().all(is_digit) && id.bytes().any(|byte| byte != b'0')
    };
    assert!(is_id(&span.trace, 32) && is_id(&span.id, 16), "{span:?}");
    assert!(span.parent.is_empty() || is_id(&span.parent, 16), "{span:?}");
    assert!(1_700_000_000_000_000_000 < span.begin_ns && span.begin_ns <= span.end_ns, "{span:?}");
    span
}

fn attributes(list: &Value) -> BTreeMap<String, String> {
    let value = |value: &Value| {
        let text = value["stringValue"].as_str().or(value["intValue"].as_str());
        text.unwrap_or_else(|| panic!("{value} is neither text nor an integer")).to_owned()
    };
    let pair =
        |pair: &Value| (pair["key"].as_str().expect("a key").to_owned(), value(&pair["value"]));
    array(list).iter().map(pair).collect()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

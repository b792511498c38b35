//! The JSON encoding of OTLP 1: ids are hexadecimal, and 64-bit integers are text.

use super::exporter::TraceSettings;
use super::span::{Attribute, Span, SpanKind};
use crate::domain::TraceContext;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The flags of OTLP that say whether the parent belongs to another program.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
/// `STATUS_CODE_ERROR`
const ERROR: u8 = 2;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Resource<'a> {
    attributes: [KeyValue<'a>; 3],
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<SpanMembers<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct KeyValue<'a> {
    key: &'a str,
    value: Value<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Value<'a> {
    StringValue(&'a str),
    IntValue(String),
}

#[derive(Serialize)]
struct Status {
    code: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpanMembers<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    flags: u32,
    name: &'a str,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<KeyValue<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

/// Returns the body of a request that exports `spans`.
pub(super) fn request(settings: &TraceSettings, spans: &[Span]) -> Vec<u8> {
    let text = |key, value| KeyValue { key, value: Value::StringValue(value) };
    let version = env!("CARGO_PKG_VERSION");
    let resource = Resource {
        attributes: [
            text("service.name", &*settings.service_name),
            text("service.instance.id", &*settings.instance_id),
            text("service.version", version),
        ],
    };
    let scope_spans = ScopeSpans {
        scope: Scope { name: "ringback", version },
        spans: spans.iter().map(members).collect(),
    };
    let request =
        Request { resource_spans: [ResourceSpans { resource, scope_spans: [scope_spans] }] };
    // Text and numbers are always JSON.
    serde_json::to_vec(&request).unwrap_or_default()
}

fn members(span: &Span) -> SpanMembers<'_> {
    let Span { context, parent, is_parent_remote, kind, name, begin, end, attributes, is_error } =
        span;
    let nanos = |time: &Duration| time.as_nanos().to_string();
    let remote = if *is_parent_remote { IS_REMOTE } else { 0 };
    SpanMembers {
        trace_id: format!("{:032x}", context.trace_id()),
        span_id: format!("{:016x}", context.span_id()),
        trace_state: context.state().map(|state| &**state),
        parent_span_id: parent.map(|id| format!("{id:016x}")),
        flags: u32::from(TraceContext::flags(context)) | HAS_IS_REMOTE | remote,
        name,
        kind: match kind {
            SpanKind::Internal => 1,
            SpanKind::Client => 3,
            SpanKind::Consumer => 5,
        },
        start_time_unix_nano: nanos(begin),
        end_time_unix_nano: nanos(end),
        attributes: attributes.iter().map(|(key, value)| key_value(key, value)).collect(),
        status: is_error.then_some(Status { code: ERROR }),
    }
}

fn key_value<'a>(key: &'a str, value: &'a Attribute) -> KeyValue<'a> {
    let value = match value {
        Attribute::Word(word) => Value::StringValue(word),
        Attribute::Text(text) => Value::StringValue(text),
        Attribute::Integer(number) => Value::IntValue(number.to_string()),
    };
    KeyValue { key, value }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Response {
    partial_success: PartialSuccess,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PartialSuccess {
    rejected_spans: Number,
}

/// A 64-bit integer is text, and some collectors write a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Text(String),
    Plain(u64),
}

impl Default for Number {
    fn default() -> Self {
        Self::Plain(0)
    }
}

/// Returns how many spans of a successful request the collector rejected. An answer that can't be read rejects none.
pub(super) fn rejected(answer: &[u8]) -> u64 {
    let response: Response = serde_json::from_slice(answer).unwrap_or_default();
    match response.partial_success.rejected_spans {
        Number::Text(text) => text.parse().unwrap_or(0),
        Number::Plain(number) => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use serde_json::{Value as Json, json};

    #[test]
    fn spans_are_written_by_the_json_encoding_of_otlp() {
        let settings = TraceSettings {
            endpoint: "http://collector:4318/v1/traces".parse().unwrap(),
            headers: HeaderMap::new(),
            sample_ratio: 1.0,
            queue_max: 1,
            timeout: Duration::from_secs(1),
            service_name: "ringback".to_owned(),
            instance_id: "ringback-0".to_owned(),
        };
        let context = TraceContext::new(0xab, 0xcd, 1, Some("a=1".into())).unwrap();
        let times = (Duration::from_nanos(1_800_000_000_000_000_001), Duration::from_secs(1));
        let first = Span {
            is_parent_remote: true,
            kind: SpanKind::Client,
            attributes: vec![
                ("error.type", Attribute::Word("TIMEOUT")),
                ("server.address", "crm.example".into()),
                ("server.port", 443.into()),
            ],
            is_error: true,
            ..Span::internal(context.clone(), 0xef, "POST crm", times)
        };
        let second = Span { parent: None, ..Span::internal(context, 1, "decide", times) };
        let body: Json = serde_json::from_slice(&request(&settings, &[first, second])).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
        let (trace, span) = ("000000000000000000000000000000ab", "00000000000000cd");
        let time = "1800000000000000001";
        let wanted = json!({"resourceSpans": [{
            "resource": {"attributes": [
                text("service.name", "ringback"),
                text("service.instance.id", "ringback-0"),
                text("service.version", version),
            ]},
            "scopeSpans": [{"scope": {"name": "ringback", "version": version}, "spans": [
                {
                    "traceId": trace, "spanId": span, "traceState": "a=1", "parentSpanId": "00000000000000ef",
                    "flags": 0x301, "name": "POST crm", "kind": 3,
                    // A span does not end before it begins, even if the clock is set back.
                    "startTimeUnixNano": time, "endTimeUnixNano": time,
                    "attributes": [
                        text("error.type", "TIMEOUT"),
                        text("server.address", "crm.example"),
                        {"key": "server.port", "value": {"intValue": "443"}},
                    ],
                    "status": {"code": 2},
                },
                {
                    "traceId": trace, "spanId": span, "traceState": "a=1", "flags": 0x101, "name": "decide",
                    "kind": 1, "startTimeUnixNano": time, "endTimeUnixNano": time, "attributes": [],
                },
            ]}],
        }]});
        assert_eq!(body, wanted);
    }

    #[test]
    fn rejected_spans_are_counted_and_an_unreadable_answer_rejects_none() {
        for (answer, count) in [
            ("", 0),
            ("{}", 0),
            ("<html>", 0),
            (r#"{"partialSuccess":{}}"#, 0),
            (r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}"#, 3),
            (r#"{"partialSuccess":{"rejectedSpans":4}}"#, 4),
            (r#"{"partialSuccess":{"rejectedSpans":"many"}}"#, 0),
            (r#"{"partialSuccess":null}"#, 0),
        ] {
            assert_eq!(rejected(answer.as_bytes()), count, "{answer}");
        }
    }
}

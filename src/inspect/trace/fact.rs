//! A fact: a record of a topic, as an answer that can be serialised and as a row of cells.

use crate::codec::event::{Members, read_members, rfc3339};
use crate::codec::header;
use crate::domain::{RecordKind, Timestamp};
use crate::log::ScanRecord;
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;

/// The kind of topic that holds a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The topic of events.
    Event,
    /// The topic of dead letters.
    DeadLetter,
    /// The inbox: a forwarded record, or a command.
    Inbox,
    /// An input that was not read up to the record.
    Source(RecordKind),
}

impl Origin {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "events",
            Self::DeadLetter => "dead_letter",
            Self::Inbox => "inbox",
            Self::Source(kind) => kind.as_str(),
        }
    }
}

/// A record of a topic, before it is interpreted.
pub struct Found<'a> {
    /// The kind of topic.
    pub origin: Origin,
    pub partition: i32,
    pub offset: i64,
    pub at: Timestamp,
    /// The record's headers, in their order.
    pub headers: Vec<(Cow<'a, str>, Option<&'a [u8]>)>,
    /// The record's value; empty for a tombstone.
    pub value: &'a [u8],
    /// Whether the record is still to be processed.
    pub waits: bool,
}

/// A fact of one phonon-uuid.
pub struct Fact {
    /// The time as RFC 3339 in UTC, so that the text sorts like the time.
    pub at: String,
    origin: Origin,
    partition: i32,
    offset: i64,
    /// Whether the record is still to be processed.
    waits: bool,
    json: Value,
    cells: Cells,
}

/// A fact that can be serialised.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FactView {
    /// `events`, `dead_letter`, `inbox`, or the kind of the input's record.
    pub from: &'static str,
    pub partition: i32,
    pub offset: i64,
    /// The time of the fact (RFC 3339).
    pub at: String,
    /// Whether the record is still to be processed.
    pub waits: bool,
    /// The event or the dead letter of a delivery, as any version wrote it. Otherwise an object with `headers` and
    /// `body`.
    pub fact: Value,
}

/// The cells of a row, except its time.
#[derive(Default)]
struct Cells {
    what: String,
    phase: String,
    webhook: String,
    attempt: String,
    status: String,
    reason: String,
    more: Vec<String>,
}

/// The headings of the columns. The last column holds all values without a column of their own.
pub const COLUMNS: [&str; 8] =
    ["TIME", "WHAT", "PHASE", "WEBHOOK", "ATTEMPT", "STATUS", "REASON", ""];

impl Fact {
    pub(super) fn new(origin: Origin, record: &ScanRecord<'_>, waits: bool) -> Self {
        Self::of(&Found {
            origin,
            partition: record.partition(),
            offset: record.offset(),
            at: record.timestamp(),
            headers: record.headers().collect(),
            value: record.value().unwrap_or_default(),
            waits,
        })
    }

    /// Interprets `found` as far as it can be read.
    #[must_use]
    pub fn of(found: &Found<'_>) -> Self {
        let Found { origin, partition, offset, value, waits, .. } = *found;
        let headers = || {
            let text = |value: Option<&[u8]>| Value::from(value.map(String::from_utf8_lossy));
            let headers =
                found.headers.iter().map(|(name, value)| (name.to_string(), text(*value)));
            Value::Object(headers.collect())
        };
        // Records of the platform, and records that could not be decoded, are shown as they are.
        let whole = || json!({"headers": headers(), "body": String::from_utf8_lossy(value)});
        let delivery = found.headers.iter().find(|(name, _)| *name == header::KIND);
        let delivery = delivery.is_some_and(|(_, kind)| *kind == Some(b"delivery"));
        let json = match origin {
            Origin::Event => serde_json::from_slice(value).unwrap_or_else(|_| whole()),
            Origin::DeadLetter if delivery => {
                serde_json::from_slice(value).unwrap_or_else(|_| whole())
            }
            Origin::DeadLetter | Origin::Inbox | Origin::Source(_) => whole(),
        };
        let own = json.get("at").and_then(Value::as_str).map(str::to_owned);
        let at = own.unwrap_or_else(|| rfc3339(found.at));
        // An event whose members have other types in its version is shown like any other record.
        let event = (origin == Origin::Event).then(|| read_members(value)).flatten();
        let cells = match event {
            Some(event) => Cells::of_event(&event),
            None => Cells::of_record(origin, &json),
        };
        Self { at, origin, partition, offset, waits, json, cells }
    }

    /// Returns the fact in the form that is serialised, with the bodies of requests, answers and records if `bodies`.
    /// URLs lose their query.
    #[must_use]
    pub fn view(&self, bodies: bool) -> FactView {
        let mut fact = self.json.clone();
        if let Some(Value::String(url)) = fact.pointer_mut("/request/url")
            && let Some((before, _)) = url.split_once('?')
        {
            *url = format!("{before}?***");
        }
        if !bodies {
            for (parent, name) in [
                ("", "body"),
                ("", "response_raw"),
                ("/request", "body"),
                ("/last_outcome", "response_raw"),
            ] {
                if let Some(Value::Object(object)) = fact.pointer_mut(parent) {
                    object.remove(name);
                }
            }
        }
        FactView {
            from: self.origin.as_str(),
            partition: self.partition,
            offset: self.offset,
            at: self.at.clone(),
            waits: self.waits,
            fact,
        }
    }

    /// Returns the cells of the fact's row, one for each of [`COLUMNS`].
    #[must_use]
    pub fn columns(&self) -> [String; COLUMNS.len()] {
        let Cells { what, phase, webhook, attempt, status, reason, more } = &self.cells;
        let mut more = more.clone();
        if self.origin != Origin::Event {
            more.push(format!("at {}:{}", self.partition, self.offset));
        }
        if self.waits {
            more.push("not processed yet".to_owned());
        }
        let cells = [what, phase, webhook, attempt, status, reason].map(String::clone);
        let [what, phase, webhook, attempt, status, reason] = cells;
        [self.at.clone(), what, phase, webhook, attempt, status, reason, more.join(", ")]
    }

    /// Returns the bodies that are not empty, each with its name.
    #[must_use]
    pub fn bodies(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("body", first([self.text("/request/body"), self.text("/body")])),
            (
                "answer",
                first([self.text("/response_raw"), self.text("/last_outcome/response_raw")]),
            ),
        ];
        all.into_iter().filter(|(_, text)| !text.is_empty()).collect()
    }

    fn text(&self, pointer: &str) -> String {
        self.json.pointer(pointer).map(shown).unwrap_or_default()
    }
}

impl Cells {
    /// Returns the cells of an event, also of an unknown type.
    fn of_event(event: &Members<'_>) -> Self {
        let text = |member: &Option<Cow<'_, str>>| member.as_deref().unwrap_or_default().to_owned();
        let list = |member: &Option<Vec<Cow<'_, str>>>| member.as_deref().unwrap_or(&[]).join(", ");
        let last = event.last_outcome.as_ref();
        let status = event.response_status_code;
        let status = status.or_else(|| last.and_then(|outcome| outcome.response_status_code));
        let mut more = More::default();
        more.say("", text(&event.record));
        more.say("flow ", number(event.flow_id));
        more.say("SMS ", first([text(&event.sms_id), list(&event.sms)]));
        more.say("missing: ", list(&event.missing));
        if event.waiting == Some(true) {
            more.say("", "waits for its flow".to_owned());
        }
        match &event.due_at {
            Some(Some(due_at)) => more.say("due ", due_at.clone().into_owned()),
            Some(None) => more.say("", "due after phase 1".to_owned()),
            None => {}
        }
        more.say("next at ", text(&event.retry_at.clone().flatten()));
        more.say("", text(&event.webhook_id));
        more.say("", event.error_text().unwrap_or_default().to_owned());
        more.say("", text(&event.detail));
        if let Some(source) = event.source.as_ref().filter(|source| !source.topic.is_empty()) {
            let place = format!("{} {}:{}", source.topic, source.partition, source.offset);
            more.say("from ", place);
        }
        Self {
            what: event.kind.clone().into_owned(),
            phase: number(event.phase),
            webhook: text(&event.webhook),
            attempt: first([number(event.attempt), number(event.attempts)]),
            status: first([number(status), text(&event.status)]),
            reason: first([text(&event.reason), text(&event.error_reason)]),
            more: more.0,
        }
    }

    /// Returns the cells of a dead letter, or of a record with its headers.
    fn of_record(origin: Origin, json: &Value) -> Self {
        let text = |pointer: &str| json.pointer(pointer).map(shown).unwrap_or_default();
        let header = |name: &str| {
            let header = json.get("headers").and_then(|headers| headers.get(name));
            header.map(shown).unwrap_or_default()
        };
        let what = match origin {
            Origin::Event => text("/type"),
            Origin::DeadLetter => "dead_letter".to_owned(),
            Origin::Inbox => first([header(header::COMMAND), "forwarded".to_owned()]),
            Origin::Source(kind) => kind.as_str().to_owned(),
        };
        let mut more = More::default();
        if origin == Origin::Inbox {
            more.say("", header(header::KIND));
        }
        more.say("", text("/webhook_id"));
        let error =
            first([text("/last_outcome/error_detail"), text("/last_outcome/response_error")]);
        more.say("", error);
        more.say("", header(header::DETAIL));
        let topic = header(header::SOURCE_TOPIC);
        if !topic.is_empty() {
            let place = [header::SOURCE_PARTITION, header::SOURCE_OFFSET].map(header).join(":");
            more.say("from ", format!("{topic} {place}"));
        }
        Self {
            what,
            phase: first([text("/phase"), header(header::PHASE)]),
            webhook: first([text("/webhook"), header(header::WEBHOOK)]),
            attempt: text("/attempts"),
            status: text("/last_outcome/response_status_code"),
            reason: first([text("/reason"), header(header::REASON)]),
            more: more.0,
        }
    }
}

/// The values that have no column of their own.
#[derive(Default)]
struct More(Vec<String>);

impl More {
    fn say(&mut self, label: &str, value: String) {
        if !value.is_empty() {
            self.0.push(format!("{label}{value}"));
        }
    }
}

fn number<N: ToString>(number: Option<N>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

/// Returns a string or a number as text, and an empty text for every other value.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// Returns the first text that is not empty.
fn first<const N: usize>(texts: [String; N]) -> String {
    texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

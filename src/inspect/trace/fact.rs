//! One fact: a record of a topic, as an answer that can be serialised, and as the cells of a row.

use crate::codec::event::{Members, read_members, rfc3339};
use crate::codec::header;
use crate::domain::{RecordKind, Timestamp};
use crate::log::ScanRecord;
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;

/// Where a fact was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Among the events.
    Event,
    /// Among the dead letters.
    DeadLetter,
    /// In the inbox: forwarded, or a command.
    Inbox,
    /// In an input, where it still waits.
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

/// A record of a topic, as it was found.
pub struct Found<'a> {
    /// Where.
    pub origin: Origin,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its own time.
    pub at: Timestamp,
    /// Its headers, in their order.
    pub headers: Vec<(Cow<'a, str>, Option<&'a [u8]>)>,
    /// Its value.
    pub value: &'a [u8],
    /// Nobody has taken it into account yet.
    pub waits: bool,
}

/// A fact of one phonon-uuid.
pub struct Fact {
    /// RFC 3339 in UTC, which sorts as time does.
    pub at: String,
    origin: Origin,
    partition: i32,
    offset: i64,
    /// Nobody has taken it into account yet.
    waits: bool,
    json: Value,
    cells: Cells,
}

/// What a fact serialises as.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FactView {
    /// `events`, `dead_letter`, `inbox`, or what the record of an input is.
    pub from: &'static str,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// When: RFC 3339.
    pub at: String,
    /// Nobody has taken it into account yet.
    pub waits: bool,
    /// The event or the dead letter as it is, of any version; of other records `headers` and `body`.
    pub fact: Value,
}

/// The cells of a row but for its time.
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

/// The headings of the columns; the last column has everything that has no column of its own.
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

    /// What `found` tells, as far as it can be read.
    #[must_use]
    pub fn of(found: &Found<'_>) -> Self {
        let Found { origin, partition, offset, value, waits, .. } = *found;
        let headers = || {
            let text = |value: Option<&[u8]>| Value::from(value.map(String::from_utf8_lossy));
            let headers =
                found.headers.iter().map(|(name, value)| (name.to_string(), text(*value)));
            Value::Object(headers.collect())
        };
        // The records of the platform are not ours to interpret, nor are those that could not be interpreted.
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
        // An event of a version whose members have other types shows as far as any record does.
        let event = (origin == Origin::Event).then(|| read_members(value)).flatten();
        let cells = match event {
            Some(event) => Cells::of_event(&event),
            None => Cells::of_record(origin, &json),
        };
        Self { at, origin, partition, offset, waits, json, cells }
    }

    /// The fact as it serialises, with the bodies of requests, answers and records if `bodies`. URLs lose their query.
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

    /// The cells of its row, one for each of [`COLUMNS`].
    #[must_use]
    pub fn columns(&self) -> [String; COLUMNS.len()] {
        let Cells { what, phase, webhook, attempt, status, reason, more } = &self.cells;
        let mut more = more.clone();
        if self.origin != Origin::Event {
            more.push(format!("at {}:{}", self.partition, self.offset));
        }
        if self.waits {
            more.push("not taken into account yet".to_owned());
        }
        let cells = [what, phase, webhook, attempt, status, reason].map(String::clone);
        let [what, phase, webhook, attempt, status, reason] = cells;
        [self.at.clone(), what, phase, webhook, attempt, status, reason, more.join(", ")]
    }

    /// Its bodies, each with its name.
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
    /// The cells of an event, of a known type or another.
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
        let error = last.map(|outcome| text(&outcome.response_error)).unwrap_or_default();
        more.say("", first([text(&event.response_error), error]));
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

    /// The cells of a dead letter, or of a record with its headers.
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
        more.say("", text("/last_outcome/response_error"));
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

/// What has no column of its own.
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

/// A text or a number; nothing of what is neither.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// The first that is not empty.
fn first<const N: usize>(texts: [String; N]) -> String {
    texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

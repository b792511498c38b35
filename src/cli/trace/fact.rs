//! One fact: a record of a topic, as JSON and as a line.

use crate::codec::event::rfc3339;
use crate::domain::{RecordKind, Timestamp};
use crate::log::ScanRecord;
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
}

/// What the columns of a line are; the last one has what else there is to say.
pub(super) const COLUMNS: [&str; 8] =
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
        let delivery = found.headers.iter().find(|(name, _)| *name == "ringback.kind");
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
        Self { at, origin, partition, offset, waits, json }
    }

    /// The object that `--json` prints.
    #[must_use]
    pub fn to_json(&self, bodies: bool) -> Value {
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
        json!({
            "from": self.origin.as_str(),
            "partition": self.partition,
            "offset": self.offset,
            "at": self.at,
            "waits": self.waits,
            "fact": fact,
        })
    }

    /// The line for people.
    #[must_use]
    pub fn columns(&self) -> [String; COLUMNS.len()] {
        let what = match self.origin {
            Origin::Event => self.text("/type"),
            Origin::DeadLetter => "dead_letter".to_owned(),
            Origin::Inbox if self.header("ringback.command").is_empty() => "forwarded".to_owned(),
            Origin::Inbox => self.header("ringback.command"),
            Origin::Source(kind) => kind.as_str().to_owned(),
        };
        let phase = first([self.text("/phase"), self.header("ringback.phase")]);
        let webhook = first([self.text("/webhook"), self.header("ringback.webhook")]);
        let attempt = first([self.text("/attempt"), self.text("/attempts")]);
        let status = first([
            self.text("/response_status_code"),
            self.text("/last_outcome/response_status_code"),
            self.text("/status"),
        ]);
        let reason = first([
            self.text("/reason"),
            self.header("ringback.reason"),
            self.text("/error_reason"),
        ]);
        [self.at.clone(), what, phase, webhook, attempt, status, reason, self.more()]
    }

    /// What the columns do not hold.
    fn more(&self) -> String {
        let mut parts = Vec::new();
        let mut say = |label: &str, value: String| {
            if !value.is_empty() {
                parts.push(format!("{label}{value}"));
            }
        };
        let inbox = self.origin == Origin::Inbox;
        let kind = if inbox { self.header("ringback.kind") } else { String::new() };
        say("", first([self.text("/record"), kind]));
        say("flow ", self.text("/flow_id"));
        say("SMS ", first([self.text("/sms_id"), self.list("/sms")]));
        say("missing: ", self.list("/missing"));
        if self.is("/waiting") {
            say("", "waits for its flow".to_owned());
        }
        if self.origin == Origin::Event {
            say("due ", self.text("/due_at"));
            if self.json.get("due_at").is_some_and(Value::is_null) {
                say("", "due after phase 1".to_owned());
            }
            say("next at ", self.text("/retry_at"));
        }
        say("", self.text("/webhook_id"));
        say("", first([self.text("/response_error"), self.text("/last_outcome/response_error")]));
        say("", first([self.text("/detail"), self.header("ringback.detail")]));
        let [topic, partition, offset] = ["topic", "partition", "offset"].map(|part| {
            let in_event = self.text(&format!("/source/{part}"));
            first([in_event, self.header(&format!("ringback.source.{part}"))])
        });
        if !topic.is_empty() {
            say("from ", format!("{topic} {partition}:{offset}"));
        }
        if self.origin != Origin::Event {
            say("at ", format!("{}:{}", self.partition, self.offset));
        }
        if self.waits {
            say("", "not taken into account yet".to_owned());
        }
        parts.join(", ")
    }

    /// What the bodies are, each with what it is.
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

    fn header(&self, name: &str) -> String {
        let header = self.json.get("headers").and_then(|headers| headers.get(name));
        header.map(shown).unwrap_or_default()
    }

    fn text(&self, pointer: &str) -> String {
        self.json.pointer(pointer).map(shown).unwrap_or_default()
    }

    fn is(&self, pointer: &str) -> bool {
        self.json.pointer(pointer) == Some(&Value::Bool(true))
    }

    fn list(&self, pointer: &str) -> String {
        let list = self.json.pointer(pointer).and_then(Value::as_array);
        list.map(|list| list.iter().map(shown).collect::<Vec<_>>().join(", ")).unwrap_or_default()
    }
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

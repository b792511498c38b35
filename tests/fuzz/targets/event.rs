//! Events as commands read them, the output of `trace`, and the masking of phone numbers in it.

use super::command::headers_and_value;
use super::{sample, seen};
use crate::target::{Seen, Target};
use bytes::Bytes;
use ringback::codec::event::{
    self, EventContext, outcome_json, read_ended, read_members, read_notice, read_notice_of,
    write_event,
};
use ringback::domain::{DeadLetterReason, Event, Outcome, Phase, RecordKind, State, Verdict};
use ringback::inspect::trace::{Fact, Found, Origin};
use ringback::telemetry::mask;
use serde_json::Value;

pub(super) const NOTICE: Target = Target {
    name: "event-notice",
    run: |input| {
        let notice = read_notice(input);
        if let Some(notice) = &notice {
            let members = read_members(input).expect("a notice is made of members");
            assert_eq!(members.phonon_uuid, notice.uuid);
            if let event::Fact::Delivered { about, .. } = &notice.fact {
                let id = members.webhook_id.expect("it names its delivery");
                assert_eq!(ringback::domain::DeliveryId::parse(&id), Some(about.id));
            }
        }
        if let Some(wanted) = read_notice_of(input, &["delivered", "dead_lettered"]) {
            assert_eq!(Some(wanted), notice);
        }
        if let Ok(Some(ended)) = read_ended(input) {
            // Members that the end of a delivery does not have may still prevent a notice.
            if let Some(notice) = &notice {
                assert_eq!(ended.at, notice.at);
            }
        }
        seen(notice.map(|notice| notice.at))
    },
    seeds: events,
    words: WORDS,
    bytes_per_byte: 16,
};

pub(super) const FACT: Target = Target {
    name: "trace-fact",
    run: fact,
    seeds: || events().into_iter().map(|event| [b"0\n\n", &event[..]].concat()).collect(),
    words: WORDS,
    bytes_per_byte: 400,
};

pub(super) const OUTCOME: Target = Target {
    name: "outcome",
    run: outcome,
    seeds: || vec![b"busy".to_vec(), "फोनन".repeat(2000).into_bytes(), vec![0xff; 70]],
    words: &[],
    bytes_per_byte: 32,
};

pub(super) const MASK: Target = Target {
    name: "mask",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let masked = mask::text(&text);
        assert_eq!(masked.chars().count(), text.chars().count());
        assert_eq!(mask::text(&masked), masked, "masking twice changes nothing");
        seen(masked.into_owned())
    },
    seeds: || vec![b"to +919812345667, then \\n9812345.".to_vec(), "नंबर ९१९८१२३४५६६७।".into()],
    words: &["+", "-", "\\n", "919812345667", "९१९८१२३४५६६७", "½", "a"],
    bytes_per_byte: 64,
};

const WORDS: &[&str] = &[
    "\"type\":",
    "\"delivered\"",
    "\"dead_lettered\"",
    "\"webhook_id\":",
    "\"at\":",
    "\"request\":{",
    "\"url\":\"https://a?b\"",
    "\"body\":",
    "\"last_outcome\":{",
    "\"response_raw\":",
    "\"response_raw\":null",
    "\"response_error\":true",
    "\"response_error\":\"refused\"",
    "\"error_detail\":",
    "\"source\":{",
    "\"due_at\":null",
    "\"sms\":[",
    "\"waiting\":true",
    "ringback.kind=delivery",
    "ringback.command=replay",
    "msg_",
    "1e400",
    "\\u0000",
    "\\ud800",
];

fn events() -> Vec<Vec<u8>> {
    let delivery = || Box::new(sample::delivery(Phase::One));
    let (at, attempt, outcome) = (sample::AT, 3, sample::outcome());
    let reason = DeadLetterReason::Refused;
    let id = delivery().id;
    let events = [
        Event::Delivered { delivery: delivery(), attempt, outcome: outcome.clone(), at },
        Event::DeadLettered { delivery: delivery(), reason, at },
        Event::DeliveryScheduled { delivery: delivery(), sms: Default::default() },
        Event::AttemptFailed { delivery: id, attempt, outcome, at, retry_at: Some(at) },
        Event::Replayed { delivery: delivery() },
    ];
    let write = |event| {
        let mut out = Vec::new();
        let context = EventContext { uuid: &sample::uuid(), account: None, at };
        write_event(&mut out, &context, &State::default(), &event);
        out
    };
    events.into_iter().map(write).collect()
}

fn fact(input: &[u8]) -> Seen {
    let (kind, rest) = input.split_first().map_or((0, input), |(kind, rest)| (*kind, rest));
    let (headers, value) = headers_and_value(rest);
    let text = |(name, value)| (String::from_utf8_lossy(name), Some(value));
    let headers = headers.into_iter().map(text).collect();
    let origin = match kind % 5 {
        0 | 3 => Origin::Event,
        1 => Origin::DeadLetter,
        2 => Origin::Inbox,
        _ => Origin::Source(RecordKind::Flow),
    };
    let found =
        Found { origin, partition: 1, offset: 2, at: sample::AT, headers, value, waits: kind > 9 };
    let fact = Fact::of(&found);
    let json = |bodies| serde_json::to_value(fact.view(bodies)).expect("a fact is JSON");
    let shown = json(false);
    for bodies in [
        "/fact/body",
        "/fact/response_raw",
        "/fact/request/body",
        "/fact/last_outcome/response_raw",
    ] {
        assert_eq!(shown.pointer(bodies), None, "bodies are shown only on request");
    }
    seen((shown, json(true), fact.columns(), fact.bodies()))
}

/// Checks that any answer of an endpoint becomes valid JSON.
fn outcome(input: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(input);
    let outcome = Outcome {
        verdict: if input.len().is_multiple_of(2) { Verdict::Retry } else { Verdict::Delivered },
        status: input.first_chunk().map(|status| u16::from_le_bytes(*status)),
        response: Bytes::copy_from_slice(input),
        error: Some(text.clone().into()),
        ..sample::outcome()
    };
    let json: Value = serde_json::from_slice(&outcome_json(&outcome)).expect("an outcome is JSON");
    let raw = if input.is_empty() { Value::Null } else { Value::from(&*text) };
    assert_eq!(json["response_raw"], raw);
    assert_eq!(json["response_error"], outcome.verdict != Verdict::Delivered);
    assert_eq!(json["error_detail"], *text);
    seen(json)
}

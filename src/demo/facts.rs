//! Shows the daemon's events and dead letters, one short line each.

use super::checklist::{Checklist, Sight};
use super::files::BAD_WEBHOOK;
use super::samples::Sample;
use super::screen::{About, Screen};
use serde_json::Value;

/// Shows an event and marks the result that it proves.
pub(super) fn event(bytes: &[u8], screen: Screen, checklist: &Checklist) {
    let event = Fact::parse(bytes);
    let kind = event.text("/type");
    let phase = event.number("/phase");
    let delivery = || format!("phase {phase} to {}", event.text("/webhook"));
    let details = match kind {
        "report_accepted" => format!("sms {}: {}", event.text("/sms_id"), event.text("/status")),
        "delivery_scheduled" => delivery(),
        "delivered" => format!("{}, {}", delivery(), event.attempt()),
        "attempt_failed" => {
            let retry_at = event.text("/retry_at");
            let next = match retry_at.get(11..23) {
                Some(time) => format!("next at {time}"),
                None => "it was the last attempt".to_owned(),
            };
            format!("{}, {}; {next}", delivery(), event.attempt())
        }
        "replayed" => format!("{}, life {}", delivery(), event.number("/replays") + 1),
        "dead_lettered" => format!("{}: {}", delivery(), event.text("/reason")),
        "record_ignored" => event.text("/reason").to_owned(),
        _ => String::new(),
    };
    let uuid = event.text("/phonon_uuid");
    screen.line(About::Event, format!("{kind:<18}  {uuid}  {details}").trim_end());
    let ours = uuid == Sample::original().uuid;
    match (kind, phase) {
        ("delivered", 1) if ours => checklist.saw(Sight::Phase1Delivered),
        ("delivered", 2) if ours => checklist.saw(Sight::Phase2Delivered),
        ("replayed", 1) => checklist.saw(Sight::Replayed),
        ("delivered", 1) if event.text("/webhook") == BAD_WEBHOOK => {
            checklist.saw(Sight::ReplayDelivered);
        }
        ("attempt_failed", _) if !event.text("/retry_at").is_empty() => {
            checklist.saw(Sight::Retried);
        }
        _ => {}
    }
}

/// Shows a dead letter and marks the result that it proves.
pub(super) fn dead_letter(bytes: &[u8], screen: Screen, checklist: &Checklist) {
    let letter = Fact::parse(bytes);
    let reason = letter.text("/reason");
    let body = letter.text("/request/body").len();
    let line = format!(
        "{reason} after {} attempts, the last one {}: {} {}, webhook-id {}, with its body of {body} bytes",
        letter.number("/attempts"),
        letter.number("/last_outcome/response_status_code"),
        letter.text("/request/method"),
        letter.text("/request/url"),
        letter.text("/webhook_id"),
    );
    screen.line(About::DeadLetter, &line);
    if reason == "attempts_exhausted" && body > 0 {
        checklist.saw(Sight::DeadLetter);
    }
}

struct Fact(Value);

impl Fact {
    /// Parses JSON. Bytes that are not JSON give a fact without fields.
    fn parse(bytes: &[u8]) -> Self {
        Self(serde_json::from_slice(bytes).unwrap_or_default())
    }

    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self, pointer: &str) -> u64 {
        self.0.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
    }

    /// Describes the number of the attempt and its status code, or its error if there was no answer.
    fn attempt(&self) -> String {
        let ended = match self.number("/response_status_code") {
            0 => self.text("/error_reason").to_owned(),
            status => status.to_string(),
        };
        format!("attempt {} ended with {ended}", self.number("/attempt"))
    }
}

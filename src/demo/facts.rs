//! Shows the daemon's events and dead letters, one short line each.

use super::checklist::{Checklist, Sight};
use super::files::BAD_WEBHOOK;
use super::samples::Sample;
use super::screen::{About, Screen};
use crate::codec::event::{Members, read_members};
use serde_json::Value;
use std::borrow::Cow;

/// Shows an event and marks the result that it proves. A value that is no event shows as an empty line.
pub(super) fn event(bytes: &[u8], screen: Screen, checklist: &Checklist) {
    let Some(event) = read_members(bytes) else { return screen.line(About::Event, "") };
    let text = |member: &Option<Cow<'_, str>>| member.as_deref().unwrap_or_default().to_owned();
    let (kind, phase, webhook) = (&*event.kind, event.phase.unwrap_or(0), text(&event.webhook));
    let retry_at = event.retry_at.as_ref().and_then(Option::as_deref).unwrap_or_default();
    let delivery = || format!("phase {phase} to {webhook}");
    let details = match kind {
        "report_accepted" => format!("sms {}: {}", text(&event.sms_id), text(&event.status)),
        "delivery_scheduled" => delivery(),
        "delivered" => format!("{}, {}", delivery(), attempt(&event)),
        "attempt_failed" => {
            let next = match retry_at.get(11..23) {
                Some(time) => format!("next at {time}"),
                None => "it was the last attempt".to_owned(),
            };
            format!("{}, {}; {next}", delivery(), attempt(&event))
        }
        "replayed" => format!("{}, life {}", delivery(), event.replays.unwrap_or(0) + 1),
        "dead_lettered" => format!("{}: {}", delivery(), text(&event.reason)),
        "record_ignored" => text(&event.reason),
        _ => String::new(),
    };
    let uuid = text(&event.phonon_uuid);
    screen.line(About::Event, format!("{kind:<18}  {uuid}  {details}").trim_end());
    let ours = uuid == Sample::original().uuid;
    match (kind, phase) {
        ("delivered", 1) if ours => checklist.saw(Sight::Phase1Delivered),
        ("delivered", 2) if ours => checklist.saw(Sight::Phase2Delivered),
        ("replayed", 1) => checklist.saw(Sight::Replayed),
        ("delivered", 1) if webhook == BAD_WEBHOOK => checklist.saw(Sight::ReplayDelivered),
        ("attempt_failed", _) if !retry_at.is_empty() => checklist.saw(Sight::Retried),
        _ => {}
    }
}

/// Describes the number of the attempt and its status code, or its error if there was no answer.
fn attempt(event: &Members<'_>) -> String {
    let ended = match event.response_status_code {
        None => event.error_reason.as_deref().unwrap_or_default().to_owned(),
        Some(status) => status.to_string(),
    };
    format!("attempt {} ended with {ended}", event.attempt.unwrap_or(0))
}

/// Shows a dead letter and marks the result that it proves.
pub(super) fn dead_letter(bytes: &[u8], screen: Screen, checklist: &Checklist) {
    let letter = Letter::parse(bytes);
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

/// The value of a dead letter.
struct Letter(Value);

impl Letter {
    /// Parses JSON. Bytes that are not JSON give a letter without fields.
    fn parse(bytes: &[u8]) -> Self {
        Self(serde_json::from_slice(bytes).unwrap_or_default())
    }

    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self, pointer: &str) -> u64 {
        self.0.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
    }
}

//! What the daemon writes of its work, one short line each: events, and dead letters.

use super::checklist::{Checklist, Sight};
use super::samples::Sample;
use super::screen::{About, Screen};
use serde_json::Value;

/// Shows an event.
pub(super) fn event(bytes: &[u8], screen: Screen, checklist: &Checklist) {
    let event = parse(bytes);
    let kind = text(&event, "type");
    let webhook = text(&event, "webhook");
    let details = match kind {
        "report_accepted" => format!("sms {}: {}", text(&event, "sms_id"), text(&event, "status")),
        "delivery_scheduled" => format!("phase {} to {webhook}", event["phase"]),
        "delivered" => {
            format!("phase {} to {webhook}, attempt {}", event["phase"], attempt(&event))
        }
        "attempt_failed" => {
            let next = match event.get("retry_at").and_then(Value::as_str) {
                Some(at) => format!("next at {}", at.get(11..23).unwrap_or(at)),
                None => "no other".to_owned(),
            };
            format!("phase {} to {webhook}, attempt {}; {next}", event["phase"], attempt(&event))
        }
        "dead_lettered" => {
            format!("phase {} to {webhook}: {}", event["phase"], text(&event, "reason"))
        }
        "record_ignored" => text(&event, "reason").to_owned(),
        _ => String::new(),
    };
    let uuid = text(&event, "phonon_uuid");
    screen.line(About::Event, format!("{kind:<18}  {uuid}  {details}").trim_end());
    let ours = uuid == Sample::original().uuid;
    match (kind, event["phase"].as_u64()) {
        ("delivered", Some(1)) if ours => checklist.saw(Sight::Phase1Delivered),
        ("delivered", Some(2)) if ours => checklist.saw(Sight::Phase2Delivered),
        ("attempt_failed", _) if event["retry_at"].is_string() => checklist.saw(Sight::Retried),
        _ => {}
    }
}

/// Shows a dead letter.
pub(super) fn dead_letter(bytes: &[u8], screen: Screen, checklist: &Checklist) {
    let letter = parse(bytes);
    let request = &letter["request"];
    let body = text(request, "body").len();
    let line = format!(
        "{} after {} attempts, the last one {}: {} {}, webhook-id {}, the body's {body} bytes kept",
        text(&letter, "reason"),
        letter["attempts"],
        letter["last_outcome"]["response_status_code"],
        text(request, "method"),
        text(request, "url"),
        text(&letter, "webhook_id"),
    );
    screen.line(About::DeadLetter, &line);
    if text(&letter, "reason") == "attempts_exhausted" && body > 0 {
        checklist.saw(Sight::DeadLetter);
    }
}

/// Whatever is no JSON has no members.
fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

fn text<'a>(object: &'a Value, member: &str) -> &'a str {
    object.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// Which attempt, and how it ended.
fn attempt(event: &Value) -> String {
    let ended = match event.get("response_status_code") {
        Some(status) => status.to_string(),
        None => text(event, "error_reason").to_owned(),
    };
    format!("{} ended with {ended}", event["attempt"])
}

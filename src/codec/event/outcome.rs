//! The members of an outcome, with the platform's names.

use crate::domain::{Outcome, StatusType, Verdict};
use crate::json::{self, Object};

/// Writes the outcome's members, with at most `response_bytes` of the answer.
pub(super) fn write_outcome(object: &mut Object<'_>, outcome: &Outcome, response_bytes: usize) {
    let status = match outcome.verdict {
        Verdict::Delivered => "SUCCESS",
        Verdict::Retry | Verdict::GiveUp => "FAILED",
    };
    object.text("response_status", status);
    if let Some(code) = outcome.status {
        object.integer("response_status_code", i64::from(code));
        object.text("response_status_type", StatusType::of(code).as_str());
    }
    write_seconds(object.name("response_duration"), outcome.duration_ms);
    if outcome.status.is_some() || !outcome.response.is_empty() {
        let shown = whole_letters(&outcome.response, response_bytes);
        json::write_lossy(object.name("response_raw"), shown);
        let truncated = outcome.response_truncated || shown.len() < outcome.response.len();
        object.boolean("response_truncated", truncated);
    }
    if !outcome.mapped.is_empty() {
        let members = outcome.mapped.iter().map(|it| (&*it.save_in, &*it.value));
        json::write_members(object.name("response_variables"), members);
    }
    if let Some(error) = &outcome.error {
        object.text("response_error", error);
    }
    if let Some(reason) = outcome.reason {
        object.text("error_reason", reason.as_str());
    }
}

/// Writes milliseconds as seconds, exactly.
fn write_seconds(out: &mut Vec<u8>, ms: u64) {
    json::write_unsigned(out, ms / 1000);
    let rest = ms % 1000;
    out.push(b'.');
    for digit in [rest / 100, rest / 10 % 10, rest % 10] {
        json::write_unsigned(out, digit);
    }
}

/// Returns at most `max` bytes of `text`, without cutting a character.
fn whole_letters(text: &[u8], max: usize) -> &[u8] {
    let Some(cut) = text.get(..max) else { return text };
    if text.len() == max {
        return text;
    }
    // A character has at most three continuation bytes. More of them are no UTF-8.
    let next_is_continuation = |end: &usize| text.get(*end).is_some_and(|byte| byte & 0xc0 == 0x80);
    let end = (max.saturating_sub(3)..=max).rev().find(|end| !next_is_continuation(end));
    cut.get(..end.unwrap_or(max)).unwrap_or(cut)
}

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
    json::write_seconds(object.name("response_duration"), outcome.duration_ms);
    let shown = json::whole_letters(&outcome.response, response_bytes);
    match shown {
        [] => object.name("response_raw").extend_from_slice(b"null"),
        some => json::write_lossy(object.name("response_raw"), some),
    }
    if outcome.status.is_some() || !outcome.response.is_empty() {
        let truncated = outcome.response_truncated || shown.len() < outcome.response.len();
        object.boolean("response_truncated", truncated);
    }
    if !outcome.mapped.is_empty() {
        let members = outcome.mapped.iter().map(|it| (&*it.save_in, &*it.value));
        json::write_members(object.name("response_variables"), members);
    }
    object.boolean("response_error", outcome.is_error());
    if let Some(error) = &outcome.error {
        object.text("error_detail", error);
    }
    if let Some(reason) = outcome.reason {
        object.text("error_reason", reason.as_str());
    }
}

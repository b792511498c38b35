//! The answer of a delivery as the database stores it.

use super::milliseconds;
use crate::codec::event::{EndKind, EndedDelivery, OutcomeMembers};
use mongodb::bson::raw::{CString, cstr};
use mongodb::bson::{RawBson, RawDocumentBuf};
use serde_json::Value as Json;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The position of an event among the events about the same delivery: the number of its replays, then its time, then its
/// offset.
///
/// A clock may be set back between the end of a delivery and that of its replay, so the replays come first. The
/// partition of a delivery's events changes only if partitions are added, and offsets begin anew if the topic is created
/// again. So the time comes before the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order {
    pub(super) replays: u32,
    pub(super) at_ms: i64,
    pub(super) offset: i64,
}

/// Returns the answer as a document. Its first members are those of its [`Order`], because `$max` compares documents
/// member by member, and so keeps the newer one.
pub(super) fn document(ended: &EndedDelivery<'_>, partition: i32, order: Order) -> RawDocumentBuf {
    let mut answer = RawDocumentBuf::new();
    answer.append(cstr!("replays"), i64::from(order.replays));
    answer.append(cstr!("at"), milliseconds(ended.at));
    answer.append(cstr!("offset"), order.offset);
    answer.append(cstr!("partition"), partition);
    let kind = match &ended.kind {
        EndKind::Delivered => "delivered",
        EndKind::DeadLettered { .. } => "dead_lettered",
    };
    answer.append(cstr!("type"), kind);
    answer.append(cstr!("webhook"), &*ended.about.webhook);
    answer.append(cstr!("phase"), i32::from(ended.about.phase));
    answer.append(cstr!("attempts"), i64::from(ended.attempts));
    if let EndKind::DeadLettered { reason } = &ended.kind {
        answer.append(cstr!("reason"), &**reason);
    }
    if let Some(outcome) = &ended.outcome {
        append_outcome(&mut answer, outcome);
    }
    answer
}

/// Adds the outcome's members with their names in the event.
fn append_outcome(answer: &mut RawDocumentBuf, outcome: &OutcomeMembers<'_>) {
    if let Some(status) = &outcome.response_status {
        answer.append(cstr!("response_status"), &**status);
    }
    if let Some(code) = outcome.response_status_code {
        answer.append(cstr!("response_status_code"), i32::from(code));
    }
    if let Some(class) = &outcome.response_status_type {
        answer.append(cstr!("response_status_type"), &**class);
    }
    if let Some(seconds) = outcome.response_duration {
        answer.append(cstr!("response_duration"), seconds);
    }
    match &outcome.response_raw {
        Some(body) => answer.append(cstr!("response_raw"), &**body),
        None => answer.append(cstr!("response_raw"), RawBson::Null),
    }
    if let Some(is_truncated) = outcome.response_truncated {
        answer.append(cstr!("response_truncated"), is_truncated);
    }
    if let Some(variables) = outcome.response_variables.and_then(variables) {
        answer.append(cstr!("response_variables"), variables);
    }
    if let Some(is_error) = outcome.is_error() {
        answer.append(cstr!("response_error"), is_error);
    }
    if let Some(detail) = outcome.error_text() {
        answer.append(cstr!("error_detail"), detail);
    }
    if let Some(reason) = &outcome.error_reason {
        answer.append(cstr!("error_reason"), &**reason);
    }
}

/// Returns the values of the response map. An object or a list becomes its JSON text, because databases limit the depth
/// of a document and the names in it.
fn variables(json: &RawValue) -> Option<RawDocumentBuf> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(json.get()).ok()?;
    let mut document = RawDocumentBuf::new();
    for (name, value) in members {
        document.append(field_name(&name), scalar(value.get()));
    }
    Some(document)
}

fn scalar(json: &str) -> RawBson {
    let text = || RawBson::String(json.to_owned());
    match serde_json::from_str(json) {
        Ok(Json::Null) => RawBson::Null,
        Ok(Json::Bool(it)) => RawBson::Boolean(it),
        Ok(Json::String(it)) => RawBson::String(it),
        Ok(Json::Number(it)) => match it.as_i64() {
            Some(whole) => RawBson::Int64(whole),
            // A number that would lose digits stays text.
            None => match it.as_f64().filter(|float| float.to_string() == json) {
                Some(float) => RawBson::Double(float),
                None => text(),
            },
        },
        Ok(Json::Array(_) | Json::Object(_)) | Err(_) => text(),
    }
}

/// Returns `name` as the name of a field. In names, `.` separates the levels of a path, `$` begins an operator, and a
/// NUL ends the name; their full-width forms and the sign for NUL stand for them.
pub(super) fn field_name(name: &str) -> CString {
    let escape = |letter| match letter {
        '.' => '\u{ff0e}',
        '$' => '\u{ff04}',
        '\0' => '\u{2400}',
        other => other,
    };
    c_string(name.chars().map(escape).collect())
}

/// Returns `text`, which contains no NUL, as the name or the path of a field.
pub(super) fn c_string(text: String) -> CString {
    CString::try_from(text).unwrap_or_else(|_| cstr!("").to_owned())
}

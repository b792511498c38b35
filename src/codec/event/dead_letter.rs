//! A delivery that was given up, whole, and the headers of dead letters.

use super::outcome::write_outcome;
use crate::codec::rendering;
use crate::codec::time::{TimeMembers as _, rfc3339};
use crate::domain::{
    AccountId, DeadLetterReason, Delivery, Due, PhononUuid, RESPONSE_BYTES_KEPT, Source, Timestamp,
};
use crate::json::{self, Object};

/// The request of a delivery as a dead letter shows it, without secrets.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// Such as POST.
    pub method: &'a str,
    /// Where it goes.
    pub url: &'a str,
    /// Names and values; those of one name are joined.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Appends the dead letter of `delivery`; `request` is missing when its webhook is no longer configured.
pub fn write_delivery_dead_letter(
    out: &mut Vec<u8>,
    uuid: &PhononUuid,
    delivery: &Delivery,
    reason: DeadLetterReason,
    request: Option<&RequestView<'_>>,
) {
    out.reserve(delivery.body.len() + 1024);
    let mut object = Object::open(out);
    object.display("webhook_id", &delivery.id);
    object.text("phonon_uuid", uuid.as_str());
    object.integer("account_id", delivery.account.0);
    object.text("webhook", delivery.webhook.as_str());
    object.integer("phase", i64::from(delivery.phase.number()));
    object.text("reason", reason.as_str());
    object.integer("attempts", i64::from(delivery.attempts));
    object.integer("replays", i64::from(delivery.replays));
    object.time("scheduled_at", delivery.scheduled_at);
    object.time_or_null("first_attempt_at", delivery.first_attempt_at);
    object.time_or_null("last_attempt_at", delivery.last_attempt_at);
    let mut shown = object.object("request");
    if let Some(request) = request {
        shown.text("method", request.method);
        shown.text("url", request.url);
        let mut headers = shown.object("headers");
        write_headers(&mut headers, request.headers);
        headers.close();
    }
    json::write_lossy(shown.name("body"), &delivery.body);
    shown.close();
    rendering::write(&mut object, &delivery.rendering, delivery.body.len());
    match &delivery.last_outcome {
        Some(outcome) => {
            let mut last = object.object("last_outcome");
            write_outcome(&mut last, outcome, RESPONSE_BYTES_KEPT);
            last.close();
        }
        None => object.name("last_outcome").extend_from_slice(b"null"),
    }
    object.close();
}

/// A JSON object has each name once.
fn write_headers(object: &mut Object<'_>, headers: &[(&str, &str)]) {
    for (index, (name, value)) in headers.iter().enumerate() {
        let same = |other: &&(&str, &str)| other.0.eq_ignore_ascii_case(name);
        let (before, from_here) = headers.split_at(index);
        if before.iter().any(|other| same(&other)) {
            continue;
        }
        let mut repeated = from_here.iter().skip(1).filter(same).peekable();
        // Names of headers are tokens, but nothing here proves it.
        if repeated.peek().is_none() {
            object.text_named(name, value);
        } else {
            let all: Vec<&str> = from_here.iter().filter(same).map(|other| other.1).collect();
            object.text_named(name, &all.join(", "));
        }
    }
}

/// The headers of a delivery's dead letter.
#[must_use]
pub fn delivery_headers(
    delivery: &Delivery,
    reason: DeadLetterReason,
) -> Vec<(&'static str, String)> {
    let mut headers = Vec::with_capacity(13);
    headers.push(("ringback.kind", "delivery".to_owned()));
    headers.push(("ringback.webhook-id", delivery.id.to_string()));
    headers.push(("ringback.reason", reason.as_str().to_owned()));
    source_headers(&mut headers, &delivery.source);
    headers.push(("ringback.webhook", delivery.webhook.as_str().to_owned()));
    headers.push(("ringback.account", delivery.account.to_string()));
    headers.push(("ringback.phase", delivery.phase.as_str().to_owned()));
    headers.push(("ringback.attempts", delivery.attempts.to_string()));
    let times = [
        ("ringback.first-attempt-at", delivery.first_attempt_at),
        ("ringback.last-attempt-at", delivery.last_attempt_at),
    ];
    headers.extend(times.into_iter().filter_map(|(name, at)| Some((name, rfc3339(at?)))));
    headers
}

/// The headers of a record's dead letter.
#[must_use]
pub fn record_headers(
    source: &Source,
    reason: DeadLetterReason,
    account: Option<AccountId>,
    detail: &str,
) -> Vec<(&'static str, String)> {
    let mut headers = Vec::with_capacity(8);
    headers.push(("ringback.kind", "record".to_owned()));
    headers.push(("ringback.reason", reason.as_str().to_owned()));
    source_headers(&mut headers, source);
    headers.extend(account.map(|account| ("ringback.account", account.to_string())));
    headers.push(("ringback.detail", detail.to_owned()));
    headers
}

fn source_headers(headers: &mut Vec<(&'static str, String)>, source: &Source) {
    headers.push(("ringback.source.topic", source.topic.to_string()));
    headers.push(("ringback.source.partition", source.partition.to_string()));
    headers.push(("ringback.source.offset", source.offset.to_string()));
    headers.push(("ringback.source.timestamp", rfc3339(source.timestamp)));
}

/// When a delivery may be attempted, as far as that is a time.
pub(super) const fn due_at(delivery: &Delivery) -> Option<Timestamp> {
    match delivery.due {
        Due::At(at) => Some(at),
        Due::Waiting => None,
    }
}

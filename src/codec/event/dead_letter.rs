//! The dead letter of a delivery, and the headers of all dead letters.

use super::outcome::write_outcome;
use crate::codec::delivery::write_identity;
use crate::codec::header;
use crate::codec::rendering;
use crate::codec::sms;
use crate::codec::time::{TimeMembers as _, rfc3339};
use crate::domain::{
    AccountId, DeadLetterReason, Delivery, Due, PhononUuid, RESPONSE_BYTES_KEPT, Source, Timestamp,
};
use crate::json::{self, Object};

/// The request of a delivery as its dead letter shows it, without secrets.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// The method, such as POST.
    pub method: &'a str,
    pub url: &'a str,
    /// Names and values. The values of repeated names are joined.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Appends the dead letter of `delivery`. `request` is `None` if its webhook is no longer configured.
pub fn write_delivery_dead_letter(
    out: &mut Vec<u8>,
    uuid: &PhononUuid,
    delivery: &Delivery,
    reason: DeadLetterReason,
    request: Option<&RequestView<'_>>,
) {
    out.reserve(delivery.body.len() + 1024);
    let mut object = Object::open(out);
    write_identity(&mut object, uuid, delivery);
    object.text("reason", reason.as_str());
    object.integer("attempts", i64::from(delivery.attempts));
    object.integer("replays", i64::from(delivery.replays));
    sms::write(&mut object, &delivery.sms);
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

/// Writes headers as an object. A JSON object has each name once.
fn write_headers(object: &mut Object<'_>, headers: &[(&str, &str)]) {
    for (index, (name, value)) in headers.iter().enumerate() {
        let same = |other: &&(&str, &str)| other.0.eq_ignore_ascii_case(name);
        let (before, from_here) = headers.split_at(index);
        if before.iter().any(|other| same(&other)) {
            continue;
        }
        let mut repeated = from_here.iter().skip(1).filter(same).peekable();
        // The name of a header is a token and needs no escape, but this function does not check that.
        if repeated.peek().is_none() {
            object.text_named(name, value);
        } else {
            let all: Vec<&str> = from_here.iter().filter(same).map(|other| other.1).collect();
            object.text_named(name, &all.join(", "));
        }
    }
}

/// Returns the headers of a delivery's dead letter.
#[must_use]
pub fn delivery_headers(
    delivery: &Delivery,
    reason: DeadLetterReason,
) -> Vec<(&'static str, String)> {
    let mut headers = Vec::with_capacity(13);
    headers.push((header::KIND, "delivery".to_owned()));
    headers.push((header::WEBHOOK_ID, delivery.id.to_string()));
    headers.push((header::REASON, reason.as_str().to_owned()));
    source_headers(&mut headers, &delivery.source);
    headers.push((header::WEBHOOK, delivery.webhook.as_str().to_owned()));
    headers.push((header::ACCOUNT, delivery.account.to_string()));
    headers.push((header::PHASE, delivery.phase.as_str().to_owned()));
    headers.push((header::ATTEMPTS, delivery.attempts.to_string()));
    let times = [
        (header::FIRST_ATTEMPT_AT, delivery.first_attempt_at),
        (header::LAST_ATTEMPT_AT, delivery.last_attempt_at),
    ];
    headers.extend(times.into_iter().filter_map(|(name, at)| Some((name, rfc3339(at?)))));
    headers
}

/// Returns the headers of a record's dead letter.
#[must_use]
pub fn record_headers(
    source: &Source,
    reason: DeadLetterReason,
    account: Option<AccountId>,
    detail: &str,
) -> Vec<(&'static str, String)> {
    let mut headers = Vec::with_capacity(8);
    headers.push((header::KIND, "record".to_owned()));
    headers.push((header::REASON, reason.as_str().to_owned()));
    source_headers(&mut headers, source);
    headers.extend(account.map(|account| (header::ACCOUNT, account.to_string())));
    headers.push((header::DETAIL, detail.to_owned()));
    headers
}

fn source_headers(headers: &mut Vec<(&'static str, String)>, source: &Source) {
    headers.push((header::SOURCE_TOPIC, source.topic.to_string()));
    headers.push((header::SOURCE_PARTITION, source.partition.to_string()));
    headers.push((header::SOURCE_OFFSET, source.offset.to_string()));
    headers.push((header::SOURCE_TIMESTAMP, rfc3339(source.timestamp)));
    if let Some(index) = source.index {
        headers.push((header::SOURCE_INDEX, index.to_string()));
    }
}

/// Returns when a delivery may be attempted, or `None` if it waits.
pub(super) const fn due_at(delivery: &Delivery) -> Option<Timestamp> {
    match delivery.due {
        Due::At(at) => Some(at),
        Due::Waiting => None,
    }
}

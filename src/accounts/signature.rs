//! The `signatures` of a webhook.

use super::definition::RESERVED;
use super::entry::{EncodingName, PartEntry, SchemeName, SignatureEntry, WebhookEntry};
use crate::delivery::{Encoding, HeaderSignature, Scheme, SignedText};
use crate::document::{Context, Place};
use http::HeaderName;

/// Headers that every request has, and that no signature may replace.
const SET: [&str; 2] = ["content-type", "user-agent"];

/// Reads every signature, and reports the faults.
pub(super) fn read(
    entry: &WebhookEntry,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Vec<HeaderSignature> {
    let read = entry.signatures.iter().enumerate();
    read.filter_map(|(index, signature)| {
        one(signature, &entry.headers, &place.item(index), context)
    })
    .collect()
}

fn one(
    entry: &SignatureEntry,
    others: &[PartEntry],
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<HeaderSignature> {
    let header = entry.header.as_deref().and_then(|name| header(name, others, place, context));
    let written = entry.content.as_deref().unwrap_or("{body}");
    let content = text(written, "content", place, context);
    if content.as_ref().is_some_and(|content| !content.has_body()) {
        let problem =
            "does not contain {body}, so that the receiver can't tell whether the body is genuine";
        context.warn(&place.key("content"), problem, "add {body} unless the receiver forbids it");
    }
    let prefix = text(&entry.prefix, "prefix", place, context);
    let is_header = |text: &str| text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if prefix.as_ref().is_some_and(SignedText::has_body) || !is_header(&entry.prefix) {
        let problem = "contains {body}, or a character that a header cannot carry";
        context.fault(&place.key("prefix"), problem, "use printable ASCII, {timestamp} and {id}");
        return None;
    }
    let place = place.key("secret");
    let secret = entry.secret.as_ref().and_then(|secret| context.secret(&place, secret))?;
    if secret.reveal().is_empty() {
        context.fault(&place, "is empty", "write the secret that the receiver has");
        return None;
    }
    let scheme = match entry.scheme? {
        SchemeName::HmacSha256 => Scheme::HmacSha256,
        SchemeName::HmacSha512 => Scheme::HmacSha512,
        SchemeName::HmacSha1 => Scheme::HmacSha1,
    };
    let encoding = match entry.encoding {
        EncodingName::Hex => Encoding::Hex,
        EncodingName::Base64 => Encoding::Base64,
    };
    Some(HeaderSignature::new(header?, scheme, encoding, prefix?, content?, &secret))
}

fn text(text: &str, key: &str, place: &Place<'_>, context: &mut Context<'_>) -> Option<SignedText> {
    let parsed = SignedText::parse(text);
    let fix = "write {body}, {timestamp} or {id}";
    parsed.map_err(|error| context.fault(&place.key(key), error.to_string(), fix)).ok()
}

/// Reads the name of the header. The daemon's own headers, and those of the definition, are refused.
fn header(
    name: &str,
    others: &[PartEntry],
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<HeaderName> {
    let place = place.key("header");
    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
        let fix = "use letters, digits and hyphens, as in X-Signature-256";
        context.fault(&place, "is not a header's name", fix);
        return None;
    };
    if RESERVED.contains(&header.as_str()) || SET.contains(&header.as_str()) {
        let fix = match header.as_str() {
            "webhook-signature" => "sign by `signing_secrets`",
            _ => "use the header that the receiver reads the signature from",
        };
        context.fault(&place, format!("`{header}` is written by the daemon itself"), fix);
        return None;
    }
    let has_name = |other: &PartEntry| {
        other.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(header.as_str()))
    };
    if others.iter().any(has_name) {
        context.fault(&place, format!("`{header}` is among `headers` too"), "keep one of them");
        return None;
    }
    Some(header)
}

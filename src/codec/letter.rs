//! Reads dead letters: their headers, and the delivery of one.

use super::delivery::Members;
use super::header;
use super::time::parse_rfc3339;
use crate::domain::{AccountId, Delivery, DeliveryId, PhononUuid, Source, Timestamp};
use serde::Deserialize;
use std::borrow::Cow;

/// The kind of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterKind {
    /// A delivery, as JSON.
    Delivery,
    /// A record of an input topic, as it came: a call begin record, a flow complete record or a delivery report.
    Record,
}

impl LetterKind {
    /// Returns the value of the header `ringback.kind`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Record => "record",
        }
    }
}

/// The headers of a dead letter. They are not trustworthy, because other programs can write to the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterHead<'a> {
    pub kind: LetterKind,
    /// Why the delivery or the record became a dead letter.
    pub reason: &'a str,
    /// The id of the delivery.
    pub id: Option<DeliveryId>,
    /// The webhook of the delivery.
    pub webhook: Option<&'a str>,
    pub account: Option<AccountId>,
    /// 1 or 2, and 0 for the webhook of a rule.
    pub phase: Option<u8>,
    /// The number of attempts.
    pub attempts: Option<u32>,
    /// When the first attempt ended, as it was written.
    pub first_attempt_at: Option<&'a str>,
    /// When the last attempt ended, as it was written.
    pub last_attempt_at: Option<&'a str>,
    /// The position of the record, or of the record that triggered the delivery.
    pub source: Option<Source>,
    /// An explanation for operators.
    pub detail: Option<&'a str>,
    /// The length of the record in bytes, if the dead letter does not contain all of it.
    pub truncated_from: Option<u64>,
}

impl<'a> LetterHead<'a> {
    /// Reads the headers that `header` returns. `at` is the dead letter's own time. Returns `None` if they are not
    /// those of a dead letter.
    pub fn read(header: impl Fn(&str) -> Option<&'a str>, at: Timestamp) -> Option<Self> {
        let kind = [LetterKind::Delivery, LetterKind::Record]
            .into_iter()
            .find(|kind| Some(kind.as_str()) == header(header::KIND))?;
        let number = |name| header(name).and_then(|text| text.parse::<i64>().ok());
        let source = || {
            Some(Source {
                topic: header(header::SOURCE_TOPIC)?.into(),
                partition: i32::try_from(number(header::SOURCE_PARTITION)?).ok()?,
                offset: number(header::SOURCE_OFFSET)?,
                timestamp: header(header::SOURCE_TIMESTAMP).and_then(parse_rfc3339).unwrap_or(at),
                index: header(header::SOURCE_INDEX).and_then(|text| text.parse().ok()),
                trace: None,
            })
        };
        Some(Self {
            kind,
            reason: header(header::REASON)?,
            id: header(header::WEBHOOK_ID).and_then(DeliveryId::parse),
            webhook: header(header::WEBHOOK),
            account: number(header::ACCOUNT).map(AccountId),
            phase: number(header::PHASE).and_then(|number| u8::try_from(number).ok()),
            attempts: number(header::ATTEMPTS).and_then(|number| u32::try_from(number).ok()),
            first_attempt_at: header(header::FIRST_ATTEMPT_AT),
            last_attempt_at: header(header::LAST_ATTEMPT_AT),
            source: source(),
            detail: header(header::DETAIL),
            truncated_from: header(header::TRUNCATED_FROM_BYTES).and_then(|text| text.parse().ok()),
        })
    }
}

/// Reads the uuid and the delivery of the dead letter `value`, with the parts that a replay needs.
#[must_use]
pub fn read_delivery(value: &[u8], source: Source) -> Option<(PhononUuid, Delivery)> {
    let members = Members::read(value)?;
    members.delivery(value, &members.request.as_ref()?.body, source)
}

#[derive(Deserialize)]
struct Life<'a> {
    #[serde(borrow)]
    phonon_uuid: Cow<'a, str>,
    replays: u32,
}

/// Reads the uuid of the delivery in the dead letter `value`, and how often the delivery was replayed.
#[must_use]
pub fn read_life(value: &[u8]) -> Option<(Cow<'_, str>, u32)> {
    let life: Life<'_> = serde_json::from_slice(value).ok()?;
    Some((life.phonon_uuid, life.replays))
}

#[cfg(test)]
mod tests;

//! Dead letters, read back: what their headers tell, and the delivery that one of them holds.

use super::header;
use super::rendering::Text;
use super::time::parse_rfc3339;
use crate::domain::{
    AccountId, Delivery, DeliveryId, Phase, PhononUuid, Source, Timestamp, WebhookName,
};
use bytes::Bytes;
use serde::Deserialize;
use std::borrow::Cow;

/// What a dead letter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterKind {
    /// A delivery, as JSON.
    Delivery,
    /// A record of an input topic, as it came: a call begin, a flow complete record or a delivery report.
    Record,
}

impl LetterKind {
    /// The word of the header `ringback.kind`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Record => "record",
        }
    }
}

/// What the headers of a dead letter tell; nothing of it is certain, since anybody may write to the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterHead<'a> {
    /// What it holds.
    pub kind: LetterKind,
    /// Why it was given up.
    pub reason: &'a str,
    /// Which delivery.
    pub id: Option<DeliveryId>,
    /// Where it was to go.
    pub webhook: Option<&'a str>,
    /// Whose it is.
    pub account: Option<AccountId>,
    /// 1 or 2; 0 for the webhook of a rule.
    pub phase: Option<u8>,
    /// How many attempts were made.
    pub attempts: Option<u32>,
    /// When the first one ended, as it was written.
    pub first_attempt_at: Option<&'a str>,
    /// When the last one ended, as it was written.
    pub last_attempt_at: Option<&'a str>,
    /// The record that triggered it, or the record itself.
    pub source: Option<Source>,
    /// For people.
    pub detail: Option<&'a str>,
    /// The record was so long, and is not all there.
    pub truncated_from: Option<u64>,
}

impl<'a> LetterHead<'a> {
    /// Reads the headers that `header` finds; `at` is the letter's own time. `None`: it is none of ours.
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

#[derive(Deserialize)]
struct Shown<'a> {
    #[serde(borrow)]
    webhook_id: Cow<'a, str>,
    #[serde(borrow)]
    phonon_uuid: Cow<'a, str>,
    account_id: i64,
    #[serde(borrow)]
    webhook: Cow<'a, str>,
    phase: u8,
    replays: u32,
    #[serde(borrow)]
    request: Request<'a>,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    body: Cow<'a, str>,
}

/// The delivery that the dead letter `value` tells of, as far as a life to come needs it, and whose it is.
#[must_use]
pub fn read_delivery(value: &[u8], source: Source) -> Option<(PhononUuid, Delivery)> {
    let shown: Shown<'_> = serde_json::from_slice(value).ok()?;
    let phase = Phase::ALL.into_iter().find(|phase| phase.number() == shown.phase)?;
    let at = source.timestamp;
    let delivery = Delivery {
        replays: shown.replays,
        rendering: Text::read(value)?,
        ..Delivery::new(
            DeliveryId::parse(&shown.webhook_id)?,
            phase,
            AccountId(shown.account_id),
            WebhookName::new(&shown.webhook)?,
            Bytes::copy_from_slice(shown.request.body.as_bytes()),
            source,
            at,
        )
    };
    Some((PhononUuid::new(&shown.phonon_uuid)?, delivery))
}

#[derive(Deserialize)]
struct Life<'a> {
    #[serde(borrow)]
    phonon_uuid: Cow<'a, str>,
    replays: u32,
}

/// Whose delivery the dead letter `value` holds, and how many lives it had before the one that ended.
#[must_use]
pub fn read_life(value: &[u8]) -> Option<(Cow<'_, str>, u32)> {
    let life: Life<'_> = serde_json::from_slice(value).ok()?;
    Some((life.phonon_uuid, life.replays))
}

#[cfg(test)]
mod tests;

//! Dead letters with their state, as answers that can be serialised.

use crate::codec::event::rfc3339;
use crate::codec::letter::LetterKind;
use crate::replay::{Letter, Since};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The headers of a dead letter, and its state since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LetterView {
    /// `PARTITION:OFFSET`.
    pub place: String,
    /// When it became a dead letter (RFC 3339).
    pub at: String,
    /// `delivery` or `record`.
    pub kind: &'static str,
    /// The reason, such as `attempts_exhausted`.
    pub reason: String,
    /// `open`, `replayed`, `delivered` or `unknown`.
    pub state: &'static str,
    /// When it was replayed (RFC 3339).
    pub replayed_at: Option<String>,
    /// When the replayed delivery was delivered, or the replayed record was read (RFC 3339).
    pub delivered_at: Option<String>,
    /// The id of the delivery. `None` for a record.
    pub webhook_id: Option<String>,
    /// The letter's key. A record without uuid keeps its own key.
    pub phonon_uuid: Option<String>,
    /// The name of the webhook. `None` for a record.
    pub webhook: Option<String>,
    /// The account, where it is known.
    pub account_id: Option<i64>,
    /// The phase: 1 or 2, or 0 for a delivery of a rule.
    pub phase: Option<u8>,
    /// The number of attempts that were made.
    pub attempts: Option<u32>,
    /// When the first attempt ended (RFC 3339).
    pub first_attempt_at: Option<String>,
    /// When the last attempt ended (RFC 3339).
    pub last_attempt_at: Option<String>,
    /// The record that triggered the delivery, or the record itself.
    pub source: Option<Source>,
    /// An explanation of the reason, as text.
    pub detail: Option<String>,
    /// The original size of the record, if the letter holds only its beginning.
    pub truncated_from_bytes: Option<u64>,
}

/// The place of a source record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// The record's timestamp (RFC 3339).
    pub timestamp: String,
    /// The place in the array that the record is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
}

impl LetterView {
    /// Returns the answer about `letter`, whose state is `since`.
    #[must_use]
    pub fn of(letter: &Letter<'_>, since: &Since) -> Self {
        let head = &letter.head;
        let (partition, offset) = letter.place;
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self {
            place: format!("{partition}:{offset}"),
            at: rfc3339(letter.at),
            kind: head.kind.as_str(),
            reason: head.reason.to_owned(),
            state: since.state.as_str(),
            replayed_at: since.replayed_at.map(rfc3339),
            delivered_at: since.delivered_at.map(rfc3339),
            webhook_id: head.id.map(|id| id.to_string()),
            phonon_uuid: letter.key.map(|key| String::from_utf8_lossy(key).into_owned()),
            webhook: owned(head.webhook),
            account_id: head.account.map(|account| account.0),
            phase: head.phase,
            attempts: head.attempts,
            first_attempt_at: owned(head.first_attempt_at),
            last_attempt_at: owned(head.last_attempt_at),
            source: head.source.as_ref().map(|source| Source {
                topic: source.topic.to_string(),
                partition: source.partition,
                offset: source.offset,
                timestamp: rfc3339(source.timestamp),
                index: source.index,
            }),
            detail: owned(head.detail),
            truncated_from_bytes: head.truncated_from,
        }
    }
}

/// A dead letter with all headers and its content.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WholeLetter {
    /// The known headers, and the letter's state since.
    #[serde(flatten)]
    pub letter: LetterView,
    /// All headers by name.
    pub headers: BTreeMap<String, Option<String>>,
    /// The delivery or the record.
    #[serde(flatten)]
    pub content: Content,
}

/// The content of a dead letter.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A delivery, as its dead letter holds it.
    Delivery(Value),
    /// A record whose value is text. `None` is a tombstone.
    Value(Option<String>),
    /// Any other record, as Base64.
    ValueBase64(String),
}

impl WholeLetter {
    /// Returns the answer about `letter` with its headers and its content.
    #[must_use]
    pub fn of(letter: &Letter<'_>, since: &Since) -> Self {
        let headers = letter.headers().map(|(name, value)| {
            (name.into_owned(), value.map(|value| String::from_utf8_lossy(value).into_owned()))
        });
        let delivery = match letter.head.kind {
            LetterKind::Delivery => {
                letter.value.and_then(|value| serde_json::from_slice(value).ok())
            }
            LetterKind::Record => None,
        };
        let text = letter.value.map(|value| (value, std::str::from_utf8(value)));
        let content = match (delivery, text) {
            (Some(delivery), _) => Content::Delivery(delivery),
            (None, None) => Content::Value(None),
            (None, Some((_, Ok(text)))) => Content::Value(Some(text.to_owned())),
            (None, Some((value, Err(_)))) => Content::ValueBase64(STANDARD.encode(value)),
        };
        Self { letter: LetterView::of(letter, since), headers: headers.collect(), content }
    }
}

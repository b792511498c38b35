//! Dead letters with what became of them, and what a replay did, as answers that can be serialised.

use crate::codec::event::rfc3339;
use crate::codec::letter::LetterKind;
use crate::replay::{Letter, Since, Summary};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What a letter's headers say, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LetterView {
    /// `PARTITION:OFFSET`.
    pub place: String,
    /// When it was given up.
    pub at: String,
    /// `delivery` or `record`.
    pub kind: &'static str,
    /// Why it was given up.
    pub reason: String,
    /// `open`, `replayed`, `delivered` or `unknown`.
    pub state: &'static str,
    /// When it was sent after all.
    pub replayed_at: Option<String>,
    /// When that was delivered, or read again.
    pub delivered_at: Option<String>,
    /// The delivery.
    pub webhook_id: Option<String>,
    /// The letter's key.
    pub phonon_uuid: Option<String>,
    /// The webhook.
    pub webhook: Option<String>,
    /// The account.
    pub account_id: Option<i64>,
    /// 0, 1 or 2.
    pub phase: Option<u8>,
    /// How many attempts were made.
    pub attempts: Option<u32>,
    /// When the first attempt ended.
    pub first_attempt_at: Option<String>,
    /// When the last attempt ended.
    pub last_attempt_at: Option<String>,
    /// The record that triggered the delivery, or the record itself.
    pub source: Option<Source>,
    /// Why, for people.
    pub detail: Option<String>,
    /// How long the record was, where the letter does not hold all of it.
    pub truncated_from_bytes: Option<u64>,
}

/// Where a record stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its own time.
    pub timestamp: String,
}

impl LetterView {
    /// The answer about `letter`, of which `since` says what became of it.
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
            }),
            detail: owned(head.detail),
            truncated_from_bytes: head.truncated_from,
        }
    }
}

/// A letter whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WholeLetter {
    /// What its headers say, and what became of it.
    #[serde(flatten)]
    pub letter: LetterView,
    /// All headers.
    pub headers: BTreeMap<String, Option<String>>,
    /// What was given up.
    #[serde(flatten)]
    pub content: Content,
}

/// What was given up.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A delivery.
    Delivery(Value),
    /// A record that is text, or a tombstone.
    Value(Option<String>),
    /// Any other record.
    ValueBase64(String),
}

impl WholeLetter {
    /// The answer about all of `letter`.
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

/// What a replay did, or would do.
#[derive(Debug, Serialize)]
pub struct ReplayView<'a> {
    /// Nothing was sent.
    pub dry_run: bool,
    /// How many letters match.
    pub matched: u64,
    /// How many were sent, or would be, in the whole run.
    pub replayed: u64,
    /// How many of them by this call.
    pub replayed_now: u64,
    /// Skipped: delivered since.
    pub skipped_delivered: u64,
    /// Skipped: their deliveries have a newer letter.
    pub skipped_older: u64,
    /// Skipped: replayed before, and on their way.
    pub skipped_sent: u64,
    /// Can't be replayed.
    pub not_replayable: u64,
    /// Left for another call.
    pub left: u64,
    /// Those that match, by reason.
    pub by_reason: &'a BTreeMap<String, u64>,
    /// Those that match, by webhook.
    pub by_webhook: &'a BTreeMap<String, u64>,
    /// It goes on with a run that was interrupted.
    pub resumed: bool,
    /// The run has finished.
    pub finished: bool,
    /// The events before then are gone.
    pub events_gone_before: Option<String>,
}

impl<'a> ReplayView<'a> {
    /// The answer about the replay that `summary` is of.
    #[must_use]
    pub fn of(summary: &'a Summary, dry_run: bool) -> Self {
        Self {
            dry_run,
            matched: summary.matched,
            replayed: summary.replayed,
            replayed_now: if dry_run { 0 } else { summary.replayed_now },
            skipped_delivered: summary.skipped_delivered,
            skipped_older: summary.skipped_older,
            skipped_sent: summary.skipped_sent,
            not_replayable: summary.not_replayable,
            left: summary.left,
            by_reason: &summary.by_reason,
            by_webhook: &summary.by_webhook,
            resumed: summary.resumed,
            finished: summary.finished && !dry_run,
            events_gone_before: summary.unseen_before.map(rfc3339),
        }
    }
}

//! The selection of letters by an operator.

use crate::codec::event::parse_rfc3339;
use crate::codec::letter::LetterHead;
use crate::domain::{AccountId, DeliveryId, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

/// A point in time, with the text that means it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When {
    /// The operator's text. An age means another time in every call, but the same run.
    pub spelt: String,
    /// The time that the text means.
    pub at: Timestamp,
}

impl When {
    /// Parses RFC 3339, or an age before `now` such as `2h`, `90s` or `7d`.
    ///
    /// # Errors
    /// The text is neither. The error says which formats are possible.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, String> {
        let at = parse_rfc3339(text).or_else(|| before(now, text));
        at.map(|at| Self { spelt: text.to_owned(), at }).ok_or_else(|| {
            "it is neither an RFC 3339 time (2026-11-21T09:00:00Z) nor an age (30s, 15m, 2h, 7d)".to_owned()
        })
    }
}

fn before(now: Timestamp, age: &str) -> Option<Timestamp> {
    let digits = age.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = age.split_at_checked(digits)?;
    let unit_ms: i64 = match unit {
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return None,
    };
    let ms = count.parse::<i64>().ok()?.checked_mul(unit_ms)?;
    Some(Timestamp::from_ms(now.as_ms().checked_sub(ms)?))
}

/// One letter, or all letters of one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// All letters of the delivery.
    Delivery(DeliveryId),
    /// The letter at this partition and offset.
    TopicPartition(i32, i64),
}

impl Target {
    /// Parses a `webhook-id`, or `PARTITION:OFFSET`.
    ///
    /// # Errors
    /// The text is neither. The error says which formats are possible.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(id) = DeliveryId::parse(text) {
            return Ok(Self::Delivery(id));
        }
        let place = text.split_once(':').and_then(|(partition, offset)| {
            let place = Self::TopicPartition(partition.parse().ok()?, offset.parse().ok()?);
            (!text.contains(['-', '+'])).then_some(place)
        });
        place.ok_or_else(|| {
            "it is neither a webhook-id (msg_…) nor a letter's place (PARTITION:OFFSET)".to_owned()
        })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Delivery(id) => id.fmt(f),
            Self::TopicPartition(partition, offset) => write!(f, "{partition}:{offset}"),
        }
    }
}

/// The conditions on letters. A letter must meet all that are set.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Filter {
    /// Only deliveries to this webhook.
    pub webhook: Option<String>,
    /// Only letters of this account.
    pub account: Option<AccountId>,
    /// Only deliveries of this phase.
    pub phase: Option<u8>,
    /// Only letters with this reason.
    pub reason: Option<String>,
    /// Only letters written at this time or later.
    pub since: Option<When>,
    /// Only letters written before this time.
    pub until: Option<When>,
    /// Only this letter, or the letters of this delivery.
    pub target: Option<Target>,
}

impl Filter {
    /// Returns whether the letter with this place, time and head meets all conditions.
    #[must_use]
    pub fn fits(
        &self,
        (partition, offset): (i32, i64),
        at: Timestamp,
        head: &LetterHead<'_>,
    ) -> bool {
        let aimed = match self.target {
            None => true,
            Some(Target::Delivery(id)) => head.id == Some(id),
            Some(Target::TopicPartition(p, o)) => (p, o) == (partition, offset),
        };
        aimed
            && self.webhook.as_deref().is_none_or(|webhook| head.webhook == Some(webhook))
            && self.account.is_none_or(|account| head.account == Some(account))
            && self.phase.is_none_or(|phase| head.phase == Some(phase))
            && self.reason.as_deref().is_none_or(|reason| head.reason == reason)
            && self.since.as_ref().is_none_or(|since| at >= since.at)
            && self.until.as_ref().is_none_or(|until| at < until.at)
    }

    /// Returns a text that identifies the filter, and so its runs. Equal conditions give equal texts.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let spelt = |when: &Option<When>| when.as_ref().map(|when| when.spelt.clone());
        let target = self.target.map(|target| target.to_string());
        let words = [
            self.webhook.clone(),
            self.account.map(|account| account.to_string()),
            self.phase.map(|phase| phase.to_string()),
            self.reason.clone(),
            spelt(&self.since),
            spelt(&self.until),
            target,
        ];
        // The Debug format quotes the parts, so that different parts never give the same text.
        format!("{:016x}", xxh3_64(format!("{words:?}").as_bytes()))
    }
}

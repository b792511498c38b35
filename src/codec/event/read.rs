//! What a command that looks needs of a published event: whether a delivery ended, and how.

use crate::domain::DeliveryId;
use serde::Deserialize;
use std::borrow::Cow;

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its endpoint took it.
    Delivered,
    /// It was given up.
    DeadLettered,
}

#[derive(Deserialize)]
struct Shown<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    webhook_id: Option<Cow<'a, str>>,
}

/// Which delivery ended by the event `value`, and how; nothing when none did.
#[must_use]
pub fn read_end(value: &[u8]) -> Option<(DeliveryId, End)> {
    // Events begin with their type, and most end nothing: those need not be parsed.
    let head = value.get(..32).unwrap_or(value);
    if ![&b"\"delivered\""[..], b"\"dead_lettered\""]
        .iter()
        .any(|word| head.windows(word.len()).any(|part| part == *word))
    {
        return None;
    }
    let shown: Shown<'_> = serde_json::from_slice(value).ok()?;
    let end = match &*shown.kind {
        "delivered" => End::Delivered,
        "dead_lettered" => End::DeadLettered,
        _ => return None,
    };
    Some((DeliveryId::parse(&shown.webhook_id?)?, end))
}

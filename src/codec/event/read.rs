//! What a command that looks needs of a published event: whether a delivery ended, and how; and what became of a
//! dead letter.

use super::Became;
use crate::codec::command::read_place;
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
    if !begins(value, &[b"\"delivered\"", b"\"dead_lettered\""]) {
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

/// Events begin with their type, and most are of another one than those that are looked for: those need not be parsed.
fn begins(value: &[u8], types: &[&[u8]]) -> bool {
    let head = value.get(..32).unwrap_or(value);
    types.iter().any(|word| head.windows(word.len()).any(|part| part == *word))
}

/// What changes the state of dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The delivery was delivered.
    Delivered(DeliveryId),
    /// The delivery is sent after all.
    Replayed(DeliveryId),
    /// The delivery was given up, after so many lives that had ended before.
    DeadLettered(DeliveryId, u32),
    /// A record was sent back, read again, and became this.
    Record {
        /// The place of its letter.
        letter: (i32, i64),
        /// What became of it.
        became: Became,
    },
}

#[derive(Deserialize)]
struct Turning<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    webhook_id: Option<Cow<'a, str>>,
    replays: Option<u32>,
    #[serde(borrow)]
    letter: Option<Cow<'a, str>>,
    #[serde(borrow)]
    became: Option<Cow<'a, str>>,
}

/// What the event `value` changes of dead letters; nothing when it changes nothing.
#[must_use]
pub fn read_turn(value: &[u8]) -> Option<Turn> {
    let types: [&[u8]; 4] =
        [b"\"delivered\"", b"\"replayed\"", b"\"dead_lettered\"", b"\"record_replayed\""];
    if !begins(value, &types) {
        return None;
    }
    let event: Turning<'_> = serde_json::from_slice(value).ok()?;
    let id = || event.webhook_id.as_deref().and_then(DeliveryId::parse);
    Some(match &*event.kind {
        "delivered" => Turn::Delivered(id()?),
        "replayed" => Turn::Replayed(id()?),
        "dead_lettered" => Turn::DeadLettered(id()?, event.replays?),
        "record_replayed" => {
            let word = event.became?;
            let became = Became::ALL.into_iter().find(|became| became.as_str() == word)?;
            Turn::Record { letter: read_place(&event.letter?)?, became }
        }
        _ => return None,
    })
}

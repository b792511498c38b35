//! The keys of a partition. The first byte is the kind. A kind is never reused for something else.
//!
//! | kind | key | value | in the changelog |
//! |---|---|---|---|
//! | `m` | – | input offsets and time of the last commit | yes |
//! | `s` | uuid | state row | yes |
//! | `e` | webhook | endpoint row | yes |
//! | `k` | – | checkpoint and tally | no: it says which part of the changelog the store holds |
//! | `t` | due time, uuid | – | no: derived |
//! | `w` | time of its acceptance, uuid of a flow that waits for reports | – | no: derived |
//! | `d` | webhook, `0`, class, due time, delivery id | uuid | no: derived |

use crate::domain::{Class, DeliveryId, PhononUuid, Timestamp, WebhookName};
use std::collections::BTreeMap;

const META: u8 = b'm';
const STATE: u8 = b's';
const ENDPOINT: u8 = b'e';
const CHECKPOINT: u8 = b'k';
const TIMER: u8 = b't';
const DUE: u8 = b'd';
const AWAITING: u8 = b'w';

/// The key of a row that the changelog also has, where it is the record's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowKey {
    /// The partition's meta row.
    Meta,
    /// The state of a uuid.
    State(PhononUuid),
    /// The state of an endpoint.
    Endpoint(WebhookName),
}

impl RowKey {
    /// The key of the meta row.
    pub const META: &'static [u8] = &[META];

    /// Appends the key of the state row of `uuid`.
    pub fn write_state(uuid: &PhononUuid, out: &mut Vec<u8>) {
        out.push(STATE);
        out.extend_from_slice(uuid.as_str().as_bytes());
    }

    /// Appends the key of the row of the endpoint `webhook`.
    pub fn write_endpoint(webhook: &WebhookName, out: &mut Vec<u8>) {
        out.push(ENDPOINT);
        out.extend_from_slice(webhook.as_str().as_bytes());
    }

    /// Returns the range of all endpoint rows.
    pub(super) fn endpoints() -> (Vec<u8>, Vec<u8>) {
        (vec![ENDPOINT], vec![ENDPOINT + 1])
    }

    /// Returns the range of all state rows.
    pub(super) fn states() -> (Vec<u8>, Vec<u8>) {
        (vec![STATE], vec![STATE + 1])
    }

    /// Parses the key of a changelog record.
    #[must_use]
    pub fn parse(key: &[u8]) -> Option<Self> {
        match key.split_first()? {
            (&META, []) => Some(Self::Meta),
            (&STATE, uuid) => Some(Self::State(PhononUuid::new(std::str::from_utf8(uuid).ok()?)?)),
            (&ENDPOINT, webhook) => {
                Some(Self::Endpoint(WebhookName::new(std::str::from_utf8(webhook).ok()?)?))
            }
            _ => None,
        }
    }
}

/// Any key of a partition's store, for code that reads all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreKey {
    /// A row that the changelog also has.
    Row(RowKey),
    Checkpoint,
    Timer(TimerKey),
    Awaiting(AwaitingKey),
    /// The position of a delivery in its lane.
    Due(WebhookName, DueKey),
}

impl StoreKey {
    /// Parses the key of an entry. Returns `None` for the key of no entry.
    #[must_use]
    pub fn parse(key: &[u8]) -> Option<Self> {
        match *key.first()? {
            CHECKPOINT => (key == CHECKPOINT_KEY).then_some(Self::Checkpoint),
            TIMER => TimerKey::parse(key).map(Self::Timer),
            AWAITING => AwaitingKey::parse(key).map(Self::Awaiting),
            DUE => DueKey::parse(key).map(|(webhook, key)| Self::Due(webhook, key)),
            _ => RowKey::parse(key).map(Self::Row),
        }
    }
}

pub(super) const CHECKPOINT_KEY: &[u8] = &[CHECKPOINT];

/// The position of a uuid's timer in time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerKey {
    /// The time at which it is due.
    pub due: Timestamp,
    pub uuid: PhononUuid,
}

impl TimerKey {
    /// Appends the key of the timer of `uuid`.
    pub fn write(due: Timestamp, uuid: &[u8], out: &mut Vec<u8>) {
        write_timed(TIMER, due, uuid, out);
    }

    /// Parses the key of a timer.
    #[must_use]
    pub fn parse(key: &[u8]) -> Option<Self> {
        let (due, uuid) = parse_timed(TIMER, key)?;
        Some(Self { due, uuid })
    }

    /// Returns the range of all timers from `from` up to and including `until`.
    pub(super) fn range(from: Timestamp, until: Timestamp) -> (Vec<u8>, Vec<u8>) {
        let bound = |due| {
            let mut key = Vec::with_capacity(9);
            Self::write(due, &[], &mut key);
            key
        };
        (bound(from), bound(until.plus_ms(1)))
    }
}

/// A flow that waits for reports, by the time at which it was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwaitingKey {
    /// The time at which the flow was accepted.
    pub since: Timestamp,
    pub uuid: PhononUuid,
}

impl AwaitingKey {
    /// Appends the key of the flow `uuid`.
    pub fn write(since: Timestamp, uuid: &[u8], out: &mut Vec<u8>) {
        write_timed(AWAITING, since, uuid, out);
    }

    /// Parses the key of a flow.
    #[must_use]
    pub fn parse(key: &[u8]) -> Option<Self> {
        let (since, uuid) = parse_timed(AWAITING, key)?;
        Some(Self { since, uuid })
    }

    /// Returns the range of all flows that were accepted at `from` or later.
    pub(super) fn range(from: Timestamp) -> (Vec<u8>, Vec<u8>) {
        let mut lower = Vec::with_capacity(9);
        Self::write(from, &[], &mut lower);
        (lower, vec![AWAITING + 1])
    }
}

fn write_timed(kind: u8, at: Timestamp, uuid: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&sortable(at));
    out.extend_from_slice(uuid);
}

fn parse_timed(kind: u8, key: &[u8]) -> Option<(Timestamp, PhononUuid)> {
    let (at, uuid) = key.strip_prefix(&[kind])?.split_first_chunk::<8>()?;
    Some((from_sortable(*at), PhononUuid::new(std::str::from_utf8(uuid).ok()?)?))
}

/// The position of a delivery in its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueKey {
    /// First attempts sort before all retries.
    pub class: Class,
    /// The earliest time of the next attempt.
    pub due: Timestamp,
    pub id: DeliveryId,
}

impl DueKey {
    /// Returns the lowest position of a class.
    #[must_use]
    pub fn first(class: Class) -> Self {
        Self { class, due: Timestamp::from_ms(i64::MIN), id: DeliveryId::from_bytes([0; 16]) }
    }

    /// Returns the highest position of a class.
    pub(super) fn last(class: Class) -> Self {
        let id = DeliveryId::from_bytes([0xff; 16]);
        Self { class, due: Timestamp::from_ms(i64::MAX), id }
    }

    /// Appends the key of the position in the lane of `webhook`.
    pub fn write(self, webhook: &WebhookName, out: &mut Vec<u8>) {
        Self::write_lane(webhook, self.class, out);
        out.extend_from_slice(&sortable(self.due));
        out.extend_from_slice(&self.id.to_bytes());
    }

    pub(super) fn write_lane(webhook: &WebhookName, class: Class, out: &mut Vec<u8>) {
        out.push(DUE);
        out.extend_from_slice(webhook.as_str().as_bytes());
        out.extend_from_slice(&[0, class as u8]);
    }

    /// Parses the key of a position.
    #[must_use]
    pub fn parse(key: &[u8]) -> Option<(WebhookName, Self)> {
        let (rest, id) = key.strip_prefix(&[DUE])?.split_last_chunk::<16>()?;
        let (webhook, due) = rest.split_last_chunk::<8>()?;
        let (webhook, [0, class]) = webhook.split_last_chunk()? else { return None };
        let webhook = std::str::from_utf8(webhook).ok()?;
        let class = Class::ALL.into_iter().find(|known| *known as u8 == *class)?;
        let key = Self { class, due: from_sortable(*due), id: DeliveryId::from_bytes(*id) };
        Some((WebhookName::new(webhook)?, key))
    }

    /// Returns the range of all positions in all lanes.
    pub(super) fn all() -> (Vec<u8>, Vec<u8>) {
        (vec![DUE], vec![DUE + 1])
    }
}

/// The number of deliveries of each lane by class, and the first position.
pub type Backlogs = BTreeMap<(WebhookName, Class), (u64, DueKey)>;

/// Encodes a time big-endian with the sign flipped, so that bytes sort as times do.
fn sortable(time: Timestamp) -> [u8; 8] {
    (time.as_ms() ^ i64::MIN).to_be_bytes()
}

fn from_sortable(bytes: [u8; 8]) -> Timestamp {
    Timestamp::from_ms(i64::from_be_bytes(bytes) ^ i64::MIN)
}

#[cfg(test)]
mod tests {
    use super::{DueKey, RowKey, TimerKey};
    use crate::domain::{Class, DeliveryId, PhononUuid, Timestamp, WebhookName};

    #[test]
    fn keys_read_back_and_sort_by_time() {
        let webhook = WebhookName::new("crm").unwrap();
        let id = DeliveryId::from_bytes([7; 16]);
        let key = |ms| DueKey { class: Class::Retry, due: Timestamp::from_ms(ms), id };
        let bytes = |ms| {
            let mut out = Vec::new();
            key(ms).write(&webhook, &mut out);
            out
        };
        assert!(bytes(-5) < bytes(3) && bytes(3) < bytes(300));
        assert_eq!(DueKey::parse(&bytes(300)), Some((webhook.clone(), key(300))));

        let uuid = PhononUuid::new("u-1").unwrap();
        let mut timer = Vec::new();
        TimerKey::write(Timestamp::from_ms(9), b"u-1", &mut timer);
        assert_eq!(TimerKey::parse(&timer).map(|key| key.uuid), Some(uuid.clone()));

        let mut row = Vec::new();
        RowKey::write_state(&uuid, &mut row);
        assert_eq!(RowKey::parse(&row), Some(RowKey::State(uuid)));
        assert_eq!(RowKey::parse(RowKey::META), Some(RowKey::Meta));
        let mut row = Vec::new();
        RowKey::write_endpoint(&webhook, &mut row);
        assert_eq!(RowKey::parse(&row), Some(RowKey::Endpoint(webhook)));
        assert_eq!(RowKey::parse(b"x"), None);
    }
}

//! A delivery as its events tell it, in its latest life.

use crate::codec::event::About;
use crate::domain::{DeliveryId, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

/// When a delivery may be attempted, as far as events tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    At(Timestamp),
    Waiting,
    /// Replayed while phase 1 was on its way: then, or after it.
    AtOrWaiting(Timestamp),
    Unsure,
}

/// A delivery, in its latest life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) id: DeliveryId,
    pub(super) due: When,
    /// When this life began.
    pub(super) since: Timestamp,
    pub(super) webhook: u32,
    pub(super) attempts: u32,
    pub(super) replays: u32,
    /// The largest `replays` of all lives.
    pub(super) replays_max: u32,
    /// Attempts told in all lives.
    pub(super) told: u32,
    /// How often it was scheduled, and not replayed.
    pub(super) scheduled: u16,
    /// What the endpoint answered when it was delivered last; 0: it was not, or without a status.
    pub(super) status: u16,
    pub(super) phase: u8,
    pub(super) live: bool,
    pub(super) delivered: bool,
    /// Of a life of the uuid that was forgotten since.
    pub(super) former: bool,
    /// Its last attempt was told, and its end must follow.
    pub(super) last: bool,
    /// It was first to wait for phase 1.
    pub(super) held: bool,
    /// It waits until it is rendered.
    pub(super) pending: bool,
    /// It began in events that are gone.
    pub(super) unsure: bool,
}

impl Life {
    pub(super) fn begin(about: &About<'_>, at: Timestamp) -> Self {
        Self {
            id: about.id,
            due: When::At(at),
            since: at,
            webhook: webhook_hash(&about.webhook),
            attempts: 0,
            replays: 0,
            replays_max: 0,
            told: 0,
            scheduled: 1,
            status: 0,
            phase: about.phase,
            live: true,
            delivered: false,
            former: false,
            last: false,
            held: false,
            pending: false,
            unsure: false,
        }
    }
}

/// What rows and events are compared by.
pub(super) fn webhook_hash(name: &str) -> u32 {
    let [a, b, c, d, ..] = xxh3_64(name.as_bytes()).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

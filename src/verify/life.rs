//! The state of a delivery in its latest life, made from its events.

use crate::codec::event::About;
use crate::domain::{DeliveryId, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

/// When a delivery may be attempted, as far as its events show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    At(Timestamp),
    Waiting,
    /// It was replayed while phase 1 was not finished: it is due at that time, or after phase 1.
    AtOrWaiting(Timestamp),
    Unsure,
}

/// A delivery in its latest life.
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
    /// The number of attempts in all lives.
    pub(super) attempts_total: u32,
    /// How often it was scheduled, without replays.
    pub(super) scheduled: u16,
    /// The status of the last successful answer. 0: it was not delivered, or there was no status.
    pub(super) status: u16,
    pub(super) phase: u8,
    pub(super) live: bool,
    pub(super) delivered: bool,
    /// Whether it belongs to a life of the uuid that was forgotten since.
    pub(super) former: bool,
    /// Whether its last attempt was made, so that its end must follow.
    pub(super) last: bool,
    /// Whether it was scheduled to wait for phase 1.
    pub(super) held: bool,
    /// Whether it waits to be rendered.
    pub(super) pending: bool,
    /// Whether the events of its beginning are deleted.
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
            attempts_total: 0,
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

/// Hashes the webhook's name, to compare rows with events.
pub(super) fn webhook_hash(name: &str) -> u32 {
    let [a, b, c, d, ..] = xxh3_64(name.as_bytes()).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

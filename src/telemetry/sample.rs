//! The figures of an instance at one time, for the charts of the console.

use super::labels::{EndpointState, OutboxState};
use crate::domain::{DeadLetterReason, ErrorReason, Timestamp};
use std::time::Duration;

/// The figures of an instance at one time. Counts are those since the start of the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The number of records that were read from the inputs.
    pub records: u64,
    /// The number of attempts.
    pub attempts: u64,
    /// The number of webhooks that were delivered.
    pub delivered: u64,
    /// The number of deliveries that became dead letters.
    pub dead_lettered: u64,
    /// The number of deliveries that wait, by what they wait for.
    pub outbox: Vec<(OutboxState, u64)>,
    /// The number of flows that wait for delivery reports.
    pub awaiting_reports: u64,
    /// The number of open dead letters by reason; empty until they are counted.
    pub open_letters: Vec<(DeadLetterReason, u64)>,
}

impl Sample {
    /// Returns the number of deliveries that wait in this state.
    #[must_use]
    pub fn waiting(&self, state: OutboxState) -> u64 {
        count_of(&self.outbox, state)
    }

    /// Returns the number of open dead letters with this reason; 0 until they are counted.
    #[must_use]
    pub fn open(&self, reason: DeadLetterReason) -> u64 {
        count_of(&self.open_letters, reason)
    }
}

fn count_of<K: Copy + PartialEq>(counts: &[(K, u64)], key: K) -> u64 {
    counts.iter().find(|(of, _)| *of == key).map_or(0, |(_, count)| *count)
}

/// The figures of one webhook on this instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebhookFigures {
    pub attempts: u64,
    /// The number of attempts that succeeded.
    pub succeeded: u64,
    pub delivered: u64,
    pub dead_lettered: u64,
    /// The mean time from the source record's timestamp to the delivery. `None`: there was none.
    pub mean_latency: Option<Duration>,
    /// The number of deliveries that wait.
    pub backlog: u64,
    /// When the oldest of them was scheduled.
    pub oldest: Option<Timestamp>,
    /// The number of deliveries that the rate limit holds back.
    pub rate_limited: u64,
    /// The number of deliveries that the endpoint's pause, its breaker or its end holds back.
    pub held: u64,
    pub state: EndpointState,
    pub last_failure: Option<LastFailure>,
}

/// The latest failed attempt of a webhook on this instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastFailure {
    pub at: Timestamp,
    pub reason: ErrorReason,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
}

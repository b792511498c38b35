//! The results that the demo must show, and which of them are missing.

use super::samples::Sample;
use std::collections::BTreeSet;
use std::fmt;
use tokio::sync::watch;

/// A result that the demo must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sight {
    /// The first webhook arrived, signed and with the right body.
    Phase1Arrived,
    /// The daemon reported the first webhook as delivered.
    Phase1Delivered,
    /// The second webhook arrived, signed and with the right body.
    Phase2Arrived,
    /// The daemon reported the second webhook as delivered.
    Phase2Delivered,
    /// An attempt failed, and a retry was scheduled.
    Retried,
    /// The delivery to the failing endpoint became a dead letter with its whole body.
    DeadLetter,
    /// The dead letter was put back into the outbox.
    Replayed,
    /// The repaired endpoint accepted the replayed delivery.
    ReplayDelivered,
}

impl Sight {
    const ALL: [Self; 8] = [
        Self::Phase1Arrived,
        Self::Phase1Delivered,
        Self::Phase2Arrived,
        Self::Phase2Delivered,
        Self::Retried,
        Self::DeadLetter,
        Self::Replayed,
        Self::ReplayDelivered,
    ];
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Phase1Arrived => "the first webhook, signed and with the sample's body",
            Self::Phase1Delivered => "the event `delivered` of phase 1",
            Self::Phase2Arrived => "the second webhook, signed and with the sample's body",
            Self::Phase2Delivered => "the event `delivered` of phase 2",
            Self::Retried => "a failed attempt with a retry",
            Self::DeadLetter => "the dead letter",
            Self::Replayed => "the event `replayed`",
            Self::ReplayDelivered => "the event `delivered` of the replayed delivery",
        })
    }
}

/// The results that are missing. Clones share them.
#[derive(Clone)]
pub(super) struct Checklist {
    left: watch::Sender<BTreeSet<Sight>>,
}

impl Checklist {
    /// Creates a checklist on which all results are missing.
    pub(super) fn new() -> Self {
        Self { left: watch::Sender::new(Sight::ALL.into()) }
    }

    /// Marks a result as seen.
    pub(super) fn saw(&self, sight: Sight) {
        self.left.send_if_modified(|left| left.remove(&sight));
    }

    /// Marks the webhook with this body as arrived. Its signature was already checked.
    pub(super) fn arrived(&self, body: &[u8]) {
        let sample = Sample::original();
        if body == sample.phase_1.as_bytes() {
            self.saw(Sight::Phase1Arrived);
        } else if body == sample.phase_2.as_bytes() {
            self.saw(Sight::Phase2Arrived);
        }
    }

    /// Waits until all of these results were seen.
    pub(super) async fn wait_for(&self, sights: &[Sight]) {
        let seen = |left: &BTreeSet<Sight>| sights.iter().all(|sight| !left.contains(sight));
        // `self` holds the sender, so the channel is not closed.
        let _ = self.left.subscribe().wait_for(seen).await;
    }

    /// Waits until all results were seen.
    pub(super) async fn wait(&self) {
        self.wait_for(&Sight::ALL).await;
    }

    /// Returns the results that were not seen.
    pub(super) fn left(&self) -> BTreeSet<Sight> {
        self.left.borrow().clone()
    }
}

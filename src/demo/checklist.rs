//! What the demo has to show, and what of it is still to come.

use super::samples::Sample;
use std::collections::BTreeSet;
use std::fmt;
use tokio::sync::watch;

/// Something that has to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sight {
    /// The first webhook arrived, signed, with the right body.
    Phase1Arrived,
    /// The daemon says so too.
    Phase1Delivered,
    /// The second webhook arrived, signed, with the right body.
    Phase2Arrived,
    /// The daemon says so too.
    Phase2Delivered,
    /// An attempt failed and was followed by another one.
    Retried,
    /// The delivery whose endpoint fails was given up, and kept whole.
    DeadLetter,
    /// It was put back into the outbox.
    Replayed,
    /// Its endpoint, which was mended, took it.
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
            Self::Retried => "a failed attempt that is made again",
            Self::DeadLetter => "the dead letter",
            Self::Replayed => "the event `replayed`",
            Self::ReplayDelivered => "the event `delivered` of what was replayed",
        })
    }
}

/// What is still to come.
#[derive(Clone)]
pub(super) struct Checklist {
    left: watch::Sender<BTreeSet<Sight>>,
}

impl Checklist {
    /// Nothing has been seen.
    pub(super) fn new() -> Self {
        Self { left: watch::Sender::new(Sight::ALL.into()) }
    }

    /// It has been seen.
    pub(super) fn saw(&self, sight: Sight) {
        self.left.send_if_modified(|left| left.remove(&sight));
    }

    /// A webhook with this body arrived, well signed.
    pub(super) fn arrived(&self, body: &[u8]) {
        let sample = Sample::original();
        if body == sample.phase_1.as_bytes() {
            self.saw(Sight::Phase1Arrived);
        } else if body == sample.phase_2.as_bytes() {
            self.saw(Sight::Phase2Arrived);
        }
    }

    /// Waits until all of these have been seen.
    pub(super) async fn wait_for(&self, sights: &[Sight]) {
        let seen = |left: &BTreeSet<Sight>| sights.iter().all(|sight| !left.contains(sight));
        // The sender is at hand, so that the channel can't be closed.
        let _ = self.left.subscribe().wait_for(seen).await;
    }

    /// Waits until everything has been seen.
    pub(super) async fn wait(&self) {
        self.wait_for(&Sight::ALL).await;
    }

    /// What has not been seen.
    pub(super) fn left(&self) -> BTreeSet<Sight> {
        self.left.borrow().clone()
    }
}

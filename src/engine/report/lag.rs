//! The lag: the records of the inputs that are not committed yet.

use crate::clock;
use crate::domain::Timestamp;
use crate::engine::dispatcher::Dispatcher;
use crate::engine::partitions::Partitions;
use crate::log::{End, Log, TopicPartition};
use crate::store::Disk;
use crate::telemetry::Metrics;
use std::collections::BTreeMap;

/// The ends of the inputs.
#[derive(Default)]
pub(super) struct Lag {
    /// The ends that were reported since the lag was last shown.
    ends: Vec<End>,
    /// The position before records that the reader can't see yet, and since when they have been waiting.
    unseen: BTreeMap<TopicPartition, (i64, Timestamp)>,
}

impl Lag {
    pub(super) fn note(&mut self, ends: Vec<End>) {
        self.ends = ends;
    }

    pub(super) fn show<L: Log, D: Disk>(
        &mut self,
        partitions: &Partitions<L, D>,
        dispatcher: &Dispatcher,
        metrics: &Metrics,
    ) {
        let ends = std::mem::take(&mut self.ends);
        if ends.is_empty() {
            return;
        }
        let waiting = dispatcher.first_records();
        let mut unseen = BTreeMap::new();
        for end in &ends {
            let place = &end.place;
            let Some(task) = partitions.owner_of(place) else { continue };
            let next = end.next(task.positions.get(place).copied().unwrap_or(end.first));
            let (lag, now) = ((end.end - next).max(0), clock::now());
            let known = waiting.get(place).copied().or(end.waits_since).and_then(ours);
            let since = match known {
                _ if lag == 0 => None,
                Some(since) => Some(since),
                None => {
                    let before = self.unseen.get(place).filter(|(stood, _)| *stood == next);
                    let (_, since) = *unseen.entry(place.clone()).or_insert(match before {
                        Some(before) => *before,
                        None => (next, now),
                    });
                    Some(since)
                }
            };
            metrics.set_consumer_lag(&place.topic, place.partition, lag);
            metrics.set_unread_since(&place.topic, place.partition, since);
        }
        self.unseen = unseen;
    }
}

/// Converts a record's time from another machine's clock to this daemon's clock. Returns `None` if the record has no
/// time.
fn ours(at: Timestamp) -> Option<Timestamp> {
    (at.as_ms() > 0).then(|| clock::now().minus_ms(clock::wall().ms_since(at)))
}

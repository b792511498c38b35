//! What is still to be read of the inputs.

use super::Shell;
use super::ports::Log;
use crate::clock;
use crate::domain::Timestamp;
use crate::log::{End, Place};
use std::collections::BTreeMap;

/// Since when records wait that the reader can't see yet, and what stood before them then.
pub(super) type Unseen = BTreeMap<Place, (i64, Timestamp)>;

impl<L: Log> Shell<L> {
    /// Shows how much of each input is not committed yet, and for how long it has been there.
    pub(super) fn show_lag(&mut self) {
        let ends = std::mem::take(&mut self.ends);
        if ends.is_empty() {
            return;
        }
        let waiting = self.intake.firsts();
        let mut unseen = Unseen::new();
        for end in &ends {
            let place = &end.place;
            let Some(task) = self.owner_of(place) else { continue };
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
            self.metrics.set_consumer_lag(&place.topic, place.partition, lag);
            self.metrics.set_unread_since(&place.topic, place.partition, since);
        }
        self.unseen = unseen;
    }

    /// Notes which records were deleted before they were read.
    pub(super) fn note_ends(&mut self, ends: Vec<End>) {
        for End { place, first, .. } in &ends {
            self.note_missed(place, *first);
        }
        self.ends = ends;
    }
}

/// A record's time, which is another machine's, by our own; `None`: it has none.
fn ours(at: Timestamp) -> Option<Timestamp> {
    (at.as_ms() > 0).then(|| clock::now().minus_ms(clock::wall().ms_since(at)))
}

//! The state of the inputs: the ids of their topics, their changes, and records that were deleted before they were
//! read.

use crate::codec::event::{InputChange, InputEvent};
use crate::codec::row::{Landmark, TopicId};
use crate::log::{End, Identity, Landmarks, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The inputs, as this instance knows them.
pub(in crate::engine) struct Inputs {
    /// The ids of the cluster and of the topics that offsets belong to.
    pub(super) identity: Arc<Identity>,
    /// Whether topics have changed since the partitions were restored, so that they have to be restored again.
    pub(super) is_reread: bool,
    /// The last records that were read of inputs without topic ids.
    pub(super) landmarks: Arc<Landmarks>,
    /// Events for the next batch.
    events: Vec<InputEvent>,
    /// The largest gap of skipped offsets in each input since its end was last reported.
    gaps: BTreeMap<TopicPartition, (i64, i64)>,
    /// Topics for which the warning about another partitioner was logged.
    warned: BTreeSet<Arc<str>>,
}

/// Returns the input partition of an event.
pub(in crate::engine) fn place(event: &InputEvent) -> TopicPartition {
    TopicPartition { topic: event.topic.clone(), partition: event.partition }
}

impl Inputs {
    pub(super) fn new(landmarks: Arc<Landmarks>) -> Self {
        Self {
            identity: Arc::default(),
            is_reread: false,
            landmarks,
            events: Vec::new(),
            gaps: BTreeMap::new(),
            warned: BTreeSet::new(),
        }
    }

    /// Forgets the landmarks and gaps: the inputs are read again from their committed offsets, or by another instance.
    pub(super) fn clear(&mut self) {
        self.landmarks.clear();
        self.gaps.clear();
    }

    /// Returns whether a topic's id differs from the known one.
    pub(super) fn is_another(&self, identity: &Identity) -> bool {
        let known = &self.identity;
        known.topics.keys().any(|topic| TopicId::differ(known.topic(topic), identity.topic(topic)))
    }

    /// Sets the landmarks by which the inputs' logs are recognised.
    pub(super) fn recognise(&self, landmarks: Vec<(TopicPartition, Option<Landmark>)>) {
        for (place, landmark) in landmarks {
            self.landmarks.set(&place, landmark);
        }
    }

    /// Adds events to the next batch.
    pub(super) fn report(&mut self, events: Vec<InputEvent>) {
        self.events.extend(events);
    }

    pub(super) fn retain_events(&mut self, keeps: impl Fn(&TopicPartition) -> bool) {
        self.events.retain(|event| keeps(&place(event)));
    }

    pub(in crate::engine) fn take_events(&mut self) -> Vec<InputEvent> {
        std::mem::take(&mut self.events)
    }

    /// Returns whether this is the topic's first record that another partition owns.
    pub(in crate::engine) fn warns_of(&mut self, topic: &Arc<str>) -> bool {
        self.warned.insert(topic.clone())
    }

    pub(in crate::engine) fn lacks_ids(&self) -> bool {
        self.identity.lacks_ids()
    }

    /// Keeps the largest gap of each input until the input's first offset is reported. Transaction markers leave gaps,
    /// too.
    pub(in crate::engine) fn note_gaps(&mut self, gaps: Vec<(TopicPartition, i64, i64)>) {
        for (place, from, to) in gaps {
            let known = self.gaps.entry(place).or_insert((from, to));
            if to - from > known.1 - known.0 {
                *known = (from, to);
            }
        }
    }

    /// Reports skipped offsets below the first offset of their input: those records were deleted before they were read.
    pub(in crate::engine) fn note_ends(&mut self, ends: &[End]) {
        for End { place, first, .. } in ends {
            let Some((from, to)) = self.gaps.remove(place) else { continue };
            let to = to.min(*first);
            if from < to {
                let TopicPartition { topic, partition } = place.clone();
                let change = InputChange::Missed { from, to };
                self.events.push(InputEvent { topic, partition, change });
            }
        }
    }
}

//! What is known of the inputs: the ids of their topics, what happened to them, and records that were deleted before they
//! were read.

use crate::codec::event::{InputChange, InputEvent};
use crate::codec::row::{Landmark, TopicId};
use crate::log::{End, Identity, Landmarks, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The inputs, as this instance knows them.
pub(in crate::engine) struct Inputs {
    /// The ids of the cluster and of the topics that offsets belong to.
    pub(super) identity: Arc<Identity>,
    /// Topics have changed since the partitions were restored.
    pub(super) is_reread: bool,
    /// The last records that were read of inputs without topic ids.
    pub(super) landmarks: Arc<Landmarks>,
    /// Events that the next batch reports.
    events: Vec<InputEvent>,
    /// Offsets that were skipped since the inputs' ends were last reported: the largest gap of each.
    gaps: BTreeMap<TopicPartition, (i64, i64)>,
    /// Topics whose producer was reported to use another partitioner.
    warned: BTreeSet<Arc<str>>,
}

/// The input partition that an event is about.
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

    /// Forgets what was read: the inputs are read again from where they are committed, or by another instance.
    pub(super) fn clear(&mut self) {
        self.landmarks.clear();
        self.gaps.clear();
    }

    /// Whether a topic is another one than the one whose offsets are known.
    pub(super) fn is_another(&self, identity: &Identity) -> bool {
        let known = &self.identity;
        known.topics.keys().any(|topic| TopicId::differ(known.topic(topic), identity.topic(topic)))
    }

    /// Recognises the inputs' logs by these landmarks from now on.
    pub(super) fn recognise(&self, landmarks: Vec<(TopicPartition, Option<Landmark>)>) {
        for (place, landmark) in landmarks {
            self.landmarks.set(&place, landmark);
        }
    }

    /// Reports events with the next batch.
    pub(super) fn report(&mut self, events: Vec<InputEvent>) {
        self.events.extend(events);
    }

    pub(super) fn retain_events(&mut self, keeps: impl Fn(&TopicPartition) -> bool) {
        self.events.retain(|event| keeps(&place(event)));
    }

    pub(in crate::engine) fn take_events(&mut self) -> Vec<InputEvent> {
        std::mem::take(&mut self.events)
    }

    /// Whether this is the first record of the topic that another partition owns.
    pub(in crate::engine) fn warns_of(&mut self, topic: &Arc<str>) -> bool {
        self.warned.insert(topic.clone())
    }

    pub(in crate::engine) fn lacks_ids(&self) -> bool {
        self.identity.lacks_ids()
    }

    /// Keeps the largest gap of each input until it is known where the input begins. Markers of transactions leave gaps too.
    pub(in crate::engine) fn note_gaps(&mut self, gaps: Vec<(TopicPartition, i64, i64)>) {
        for (place, from, to) in gaps {
            let known = self.gaps.entry(place).or_insert((from, to));
            if to - from > known.1 - known.0 {
                *known = (from, to);
            }
        }
    }

    /// Reports skipped offsets below the beginning of their input: those records were deleted before they were read.
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

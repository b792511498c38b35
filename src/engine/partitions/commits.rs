//! The partitions' part of a commit: their meta rows and offsets before it, and their positions after it.

use super::Partitions;
use crate::clock;
use crate::codec::row::{InputOffset, Landmark, Meta};
use crate::engine::report::Report;
use crate::engine::work::{Outbound, Work};
use crate::log::{Committed, GroupOffset, Log, TopicPartition};
use crate::store::Disk;
use std::collections::BTreeMap;
use std::ops::Range;

impl<L: Log, D: Disk> Partitions<L, D> {
    /// Returns whether a meta row has to be written even if nothing was decided.
    pub(in crate::engine) fn meta_changed(&self) -> bool {
        self.tasks.values().any(|task| task.active && task.meta_changed)
    }

    /// Returns the meta rows of the partitions that the batch touches.
    pub(in crate::engine) fn metas(&self, work: &Work) -> BTreeMap<i32, Meta> {
        let mut touched: BTreeMap<i32, Meta> = BTreeMap::new();
        let read = work.offsets.keys().map(|place| place.partition);
        let endpoints = work.endpoints().keys().map(|(number, _)| *number);
        let slots = work.slots().iter().map(|slot| slot.partition);
        let changed =
            self.tasks.iter().filter(|(_, task)| task.meta_changed).map(|(number, _)| *number);
        for number in read.chain(slots).chain(endpoints).chain(changed) {
            let Some(task) = self.running(number) else { continue };
            touched.entry(number).or_insert_with(|| {
                let position =
                    |place| work.offsets.get(place).or_else(|| task.positions.get(place));
                let offsets = task.places.iter().filter_map(|place| {
                    Some(InputOffset {
                        topic: place.topic.clone(),
                        partition: place.partition,
                        next_offset: *position(place)?,
                        topic_id: self.inputs.identity.topic(&place.topic).cloned(),
                        landmark: self.landmark(place, work),
                    })
                });
                let (offsets, owner) = (offsets.collect(), task.owner.clone());
                Meta { offsets, committed_at: clock::now_to_commit(), owner }
            });
        }
        touched
    }

    /// Returns the offsets of every partition that the batch touches, even if it has read nothing from it. Only by
    /// these offsets does the group fence an instance that has lost the partition.
    pub(in crate::engine) fn offsets(
        &self,
        work: &Work,
        metas: &BTreeMap<i32, Meta>,
    ) -> BTreeMap<TopicPartition, GroupOffset> {
        // Input partitions that are only forwarded have no rows.
        let read = work.offsets.iter().map(|(place, offset)| {
            let topic = self.inputs.identity.topic(&place.topic).cloned();
            let landmark = self.landmark(place, work);
            (place.clone(), GroupOffset { offset: *offset, topic, changelog: None, landmark })
        });
        let known = metas.values().flat_map(|meta| {
            let changelog = meta.owner.as_ref().and_then(|owner| owner.changelog.as_ref());
            meta.offsets.iter().map(move |input| {
                let InputOffset { topic, partition, next_offset, topic_id, landmark } =
                    input.clone();
                let (offset, changelog) = (next_offset, changelog.cloned());
                let offset = GroupOffset { offset, topic: topic_id, changelog, landmark };
                (TopicPartition { topic, partition }, offset)
            })
        });
        read.chain(known).collect()
    }

    /// Returns the landmark of an input whose topic has no id. Before the first commit, it is the last record of the
    /// batch.
    fn landmark(&self, place: &TopicPartition, work: &Work) -> Option<Landmark> {
        if !self.inputs.identity.is_without_id(&place.topic) {
            return None;
        }
        self.inputs.landmarks.of(place).or_else(|| work.landmarks.get(place).copied())
    }

    /// Marks the rows of a batch as committed, together with these meta rows.
    pub(in crate::engine) fn committed(
        &mut self,
        committed: &Committed,
        outbound: &Outbound,
        meta_rows: &BTreeMap<i32, Range<usize>>,
    ) {
        let now = clock::now();
        for (number, range) in meta_rows {
            let Some(task) = self.tasks.get_mut(number) else { continue };
            let mut written = committed.0.iter();
            let written = written.find(|(partition, _)| *partition == *number);
            task.rows.committed(written.map(|(_, next)| *next), outbound.bytes(range), now);
            if let Some((partition, next)) = written
                && self.inputs.identity.is_without_id(&self.settings.topics.changelog)
            {
                self.inputs.landmarks.written(*partition, *next);
            }
        }
    }

    /// Updates the positions from the committed meta rows.
    pub(in crate::engine) fn advance(
        &mut self,
        work: &Work,
        metas: BTreeMap<i32, Meta>,
        report: &Report,
    ) {
        for (number, meta) in metas {
            if let Some(task) = self.tasks.get_mut(&number) {
                let positions = meta.offsets.into_iter().map(|input| {
                    let InputOffset { topic, partition, next_offset, .. } = input;
                    (TopicPartition { topic, partition }, next_offset)
                });
                task.positions = positions.collect();
                task.meta_changed = false;
                report.health().progress(number);
            }
        }
        for (place, landmark) in &work.landmarks {
            if self.inputs.identity.is_without_id(&place.topic) {
                self.inputs.landmarks.read(place, *landmark);
            }
        }
    }
}

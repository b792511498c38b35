//! Checks whether the topics and the changelog are still the ones that the partitions were restored from.

use super::Partitions;
use crate::codec::row::{Difference, Owner};
use crate::engine::ownership::{Holder, Mismatch, Permissions};
use crate::log::{Identity, Log, TopicPartition};
use crate::store::Disk;
use std::collections::BTreeMap;

impl<L: Log, D: Disk> Partitions<L, D> {
    /// Compares the present ids of topics with the known ones. If an input's id has changed, its partitions are
    /// restored again.
    ///
    /// # Errors
    /// The changelog's id has changed.
    pub(in crate::engine) fn compare(&mut self, identity: &Identity) -> Result<(), Mismatch> {
        let topic = self.settings.topics.changelog.clone();
        let known = &self.inputs.identity;
        if let (Some(theirs), Some(ours)) = (known.topic(&topic), identity.topic(&topic))
            && theirs != ours
        {
            let difference = Difference::Changelog(theirs.clone(), ours.clone());
            let holder = Holder::Changelog;
            return Err(Mismatch::Foreign { holder, partition: 0, difference, topic });
        }
        self.inputs.is_reread |= self.inputs.is_another(identity);
        Ok(())
    }

    /// Plans another restore of all partitions if the log of an input without topic id was replaced.
    pub(in crate::engine) fn replaced(&mut self, places: &[TopicPartition]) {
        let is_read =
            |place: &TopicPartition| self.is_foreign(place) || self.owner_of(place).is_some();
        self.inputs.is_reread |= places.iter().any(is_read);
    }

    /// Checks the partitions of the changelog that lack committed rows, with their ends.
    ///
    /// # Errors
    /// One of them belongs to an active partition.
    pub(in crate::engine) fn lost(&self, ends: &BTreeMap<i32, i64>) -> Result<(), Mismatch> {
        let mut active = self.tasks.iter().filter(|(_, task)| task.active);
        let lost = active.find_map(|(number, _)| Some((*number, *ends.get(number)?)));
        lost.map_or(Ok(()), |(number, end)| Err(self.lost_rows(number, end)))
    }

    /// Returns the error of a changelog's partition that ends at `end` and lacks committed rows.
    pub(in crate::engine) fn lost_rows(&self, partition: i32, end: i64) -> Mismatch {
        let task = self.tasks.get(&partition);
        let checkpoint = task.map_or(0, |task| task.rows.next_offset());
        let topic = self.settings.topics.changelog.clone();
        let former = task.and_then(|task| task.owner.as_ref()?.changelog.clone());
        match former {
            Some(theirs) if end >= checkpoint => Mismatch::Empty { partition, theirs, topic },
            _ => Mismatch::Range { partition, checkpoint, low: 0, high: end, topic },
        }
    }

    /// Returns the offset that each of these partitions of the changelog has reached.
    pub(in crate::engine) fn reached<'n>(
        &self,
        numbers: impl Iterator<Item = &'n i32>,
    ) -> BTreeMap<i32, i64> {
        let reached = |number: &i32| Some((*number, self.tasks.get(number)?.rows.next_offset()));
        numbers.filter_map(reached).collect()
    }

    /// Refuses rows of another owner in the partitions of this group's changelog.
    pub(in crate::engine) fn compare_owners(
        &self,
        owners: &BTreeMap<i32, Owner>,
    ) -> Result<(), Mismatch> {
        let topic = &self.settings.topics.changelog;
        for (number, task) in self.tasks.iter().filter(|(_, task)| task.active) {
            let theirs = owners.get(number);
            if let (Some(theirs), Some(ours)) = (theirs, &task.owner) {
                let (at, permissions) = ((Holder::Changelog, *number), Permissions::default());
                if let Some(found) = Mismatch::find(at, theirs, ours, &permissions, topic)
                    && !task.meta_changed
                {
                    return Err(found);
                }
            }
        }
        Ok(())
    }
}

//! What is written at once: rows, the indexes derived from them, and the checkpoint.

use super::key::{CHECKPOINT_KEY, DueKey, RowKey, TimerKey};
use super::partition::Partition;
use crate::domain::{Correlation, Due, PhononUuid, State, Timestamp};
use rocksdb::WriteBatch;

/// How much of the changelog a partition's store holds. Too low is always safe, too high never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// The first offset of the changelog that is not in the store.
    pub next_offset: i64,
    /// When it was written.
    pub at: Timestamp,
    /// What the store holds.
    pub tally: Tally,
}

/// How many uuids stand where; kept as work is done, so that no gauge scans the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tally {
    /// Reports that wait for their flow.
    pub awaiting_flow: u64,
    /// Flows with webhooks on their way.
    pub open: u64,
    /// Flows that send nothing.
    pub silent: u64,
    /// Markers.
    pub ended: u64,
    /// Deliveries that wait for phase 1.
    pub held: u64,
}

impl Tally {
    /// The tally after a uuid went from `old` to `new`.
    pub fn change(&mut self, old: &State, new: &State) {
        if let Some(count) = self.slot(old) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = self.slot(new) {
            *count += 1;
        }
        self.held = (self.held + held(new)).saturating_sub(held(old));
    }

    fn slot(&mut self, state: &State) -> Option<&mut u64> {
        match &state.correlation {
            Correlation::Unknown => None,
            Correlation::AwaitingFlow(_) => Some(&mut self.awaiting_flow),
            Correlation::Open(_) => Some(&mut self.open),
            Correlation::Silent { .. } => Some(&mut self.silent),
            Correlation::Ended { .. } => Some(&mut self.ended),
        }
    }

    fn to_array(self) -> [u64; 5] {
        [self.awaiting_flow, self.open, self.silent, self.ended, self.held]
    }

    fn from_array([awaiting_flow, open, silent, ended, held]: [u64; 5]) -> Self {
        Self { awaiting_flow, open, silent, ended, held }
    }
}

fn held(state: &State) -> u64 {
    state.deliveries.iter().filter(|row| row.due == Due::AfterPhaseOne).count() as u64
}

impl Checkpoint {
    fn to_bytes(self) -> Vec<u8> {
        let numbers = [self.next_offset.cast_unsigned(), self.at.as_ms().cast_unsigned()];
        numbers.into_iter().chain(self.tally.to_array()).flat_map(u64::to_be_bytes).collect()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        let numbers: [u64; 7] = words
            .iter()
            .map(|word| u64::from_be_bytes(*word))
            .collect::<Vec<_>>()
            .try_into()
            .ok()?;
        let [next_offset, at, tally @ ..] = numbers;
        rest.is_empty().then_some(Self {
            next_offset: next_offset.cast_signed(),
            at: Timestamp::from_ms(at.cast_signed()),
            tally: Tally::from_array(tally),
        })
    }
}

/// The changes of one partition, written together or not at all.
pub struct Batch {
    pub(super) write: WriteBatch,
    key: Vec<u8>,
}

impl Default for Batch {
    fn default() -> Self {
        Self { write: WriteBatch::default(), key: Vec::with_capacity(300) }
    }
}

impl Batch {
    /// An empty batch with room for so much, which spares it growing.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { write: WriteBatch::with_capacity_bytes(bytes), ..Self::default() }
    }

    /// Puts the state of `uuid` in the place of the old one: the row, which is `encoded`, and what is derived from it.
    pub fn put(
        &mut self,
        partition: &Partition,
        uuid: &PhononUuid,
        old: &State,
        new: &State,
        encoded: &[u8],
    ) {
        let family = partition.family();
        self.key.clear();
        RowKey::write_state(uuid, &mut self.key);
        if new.is_empty() {
            self.write.delete_cf(&family, &self.key);
        } else {
            self.write.put_cf(&family, &self.key, encoded);
        }
        self.timer(partition, uuid, old, new);
        self.due(partition, uuid, old, new);
    }

    fn timer(&mut self, partition: &Partition, uuid: &PhononUuid, old: &State, new: &State) {
        let (was, is) = (old.timer(), new.timer());
        if was == is {
            return;
        }
        let family = partition.family();
        if let Some(due) = was {
            self.key.clear();
            TimerKey::write(due, uuid.as_str().as_bytes(), &mut self.key);
            self.write.delete_cf(&family, &self.key);
        }
        if let Some(due) = is {
            self.key.clear();
            TimerKey::write(due, uuid.as_str().as_bytes(), &mut self.key);
            self.write.put_cf(&family, &self.key, []);
        }
    }

    fn due(&mut self, partition: &Partition, uuid: &PhononUuid, old: &State, new: &State) {
        let family = partition.family();
        for (webhook, key) in
            old.due_keys().filter(|key| !new.due_keys().any(|other| other == *key))
        {
            self.key.clear();
            key.write(webhook, &mut self.key);
            self.write.delete_cf(&family, &self.key);
        }
        for (webhook, key) in
            new.due_keys().filter(|key| !old.due_keys().any(|other| other == *key))
        {
            self.key.clear();
            key.write(webhook, &mut self.key);
            self.write.put_cf(&family, &self.key, uuid.as_str());
        }
    }

    /// Puts the partition's meta row.
    pub fn put_meta(&mut self, partition: &Partition, encoded: &[u8]) {
        self.write.put_cf(&partition.family(), RowKey::META, encoded);
    }

    /// Puts the checkpoint.
    pub fn put_checkpoint(&mut self, partition: &Partition, checkpoint: Checkpoint) {
        self.write.put_cf(&partition.family(), CHECKPOINT_KEY, checkpoint.to_bytes());
    }

    /// How large the batch is.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.write.size_in_bytes()
    }
}

impl State {
    /// The places of its deliveries in their lanes; a delivery that waits for phase 1 has none.
    pub fn due_keys(&self) -> impl Iterator<Item = (&crate::domain::WebhookName, DueKey)> {
        self.deliveries.iter().filter_map(|row| match row.due {
            Due::At(due) => Some((&row.webhook, DueKey { due, id: row.id })),
            Due::AfterPhaseOne => None,
        })
    }
}

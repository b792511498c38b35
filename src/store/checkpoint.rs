//! The part of the changelog that a store holds, and a count of its content.

use super::derived::{Derived, Stage};
use crate::domain::Timestamp;

/// The part of the changelog that a partition's store holds. An offset that is too low is always safe, one that is too
/// high never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// The first offset of the changelog that is not in the store.
    pub next_offset: i64,
    /// The time at which it was written.
    pub at: Timestamp,
    /// The count of the store's content.
    pub tally: Tally,
}

/// The number of uuids by stage. It is updated with each change, so that no gauge scans the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tally {
    /// Uuids whose reports wait for their flow.
    pub awaiting_flow: u64,
    /// Flows with webhooks that are not finished.
    pub open: u64,
    /// Flows that send nothing.
    pub silent: u64,
    /// Markers of ended correlations.
    pub ended: u64,
    /// Deliveries that wait for phase 1.
    pub held: u64,
    /// Flows that wait for reports.
    pub awaiting_reports: u64,
}

impl Tally {
    /// Changes the tally for a uuid that went from `old` to `new`.
    pub fn change(&mut self, old: &Derived, new: &Derived) {
        if let Some(count) = self.slot(old.stage) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = self.slot(new.stage) {
            *count += 1;
        }
        self.held = (self.held + new.held).saturating_sub(old.held);
        let (was, is) = (u64::from(old.awaiting.is_some()), u64::from(new.awaiting.is_some()));
        self.awaiting_reports = (self.awaiting_reports + is).saturating_sub(was);
    }

    fn slot(&mut self, stage: Stage) -> Option<&mut u64> {
        match stage {
            Stage::Unknown => None,
            Stage::AwaitingFlow => Some(&mut self.awaiting_flow),
            Stage::Open => Some(&mut self.open),
            Stage::Silent => Some(&mut self.silent),
            Stage::Ended => Some(&mut self.ended),
        }
    }

    fn to_array(self) -> [u64; 6] {
        let Self { awaiting_flow, open, silent, ended, held, awaiting_reports } = self;
        [awaiting_flow, open, silent, ended, held, awaiting_reports]
    }

    fn from_array([awaiting_flow, open, silent, ended, held, awaiting_reports]: [u64; 6]) -> Self {
        Self { awaiting_flow, open, silent, ended, held, awaiting_reports }
    }
}

/// The layout of keys, indexes and tally. A store of another layout is restored from the changelog, which has the rows.
const LAYOUT: u64 = 3;

impl Checkpoint {
    /// Returns the bytes to store.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let numbers = [LAYOUT, self.next_offset.cast_unsigned(), self.at.as_ms().cast_unsigned()];
        numbers.into_iter().chain(self.tally.to_array()).flat_map(u64::to_be_bytes).collect()
    }

    /// Parses stored bytes; `None`: another layout.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        let numbers: [u64; 9] = words
            .iter()
            .map(|word| u64::from_be_bytes(*word))
            .collect::<Vec<_>>()
            .try_into()
            .ok()?;
        let [layout, next_offset, at, tally @ ..] = numbers;
        (rest.is_empty() && layout == LAYOUT).then_some(Self {
            next_offset: next_offset.cast_signed(),
            at: Timestamp::from_ms(at.cast_signed()),
            tally: Tally::from_array(tally),
        })
    }
}

//! Finds out which letters of a plan were delivered or replayed since.

use super::plan::{Fate, Gathered};
use super::{Letters, ReplayError, Stage, Watch};
use crate::codec::command::{COMMAND_HEADER, LETTER_HEADER, RECORD_REPLAYED, REPLAY, read_place};
use crate::codec::event::{Fact, read_notice_of};
use crate::codec::header;
use crate::domain::{DeliveryId, Timestamp};
use crate::log::{ScanFrom, ScanRange, ScanRecord};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// The largest difference between the clocks of daemons and operators that is tolerated.
pub(super) const CLOCKS_DIFFER_MS: i64 = 600_000;

impl Letters {
    /// Finds the letters to skip. If Kafka has deleted events that could matter, returns the time from which the events
    /// are complete.
    pub(super) fn look_since(
        &self,
        gathered: &mut Gathered,
        watch: Watch<'_>,
    ) -> Result<Option<Timestamp>, ReplayError> {
        let unseen_before = match gathered.newest.is_empty() {
            true => None,
            false => self.delivered(gathered, &mut *watch)?,
        };
        if !gathered.inbox_from.is_empty() {
            self.sent(gathered, watch)?;
        }
        Ok(unseen_before)
    }

    /// Finds deliveries that ended. The order of the log counts, not the clocks: the last event of a delivery decides.
    fn delivered(
        &self,
        gathered: &mut Gathered,
        watch: Watch<'_>,
    ) -> Result<Option<Timestamp>, ReplayError> {
        let topic = &self.topics.events;
        let ranges = self.ranges_from(topic, &gathered.events_from)?;
        // The partitions from which retention may have removed events that matter.
        let mut cut: BTreeMap<i32, i64> = ranges
            .iter()
            .filter(|range| range.first > 0 && range.from == range.first)
            .map(|range| (range.partition, range.from))
            .collect();
        let mut unseen_before: Option<Timestamp> = None;
        let Gathered { newest, letters, events_from, .. } = gathered;
        let flow = self.scan(topic, Stage::Events, &ranges, watch, &mut |record| {
            if cut.remove(&record.partition()).is_some() {
                let wanted = events_from.get(&record.partition());
                if wanted.is_some_and(|oldest| *oldest < record.timestamp()) {
                    unseen_before = unseen_before.max(Some(record.timestamp()));
                }
            }
            let ended = record.value().and_then(ended);
            let letter = ended.and_then(|(id, fate)| {
                let letter = letters.get_mut(*newest.get(&id)?)?;
                Some((letter, fate))
            });
            if let Some((letter, fate)) = letter {
                letter.fate = fate;
            }
            ControlFlow::Continue(())
        })?;
        if flow.is_break() { Err(ReplayError::Interrupted) } else { Ok(unseen_before) }
    }

    /// Finds replays of the same letters in the inbox, whether they were processed or not.
    fn sent(&self, gathered: &mut Gathered, watch: Watch<'_>) -> Result<(), ReplayError> {
        let topic = &self.topics.inbox;
        let ranges = self.ranges_from(topic, &gathered.inbox_from)?;
        let Gathered { newest, records, letters, .. } = gathered;
        let flow = self.scan(topic, Stage::Inbox, &ranges, watch, &mut |record| {
            if let Some(place) = record_sent_back(record)
                && let Some(letter) = records.get(&place).and_then(|index| letters.get_mut(*index))
            {
                letter.fate = Fate::Sent;
            }
            if record.header(COMMAND_HEADER) == Some(REPLAY) {
                let id = record.header(header::WEBHOOK_ID).and_then(DeliveryId::parse);
                let letter =
                    id.and_then(|id| newest.get(&id)).and_then(|index| letters.get_mut(*index));
                let place = record.header(LETTER_HEADER).and_then(read_place);
                if let Some(letter) = letter.filter(|letter| Some(letter.place) == place)
                    && letter.fate == Fate::Replay
                {
                    letter.fate = Fate::Sent;
                }
            }
            ControlFlow::Continue(())
        })?;
        if flow.is_break() { Err(ReplayError::Interrupted) } else { Ok(()) }
    }

    pub(super) fn ranges_from(
        &self,
        topic: &str,
        from: &BTreeMap<i32, Timestamp>,
    ) -> Result<Vec<ScanRange>, ReplayError> {
        let want = |(partition, at): (&i32, &Timestamp)| {
            let at = Timestamp::from_ms(at.as_ms().saturating_sub(CLOCKS_DIFFER_MS));
            (*partition, ScanFrom::Time(at))
        };
        let wants: Vec<_> = from.iter().map(want).collect();
        Ok(self.scanner.ranges(topic, &wants)?)
    }
}

/// Returns the delivery that ended by the event `value`, and the fate of its newest letter. Events of unknown types end
/// none.
fn ended(value: &[u8]) -> Option<(DeliveryId, Fate)> {
    let notice = read_notice_of(value, &["delivered", "dead_lettered"])?;
    if let Fact::Delivered { about, .. } = &notice.fact {
        return Some((about.id, Fate::Delivered));
    }
    if let Fact::DeadLettered { about, .. } = &notice.fact {
        return Some((about.id, Fate::Replay));
    }
    None
}

/// Returns the place of the letter that was sent back to its topic, if `record` of the inbox is such a note.
pub(super) fn record_sent_back(record: &ScanRecord<'_>) -> Option<(i32, i64)> {
    let is_note = record.header(COMMAND_HEADER) == Some(RECORD_REPLAYED);
    is_note.then(|| record.header(LETTER_HEADER).and_then(read_place)).flatten()
}

/// Returns the partition of the inbox for the notes about letters of this partition. `inbox` is the number of its
/// partitions.
#[must_use]
pub fn note_home(partition: i32, inbox: u32) -> i32 {
    partition.checked_rem(i32::try_from(inbox).unwrap_or(1)).unwrap_or(0)
}

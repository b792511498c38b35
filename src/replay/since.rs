//! What became of the letters' deliveries since they were given up.

use super::plan::{Fate, Gathered};
use super::{Letters, ReplayError, Stage, Watch};
use crate::codec::command::{COMMAND_HEADER, REPLAY};
use crate::codec::event::{End, read_end};
use crate::domain::{DeliveryId, Timestamp};
use crate::log::{ScanFrom, ScanRange};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// The headers of a replay in the inbox that say which letter it replays.
pub(super) const ID_HEADER: &str = "ringback.webhook-id";
pub(super) const LETTER_HEADER: &str = "ringback.letter";

/// The clocks of daemons and operators may differ by so much.
const CLOCKS_DIFFER_MS: i64 = 600_000;

impl Letters {
    /// Finds the letters that are to be left alone. Returns when the events that are left begin, where some are gone that
    /// might have told.
    pub(super) fn look_since(
        &self,
        gathered: &mut Gathered,
        watch: Watch<'_>,
    ) -> Result<Option<Timestamp>, ReplayError> {
        if gathered.newest.is_empty() {
            return Ok(None);
        }
        let unseen_before = self.delivered(gathered, &mut *watch)?;
        self.sent(gathered, watch)?;
        Ok(unseen_before)
    }

    /// In the order of the log, and not of clocks: what an event says last of a delivery counts.
    fn delivered(
        &self,
        gathered: &mut Gathered,
        watch: Watch<'_>,
    ) -> Result<Option<Timestamp>, ReplayError> {
        let topic = &self.topics.events;
        let ranges = self.ranges_from(topic, &gathered.events_from)?;
        // Partitions from which retention may have taken what would be looked at.
        let mut cut: BTreeMap<i32, i64> = ranges
            .iter()
            .filter(|range| range.first > 0 && range.from == range.first)
            .map(|range| (range.partition, range.from))
            .collect();
        let mut unseen_before: Option<Timestamp> = None;
        let Gathered { newest, letters, events_from, .. } = gathered;
        let flow = self.scan(topic, Stage::Events, &ranges, watch, &mut |record| {
            if cut.remove(&record.partition()).is_some() {
                let wanted =
                    u32::try_from(record.partition()).ok().and_then(|p| events_from.get(&p));
                if wanted.is_some_and(|oldest| *oldest < record.timestamp()) {
                    unseen_before = unseen_before.max(Some(record.timestamp()));
                }
            }
            let ended = record.value().and_then(read_end);
            let letter = ended.and_then(|(id, end)| {
                let letter = letters.get_mut(*newest.get(&id)?)?;
                Some((letter, end))
            });
            if let Some((letter, end)) = letter {
                letter.fate = match end {
                    End::Delivered => Fate::Delivered,
                    End::DeadLettered => Fate::Replay,
                };
            }
            ControlFlow::Continue(())
        })?;
        if flow.is_break() { Err(ReplayError::Interrupted) } else { Ok(unseen_before) }
    }

    /// Replays that wait in the inbox, or were taken from it, of the very letters.
    fn sent(&self, gathered: &mut Gathered, watch: Watch<'_>) -> Result<(), ReplayError> {
        let topic = &self.topics.inbox;
        let ranges = self.ranges_from(topic, &gathered.inbox_from)?;
        let Gathered { newest, letters, .. } = gathered;
        let flow = self.scan(topic, Stage::Inbox, &ranges, watch, &mut |record| {
            if record.header(COMMAND_HEADER) == Some(REPLAY) {
                let id = record.header(ID_HEADER).and_then(DeliveryId::parse);
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

    fn ranges_from(
        &self,
        topic: &str,
        from: &BTreeMap<u32, Timestamp>,
    ) -> Result<Vec<ScanRange>, ReplayError> {
        let want = |(partition, at): (&u32, &Timestamp)| {
            let at = Timestamp::from_ms(at.as_ms().saturating_sub(CLOCKS_DIFFER_MS));
            Some((i32::try_from(*partition).ok()?, ScanFrom::Time(at)))
        };
        let wants: Vec<_> = from.iter().filter_map(want).collect();
        Ok(self.scanner.ranges(topic, &wants)?)
    }
}

/// `PARTITION:OFFSET`
fn read_place(text: &str) -> Option<(i32, i64)> {
    let (partition, offset) = text.split_once(':')?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}

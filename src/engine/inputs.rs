//! What is read of the inputs, and what happened to them: what was deleted before it was read, and what is to be reported of it.

use super::input::place;
use super::intake::Bundle;
use super::ports::Log;
use super::work::Work;
use super::{EngineError, Shell};
use crate::codec::command::LETTER_HEADER;
use crate::codec::event::{InputChange, InputEvent};
use crate::domain::WebhookName;
use crate::log::{Place, RecordBody, forward_headers};

impl<L: Log> Shell<L> {
    /// Decides what was read, and forwards what another partition owns.
    pub(super) fn records(&mut self, bundle: &Bundle, work: &mut Work) -> Result<(), EngineError> {
        if self.epoch != Some(bundle.epoch) {
            return Ok(());
        }
        let endpoint = |name: &WebhookName| self.lanes.endpoint(name);
        let view = self.view(&endpoint);
        let lacks_ids = self.identity.lacks_ids();
        let (mut misplaced, mut gaps) = (None, Vec::new());
        for record in &bundle.records {
            let position = || self.position(&record.place);
            let expected = work.read(record, lacks_ids).or_else(position);
            if let Some(expected) = expected.filter(|expected| *expected < record.offset) {
                gaps.push((record.place.clone(), expected, record.offset));
            }
            match &record.body {
                RecordBody::Command { uuid, owner, forward, command } => {
                    // An input that is laid out otherwise only forwards, or what it did not forward would overtake what it did.
                    let here = i64::from(record.place.partition) == i64::from(*owner)
                        && !self.settings.unlike.contains(&record.place.topic);
                    match self.tasks.get(owner).filter(|task| here && task.active) {
                        Some(task) => {
                            work.command(&task.rows, uuid, command, Some(record), &view)?;
                        }
                        None => {
                            let mut headers = forward_headers(*forward, &record.source);
                            let letter = record.letter.as_ref();
                            headers.extend(letter.map(|it| (LETTER_HEADER, it.to_string())));
                            work.forward(record, uuid, *owner, headers);
                            misplaced = misplaced.or(Some(record));
                        }
                    }
                }
                RecordBody::Endpoint { webhook, command } => {
                    let owner = u32::try_from(record.place.partition).ok();
                    let task = owner.and_then(|owner| self.tasks.get(&owner));
                    if let Some(task) = task.filter(|task| task.active) {
                        work.endpoint(&task.rows, webhook, *command, &view);
                    }
                }
                // Its offset is committed like any other.
                RecordBody::Note => {}
                RecordBody::Bad(bad) => work.bad(record, bad, &view),
            }
        }
        self.note_gaps(gaps);
        if let Some(record) = misplaced
            && self.warned.insert(record.place.topic.clone())
        {
            tracing::warn!(
                topic = record.place.topic.as_ref(),
                partition = record.place.partition,
                offset = record.offset,
                "records stand in a partition that does not own their uuid and are forwarded, which costs speed: have \
                 them keyed by phonon-uuid with Kafka's default partitioner"
            );
        }
        Ok(())
    }

    /// What was found at a restore is committed with the offsets that it led to.
    pub(super) fn report_inputs(&mut self, work: &mut Work) {
        for event in std::mem::take(&mut self.input_events) {
            let at = place(&event);
            if self.foreign.contains(&at) {
                work.offsets.entry(at).or_insert(event.next_offset());
            }
            let endpoint = |_: &WebhookName| None;
            work.input(event, &self.view(&endpoint));
        }
    }

    /// Keeps the largest gap of each input until it is known where the input begins. Markers of transactions leave gaps too.
    pub(super) fn note_gaps(&mut self, gaps: Vec<(Place, i64, i64)>) {
        for (place, from, to) in gaps {
            let known = self.gaps.entry(place).or_insert((from, to));
            if to - from > known.1 - known.0 {
                *known = (from, to);
            }
        }
    }

    /// Offsets that were passed over and lie before the beginning of their input were deleted before they were read.
    pub(super) fn note_missed(&mut self, place: &Place, first: i64) {
        let Some((from, to)) = self.gaps.remove(place) else { return };
        let to = to.min(first);
        if from < to {
            let Place { topic, partition } = place.clone();
            let change = InputChange::Missed { from, to };
            self.input_events.push(InputEvent { topic, partition, change });
        }
    }
}

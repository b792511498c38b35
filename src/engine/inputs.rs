//! What happened to the inputs: what was deleted before it was read, and what is to be reported of it.

use super::Shell;
use super::input::place;
use super::ports::Log;
use super::work::Work;
use crate::codec::event::{InputChange, InputEvent};
use crate::domain::WebhookName;
use crate::log::Place;

impl<L: Log> Shell<L> {
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

//! Checks whether the result of a decision fits into a row.

use crate::domain::{Event, STATE_BYTES_MAX, State, evolve};

/// The state after the events of a decision so far. Each event is applied once, however often the size is asked for.
pub(super) struct Room {
    after: Option<State>,
    /// The number of events that are applied.
    counted: usize,
}

impl Room {
    pub(super) const fn new() -> Self {
        Self { after: None, counted: 0 }
    }

    /// Returns whether `state` after `events` fits into a row, whatever the outcomes of its attempts. `events` must
    /// begin with those of the previous call.
    pub(super) fn is_left(&mut self, state: &State, events: &[Event]) -> bool {
        self.bytes_max(state, events) <= STATE_BYTES_MAX
    }

    fn bytes_max(&mut self, state: &State, events: &[Event]) -> usize {
        let before = self.after.take().unwrap_or_else(|| state.clone());
        let new = events.get(self.counted..).unwrap_or_default();
        let after = new.iter().fold(before, evolve);
        self.counted = events.len();
        self.after.insert(after).bytes_max()
    }

    /// Starts again, because the last event was removed.
    pub(super) fn recount(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::Room;
    use crate::domain::{
        AccountId, DeadLetterReason, Delivery, DeliveryId, Event, Phase, PhononUuid, Source, State,
        Timestamp, WebhookName, evolve,
    };
    use bytes::Bytes;

    fn delivery(number: usize) -> Delivery {
        let uuid = PhononUuid::new(&format!("u-{number}")).unwrap();
        let source = Source {
            topic: "t".into(),
            partition: 0,
            offset: 0,
            timestamp: Timestamp::from_ms(0),
            index: None,
        };
        Delivery::new(
            DeliveryId::derive(&uuid, 1, []),
            Phase::Rule,
            AccountId(28),
            WebhookName::new("crm").unwrap(),
            Bytes::from(vec![b'a'; 100 * number]),
            source,
            Timestamp::from_ms(0),
        )
    }

    fn scheduled(number: usize) -> Event {
        Event::DeliveryScheduled { delivery: Box::new(delivery(number)), sms: Vec::new() }
    }

    #[test]
    fn the_running_size_is_that_of_all_events_from_the_beginning() {
        let state = [scheduled(1)].iter().fold(State::default(), evolve);
        let (reason, at) = (DeadLetterReason::InvalidRequest, Timestamp::from_ms(1));
        let ended = Event::DeadLettered { delivery: Box::new(delivery(3)), reason, at };
        let mut events = Vec::new();
        let mut room = Room::new();
        let recomputed = |events: &[Event]| events.iter().fold(state.clone(), evolve).bytes_max();
        for event in [scheduled(2), scheduled(3), ended, scheduled(4)] {
            events.push(event);
            assert_eq!(room.bytes_max(&state, &events), recomputed(&events));
            // A second call with the same events counts nothing twice.
            assert_eq!(room.bytes_max(&state, &events), recomputed(&events));
        }
        events.pop();
        room.recount();
        assert_eq!(room.bytes_max(&state, &events), recomputed(&events));
        events.extend([scheduled(5), scheduled(6)]);
        assert_eq!(room.bytes_max(&state, &events), recomputed(&events));
    }
}

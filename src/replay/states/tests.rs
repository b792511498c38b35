//! The states of letters after events and replays, in the order of the log.

use super::*;
use crate::domain::PhononUuid;
use LetterState::{Delivered, Open, Replayed, Unknown};

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn id(name: &str) -> DeliveryId {
    DeliveryId::derive(&PhononUuid::new(name).unwrap(), 1, [])
}

/// Creates a batch of letters of these deliveries, or of records, each with its number of earlier lives. Their times
/// are 100, 200 and so on.
fn batch(letters: &[(Option<DeliveryId>, u32)]) -> Batch {
    let mut batch = Batch::default();
    for (offset, (id, life)) in (0..).zip(letters) {
        batch.ids.extend(id.map(|id| (id, batch.entries.len())));
        batch.entries.push(Entry {
            place: (3, offset),
            at: at((offset + 1) * 100),
            kind: if id.is_some() { LetterKind::Delivery } else { LetterKind::Record },
            life: *life,
            state: Open,
            sent_at: None,
            replayed_at: None,
            delivered_at: None,
        });
    }
    batch.sort();
    batch
}

fn states(mut batch: Batch, unknown_before: Option<i64>) -> Vec<LetterState> {
    batch.finish(unknown_before.map(at));
    batch.entries.iter().map(|entry| entry.state).collect()
}

#[test]
fn letters_of_one_delivery_follow_its_lives() {
    let (one, other) = (id("one"), id("other"));
    let turns = [
        Turn::DeadLettered(one, 0),
        Turn::DeadLettered(other, 0),
        Turn::Replayed(one),
        Turn::DeadLettered(one, 1),
        Turn::Replayed(one),
        Turn::Delivered(one),
    ];
    let expected = [
        [Open, Open, Open],
        [Open, Open, Open],
        // The second letter was not written yet; its own event opens it again.
        [Replayed, Open, Replayed],
        [Replayed, Open, Open],
        [Replayed, Open, Replayed],
        [Delivered, Open, Delivered],
    ];
    for count in 1..=turns.len() {
        let mut batch = batch(&[(Some(one), 0), (Some(other), 0), (Some(one), 1)]);
        turns[..count].iter().for_each(|turn| batch.turn(*turn, at(1000)));
        assert_eq!(states(batch, None), expected[count - 1], "{count}");
    }
}

#[test]
fn a_newer_letter_outside_the_batch_counts() {
    let one = id("one");
    for (turns, expected) in [
        (&[Turn::DeadLettered(one, 0), Turn::DeadLettered(one, 1)][..], Replayed),
        // The events of its own life are deleted.
        (&[Turn::DeadLettered(one, 3)], Replayed),
        (&[Turn::Delivered(one), Turn::Replayed(one), Turn::DeadLettered(one, 1)], Delivered),
        (&[Turn::Delivered(one), Turn::DeadLettered(one, 0)], Open),
        (&[Turn::Delivered(id("other")), Turn::Replayed(id("third"))], Open),
    ] {
        let mut batch = batch(&[(Some(one), 0)]);
        turns.iter().for_each(|turn| batch.turn(*turn, at(1000)));
        assert_eq!(states(batch, None), [expected], "{turns:?}");
    }
}

#[test]
fn a_flow_that_comes_again_begins_a_new_first_life_of_its_delivery() {
    let one = id("one");
    let mut batch = batch(&[(Some(one), 0), (Some(one), 0)]);
    batch.turn(Turn::DeadLettered(one, 0), at(100));
    batch.turn(Turn::DeadLettered(one, 0), at(200));
    assert_eq!(states(batch, None), [Replayed, Open]);
}

#[test]
fn the_state_of_a_record_is_the_result_of_its_second_reading() {
    let mut batch = batch(&[(None, 0), (None, 0), (None, 0), (None, 0), (None, 0)]);
    for offset in 1..5 {
        batch.sent((3, offset), at(1000));
    }
    batch.sent((2, 0), at(1000));
    let became = [(2, Became::Accepted), (3, Became::Ignored), (4, Became::DeadLettered)];
    for (offset, became) in became {
        batch.turn(Turn::Record { letter: (3, offset), became }, at(2000));
    }
    assert_eq!(batch.since((3, 2)).unwrap().delivered_at, Some(at(2000)));
    assert_eq!(batch.since((3, 4)).unwrap().replayed_at, Some(at(1000)));
    assert_eq!(states(batch, None), [Open, Replayed, Delivered, Delivered, Replayed]);
}

#[test]
fn only_open_letters_can_be_unknown() {
    let mut batch = batch(&[(None, 0), (None, 0), (None, 0)]);
    batch.sent((3, 1), at(1000));
    assert!(!batch.is_doubtful(at(5000)));
    let mut again = Batch { entries: std::mem::take(&mut batch.entries), ..Batch::default() };
    again.finish(Some(at(250)));
    assert!(again.is_doubtful(at(1001)) && !again.is_doubtful(at(1000)));
    assert_eq!(states(again, Some(250)), [Unknown, Replayed, Open]);
}

#[test]
fn letters_are_found_by_their_places_in_any_order() {
    let mut batch = batch(&[(Some(id("a")), 0), (Some(id("b")), 0)]);
    batch.entries[0].place = (4, 0);
    batch.entries[1].place = (1, 9);
    batch.sort();
    batch.turn(Turn::Delivered(id("a")), at(1000));
    assert_eq!(batch.since((4, 0)).unwrap().state, Delivered);
    assert_eq!(batch.since((1, 9)).unwrap().state, Open);
    assert_eq!(batch.since((1, 8)), None);
    let parts: Vec<_> =
        batch.parts().iter().map(|part| (part.partition, part.from, part.end)).collect();
    assert_eq!(parts, [(1, 9, 10), (4, 0, 1)]);
}

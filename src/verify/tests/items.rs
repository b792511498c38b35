//! Each item of an array has words of its own.

use super::world::{OURS, OWNERS, REPORTS, Said, World, flow, report, uuid};
use super::{check_in, id};
use crate::codec::source::{Envelope, Unwrap};
use crate::domain::{Source, Verdict, owner};
use crate::verify::What;
use serde_json::json;

const SMS: [&str; 2] = ["a", "b"];

/// Creates a flow with two SMS, and one record with their reports. Reads the items with these places in the array.
fn read_of(places: &[u32]) -> World {
    let mut world = World::new();
    world.say(&Said::Flow(flow(&uuid("u"), OURS, Some(&SMS))), false);
    world.attempt("u", id("u", 1, &[]), Verdict::Delivered);
    let own = owner(b"u", OWNERS);
    let array = world.write(REPORTS, own, Some("u"), Vec::new(), b" [{}, {}]");
    for place in places {
        let sms = SMS[*place as usize];
        let said = Said::Report(report(&uuid("u"), OURS, sms, "DELIVERED"));
        let item = Source { index: Some(*place), ..array.clone() };
        world.read(&said, &item, &array);
    }
    world
}

#[test]
fn an_array_whose_items_all_have_their_words_is_no_violation() {
    let mut world = read_of(&[0, 1]);
    world.attempt("u", id("u", 2, &SMS), Verdict::Delivered);
    assert_eq!(world.verify(&world.at_rest()).violations, []);
}

#[test]
fn an_item_without_a_word_is_lost() {
    let world = read_of(&[1]);
    let violations = world.verify(&world.at_rest()).violations;
    let lost: Vec<_> = violations.iter().filter(|it| it.what == What::Lost).collect();
    assert_eq!(lost.len(), 1, "{violations:?}");
    assert_eq!(lost[0].topic.as_deref(), Some(REPORTS));
}

#[test]
fn a_second_word_about_an_item_is_a_violation() {
    check_in(&read_of(&[0, 0]), What::Twice, "u");
}

/// Writes a record to an input whose envelopes are opened, with these headers, and skips it.
fn skipped(headers: Vec<(&'static str, String)>, value: &[u8]) -> World {
    let mut world = World::new();
    world.unwrap = Envelope::ALL.into_iter().fold(Unwrap::default(), Unwrap::with);
    let record = world.write(REPORTS, 0, None, headers, value);
    world.read(&Said::Skipped, &record, &record.clone());
    world
}

/// Returns the kinds of the violations.
fn found(world: &World) -> Vec<What> {
    world.verify(&world.options()).violations.iter().map(|violation| violation.what).collect()
}

/// A header is the only sign that the record is Avro, which may hold a change event.
#[test]
fn a_record_that_only_a_header_and_the_registry_explain_is_not_lost() {
    let header = ("__value_schema_id", "\0\0\0\0\u{7}".to_owned());
    assert_eq!(found(&skipped(vec![header], b"\x02d")), []);
    assert_eq!(found(&skipped(Vec::new(), b"\x02d")), [What::Lost]);
}

#[test]
fn an_item_that_only_the_registry_explains_is_not_lost() {
    let framed = json!([{"specversion": "1.0", "type": "t", "data_base64": "AAAAAAcCZA=="}]);
    assert_eq!(found(&skipped(Vec::new(), framed.to_string().as_bytes())), []);
    let broken = json!([{"specversion": "1.0", "type": "t", "data": 7}]);
    assert_eq!(found(&skipped(Vec::new(), broken.to_string().as_bytes())), [What::Lost]);
}

/// Two items are about the same SMS, so that only their places differ.
#[test]
fn a_row_with_another_item_than_its_events_is_a_violation() {
    let mut world = World::new();
    let own = owner(b"u", OWNERS);
    let array = world.write(REPORTS, own, Some("u"), Vec::new(), b"[{}, {}]");
    for (index, status) in [(0, "SENT"), (1, "DELIVERED")] {
        let said = Said::Report(report(&uuid("u"), OURS, "a", status));
        let item = Source { index: Some(index), ..array.clone() };
        world.read(&said, &item, &array);
    }
    assert_eq!(world.verify(&world.options()).violations, []);
    // The second row is lost.
    let rows = &mut world.changelog[own as usize];
    let last = rows.iter().rposition(|row| row.key.as_deref() == Some(b"su")).unwrap();
    rows.remove(last);
    check_in(&world, What::UnexplainedState, "u");
}

/// The copy of one item waits in the inbox, which says nothing about the other one.
#[test]
fn an_item_without_a_word_is_lost_while_the_copy_of_another_one_waits() {
    let mut world = World::new();
    let own = owner(b"u", OWNERS);
    let array = world.write(REPORTS, 1 - own, Some("u"), Vec::new(), b"[{}, {}]");
    world.forward(REPORTS, own, "u", &Source { index: Some(0), ..array });
    assert_eq!(found(&world), [What::Lost]);
}

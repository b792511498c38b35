//! Each item of an array has words of its own.

use super::world::{OURS, OWNERS, REPORTS, Said, World, flow, report, uuid};
use super::{check_in, id};
use crate::domain::{Source, Verdict, owner};
use crate::verify::What;

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

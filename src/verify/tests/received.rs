//! Requests that a receiver saw, compared with the events.

use super::world::{World, time};
use super::{id, story};
use crate::domain::{DeliveryId, Timestamp};
use crate::verify::{Options, ReceiverEntry, What};

fn saw(world: &mut World, at: Timestamp, id: DeliveryId, status: u16) {
    world.requests.push(ReceiverEntry { at, id, status, body: 1 });
}

/// Creates a world with a receiver that saw each attempt once, in order.
fn seen() -> World {
    let mut world = story();
    let good = id("good", 1, &[]);
    let statuses = [(good, 500), (good, 500), (good, 200), (id("good", 2, &["a"]), 200)];
    let replayed = id("replayed", 1, &[]);
    let others = [500, 500, 500, 200].map(|status| (replayed, status));
    let rest =
        [(id("astray", 1, &[]), 500), (id("pending", 1, &[]), 500), (id("due", 1, &[]), 200)];
    let timed = statuses.into_iter().chain(others).chain(rest).zip(0..);
    for ((id, status), units) in timed {
        saw(&mut world, time(units), id, status);
    }
    world
}

fn found(world: &World) -> Vec<What> {
    let options = Options { repeats_max: Some(0), ..world.at_rest() };
    world.verify(&options).violations.iter().map(|violation| violation.what).collect()
}

#[test]
fn a_receiver_that_saw_each_attempt_agrees() {
    let world = seen();
    assert_eq!(found(&world), []);
    let counts = world.verify(&world.options()).counts;
    assert_eq!((counts.requests, counts.repeats), (11, 0));
}

#[test]
fn each_disagreement_is_named() {
    let good = id("good", 1, &[]);
    let mut world = seen();
    world.requests.retain(|entry| entry.id != good || entry.status != 200);
    assert!(found(&world).contains(&What::Unseen), "{:?}", found(&world));

    let mut world = seen();
    saw(&mut world, time(0), DeliveryId::from_bytes([9; 16]), 200);
    assert_eq!(found(&world), [What::Unscheduled]);

    let mut world = seen();
    world.requests[1].body = 2;
    assert_eq!(found(&world), [What::Body]);

    let mut world = seen();
    saw(&mut world, time(30), good, 200);
    assert_eq!(found(&world), [What::Repeats]);
    assert_eq!(world.verify(&world.options()).counts.repeats, 1);
    assert_eq!(world.verify(&world.options()).violations, [], "they are counted, and may be");

    let mut world = seen();
    world.requests[3].at = time(1);
    assert_eq!(found(&world), [What::Early]);
}

#[test]
fn an_empty_log_saw_nothing() {
    let world = story();
    let mut evidence = world.evidence();
    evidence.has_requests();
    let report = evidence.finish(&world.options());
    assert!(report.violations.iter().all(|violation| violation.what == What::Unseen));
    assert_eq!(report.violations.len(), 4);
}

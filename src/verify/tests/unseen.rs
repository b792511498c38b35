//! Data that can't be read or has no order is noted, and causes no violation.

use super::inputs::{names, noted, verified};
use super::scan::Moment;
use super::world::{EVENTS, FLOWS, OWNERS, World};
use crate::domain::owner;
use crate::log::TopicPartition;
use crate::verify::{Evidence, What};

/// If the number of partitions differs, no meta row owns them.
#[test]
fn positions_of_an_input_with_another_number_of_partitions_are_not_compared() {
    let mut world = World::new();
    world.flows(&names(10, "u"));
    let place = TopicPartition { topic: FLOWS.into(), partition: 0 };
    world.commits.push((world.txn, place, 3));
    let offsets = |world: &World, partitions: u32| {
        let mut layout = world.layout();
        layout.inputs[0].partitions = partitions;
        let mut evidence = Evidence::new(layout);
        world.feed(&mut evidence, &Moment::now(world));
        let found = evidence.finish(&world.options()).violations;
        found.iter().filter(|it| it.what == What::Offsets).count()
    };
    assert_eq!((offsets(&world, OWNERS), offsets(&world, OWNERS + 1)), (1, 0));
}

/// The changelog was read beyond the offsets that were taken before.
#[test]
fn a_position_that_was_written_after_the_group_was_asked_is_not_ahead() {
    let mut world = World::new();
    world.flows(&names(9, "u"));
    let at = world.txn - 4;
    let found = |ends: Vec<i64>| {
        let mut layout = world.layout();
        layout.changelog.ends = ends.clone();
        layout.changelog.moving_from = ends;
        let mut evidence = Evidence::new(layout);
        let moment = Moment {
            committed_before: at,
            committed_after: at,
            events: [at; 3],
            letters: [at; 2],
            inbox: [at; 2],
            ..Moment::now(&world)
        };
        world.feed(&mut evidence, &moment);
        let found = evidence.finish(&world.options()).violations;
        found.iter().filter(|it| it.what == What::Offsets).count()
    };
    let ends = world.changelog.iter().map(|log| {
        let later = log.iter().find(|entry| entry.txn > at);
        later.map_or(i64::MAX, |entry| entry.offset)
    });
    assert_eq!(found(ends.collect()), 0);
    assert!(found(vec![i64::MAX; OWNERS as usize]) > 0);
}

#[test]
fn data_that_could_not_be_read_is_noted() {
    let mut world = World::new();
    world.flows(&names(20, "u"));
    let mut layout = world.layout();
    layout.inputs[1].partitions = 0;
    let mut evidence = Evidence::new(layout);
    world.feed(&mut evidence, &Moment::now(&world));
    let report = evidence.finish(&world.options());
    noted(&report, "topic reports does not exist, so it was not compared");
    world.cut = true;
    for log in &mut world.events {
        log.remove(0);
    }
    noted(
        &verified(&world),
        "topic events: Kafka has deleted the beginning of 3 of its 3 partitions",
    );
}

/// Partitions were added to the topic of the events, so that their order is unknown.
#[test]
fn a_uuid_whose_events_are_in_several_partitions_is_not_judged() {
    let mut world = World::new();
    let all = names(30, "u");
    world.flows(&all);
    let of = all.iter().find(|name| owner(name.as_bytes(), EVENTS) == 0).unwrap();
    let log = &mut world.events[0];
    let first = log.iter().position(|entry| entry.key.as_deref() == Some(of.as_bytes())).unwrap();
    // This event is read last now.
    let accepted = log.remove(first);
    world.events[2].push(accepted);
    let report = verified(&world);
    assert_eq!((report.violations.as_slice(), report.counts.scattered), (&[][..], 1));
    noted(&report, "the events of 1 uuids are in several partitions");
}

//! The places to which positions can and can't be moved, and the offset from which a move counts.

use super::{delivered, moved, position, send};
use crate::harness::kafka::Record;
use crate::harness::samples::{Random, flow};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, invariants, wait_until};
use ringback::codec::event::rfc3339;
use ringback::codec::row::{self, Meta, Owner};
use ringback::domain::{Timestamp, owner};
use serde_json::json;
use std::collections::BTreeSet;

/// Runs a daemon until it has read all records and sent this many requests in total, and stops it.
fn reads(stage: &Stage, requests: usize) {
    let mut daemon = stage.start();
    stage.receiver.wait_for(requests, PATIENCE);
    invariants::wait_consumed(stage, PATIENCE);
    daemon.stop();
    assert_eq!(stage.receiver.count(), requests);
}

fn set<'a>(some: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
    some.into_iter().cloned().collect()
}

/// Returns a time that is later than all records so far and earlier than all later ones.
fn now() -> String {
    let began = ringback::clock::wall();
    let wait = || {
        let now = ringback::clock::wall();
        (now.ms_since(began) > 1).then_some(now)
    };
    let between = wait_until("the clock goes on", PATIENCE, wait);
    wait_until("the clock goes on", PATIENCE, || {
        (ringback::clock::wall().ms_since(between) > 1).then_some(())
    });
    rfc3339(between)
}

#[test]
fn positions_are_moved_to_a_time_an_offset_and_the_end_and_nowhere_else() {
    let stage = Stage::on(broker::shared(), "offsets-where", 1);
    let uuids = Random::seeded(941).uuids(12);
    let (read, skipped, late, last) = (&uuids[..4], &uuids[4..7], &uuids[7..10], &uuids[10..]);
    send(&stage, read);
    reads(&stage, 4);
    send(&stage, skipped);
    let between = now();
    send(&stage, late);
    let topic = stage.topic("flow-complete");
    let reset = |to: &str, how: &str| {
        stage.alone(&["offsets", "reset", "--topic", &topic, "--to", to, how])
    };
    for (to, says) in [
        (between.as_str(), "4 -> 7: 3 records are skipped"),
        ("end", "4 -> 10: 6 records are skipped"),
        ("beginning", "4 -> 0: 4 records are read again"),
        ("4", "4 -> 4: nothing changes"),
    ] {
        let dry = reset(to, "--dry-run");
        dry.succeeds();
        assert!(dry.out.contains(says), "{says:?} is missing: {}", dry.out);
    }
    for (arguments, says) in [
        (["skip", "--partition", "0", "--to", "3"], "and 3 is before it"),
        (["skip", "--partition", "0", "--to", "11"], "has the offsets 0 to 10, but not 11"),
        (["skip", "--partition", "0", "--records", "7"], "has the offsets 0 to 10, but not 11"),
        (["reset", "--partition", "5", "--to", "end"], "has no partition 5"),
    ] {
        let arguments = [&["offsets"], &arguments[..], &["--topic", &topic, "--yes"]].concat();
        let done = stage.command(&arguments);
        assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
        assert!(done.err.contains(says), "{says:?} is missing: {}", done.err);
    }
    assert_eq!(moved(&stage), []);
    reset(&between, "--yes").succeeds();
    reads(&stage, 7);
    assert_eq!(delivered(&stage), set(read.iter().chain(late)));
    send(&stage, last);
    reset("end", "--yes").succeeds();
    reads(&stage, 7);
    let resets = [(4, 7), (10, 12)].map(|(from, to)| (from.into(), to.into(), "reset".into()));
    assert_eq!(moved(&stage), resets);
    stage.verify();
}

/// The daemon continues from the lower one of the two offsets, but not below the first offset that Kafka still has.
#[test]
fn a_move_counts_from_where_the_daemon_would_continue() {
    let stage = Stage::on(broker::shared(), "offsets-from", 1);
    send(&stage, &Random::seeded(942).uuids(4));
    reads(&stage, 4);
    send(&stage, &Random::seeded(943).uuids(6));
    let topic = stage.topic("flow-complete");
    let skip = ["offsets", "skip", "--topic", &topic, "--partition", "0", "--records", "1"];
    let dry = |says: &str| {
        let done = stage.alone(&[&skip[..], &["--dry-run"]].concat());
        assert!(done.out.contains(says), "{says:?} is missing: {done:?}");
    };
    dry("4 -> 5: ");
    stage.kafka.reset_offsets(&stage.group(), &topic, 1);
    let stands = position(&stage, "flow-complete");
    let offsets = ["group_offset", "state_offset", "next_offset", "lag"].map(|name| &stands[name]);
    assert_eq!(offsets, [&json!(1), &json!(4), &json!(1), &json!(9)], "{stands}");
    dry("1 -> 2: ");
    stage.kafka.delete_records(&topic, 0, 8);
    let stands = position(&stage, "flow-complete");
    let offsets = ["first_offset", "next_offset", "lag"].map(|name| &stands[name]);
    assert_eq!(offsets, [&json!(8), &json!(8), &json!(2)], "{stands}");
    dry("8 -> 9: ");
    assert_eq!(moved(&stage), []);
}

#[test]
fn positions_in_a_recreated_topic_start_at_its_beginning() {
    let stage = Stage::on(broker::shared(), "offsets-recreated", 2);
    let uuids = Random::seeded(944).uuids(30);
    let (old, new) = uuids.split_at(10);
    send(&stage, old);
    reads(&stage, old.len());
    stage.recreate("flow-complete", 2);
    send(&stage, new);
    let (of_0, of_1): (Vec<&String>, Vec<&String>) =
        new.iter().partition(|uuid| owner(uuid.as_bytes(), 2) == 0);
    assert!(of_0.len() > 2 && of_1.len() > 2);
    let topic = stage.topic("flow-complete");
    let reset = ["offsets", "reset", "--topic", &topic, "--partition", "0", "--to", "end"];
    let done = stage.alone(&[&reset[..], &["--yes"]].concat());
    done.succeeds();
    let says = format!("partition 0: 0 -> {}: ", of_0.len());
    assert!(done.out.contains(&says), "{says:?} is missing: {}", done.out);
    let stands = |number: u32| {
        let done = stage.command(&["offsets", "show", "--json"]);
        let mut lines = done.out.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        let is_it =
            |line: &serde_json::Value| line["topic"] == *topic && line["partition"] == number;
        let line = lines.find(is_it).expect("the partition is shown");
        (line["same_topic"].clone(), line["next_offset"].clone())
    };
    assert_eq!(stands(0), (true.into(), of_0.len().into()));
    assert_eq!(stands(1), (false.into(), 0.into()));
    reads(&stage, old.len() + of_1.len());
    assert_eq!(delivered(&stage), set(old.iter().chain(of_1)));
    assert_eq!(moved(&stage), [(0.into(), of_0.len().into(), "reset".into())]);
}

/// The records of a forwarded input become state of another partition, so only the group holds its position.
#[test]
fn only_the_group_holds_the_position_of_a_forwarded_input() {
    let stage = Stage::without_topics(broker::shared(), "offsets-forwarded");
    let kinds = ["sms-delivery-report", "events", "dead-letter", "changelog", "inbox"];
    let names = kinds.map(|kind| stage.topic(kind));
    let compact: &[(&str, &str)] = &[("cleanup.policy", "compact")];
    let none: &[(&str, &str)] = &[];
    let topics = names
        .each_ref()
        .map(|name| (name.as_str(), 2, if name.ends_with("changelog") { compact } else { none }));
    stage.kafka.create_topics(&topics);
    let topic = stage.topic("flow-complete");
    stage.kafka.create_topics(&[(&topic, 3, &[])]);
    let uuids = Random::seeded(945).uuids(9);
    let (read, skipped) = uuids.split_at(6);
    let send_to_0 = |uuids: &[String]| {
        let records = uuids.iter().map(|uuid| Record {
            partition: Some(0),
            ..stage.record("flow-complete", &flow(uuid, &[]))
        });
        stage.kafka.produce(&records.collect::<Vec<_>>());
    };
    send_to_0(read);
    reads(&stage, read.len());
    send_to_0(skipped);
    let stands = position(&stage, "flow-complete");
    let parts = ["forwarded", "group_offset", "state_offset", "lag"].map(|name| &stands[name]);
    assert_eq!(parts, [&json!(true), &json!(6), &json!(null), &json!(3)], "{stands}");
    let skip = ["offsets", "skip", "--topic", &topic, "--partition", "0", "--records", "3"];
    stage.alone(&[&skip[..], &["--yes"]].concat()).succeeds();
    let stands = position(&stage, "flow-complete");
    let parts = ["group_offset", "state_offset", "lag"].map(|name| &stands[name]);
    assert_eq!(parts, [&json!(9), &json!(null), &json!(0)], "{stands}");
    reads(&stage, read.len());
    assert_eq!(delivered(&stage), set(read));
}

/// Replaces the meta row of the changelog's only partition.
fn write_meta(stage: &Stage, group: &str, rebuilt_up_to: Option<&str>) {
    let owner = Owner {
        cluster: None,
        group: group.into(),
        changelog: None,
        partitions: 1,
        replaces: None,
        rebuilt_up_to: rebuilt_up_to.map(Into::into),
        ..Owner::default()
    };
    let committed_at = Timestamp::from_ms(1_700_000_000_000);
    let meta = Meta { offsets: Vec::new(), committed_at, owner: Some(owner) };
    let mut value = Vec::new();
    row::encode_meta(&meta, &mut value);
    let (partition, key) = (Some(0), Some(b"m".to_vec()));
    let topic = stage.topic("changelog");
    let row = Record { topic, partition, key, value: Some(value), timestamp_ms: None };
    stage.kafka.produce(&[row]);
}

#[test]
fn positions_are_not_moved_in_the_rows_of_another_group_or_of_an_interrupted_rebuild() {
    let stage = Stage::on(broker::shared(), "offsets-others", 1);
    send(&stage, &Random::seeded(946).uuids(3));
    let topic = stage.topic("flow-complete");
    for (group, rebuilt_up_to, says) in [
        ("another", None, "its rows belong to the consumer group another"),
        (stage.group().as_str(), Some("u-1"), "a rebuild of the changelog was interrupted"),
    ] {
        write_meta(&stage, group, rebuilt_up_to);
        let done = stage.command(&["offsets", "reset", "--topic", &topic, "--to", "end", "--yes"]);
        assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
        assert!(done.err.contains(says), "{says:?} is missing: {}", done.err);
    }
    assert_eq!(moved(&stage), []);
}

#[test]
fn the_groups_positions_are_shown_if_the_rows_belong_to_another_group_or_to_an_interrupted_rebuild()
{
    let stage = Stage::on(broker::shared(), "offsets-foreign", 1);
    send(&stage, &Random::seeded(947).uuids(3));
    reads(&stage, 3);
    send(&stage, &Random::seeded(948).uuids(2));
    let before = position(&stage, "flow-complete");
    assert_eq!((&before["group_offset"], &before["state_unusable"]), (&json!(3), &json!(null)));
    for (group, rebuilt_up_to, note, warning) in [
        (
            "another",
            None,
            "the changelog's rows belong to another consumer group",
            "its rows belong to the consumer group another, but [kafka] group_id is ",
        ),
        (
            stage.group().as_str(),
            Some("u-1"),
            "a rebuild of the changelog was interrupted",
            "Run `ringback changelog rebuild` again",
        ),
    ] {
        write_meta(&stage, group, rebuilt_up_to);
        let stands = position(&stage, "flow-complete");
        let keys = ["group_offset", "state_offset", "next_offset", "lag", "state_unusable"];
        let wanted = [&json!(3), &json!(null), &json!(3), &json!(2), &json!(note)];
        assert_eq!(keys.map(|key| &stands[key]), wanted, "{stands}");
        let shown = stage.command(&["offsets", "show"]);
        shown.succeeds();
        assert!(shown.out.contains(note), "{}", shown.out);
        assert_eq!(shown.err.matches(warning).count(), 1, "a warning says it once: {}", shown.err);
    }
}

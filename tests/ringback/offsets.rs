//! `ringback offsets`: shows the positions of inputs, and moves them in the state and in the group together.

#[cfg(feature = "failpoints")]
mod beside;
mod places;

use crate::harness::kafka::{Message, Record};
use crate::harness::samples::{Random, flow};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, invariants};
use serde_json::Value;
use std::collections::BTreeSet;

fn send(stage: &Stage, uuids: &[String]) {
    let flows = uuids.iter().map(|uuid| stage.record("flow-complete", &flow(uuid, &[])));
    stage.kafka.produce(&flows.collect::<Vec<Record>>());
}

fn position(stage: &Stage, kind: &str) -> Value {
    let done = stage.command(&["offsets", "show", "--json"]);
    done.succeeds();
    let topic = stage.topic(kind);
    let mut lines = done.out.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.find(|line| line["topic"] == *topic).expect("the input is shown")
}

fn delivered(stage: &Stage) -> BTreeSet<String> {
    stage.receiver.requests().iter().map(crate::harness::receiver::Received::uuid).collect()
}

fn moved(stage: &Stage) -> Vec<(Value, Value, Value)> {
    let events = stage.kafka.read(&stage.topic("events"));
    let events = events.iter().map(Message::json).filter(|event| event["type"] == "offsets_moved");
    events
        .map(|it| (it["from_offset"].clone(), it["to_offset"].clone(), it["by"].clone()))
        .collect()
}

#[test]
fn skipped_records_are_never_delivered_and_the_rest_is() {
    let stage = Stage::on(broker::shared(), "offsets-skip", 1);
    let uuids = Random::seeded(921).uuids(10);
    let (read, rest) = uuids.split_at(2);
    let (skipped, late) = rest.split_at(3);
    send(&stage, read);
    let mut daemon = stage.start();
    stage.receiver.wait_for(read.len(), PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    let topic = stage.topic("flow-complete");
    let skip = ["offsets", "skip", "--topic", &topic, "--partition", "0", "--records", "3"];
    let refused = stage.command(&[&skip[..], &["--yes"]].concat());
    assert_eq!(refused.code, Some(1), "{}{}", refused.out, refused.err);
    assert!(refused.err.contains("has 1 members: stop all instances"), "{}", refused.err);
    daemon.stop();
    send(&stage, rest);
    let before = position(&stage, "flow-complete");
    assert_eq!(before["group_offset"], 2, "{before}");
    assert_eq!((&before["state_offset"], &before["end_offset"]), (&2.into(), &10.into()));
    assert_eq!((&before["lag"], &before["same_topic"]), (&8.into(), &true.into()));
    let dry = stage.alone(&[&skip[..], &["--dry-run"]].concat());
    dry.succeeds();
    assert!(dry.out.contains("2 -> 5: 3 records are skipped"), "{}", dry.out);
    assert_eq!(position(&stage, "flow-complete"), before, "a dry run changes nothing");
    stage.alone(&[&skip[..], &["--yes"]].concat()).succeeds();
    let after = position(&stage, "flow-complete");
    assert_eq!((&after["group_offset"], &after["state_offset"]), (&5.into(), &5.into()), "{after}");
    assert_eq!(moved(&stage), [(2.into(), 5.into(), "skip".into())]);
    // The store on the disk still has the former position; the position in the changelog takes precedence.
    let mut daemon = stage.start();
    stage.receiver.wait_for(read.len() + late.len(), PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    let wanted = read.iter().chain(late).cloned().collect::<BTreeSet<String>>();
    assert_eq!(delivered(&stage), wanted);
    assert!(skipped.iter().all(|uuid| !delivered(&stage).contains(uuid)));
}

#[test]
fn records_that_are_read_again_are_recognised_and_sent_once() {
    let stage = Stage::on(broker::shared(), "offsets-reset", 1);
    let uuids = Random::seeded(922).uuids(10);
    send(&stage, &uuids);
    let mut daemon = stage.start();
    stage.receiver.wait_for(uuids.len(), PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    let topic = stage.topic("flow-complete");
    let reset = ["offsets", "reset", "--topic", &topic, "--to", "beginning"];
    let dry = stage.alone(&[&reset[..], &["--dry-run"]].concat());
    dry.succeeds();
    assert!(dry.out.contains("10 -> 0: 10 records are read again"), "{}", dry.out);
    assert_eq!(moved(&stage), []);
    stage.alone(&[&reset[..], &["--yes"]].concat()).succeeds();
    assert_eq!(moved(&stage), [(10.into(), 0.into(), "reset".into())]);
    let mut daemon = stage.start();
    stage.events().wait("all are recognised as duplicates", PATIENCE, |events| {
        let ignored = events.iter().filter(|event| event.json()["type"] == "record_ignored");
        ignored.count() >= uuids.len()
    });
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    assert_eq!(stage.receiver.count(), uuids.len(), "nothing is sent twice");
}

#[test]
fn offsets_are_not_moved_out_of_range_or_for_an_unknown_topic() {
    let stage = Stage::on(broker::shared(), "offsets-wrong", 1);
    let topic = stage.topic("flow-complete");
    for (arguments, says) in [
        (["--topic", "nowhere", "--to", "0"], "is not an input of this configuration"),
        (["--topic", &topic, "--to", "7"], "has the offsets 0 to 0"),
    ] {
        let done = stage.command(&[&["offsets", "reset", "--yes"], &arguments[..]].concat());
        assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
        assert!(done.err.contains(says), "{}", done.err);
    }
}

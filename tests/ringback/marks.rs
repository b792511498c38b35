//! Brokers that give topics no ids, such as Apache Kafka 2.7: only the records show that a topic was deleted and
//! created again.

use crate::harness::daemon::{Daemon, EX_CONFIG};
use crate::harness::kafka::Message;
use crate::harness::samples::{Random, flow};
use crate::harness::stage::Stage;
use crate::harness::verify::report as report_of;
use crate::harness::{PATIENCE, changelog, former, invariants};
use ringback::codec::row;
use serde_json::Value;
use std::collections::BTreeSet;

fn flows(seed: u64, count: usize) -> Vec<Value> {
    Random::seeded(seed).uuids(count).iter().map(|uuid| flow(uuid, &[])).collect()
}

fn of_type(events: &[Message], kind: &str) -> Vec<Value> {
    let events = events.iter().map(Message::json);
    events.filter(|event| event["type"] == *kind).collect()
}

fn wait_recreated(stage: &Stage) -> Vec<Value> {
    let mut events = stage.events();
    let recreated = events.wait("both partitions are reported", PATIENCE, |events| {
        of_type(events, "input_recreated").len() == 2
    });
    of_type(recreated, "input_recreated")
}

fn assert_reported(stage: &Stage, daemon: &Daemon) {
    let topic = stage.topic("flow-complete");
    let labels = [("topic", topic.as_str())];
    assert_eq!(daemon.metric("ringback_inputs_recreated_total", &labels), Some(2.0));
    let logged = daemon.logged();
    let warning = logged.lines().find(|line| line.contains("deleted and created again"));
    assert!(warning.expect("a warning").contains("WARN"), "{logged}");
}

#[test]
fn an_input_without_an_id_that_was_recreated_while_no_daemon_ran_is_read_from_its_beginning() {
    let stage = Stage::on(former::shared(), "marks-stopped", 2);
    let mut daemon = stage.start();
    stage.send_flows(&flows(90, 30));
    stage.receiver.wait_for(30, PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    let before = stage.command(&["offsets", "show", "--json"]);
    assert!(!before.out.contains("\"same_topic\":false"), "{before:?}");
    stage.recreate("flow-complete", 2);
    stage.send_flows(&flows(91, 60));

    let shown = stage.command(&["offsets", "show", "--json"]);
    assert_eq!(shown.out.matches("\"same_topic\":false").count(), 2, "{shown:?}");
    let done = stage.verified(0, &[]);
    assert_eq!(done.code, Some(1), "{done:?}");
    for violation in report_of(&done)["violations"].as_array().expect("a list") {
        assert_eq!(violation["what"], "identity", "{violation:#}");
    }

    let mut daemon = stage.start();
    stage.receiver.wait_for(90, PATIENCE);
    for event in wait_recreated(&stage) {
        assert_eq!(event["topic"], stage.topic("flow-complete"));
        assert_eq!(event["offset"], 0);
        assert_eq!(event["topic_id"], Value::Null);
    }
    assert_reported(&stage, &daemon);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    // The event is written once, not at every start. A topic that stayed the same is not read twice.
    stage.start().stop();
    let events = stage.kafka.read(&stage.topic("events"));
    assert_eq!(of_type(&events, "input_recreated").len(), 2);
    assert_eq!(of_type(&events, "record_ignored").len(), 0);
    assert_eq!(stage.receiver.count(), 90);
    let done = stage.verified(0, &["--at-rest"]);
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn an_input_without_an_id_that_is_recreated_under_a_daemon_is_read_from_its_beginning() {
    let stage = Stage::on(former::shared(), "marks-running", 2);
    let mut daemon = stage.start();
    stage.send_flows(&flows(92, 30));
    stage.receiver.wait_for(30, PATIENCE);
    stage.recreate("flow-complete", 2);
    stage.send_flows(&flows(93, 60));
    stage.receiver.wait("all of both topics", PATIENCE * 2, |all| {
        all.iter().map(|it| it.id()).collect::<BTreeSet<&str>>().len() == 90
    });
    wait_recreated(&stage);
    daemon.wait_ready();
    assert_reported(&stage, &daemon);
    daemon.stop();
    assert_eq!(stage.receiver.count(), 90, "records that are read again are recognised");
}

#[test]
fn a_changelog_without_an_id_that_was_recreated_is_refused() {
    let stage = Stage::on(former::shared(), "marks-changelog", 2);
    let mut daemon = stage.start();
    stage.send_flows(&flows(94, 20));
    stage.receiver.wait_for(20, PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    let topic = stage.topic("changelog");
    let mut ids = BTreeSet::new();
    for ((_, key), value) in changelog::left(&stage.kafka.read(&topic)) {
        if key == b"m" {
            let owner = row::decode_meta(&value.into()).expect("a meta row").owner;
            let id = owner.and_then(|owner| owner.changelog).expect("an id");
            assert!(id.is_generated(), "{id}");
            ids.insert(id);
        }
    }
    assert_eq!(ids.len(), 2, "each partition has its own id");

    stage.recreate("changelog", 2);
    let said = stage.spawn(0).wait_end(EX_CONFIG, PATIENCE);
    for word in [topic.as_str(), "changelog rebuild"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    // Without the store, the group's offsets still show that there were rows.
    let (store, kept) = (stage.instance_dir(0).join("data"), stage.instance_dir(0).join("kept"));
    std::fs::rename(&store, &kept).expect("a store");
    let said = stage.spawn(0).wait_end(EX_CONFIG, PATIENCE);
    assert!(said.contains("has no rows of this partition"), "{said}");
    let _empty = std::fs::remove_dir_all(&store);
    std::fs::rename(&kept, &store).expect("a store");

    // The store still has all rows.
    let done = stage.command(&["changelog", "rebuild", "--yes"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let mut daemon = stage.start();
    stage.send_flows(&flows(95, 5));
    stage.receiver.wait_for(25, PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    assert_eq!(stage.receiver.count(), 25, "nothing was sent twice");
}

#[test]
fn a_daemon_whose_changelog_without_an_id_is_recreated_ends_and_its_store_has_all_rows() {
    let stage = Stage::on(former::shared(), "marks-under", 2);
    let daemon = stage.start();
    stage.send_flows(&flows(96, 20));
    stage.receiver.wait_for(20, PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    stage.recreate("changelog", 2);
    // The daemon may write rows before it checks the topic.
    stage.send_flows(&flows(97, 5));
    let mut daemon = daemon;
    let said = daemon.wait_end(EX_CONFIG, PATIENCE);
    assert!(said.contains("changelog rebuild"), "{said}");
    let rows = changelog::left(&stage.kafka.read(&stage.topic("changelog")));
    assert!(rows.is_empty(), "no row was committed to the new changelog");

    let done = stage.command(&["changelog", "rebuild", "--yes"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let mut daemon = stage.start();
    stage.receiver.wait_for(25, PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    assert_eq!(stage.receiver.by_id().len(), 25);
}

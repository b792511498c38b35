//! Inputs that change with or without a running daemon: topics that are recreated, and records that Kafka deletes.

use crate::harness::PATIENCE;
use crate::harness::kafka::Message;
use crate::harness::samples::{Random, flow};
use crate::harness::stage::Stage;
use serde_json::Value;

fn flows(seed: u64, count: usize) -> Vec<Value> {
    Random::seeded(seed).uuids(count).iter().map(|uuid| flow(uuid, &[])).collect()
}

fn of_type(events: &[Message], kind: &str) -> Vec<Value> {
    let events = events.iter().map(Message::json);
    events.filter(|event| event["type"] == *kind).collect()
}

#[test]
fn a_topic_recreated_while_no_daemon_runs_is_read_from_its_beginning() {
    let stage = Stage::new("inputs-stopped");
    let mut daemon = stage.start();
    stage.send_flows(&flows(80, 30));
    stage.receiver.wait_for(30, PATIENCE);
    daemon.stop();
    stage.recreate("flow-complete", 2);
    stage.send_flows(&flows(81, 60));
    let mut daemon = stage.start();
    stage.receiver.wait_for(90, PATIENCE);
    let mut events = stage.events();
    let recreated = events.wait("both partitions are reported", PATIENCE, |events| {
        of_type(events, "input_recreated").len() == 2
    });
    let event = &of_type(recreated, "input_recreated")[0];
    assert_eq!(event["topic"], stage.topic("flow-complete"));
    assert_ne!(event["topic_id"], event["former_topic_id"]);
    assert_eq!(event["offset"], 0);
    let labels = [("topic", stage.topic("flow-complete"))];
    let labels = labels.each_ref().map(|(name, topic)| (*name, topic.as_str()));
    assert_eq!(daemon.metric("ringback_inputs_recreated_total", &labels), Some(2.0));
    assert!(daemon.logged().contains("deleted and created again"));
    daemon.stop();
    // Another start does not report it again.
    stage.start().stop();
    let events = stage.kafka.read(&stage.topic("events"));
    assert_eq!(of_type(&events, "input_recreated").len(), 2);
    assert_eq!(stage.receiver.count(), 90);
}

#[test]
fn a_topic_recreated_while_the_daemon_runs_is_read_from_its_beginning() {
    let stage = Stage::new("inputs-running");
    let mut daemon = stage.start();
    stage.send_flows(&flows(82, 30));
    stage.receiver.wait_for(30, PATIENCE);
    stage.recreate("flow-complete", 2);
    stage.send_flows(&flows(83, 60));
    stage.receiver.wait("all of both topics", PATIENCE * 2, |all| {
        let ids: std::collections::BTreeSet<&str> = all.iter().map(|it| it.id()).collect();
        ids.len() == 90
    });
    daemon.wait_ready();
    daemon.stop();
}

#[test]
fn a_recreated_topic_is_read_from_the_position_that_the_operator_chooses() {
    let stage = Stage::new("inputs-from");
    let mut daemon = stage.start();
    stage.send_flows(&flows(84, 4));
    stage.receiver.wait_for(4, PATIENCE);
    daemon.stop();
    stage.recreate("flow-complete", 2);
    stage.send_flows(&flows(85, 4));
    let mut daemon = stage.spawn_with(0, &["--from", "end"]);
    daemon.wait_ready();
    stage.send_flows(&flows(86, 3));
    stage.receiver.wait_for(7, PATIENCE);
    daemon.stop();
    assert_eq!(stage.receiver.count(), 7);
}

#[test]
fn records_deleted_before_they_were_read_are_reported() {
    let stage = Stage::new("inputs-missed");
    let mut daemon = stage.start();
    stage.send_flows(&flows(87, 10));
    stage.receiver.wait_for(10, PATIENCE);
    daemon.stop();
    let topic = stage.topic("flow-complete");
    let read: i64 = (0..2).map(|partition| stage.kafka.end(&topic, partition)).sum();
    stage.send_flows(&flows(88, 20));
    let ends: Vec<i64> = (0..2).map(|partition| stage.kafka.end(&topic, partition)).collect();
    for (partition, end) in (0..2).zip(&ends) {
        stage.kafka.delete_records(&topic, partition, *end);
    }
    stage.send_flows(&flows(89, 5));
    let mut daemon = stage.start();
    stage.receiver.wait_for(15, PATIENCE);
    let missed = ends.iter().sum::<i64>() - read;
    let mut events = stage.events();
    let events = events.wait("the gaps are reported", PATIENCE, |events| {
        let counts = of_type(events, "records_missed");
        counts.iter().map(|event| event["records"].as_i64().unwrap_or(0)).sum::<i64>() == missed
    });
    assert_eq!(of_type(events, "records_missed")[0]["topic"], topic);
    let labels = [("topic", topic.as_str())];
    let metric = daemon.metric("ringback_source_records_missed_total", &labels);
    assert_eq!(metric.map(|count| count.to_string()), Some(missed.to_string()));
    let logged = daemon.logged();
    let error = logged.lines().find(|line| line.contains("before they were read"));
    let error = error.expect("an error is logged");
    assert!(error.contains("ERROR") && error.contains("from_offset"), "{error}");
    daemon.stop();
}

#[test]
fn records_deleted_before_a_running_daemon_read_them_are_reported() {
    let stage = Stage::new("inputs-missed-running");
    let mut daemon = stage.start();
    stage.send_flows(&flows(90, 10));
    stage.receiver.wait_for(10, PATIENCE);
    // SIGSTOP pauses the daemon while records are produced and deleted.
    daemon.signal("STOP");
    let topic = stage.topic("flow-complete");
    stage.send_flows(&flows(91, 20));
    for partition in 0..2 {
        stage.kafka.delete_records(&topic, partition, stage.kafka.end(&topic, partition));
    }
    stage.send_flows(&flows(92, 6));
    daemon.signal("CONT");
    stage.receiver.wait("the rest", PATIENCE, |all| all.len() >= 16);
    let is_reported = |events: &[Message]| {
        !of_type(events, "records_missed").is_empty() || stage.receiver.count() >= 36
    };
    stage.events().wait("the gap is reported, or there was none", PATIENCE, is_reported);
    daemon.stop();
}

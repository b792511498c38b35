//! The changelog is lost, and `ringback changelog rebuild` writes it from a store: nothing is lost and nothing sent twice.

#[cfg(feature = "failpoints")]
mod beside;
mod machines;

use crate::harness::daemon::{Done, copy_dir};
use crate::harness::kafka::Message;
use crate::harness::receiver::Answer;
use crate::harness::samples::{Random, flow, report};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, invariants, wait_until};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A stage whose endpoint fails until it is told to recover.
fn failing(name: &str, partitions: i32) -> (Stage, Arc<AtomicBool>) {
    let mut stage = Stage::on(broker::shared(), name, partitions);
    stage.set("delivery.retry.initial_interval_ms", 1000);
    stage.set("delivery.retry.interval_max_ms", 1000);
    let recovered = Arc::new(AtomicBool::new(false));
    let answer = Arc::clone(&recovered);
    stage
        .receiver
        .script(move |_, _| Answer::status(if answer.load(Ordering::Relaxed) { 200 } else { 503 }));
    (stage, recovered)
}

fn send_flows(stage: &Stage, uuids: &[String]) {
    stage.send_flows(&uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect::<Vec<Value>>());
}

fn send_reports(stage: &Stage, uuids: &[String]) {
    let reports: Vec<Value> = uuids.iter().map(|uuid| report(uuid, "s-1", "DELIVERED")).collect();
    stage.send_reports(&reports);
}

fn wait_events(stage: &Stage, kind: &str, count: usize) {
    stage.events().wait(&format!("{count} {kind}"), PATIENCE, |events| {
        events.iter().filter(|event: &&Message| event.json()["type"] == *kind).count() >= count
    });
}

/// A command that needs the group without members: Kafka removes a static member once its session has timed out.
fn alone(stage: &Stage, arguments: &[&str]) -> Done {
    alone_on(stage, 0, arguments)
}

/// The same on the machine of instance `number`.
fn alone_on(stage: &Stage, number: u8, arguments: &[&str]) -> Done {
    wait_until("the group has no members", PATIENCE, || {
        let done = stage.command_of(number, arguments);
        (!done.err.contains(" members: stop all instances")).then_some(done)
    })
}

fn rebuild(stage: &Stage) -> Done {
    alone(stage, &["changelog", "rebuild", "--yes"])
}

fn delete_topic(stage: &Stage, kind: &str) {
    let topic = stage.topic(kind);
    stage.kafka.delete_topics(&[&topic]);
    wait_until("the topic is gone", PATIENCE, || {
        (stage.kafka.partitions(&topic) == 0).then_some(())
    });
}

/// Twenty deliveries wait for their retries, and the daemon has stopped.
fn waiting(name: &str, seed: u64) -> (Stage, Arc<AtomicBool>, Vec<String>) {
    let (stage, recovered) = failing(name, 2);
    let uuids = Random::seeded(seed).uuids(20);
    send_flows(&stage, &uuids);
    let mut daemon = stage.start();
    wait_events(&stage, "attempt_failed", uuids.len());
    daemon.stop();
    (stage, recovered, uuids)
}

/// The daemon goes on, and both phases of each uuid are delivered once.
fn delivers(stage: &Stage, recovered: &AtomicBool, uuids: &[String]) {
    let mut daemon = stage.start();
    recovered.store(true, Ordering::Relaxed);
    send_reports(stage, uuids);
    invariants::wait_delivered(stage, uuids, PATIENCE);
    invariants::wait_consumed(stage, PATIENCE);
    daemon.stop();
    invariants::assert_delivered(stage, uuids, usize::MAX);
    // Each request is an attempt that is counted: nothing was repeated, and no count was forgotten.
    invariants::assert_attempts_counted(stage, 0);
}

fn succeeds(done: &Done) {
    assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
}

#[test]
fn a_deleted_changelog_is_written_from_the_store() {
    let (stage, recovered, uuids) = waiting("rebuild-deleted", 901);
    delete_topic(&stage, "changelog");
    assert!(stage.refused().contains("ringback changelog rebuild"));
    let dry = alone(&stage, &["changelog", "rebuild", "--dry-run", "--json"]);
    succeeds(&dry);
    let plan: Value = serde_json::from_str(&dry.out).expect("JSON");
    assert_eq!((&plan["partitions"], &plan["written"]), (&2.into(), &false.into()), "{plan}");
    assert_eq!(stage.kafka.partitions(&stage.topic("changelog")), 0, "a dry run creates nothing");
    let done = rebuild(&stage);
    succeeds(&done);
    assert_eq!(stage.kafka.partitions(&stage.topic("changelog")), 2);
    let again = rebuild(&stage);
    succeeds(&again);
    assert!(again.out.contains("it was rebuilt before"), "{}", again.out);
    delivers(&stage, &recovered, &uuids);
    stage.verify();
    // What runs by itself is nobody's to write over.
    let over = rebuild(&stage);
    assert_eq!(over.code, Some(1), "{}{}", over.out, over.err);
    assert!(over.out.contains("nothing is written over them"), "{}", over.out);
}

#[test]
fn a_changelog_that_was_created_again_is_written_from_the_store() {
    let (stage, recovered, uuids) = waiting("rebuild-recreated", 902);
    delete_topic(&stage, "changelog");
    let created = stage.command(&["topics", "--create"]);
    assert!(created.out.contains("created rebuild-recreated.changelog"), "{created:?}");
    assert!(stage.refused().contains("ringback changelog rebuild"));
    succeeds(&rebuild(&stage));
    delivers(&stage, &recovered, &uuids);
}

/// Its advice is followed to its end.
#[test]
fn a_grown_changelog_is_refused_and_written_anew_with_the_former_number_of_partitions() {
    let (stage, recovered, uuids) = waiting("rebuild-grown", 903);
    stage.kafka.grow_topic(&stage.topic("changelog"), 4);
    let said = stage.refused();
    assert!(said.contains("spread over 2 partitions"), "{said}");
    assert!(said.contains("delete topic") && said.contains("ringback changelog rebuild"), "{said}");
    let early = rebuild(&stage);
    assert_eq!(early.code, Some(1));
    assert!(early.err.contains("Delete topic"), "{}", early.err);
    delete_topic(&stage, "changelog");
    succeeds(&rebuild(&stage));
    assert_eq!(stage.kafka.partitions(&stage.topic("changelog")), 2);
    delivers(&stage, &recovered, &uuids);
}

#[cfg(feature = "failpoints")]
#[test]
fn an_interrupted_rebuild_is_refused_by_the_daemon_and_goes_on() {
    let (mut stage, recovered) = failing("rebuild-interrupted", 1);
    let uuids = Random::seeded(904).uuids(1500);
    send_flows(&stage, &uuids);
    let mut daemon = stage.start();
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    delete_topic(&stage, "changelog");
    succeeds(&alone(&stage, &["changelog", "rebuild", "--dry-run"]));
    stage.set_variable("RINGBACK_FAILPOINT", "rebuilt:1");
    let dead = rebuild(&stage);
    assert!(dead.err.contains("failpoint rebuilt"), "{}", dead.err);
    stage.clear_variables();
    let said = stage.refused();
    assert!(said.contains("a rebuild of the changelog was interrupted"), "{said}");
    let done = rebuild(&stage);
    succeeds(&done);
    assert!(done.out.contains("this one goes on"), "{}", done.out);
    let rows = stage.kafka.read(&stage.topic("changelog"));
    let states = rows.iter().filter(|row| row.key.as_deref().is_some_and(|key| key[0] == b's'));
    assert_eq!(states.count(), uuids.len(), "no row is written twice");
    recovered.store(true, Ordering::Relaxed);
    let mut daemon = stage.start();
    send_reports(&stage, &uuids);
    invariants::wait_delivered(&stage, &uuids, 2 * PATIENCE);
    daemon.stop();
    invariants::assert_delivered(&stage, &uuids, usize::MAX);
    invariants::assert_attempts_counted(&stage, 0);
}

/// Another instance may have a newer copy; if not, what it has not seen is read again.
#[test]
fn a_store_that_is_behind_the_group_is_taken_on_purpose_only() {
    let (stage, recovered) = failing("rebuild-behind", 2);
    let uuids = Random::seeded(905).uuids(20);
    let (early, late) = uuids.split_at(10);
    let store = stage.instance_dir(0).join("data");
    let copy = stage.instance_dir(0).join("copy");
    send_flows(&stage, early);
    let mut daemon = stage.start();
    wait_events(&stage, "attempt_failed", early.len());
    daemon.stop();
    copy_dir(&store, &copy);
    let mut daemon = stage.start();
    send_flows(&stage, late);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    delete_topic(&stage, "changelog");
    // By which operators tell the newer one of two stores.
    let as_of = || {
        let dry = alone(&stage, &["changelog", "rebuild", "--dry-run", "--json"]);
        let plan: Value = serde_json::from_str(&dry.out).expect("JSON");
        plan["stored"][0]["as_of"].as_str().expect("a time").to_owned()
    };
    let newer = as_of();
    std::fs::remove_dir_all(&store).expect("a store to delete");
    copy_dir(&copy, &store);
    assert!(as_of() < newer);
    let done = rebuild(&stage);
    assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
    assert!(done.out.contains("it is out of date"), "{}", done.out);
    assert!(done.out.contains("--older"), "{}", done.out);
    succeeds(&alone(&stage, &["changelog", "rebuild", "--older", "--yes"]));
    let mut daemon = stage.start();
    recovered.store(true, Ordering::Relaxed);
    send_reports(&stage, &uuids);
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    daemon.stop();
    invariants::assert_delivered(&stage, &uuids, usize::MAX);
}

#[test]
fn nothing_is_rebuilt_while_the_group_has_members() {
    let stage = Stage::new("rebuild-members");
    let daemon = stage.start();
    let done = stage.command(&["changelog", "rebuild", "--yes"]);
    assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
    assert!(done.err.contains("has 1 members: stop all instances"), "{}", done.err);
    drop(daemon);
}

#[test]
fn a_store_of_another_group_is_not_written() {
    let (mut stage, ..) = waiting("rebuild-other", 906);
    delete_topic(&stage, "changelog");
    stage.set("kafka.group_id", "rebuild-other.another-group");
    let done = rebuild(&stage);
    assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
    assert!(done.err.contains("belongs to the consumer group rebuild-other.group"), "{}", done.err);
    assert_eq!(stage.kafka.partitions(&stage.topic("changelog")), 0);
}

//! The changelog is lost, and `ringback changelog rebuild` writes it from a store: nothing is lost and nothing is sent
//! twice.

#[cfg(feature = "failpoints")]
mod beside;
mod machines;

use crate::harness::daemon::{Daemon, Done, copy_dir};
use crate::harness::samples::Random;
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, invariants};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Creates a stage whose endpoint fails until the flag is set.
fn failing(name: &str, partitions: i32) -> (Stage, Arc<AtomicBool>) {
    let mut stage = Stage::on(broker::shared(), name, partitions);
    let recovered = stage.fail_until_recovered(1000);
    (stage, recovered)
}

fn rebuild(stage: &Stage) -> Done {
    stage.alone(&["changelog", "rebuild", "--yes"])
}

/// Creates a stage on which twenty deliveries wait for their retries and the daemon has stopped.
pub(crate) fn waiting(name: &str, seed: u64) -> (Stage, Arc<AtomicBool>, Vec<String>) {
    let (stage, recovered) = failing(name, 2);
    let uuids = Random::seeded(seed).uuids(20);
    stage.send_flows_of(&uuids);
    let mut daemon = stage.start();
    stage.wait_events("attempt_failed", uuids.len());
    daemon.stop();
    (stage, recovered, uuids)
}

/// Starts the daemon, and panics unless both phases of each uuid are delivered.
fn delivers(stage: &Stage, recovered: &AtomicBool, uuids: &[String]) {
    delivers_by(stage.start(), stage, recovered, uuids);
}

/// Like `delivers`, but with a daemon that already runs, which it stops.
pub(crate) fn delivers_by(
    mut daemon: Daemon,
    stage: &Stage,
    recovered: &AtomicBool,
    uuids: &[String],
) {
    recovered.store(true, Ordering::Relaxed);
    stage.send_reports_of(uuids);
    invariants::wait_delivered(stage, uuids, PATIENCE);
    invariants::wait_consumed(stage, PATIENCE);
    daemon.stop();
    invariants::assert_delivered(stage, uuids, usize::MAX);
    // The events count each request as an attempt, so nothing was repeated and no count was forgotten.
    invariants::assert_attempts_counted(stage, 0);
}

#[test]
fn a_deleted_changelog_is_written_from_the_store() {
    let (stage, recovered, uuids) = waiting("rebuild-deleted", 901);
    stage.delete_topic("changelog");
    assert!(stage.refused().contains("ringback changelog rebuild"));
    let dry = stage.alone(&["changelog", "rebuild", "--dry-run", "--json"]);
    dry.succeeds();
    let plan: Value = serde_json::from_str(&dry.out).expect("JSON");
    assert_eq!((&plan["partitions"], &plan["written"]), (&2.into(), &false.into()), "{plan}");
    assert_eq!(stage.kafka.partitions(&stage.topic("changelog")), 0, "a dry run creates nothing");
    let done = rebuild(&stage);
    done.succeeds();
    assert_eq!(stage.kafka.partitions(&stage.topic("changelog")), 2);
    let again = rebuild(&stage);
    again.succeeds();
    assert!(again.out.contains("it was rebuilt before"), "{}", again.out);
    delivers(&stage, &recovered, &uuids);
    stage.verify();
    // A rebuild must not write over a changelog that the daemon has used.
    let over = rebuild(&stage);
    assert_eq!(over.code, Some(1), "{}{}", over.out, over.err);
    assert!(over.out.contains("which a rebuild does not overwrite"), "{}", over.out);
}

#[test]
fn a_changelog_that_was_created_again_is_written_from_the_store() {
    let (stage, recovered, uuids) = waiting("rebuild-recreated", 902);
    stage.delete_topic("changelog");
    let created = stage.command(&["topics", "--create"]);
    assert!(created.out.contains("created rebuild-recreated.changelog"), "{created:?}");
    assert!(stage.refused().contains("ringback changelog rebuild"));
    rebuild(&stage).succeeds();
    delivers(&stage, &recovered, &uuids);
}

/// The test follows the advice of the message from beginning to end.
#[test]
fn a_changelog_with_more_partitions_is_refused_and_rebuilt_with_the_former_number() {
    let (stage, recovered, uuids) = waiting("rebuild-grown", 903);
    stage.kafka.grow_topic(&stage.topic("changelog"), 4);
    let said = stage.refused();
    assert!(said.contains("spread over 2 partitions"), "{said}");
    assert!(said.contains("delete topic") && said.contains("ringback changelog rebuild"), "{said}");
    let early = rebuild(&stage);
    assert_eq!(early.code, Some(1));
    assert!(early.err.contains("Delete topic"), "{}", early.err);
    stage.delete_topic("changelog");
    rebuild(&stage).succeeds();
    assert_eq!(stage.kafka.partitions(&stage.topic("changelog")), 2);
    delivers(&stage, &recovered, &uuids);
}

#[cfg(feature = "failpoints")]
#[test]
fn an_interrupted_rebuild_is_refused_by_the_daemon_and_can_be_continued() {
    let (mut stage, recovered) = failing("rebuild-interrupted", 1);
    let uuids = Random::seeded(904).uuids(1500);
    stage.send_flows_of(&uuids);
    let mut daemon = stage.start();
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    stage.delete_topic("changelog");
    stage.alone(&["changelog", "rebuild", "--dry-run"]).succeeds();
    stage.set_variable("RINGBACK_FAILPOINT", "rebuilt:1");
    let dead = rebuild(&stage);
    assert!(dead.err.contains("failpoint rebuilt"), "{}", dead.err);
    stage.clear_variables();
    let said = stage.refused();
    assert!(said.contains("a rebuild of the changelog was interrupted"), "{said}");
    let done = rebuild(&stage);
    done.succeeds();
    assert!(done.out.contains("this one continues it"), "{}", done.out);
    let rows = stage.kafka.read(&stage.topic("changelog"));
    let states = rows.iter().filter(|row| row.key.as_deref().is_some_and(|key| key[0] == b's'));
    assert_eq!(states.count(), uuids.len(), "no row is written twice");
    recovered.store(true, Ordering::Relaxed);
    let mut daemon = stage.start();
    stage.send_reports_of(&uuids);
    invariants::wait_delivered(&stage, &uuids, 2 * PATIENCE);
    daemon.stop();
    invariants::assert_delivered(&stage, &uuids, usize::MAX);
    invariants::assert_attempts_counted(&stage, 0);
}

/// Another instance may have a newer copy. If none has, records that the store has not seen are read again.
#[test]
fn a_store_that_is_behind_the_group_is_used_only_with_the_option_older() {
    let (stage, recovered) = failing("rebuild-behind", 2);
    let uuids = Random::seeded(905).uuids(20);
    let (early, late) = uuids.split_at(10);
    let store = stage.instance_dir(0).join("data");
    let copy = stage.instance_dir(0).join("copy");
    stage.send_flows_of(early);
    let mut daemon = stage.start();
    stage.wait_events("attempt_failed", early.len());
    daemon.stop();
    copy_dir(&store, &copy);
    let mut daemon = stage.start();
    stage.send_flows_of(late);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    stage.delete_topic("changelog");
    // By this time operators find the newer one of two stores.
    let as_of = || {
        let dry = stage.alone(&["changelog", "rebuild", "--dry-run", "--json"]);
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
    stage.alone(&["changelog", "rebuild", "--older", "--yes"]).succeeds();
    let mut daemon = stage.start();
    recovered.store(true, Ordering::Relaxed);
    stage.send_reports_of(&uuids);
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
    stage.delete_topic("changelog");
    stage.set("kafka.group_id", "rebuild-other.another-group");
    let done = rebuild(&stage);
    assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
    assert!(done.err.contains("belongs to the consumer group rebuild-other.group"), "{}", done.err);
    assert_eq!(stage.kafka.partitions(&stage.topic("changelog")), 0);
}

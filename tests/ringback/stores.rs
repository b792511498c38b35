//! The store is a cache of the changelog: without it, or with an old copy of it, the result is the same.

mod damaged;
mod matrix;

use crate::harness::daemon::copy_dir;
use crate::harness::kafka::Message;
use crate::harness::receiver::Answer;
use crate::harness::samples::{Random, flow, report};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, invariants};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A stage whose endpoint fails until it is told to recover, with slow retries and a flow of each uuid tried once.
fn failing(name: &str, uuids: &[String]) -> (Stage, Arc<AtomicBool>) {
    let mut stage = Stage::new(name);
    stage.set("delivery.retry.initial_interval_ms", 1000);
    stage.set("delivery.retry.interval_max_ms", 1000);
    let recovered = Arc::new(AtomicBool::new(false));
    let answer = Arc::clone(&recovered);
    stage
        .receiver
        .script(move |_, _| Answer::status(if answer.load(Ordering::Relaxed) { 200 } else { 503 }));
    let flows: Vec<Value> = uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect();
    stage.send_flows(&flows);
    (stage, recovered)
}

fn send_reports(stage: &Stage, uuids: &[String]) {
    let reports: Vec<Value> = uuids.iter().map(|uuid| report(uuid, "s-1", "DELIVERED")).collect();
    stage.send_reports(&reports);
}

/// Waits until so many events of the type are committed.
fn wait_events(stage: &Stage, kind: &str, count: usize) {
    stage.events().wait(&format!("{count} {kind}"), PATIENCE, |events| {
        let of = |event: &&Message| event.json()["type"] == *kind;
        events.iter().filter(of).count() >= count
    });
}

#[test]
fn a_deleted_store_is_restored_from_the_changelog() {
    let uuids = Random::seeded(31).uuids(50);
    let (stage, recovered) = failing("stores-deleted", &uuids);
    let mut daemon = stage.start();
    wait_events(&stage, "attempt_failed", uuids.len());
    daemon.stop();
    std::fs::remove_dir_all(stage.instance_dir(0).join("data")).expect("a store to delete");
    let mut daemon = stage.start();
    recovered.store(true, Ordering::Relaxed);
    send_reports(&stage, &uuids);
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    daemon.stop();
    assert_result(&stage, &uuids);
}

#[test]
fn a_store_deleted_after_a_crash_is_restored_too() {
    let uuids = Random::seeded(32).uuids(50);
    let (stage, recovered) = failing("stores-deleted-crash", &uuids);
    let mut daemon = stage.start();
    wait_events(&stage, "attempt_failed", uuids.len());
    recovered.store(true, Ordering::Relaxed);
    send_reports(&stage, &uuids);
    wait_events(&stage, "delivered", uuids.len() / 2);
    daemon.kill();
    std::fs::remove_dir_all(stage.instance_dir(0).join("data")).expect("a store to delete");
    let mut daemon = stage.start();
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    daemon.stop();
    // What was in flight or not committed at the kill: at most everything that was still to be sent.
    invariants::assert_delivered(&stage, &uuids, usize::MAX);
    invariants::assert_attempts_counted(&stage, 2 * uuids.len());
    stage.verify();
}

#[test]
fn an_old_copy_of_the_store_catches_up() {
    let uuids = Random::seeded(33).uuids(50);
    let (stage, recovered) = failing("stores-old-copy", &uuids);
    let store = stage.instance_dir(0).join("data");
    let copy = stage.instance_dir(0).join("copy");
    let mut daemon = stage.start();
    wait_events(&stage, "attempt_failed", uuids.len());
    daemon.stop();
    copy_dir(&store, &copy);
    let mut daemon = stage.start();
    recovered.store(true, Ordering::Relaxed);
    let (early, rest) = uuids.split_at(25);
    send_reports(&stage, early);
    wait_events(&stage, "delivered", uuids.len() + early.len());
    daemon.stop();
    std::fs::remove_dir_all(&store).expect("a store to delete");
    copy_dir(&copy, &store);
    let mut daemon = stage.start();
    send_reports(&stage, rest);
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    daemon.stop();
    assert_result(&stage, &uuids);
}

/// Each request is an attempt that is counted: nothing was repeated and no count was forgotten.
fn assert_result(stage: &Stage, uuids: &[String]) {
    invariants::assert_delivered(stage, uuids, usize::MAX);
    invariants::assert_attempts_counted(stage, 0);
    invariants::assert_consumed(stage);
    assert_eq!(stage.verify()["repeats"], 0);
}

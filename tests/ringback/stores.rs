//! The store is a cache of the changelog: without it, or with an old copy of it, the result is the same.

pub(crate) mod damaged;
mod matrix;

use crate::harness::daemon::copy_dir;
use crate::harness::samples::Random;
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, invariants};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Creates a stage whose endpoint fails until the flag is set, with slow retries, and sends a flow of each uuid.
fn failing(name: &str, uuids: &[String]) -> (Stage, Arc<AtomicBool>) {
    let mut stage = Stage::new(name);
    let recovered = stage.fail_until_recovered(1000);
    stage.send_flows_of(uuids);
    (stage, recovered)
}

#[test]
fn a_deleted_store_is_restored_from_the_changelog() {
    let uuids = Random::seeded(31).uuids(50);
    let (stage, recovered) = failing("stores-deleted", &uuids);
    let mut daemon = stage.start();
    stage.wait_events("attempt_failed", uuids.len());
    daemon.stop();
    std::fs::remove_dir_all(stage.instance_dir(0).join("data")).expect("a store to delete");
    let mut daemon = stage.start();
    recovered.store(true, Ordering::Relaxed);
    stage.send_reports_of(&uuids);
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    daemon.stop();
    assert_result(&stage, &uuids);
}

#[test]
fn a_store_deleted_after_a_crash_is_restored_too() {
    let uuids = Random::seeded(32).uuids(50);
    let (stage, recovered) = failing("stores-deleted-crash", &uuids);
    let mut daemon = stage.start();
    stage.wait_events("attempt_failed", uuids.len());
    recovered.store(true, Ordering::Relaxed);
    stage.send_reports_of(&uuids);
    stage.wait_events("delivered", uuids.len() / 2);
    daemon.kill();
    std::fs::remove_dir_all(stage.instance_dir(0).join("data")).expect("a store to delete");
    let mut daemon = stage.start();
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    daemon.stop();
    // Deliveries that were in flight or not committed at the kill may be repeated, at most all that were still to be
    // sent.
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
    stage.wait_events("attempt_failed", uuids.len());
    daemon.stop();
    copy_dir(&store, &copy);
    let mut daemon = stage.start();
    recovered.store(true, Ordering::Relaxed);
    let (early, rest) = uuids.split_at(25);
    stage.send_reports_of(early);
    stage.wait_events("delivered", uuids.len() + early.len());
    daemon.stop();
    std::fs::remove_dir_all(&store).expect("a store to delete");
    copy_dir(&copy, &store);
    let mut daemon = stage.start();
    stage.send_reports_of(rest);
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    daemon.stop();
    assert_result(&stage, &uuids);
}

/// Panics unless everything is delivered and each request is counted as an attempt: nothing was repeated or forgotten.
fn assert_result(stage: &Stage, uuids: &[String]) {
    invariants::assert_delivered(stage, uuids, usize::MAX);
    invariants::assert_attempts_counted(stage, 0);
    invariants::assert_consumed(stage);
    assert_eq!(stage.verify()["repeats"], 0);
}

//! The process dies at each point that a crash may hit, and the next process loses nothing.

use crate::harness::receiver::Answer;
use crate::harness::samples::{Random, flow, report};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, invariants};
use serde_json::Value;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const FLOWS: usize = 120;
const IN_FLIGHT_MAX: i64 = 8;
const UNCOMMITTED_MAX: i64 = 16;

/// The activity of the process when it reaches the point.
#[derive(Clone, Copy, PartialEq)]
enum At {
    /// It processes its backlog.
    Work,
    /// It has worked, and SIGTERM makes it stop.
    End,
    /// It restores everything after a crash, without its store.
    Restore,
}

#[test]
fn nothing_is_lost_by_a_crash_while_a_command_is_decided() {
    survives_a_crash_at("deciding", 1..200, At::Work);
}

#[test]
fn nothing_is_lost_by_a_crash_between_the_records_and_the_offsets() {
    survives_a_crash_at("produced", 1..8, At::Work);
}

#[test]
fn nothing_is_lost_by_a_crash_between_the_offsets_and_the_commit() {
    survives_a_crash_at("offered", 1..8, At::Work);
}

#[test]
fn nothing_is_lost_by_a_crash_while_a_commit_is_open() {
    survives_a_crash_at("commit-sent", 1..8, At::Work);
}

#[test]
fn nothing_is_lost_by_a_crash_before_the_process_learns_that_records_are_committed() {
    survives_a_crash_at("committed", 1..2, At::Work);
}

#[test]
fn nothing_is_lost_by_a_crash_before_the_process_learns_that_outcomes_are_committed() {
    survives_a_crash_at("outcome-committed", 1..6, At::Work);
}

#[test]
fn nothing_is_lost_by_a_crash_when_an_endpoint_has_answered() {
    survives_a_crash_at("attempted", 1..100, At::Work);
}

#[test]
fn nothing_is_lost_by_a_crash_when_the_store_is_written_and_not_synced() {
    survives_a_crash_at("stored", 1..3, At::End);
}

#[test]
fn nothing_is_lost_by_a_crash_when_partitions_are_drained_and_not_released() {
    survives_a_crash_at("drained", 1..2, At::End);
}

#[test]
fn nothing_is_lost_by_a_crash_when_half_of_the_store_is_restored() {
    survives_a_crash_at("ingested", 1..2, At::Restore);
}

/// Kills the process under load when it passes the point for the `nth` time, and checks the next process.
fn survives_a_crash_at(point: &str, nth: Range<u64>, at: At) {
    let mut random = Random::fresh();
    let mut stage = Stage::new(&format!("failpoints-{point}"));
    stage.set("delivery.in_flight_max", IN_FLIGHT_MAX);
    stage.set("delivery.uncommitted_max", UNCOMMITTED_MAX);
    stage.set_webhook("in_flight_max", IN_FLIGHT_MAX);
    // Every fifth request fails, so that some rows wait with a failed attempt when the process dies.
    let requests = AtomicU64::new(0);
    stage.receiver.script(move |_, _| {
        let fails = requests.fetch_add(1, Ordering::Relaxed) % 5 == 4;
        Answer::status(if fails { 503 } else { 200 }).after(Duration::from_millis(2))
    });
    let uuids = random.uuids(FLOWS);
    let flows: Vec<Value> = uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect();
    let reports: Vec<Value> = uuids.iter().map(|uuid| report(uuid, "s-1", "DELIVERED")).collect();
    if point == "committed" {
        stage.commit_first_rows();
    }
    stage.send_flows(&flows);
    stage.send_reports(&reports);
    // Drained outcomes are committed, so that nothing is repeated.
    let mut kills = i64::from(point != "drained");
    if at == At::Restore {
        let mut daemon = stage.start();
        stage.receiver.wait_for(FLOWS / 2, PATIENCE);
        daemon.kill();
        std::fs::remove_dir_all(stage.instance_dir(0).join("data")).expect("a store");
        kills += 1;
    }
    let nth = random.within(nth);
    println!("{point}:{nth}");
    stage.set_variable("RINGBACK_FAILPOINT", &format!("{point}:{nth}"));
    let mut daemon = stage.spawn(0);
    if at == At::End {
        stage.receiver.wait_for(FLOWS / 2, PATIENCE);
        daemon.signal("TERM");
    }
    daemon.wait_abort(point, PATIENCE);
    if point == "committed" {
        assert!(!stage.kafka.read(&stage.topic("events")).is_empty(), "it committed no record");
    }
    stage.clear_variables();
    let mut daemon = stage.start();
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    let repeats_max = (kills * (IN_FLIGHT_MAX + UNCOMMITTED_MAX)).to_string();
    let counts = stage.verify_with(0, &["--at-rest", "--repeats-max", &repeats_max]);
    println!("{point}:{nth}: {} repeats, at most {repeats_max} are explained", counts["repeats"]);
}

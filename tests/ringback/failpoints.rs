//! The process dies at each moment that a crash may hit, and the next one goes on as if nothing had been.

use crate::harness::receiver::Answer;
use crate::harness::samples::{Random, flow, report};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, invariants};
use serde_json::Value;
use std::ops::Range;
use std::time::Duration;

const FLOWS: usize = 120;
const IN_FLIGHT_MAX: i64 = 8;
const UNCOMMITTED_MAX: i64 = 16;

/// What the process is doing when it comes to the moment.
#[derive(Clone, Copy, PartialEq)]
enum At {
    /// It works off what there is.
    Work,
    /// It has worked, and was told to end.
    End,
    /// It restores everything after a crash, without its store.
    Restore,
}

#[test]
fn while_a_command_is_decided() {
    dies("deciding", 1..200, At::Work);
}

#[test]
fn between_the_records_and_the_offsets() {
    dies("produced", 1..8, At::Work);
}

#[test]
fn between_the_offsets_and_the_commit() {
    dies("offered", 1..8, At::Work);
}

#[test]
fn while_the_commit_is_under_way() {
    dies("commit-sent", 1..8, At::Work);
}

#[test]
fn when_records_are_committed_and_the_process_does_not_know() {
    dies("committed", 1..2, At::Work);
}

#[test]
fn when_outcomes_are_committed_and_the_process_does_not_know() {
    dies("outcome-committed", 1..6, At::Work);
}

#[test]
fn when_an_endpoint_has_answered() {
    dies("attempted", 1..100, At::Work);
}

#[test]
fn when_the_store_was_written_and_not_synced() {
    dies("stored", 1..3, At::End);
}

#[test]
fn when_the_partitions_are_given_back() {
    dies("drained", 1..2, At::End);
}

#[test]
fn when_half_of_the_store_is_restored() {
    dies("ingested", 1..2, At::Restore);
}

/// Under load, the `nth` time that the process passes the point.
fn dies(point: &str, nth: Range<u64>, at: At) {
    let mut random = Random::fresh();
    let mut stage = Stage::new(&format!("failpoints-{point}"));
    stage.set("delivery.in_flight_max", IN_FLIGHT_MAX);
    stage.set("delivery.uncommitted_max", UNCOMMITTED_MAX);
    stage.set_webhook("in_flight_max", IN_FLIGHT_MAX);
    // Some stand in the outbox with an attempt behind them when it happens.
    stage.receiver.script(|_, nth| {
        let fails = nth.is_multiple_of(5);
        Answer::status(if fails { 503 } else { 200 }).after(Duration::from_millis(2))
    });
    let uuids = random.uuids(FLOWS);
    let flows: Vec<Value> = uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect();
    let reports: Vec<Value> = uuids.iter().map(|uuid| report(uuid, "s-1", "DELIVERED")).collect();
    stage.send_flows(&flows);
    stage.send_reports(&reports);
    // What was drained is known, and not sent again.
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
    stage.clear_variables();
    let mut daemon = stage.start();
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    let repeats_max = (kills * (IN_FLIGHT_MAX + UNCOMMITTED_MAX)).to_string();
    let counts = stage.verify_with(0, &["--at-rest", "--repeats-max", &repeats_max]);
    println!("{point}:{nth}: {} repeats, at most {repeats_max} are explained", counts["repeats"]);
}

//! Two instances on the same topics: what one leaves the other takes over, retry counts and all.

use crate::harness::daemon::Daemon;
use crate::harness::kafka::Message;
use crate::harness::receiver::Answer;
use crate::harness::samples::{Random, flow, report};
use crate::harness::stage::Stage;
use crate::harness::{broker, invariants};
use serde_json::Value;
use std::time::Duration;

/// Longer than a session time-out and a rebalance.
const TAKEOVER: Duration = Duration::from_secs(60);

/// Each phase 1 fails once, one ends by `end`, and the other finishes everything.
fn one_ends(name: &str, seed: u64, end: impl FnOnce(&mut Daemon)) {
    let mut stage = Stage::on(broker::shared(), name, 4);
    stage.set("delivery.retry.initial_interval_ms", 5000);
    stage.set("delivery.retry.interval_max_ms", 5000);
    stage.receiver.script(|request, nth| {
        Answer::status(if request.phase() == 1 && nth < 3 { 500 } else { 200 })
    });
    let uuids = Random::seeded(seed).uuids(40);
    let mut first = stage.start_instance(0);
    let mut second = stage.start_instance(1);
    first.wait_ready();
    let flows: Vec<Value> = uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect();
    stage.send_flows(&flows);
    let count = uuids.len();
    // Committed, so that the end of an instance can't cost an outcome that was still on its way.
    stage.events().wait("the first attempts", TAKEOVER, |events| {
        let failed = |event: &&Message| event.json()["type"] == "attempt_failed";
        events.iter().filter(failed).count() >= count
    });
    end(&mut first);
    let reports: Vec<Value> = uuids.iter().map(|uuid| report(uuid, "s-1", "DELIVERED")).collect();
    stage.send_reports(&reports);
    invariants::wait_delivered(&stage, &uuids, TAKEOVER);
    second.wait_ready();
    second.stop();
    // Three attempts of each phase 1: one before the end and two after it, none forgotten and none made twice.
    invariants::assert_delivered(&stage, &uuids, usize::MAX);
    invariants::assert_attempts_counted(&stage, 0);
    for (id, requests) in stage.receiver.by_id() {
        let wanted = if requests[0].phase() == 1 { 3 } else { 1 };
        assert_eq!(requests.len(), wanted, "attempts of {id}");
    }
    let counts = stage.verify_with(1, &["--at-rest", "--repeats-max", "0"]);
    assert_eq!(counts["store_partitions"], 4, "the survivor has all of them: {counts}");
    // What the first left behind is older, and right as far as it goes.
    stage.verify();
}

#[test]
fn the_other_takes_over_from_one_that_stops() {
    one_ends("instances-stop", 41, Daemon::stop);
}

#[test]
fn the_other_takes_over_from_one_that_is_killed() {
    one_ends("instances-kill", 42, Daemon::kill);
}

#[test]
fn both_work_and_one_that_comes_later_gets_its_share() {
    let stage = Stage::on(broker::shared(), "instances-share", 4);
    let uuids = Random::seeded(43).uuids(200);
    let (early, late) = uuids.split_at(100);
    let send = |uuids: &[String]| {
        let flows: Vec<Value> = uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect();
        let reports: Vec<Value> =
            uuids.iter().map(|uuid| report(uuid, "s-1", "DELIVERED")).collect();
        stage.send_flows(&flows);
        stage.send_reports(&reports);
    };
    let mut first = stage.start_instance(0);
    send(early);
    // In the middle of the work: a rebalance repeats nothing.
    let mut second = stage.start_instance(1);
    first.wait_ready();
    send(late);
    invariants::wait_delivered(&stage, &uuids, TAKEOVER);
    let share = second.metric("ringback_deliveries_total", &[]).unwrap_or(0.0);
    assert!(share > 0.0, "the second instance delivered something");
    first.stop();
    second.stop();
    invariants::assert_delivered(&stage, &uuids, 0);
    assert_eq!(stage.verify()["repeats"], 0);
}

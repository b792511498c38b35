//! A large backlog after an outage of an endpoint or of the daemon, while instances join and leave: nothing is lost or
//! repeated, and memory is bounded. `benches/end_to_end` measures the same with fifty times as many flows.

use crate::harness::daemon::Daemon;
use crate::harness::receiver::Answer;
use crate::harness::samples::{Random, flow, report};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, invariants, wait_until};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Each flow has two deliveries.
const FLOWS: usize = 10_000;
/// The most memory that an instance may use at its peak.
const PEAK_MIB_MAX: u64 = 300;
/// The endpoint's delay, so that a backlog is left when the second instance has joined.
const SLOW: Duration = Duration::from_millis(15);
const OUTAGE: Duration = Duration::from_secs(120);

fn send(stage: &Stage, uuids: &[String]) {
    let flows: Vec<Value> = uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect();
    let reports: Vec<Value> = uuids.iter().map(|uuid| report(uuid, "s-1", "DELIVERED")).collect();
    stage.send_flows(&flows);
    stage.send_reports(&reports);
}

/// A second instance joins and leaves while the first one works. Panics unless everything is delivered once.
fn finishes_while_another_joins_and_leaves(stage: &Stage, uuids: &[String], mut first: Daemon) {
    let before = stage.receiver.requests().len();
    stage.receiver.wait_for(before + FLOWS / 4, OUTAGE);
    let mut second = stage.start_instance(1);
    let share = || second.metric("ringback_deliveries_total", &[]).filter(|count| *count > 0.0);
    wait_until("the second instance delivers something", PATIENCE, share);
    let peak = second.peak_mib();
    second.stop();
    invariants::wait_delivered(stage, uuids, OUTAGE);
    first.wait_ready();
    let peaks = [first.peak_mib(), peak];
    println!("peak memory: {peaks:?} MiB");
    first.stop();
    assert!(peaks.iter().all(|peak| *peak < PEAK_MIB_MAX), "{peaks:?} MiB");
    // Failed attempts are requests too, and they are counted. No attempt is made twice.
    invariants::assert_delivered(stage, uuids, usize::MAX);
    invariants::assert_attempts_counted(stage, 0);
    invariants::assert_consumed(stage);
    assert_eq!(stage.verify_with(0, &["--at-rest", "--repeats-max", "0"])["repeats"], 0);
}

#[test]
fn the_backlog_of_a_failing_endpoint_is_sent_once_it_works_again() {
    let mut stage = Stage::on(broker::shared(), "limits-endpoint", 4);
    stage.set("delivery.breaker.attempts_min", 20);
    stage.set("delivery.breaker.open_s", 1);
    let works = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&works);
    let status = move || if switch.load(Ordering::Relaxed) { 200 } else { 503 };
    stage.receiver.script(move |_, _| Answer::status(status()).after(SLOW));
    let uuids = Random::seeded(101).uuids(FLOWS);
    let daemon = stage.start();
    send(&stage, &uuids);
    // Phase 2 of each flow waits until its phase 1 is delivered.
    wait_until("the whole backlog waits", OUTAGE, || {
        let rows = daemon.metric("ringback_outbox_rows", &[]).unwrap_or(0.0);
        (rows >= 2.0 * FLOWS as f64).then_some(())
    });
    let tried = stage.receiver.requests().len();
    assert!(tried < FLOWS / 2, "the breaker is open: {tried} attempts");
    works.store(true, Ordering::Relaxed);
    finishes_while_another_joins_and_leaves(&stage, &uuids, daemon);
}

#[test]
fn the_backlog_of_the_inputs_is_processed_after_an_outage_of_the_daemon() {
    let stage = Stage::on(broker::shared(), "limits-outage", 4);
    let uuids = Random::seeded(102).uuids(FLOWS);
    stage.receiver.script(|_, _| Answer::status(200).after(SLOW));
    // The group commits its positions first. Then no daemon runs.
    stage.start().stop();
    send(&stage, &uuids);
    let daemon = stage.spawn(0);
    finishes_while_another_joins_and_leaves(&stage, &uuids, daemon);
}

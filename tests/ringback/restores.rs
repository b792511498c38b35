//! Restores under difficult conditions: an open transaction in the changelog, and a broker that is killed during the
//! restore.

use crate::harness::broker::Broker;
use crate::harness::daemon::Daemon;
use crate::harness::kafka::Message;
use crate::harness::receiver::Answer;
use crate::harness::samples::{Random, flow, report};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, invariants, wait_until};
use rdkafka::producer::{BaseRecord, Producer as _};
use serde_json::Value;
use std::time::Duration;

const OPEN: &str = "another producer's transaction is open in the changelog";

fn flows(uuids: &[String]) -> Vec<Value> {
    uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect()
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

fn delete_store(stage: &Stage) {
    std::fs::remove_dir_all(stage.instance_dir(0).join("data")).expect("a store to delete");
}

/// Writes rows to the changelog behind an open transaction of another producer, and starts an instance without a store.
/// The transaction ends by `end`, or else by its timeout.
fn pinned(name: &str, timeout: Duration, end: impl FnOnce(&rdkafka::producer::BaseProducer)) {
    let stage = Stage::new(name);
    let uuids = Random::seeded(61).uuids(60);
    let (early, late) = uuids.split_at(20);
    let mut daemon = stage.start();
    stage.send_flows(&flows(early));
    wait_events(&stage, "delivered", early.len());
    let foreign = stage.kafka.transaction(&format!("{name}-foreign"), timeout);
    let changelog = stage.topic("changelog");
    for partition in 0..2 {
        let record = BaseRecord::<[u8], [u8]>::to(&changelog).partition(partition);
        let record = record.key(b"foreign").payload(b"foreign");
        foreign.send(record).map_err(|(error, _)| error).expect("the queue has room");
    }
    foreign.flush(PATIENCE).expect("the broker accepts the records");
    stage.send_flows(&flows(late));
    wait_events(&stage, "delivered", uuids.len());
    daemon.kill();
    delete_store(&stage);
    let mut daemon: Daemon = stage.spawn(0);
    // The assertions at the end report an instance that does not wait.
    wait_until("the instance waits, or is ready", PATIENCE, || {
        let ready = daemon.get("/readyz").is_ok_and(|(status, _)| status == 200);
        (ready || daemon.logged().contains(OPEN)).then_some(())
    });
    let (status, why) = daemon.get("/readyz").expect("the daemon answers");
    let (live, stalled) = daemon.get("/livez").expect("the daemon answers");
    end(&foreign);
    drop(foreign);
    daemon.wait_ready();
    send_reports(&stage, &uuids);
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    stage.verify_with(0, &["--at-rest", "--repeats-max", "0"]);
    invariants::assert_delivered(&stage, &uuids, 0);
    assert!(status == 503 && why.contains("restoring"), "during the transaction: {status} {why}");
    // An orchestrator must not kill an instance that restores.
    assert_eq!(live, 200, "{stalled}");
}

#[test]
fn rows_above_an_open_transaction_are_restored_once_it_is_aborted() {
    pinned("restores-aborted", Duration::from_secs(120), |foreign| {
        foreign.abort_transaction(PATIENCE).expect("the transaction is open");
    });
}

#[test]
fn rows_above_an_open_transaction_are_restored_once_it_times_out() {
    pinned("restores-timed-out", Duration::from_secs(15), |_| {});
}

/// A daemon must not continue with the partial state of an interrupted restore.
#[test]
fn a_broker_killed_during_a_restore_only_delays_it() {
    let mut own = Broker::start();
    let mut stage = Stage::on(own.kafka(), "restores-broker", 2);
    let uuids = Random::seeded(62).uuids(3000);
    stage.receiver.script(|_, _| Answer::status(200));
    let mut daemon = stage.start();
    stage.send_flows(&flows(&uuids));
    wait_events(&stage, "delivered", uuids.len());
    daemon.stop();
    delete_store(&stage);
    // Small fetches make the restore slow enough to be interrupted.
    let mut client = toml::Table::new();
    for (key, value) in [
        ("session.timeout.ms", 6000),
        ("transaction.timeout.ms", 5000),
        ("fetch.message.max.bytes", 4096),
        ("fetch.max.bytes", 8192),
        ("message.max.bytes", 8192),
    ] {
        client.insert(key.into(), value.into());
    }
    stage.set("kafka.client", client);
    let mut daemon = stage.spawn(0);
    wait_until("the middle of the restore", PATIENCE, || {
        let (_, why) = daemon.get("/readyz").ok()?;
        why.contains("records left").then_some(())
    });
    own.kill();
    let (status, why) = daemon.get("/readyz").expect("the daemon answers");
    assert!(status == 503 && why.contains("restoring"), "in the middle: {status} {why}");
    own.restart();
    daemon.wait_ready();
    send_reports(&stage, &uuids);
    invariants::wait_delivered(&stage, &uuids, Duration::from_secs(90));
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    stage.verify_with(0, &["--at-rest", "--repeats-max", "0"]);
    invariants::assert_delivered(&stage, &uuids, 0);
}

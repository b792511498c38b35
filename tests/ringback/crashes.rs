//! `kill -9` of the daemon and of the broker under load.

use crate::harness::broker::Broker;
use crate::harness::daemon::Daemon;
use crate::harness::receiver::Answer;
use crate::harness::samples::{Random, flow, report};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, invariants};
use serde_json::Value;
use std::time::Duration;
use toml::{Table, Value as Toml};

const IN_FLIGHT_MAX: usize = 64;
const UNCOMMITTED_MAX: usize = 200;

/// Sets limits so that a killed daemon may repeat only a few deliveries, and gives the endpoint a short delay.
fn limit(stage: &mut Stage) {
    let limit = |limit: usize| i64::try_from(limit).expect("small");
    stage.set("delivery.in_flight_max", limit(IN_FLIGHT_MAX));
    stage.set("delivery.uncommitted_max", limit(UNCOMMITTED_MAX));
    stage.set("correlation.dedup_window_s", 3);
    stage.set_webhook("in_flight_max", limit(IN_FLIGHT_MAX));
    stage.receiver.script(|_, _| Answer::status(200).after(Duration::from_millis(3)));
}

/// Sets timeouts so that a restarted broker is back before the group's session ends, as with Kafka's defaults.
fn outlast_restarts(stage: &mut Stage) {
    let mut client = Table::new();
    client.insert("session.timeout.ms".into(), Toml::Integer(30_000));
    client.insert("transaction.timeout.ms".into(), Toml::Integer(5000));
    stage.set("kafka.client", client);
}

fn load(stage: &Stage, uuids: &[String]) {
    let flows: Vec<Value> = uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect();
    let reports: Vec<Value> = uuids.iter().map(|uuid| report(uuid, "s-1", "DELIVERED")).collect();
    stage.send_flows(&flows);
    stage.send_reports(&reports);
}

#[test]
fn three_kills_under_load_lose_nothing_and_repeat_little() {
    const KILLS: usize = 3;
    let mut random = Random::fresh();
    let mut stage = Stage::on(broker::shared(), "crashes-load", 4);
    let uuids = random.uuids(2000);
    limit(&mut stage);
    load(&stage, &uuids);
    let mut daemon: Daemon = stage.start();
    for kill in 0..KILLS as u64 {
        // Progress, not time, decides the moment: each kill hits a daemon under load.
        let moment = random.within(200 + kill * 1200..1200 + kill * 1200);
        println!("kill {kill} after {moment} requests");
        stage.receiver.wait_for(usize::try_from(moment).expect("small"), PATIENCE);
        daemon.kill();
        daemon = stage.start();
    }
    invariants::wait_delivered(&stage, &uuids, Duration::from_secs(90));
    let repeats_max = KILLS * (IN_FLIGHT_MAX + UNCOMMITTED_MAX);
    let repeats = invariants::assert_delivered(&stage, &uuids, repeats_max);
    println!("{repeats} repeats, at most {repeats_max} are explained");
    stage.wait_forgotten(PATIENCE);
    invariants::assert_consumed(&stage);
    daemon.stop();
    stage.verify();
}

/// The outcome of the open commit is unknown. The daemon restores its state and continues by itself.
#[test]
fn a_broker_killed_under_load_costs_time_only() {
    let mut own = Broker::start();
    let mut stage = Stage::on(own.kafka(), "crashes-broker", 2);
    outlast_restarts(&mut stage);
    let uuids = Random::seeded(11).uuids(300);
    limit(&mut stage);
    load(&stage, &uuids);
    let mut daemon = stage.start();
    stage.receiver.wait_for(100, PATIENCE);
    own.kill();
    let waits = daemon.wait_answer("/readyz", 503);
    assert!(waits.contains("waiting for Kafka"), "{waits}");
    own.restart();
    invariants::wait_delivered(&stage, &uuids, Duration::from_secs(90));
    invariants::assert_delivered(&stage, &uuids, 2 * (IN_FLIGHT_MAX + UNCOMMITTED_MAX));
    daemon.wait_ready();
    // The second kill hits an idle daemon, which has no commit that could fail.
    invariants::wait_consumed(&stage, PATIENCE);
    own.kill();
    daemon.wait_answer("/readyz", 503);
    own.restart();
    daemon.wait_ready();
    daemon.stop();
    stage.verify();
}

/// The broker is killed while two instances work.
#[test]
fn a_broker_killed_again_and_again_costs_time_only() {
    const KILLS: usize = 2;
    let mut random = Random::seeded(13);
    let mut own = Broker::start();
    let mut stage = Stage::on(own.kafka(), "crashes-brokers", 4);
    outlast_restarts(&mut stage);
    let uuids = random.uuids(3000);
    stage.set("kafka.commit_interval_ms", 20);
    limit(&mut stage);
    let mut daemons = [0, 1].map(|number| stage.spawn(number));
    daemons.iter_mut().for_each(Daemon::wait_ready);
    // The load begins after both instances are ready. Otherwise the first one would finish most of it while the other
    // joins.
    load(&stage, &uuids);
    for kill in 0..KILLS {
        let moment =
            stage.receiver.count() + usize::try_from(random.within(200..1500)).expect("small");
        stage.receiver.wait_for(moment, PATIENCE);
        println!("kill {kill} after {moment} requests");
        own.kill();
        // The broker stays down until both daemons have noticed, whatever call they are in.
        for daemon in &daemons {
            daemon.wait_answer("/readyz", 503);
        }
        own.restart();
    }
    invariants::wait_delivered(&stage, &uuids, Duration::from_secs(90));
    // At each kill, both instances may lose and repeat what they have not committed.
    let repeats_max = 2 * KILLS * (IN_FLIGHT_MAX + UNCOMMITTED_MAX);
    let repeats = invariants::assert_delivered(&stage, &uuids, repeats_max);
    println!("{repeats} repeats, at most {repeats_max} are explained");
    invariants::wait_consumed(&stage, PATIENCE);
    daemons.iter_mut().for_each(Daemon::stop);
    for instance in [0, 1] {
        stage.verify_with(instance, &["--at-rest"]);
    }
}

#[test]
fn sigterm_under_load_ends_within_five_seconds_and_nothing_is_sent_twice() {
    let mut stage = Stage::on(broker::shared(), "crashes-sigterm", 4);
    let uuids = Random::seeded(12).uuids(4000);
    limit(&mut stage);
    load(&stage, &uuids);
    let mut daemon = stage.start();
    stage.receiver.wait_for(300, PATIENCE);
    let took = daemon.stop_within(Duration::from_secs(5));
    let sent = stage.receiver.requests().len();
    assert!(sent < 2 * uuids.len(), "it was under load: {sent} sent when it ended after {took:?}");
    let mut daemon = stage.start();
    invariants::wait_delivered(&stage, &uuids, Duration::from_secs(60));
    daemon.stop();
    invariants::assert_delivered(&stage, &uuids, 0);
    invariants::assert_attempts_counted(&stage, 0);
    assert_eq!(stage.verify()["repeats"], 0);
}

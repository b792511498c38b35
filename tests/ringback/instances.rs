//! Two instances on the same topics: one takes over the state of the other, including the counts of attempts.

use crate::harness::broker::Broker;
use crate::harness::daemon::{Daemon, EX_CONFIG};
use crate::harness::kafka::Message;
use crate::harness::receiver::Answer;
use crate::harness::samples::{Random, flow, report};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, invariants, wait_until};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Longer than a session timeout and a rebalance together.
const TAKEOVER: Duration = Duration::from_secs(60);

/// Waits until each phase 1 has failed once, ends one instance by `end`, and panics unless the other instance finishes
/// everything.
fn takes_over(name: &str, seed: u64, end: impl FnOnce(&mut Daemon)) {
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
    // Waits until the outcomes are committed, so that none is lost when the instance ends.
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
    // Each phase 1 has three attempts: one before the end and two after it. None is forgotten and none is made twice.
    invariants::assert_delivered(&stage, &uuids, usize::MAX);
    invariants::assert_attempts_counted(&stage, 0);
    for (id, requests) in stage.receiver.by_id() {
        let wanted = if requests[0].phase() == 1 { 3 } else { 1 };
        assert_eq!(requests.len(), wanted, "attempts of {id}");
    }
    let counts = stage.verify_with(1, &["--at-rest", "--repeats-max", "0"]);
    assert_eq!(counts["store_partitions"], 4, "the other instance has all of them: {counts}");
    // The first instance's store is older, and correct up to its position.
    stage.verify();
}

#[test]
fn an_instance_takes_over_from_one_that_stops() {
    takes_over("instances-stop", 41, Daemon::stop);
}

#[test]
fn an_instance_takes_over_from_one_that_is_killed() {
    takes_over("instances-kill", 42, Daemon::kill);
}

#[test]
fn an_instance_that_joins_later_gets_its_share() {
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
    // The second instance joins under load: a rebalance repeats nothing.
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

/// Instances are stopped for longer than their session while requests are in flight. When they continue, another
/// instance has repeated these attempts, so that they must not commit the answers that arrive now.
///
/// A transaction with outcomes alone has read nothing, and would not be fenced if it carried no offsets. There are
/// several such instances, because each may also notice in time that its partitions are revoked.
#[test]
fn zombies_commit_no_outcome_of_deliveries_that_another_instance_made() {
    const ZOMBIES: u8 = 3;
    const REVOKED: &str = "partitions revoked";
    let mut stage = Stage::on(broker::shared(), "instances-zombies", 6);
    stage.set("delivery.request_timeout_ms", 60_000);
    let uuids = Random::seeded(44).uuids(288);
    let (early, late) = uuids.split_at(240);
    let (open, gate) = watch::channel(false);
    let held = Arc::new(AtomicBool::new(false));
    let holds = Arc::clone(&held);
    stage.receiver.script(move |_, _| {
        let answer = Answer::status(200).after(Duration::from_millis(5));
        if holds.load(Ordering::SeqCst) { answer.behind(&gate) } else { answer }
    });
    let mut zombies: Vec<Daemon> =
        (0..ZOMBIES).map(|number| stage.start_instance(number)).collect();
    let shared = || zombies.iter().all(|zombie| zombie.partitions() == 2).then_some(());
    wait_until("each has its share", TAKEOVER, shared);
    zombies.iter_mut().for_each(Daemon::wait_ready);
    let send = |uuids: &[String]| {
        let flows: Vec<Value> = uuids.iter().map(|uuid| flow(uuid, &[])).collect();
        stage.send_flows(&flows);
    };
    let wait = |kind: &str, count: usize| {
        stage.events().wait(&format!("{count} {kind}"), TAKEOVER, |events| {
            events.iter().filter(|event| event.json()["type"] == *kind).count() == count
        });
    };
    // After successful answers, the daemon has many requests in flight at this endpoint.
    send(early);
    wait("delivered", early.len());
    held.store(true, Ordering::SeqCst);
    send(late);
    // Everything that was read is committed, so that the next transactions contain outcomes alone.
    wait("delivery_scheduled", uuids.len());
    stage.receiver.wait_for(uuids.len(), PATIENCE);
    zombies.iter().for_each(|zombie| zombie.signal("STOP"));
    held.store(false, Ordering::SeqCst);
    let mut heir = stage.start_instance(ZOMBIES);
    wait("delivered", uuids.len());
    assert_eq!(stage.receiver.count(), uuids.len() + late.len(), "the other instance resent them");
    // The endpoint answers the zombies too, which are still stopped.
    open.send(true).expect("they wait");
    let all = || (stage.receiver.answered() == stage.receiver.count()).then_some(());
    wait_until("every request is answered", PATIENCE, all);
    let revoked: Vec<usize> =
        zombies.iter().map(|zombie| zombie.logged().matches(REVOKED).count()).collect();
    zombies.iter().for_each(|zombie| zombie.signal("CONT"));
    for (zombie, before) in zombies.iter_mut().zip(revoked) {
        zombie.wait_logged(REVOKED, before);
        zombie.wait_ready();
    }
    zombies.iter_mut().for_each(Daemon::stop);
    heir.stop();
    let repeats_max = late.len().to_string();
    for instance in 0..=ZOMBIES {
        let counts = stage.verify_with(instance, &["--at-rest", "--repeats-max", &repeats_max]);
        assert_eq!(counts["delivered"], uuids.len(), "one event per delivery: {counts}");
    }
}

/// Two daemons with one `instance_id` would fence each other for ever if a supervisor restarted each of them.
#[test]
fn of_two_instances_with_one_id_one_exits_with_78_and_the_other_works() {
    let mut stage = Stage::on(broker::shared(), "instances-double", 2);
    stage.set("kafka.instance_id", "the-same");
    let mut daemons = vec![stage.start_instance(0), stage.spawn(1)];
    let ended = wait_until("one of them is fenced", TAKEOVER, || {
        let ended = |(number, daemon): (usize, &mut Daemon)| Some((number, daemon.ended()?));
        daemons.iter_mut().enumerate().find_map(ended)
    });
    let said = daemons.remove(ended.0).logged();
    assert_eq!(ended.1, EX_CONFIG, "{said}");
    assert!(said.contains("instance_id"), "it names the key to change: {said}");
    let mut survivor = daemons.remove(0);
    survivor.wait_ready();
    let uuids = Random::seeded(45).uuids(10);
    stage.send_flows_of(&uuids);
    stage.send_reports_of(&uuids);
    invariants::wait_delivered(&stage, &uuids, TAKEOVER);
    survivor.stop();
}

/// Joins the group as another member with the same `instance_id`, which fences the instance, and leaves.
fn fence(stage: &Stage) {
    let properties = [
        ("group.instance.id", "the-same"),
        ("partition.assignment.strategy", "range"),
        ("session.timeout.ms", "10000"),
    ];
    drop(stage.kafka.join_with(&stage.group(), &stage.topic("flow-complete"), &properties));
}

/// An instance that is fenced can't commit its transaction in progress, and must not retry it for ever.
#[test]
fn an_instance_that_is_fenced_under_load_ends() {
    let mut stage = Stage::on(broker::shared(), "instances-fenced", 2);
    stage.set("kafka.instance_id", "the-same");
    let mut daemon = stage.start();
    let uuids = Random::seeded(47).uuids(600);
    let said = std::thread::scope(|scope| {
        scope.spawn(|| uuids.chunks(10).for_each(|some| stage.send_flows_of(some)));
        stage.wait_events("delivered", 50);
        fence(&stage);
        daemon.wait_end(EX_CONFIG, TAKEOVER)
    });
    assert!(said.contains("instance_id"), "it names the key to change: {said}");
    stage.set("kafka.instance_id", "another");
    let _other = stage.start();
    stage.send_reports_of(&uuids);
    invariants::wait_delivered(&stage, &uuids, TAKEOVER);
}

/// After an outage, Kafka may execute an old request to join after the instance has joined again, and then fences the
/// instance. The member that joins in this test stands for the old request.
#[test]
fn an_instance_that_its_own_earlier_join_fenced_joins_again_once() {
    let mut own = Broker::start();
    let mut stage = Stage::on(own.kafka(), "instances-former", 2);
    stage.set("kafka.instance_id", "the-same");
    let mut daemon = stage.start();
    own.kill();
    daemon.wait_answer("/readyz", 503);
    own.restart();
    daemon.wait_ready();
    fence(&stage);
    daemon.wait_logged("joins again", 0);
    daemon.wait_ready();
    let uuids = Random::seeded(46).uuids(10);
    stage.send_flows_of(&uuids);
    stage.send_reports_of(&uuids);
    invariants::wait_delivered(&stage, &uuids, TAKEOVER);
    assert!(daemon.partitions() > 0, "it has its partitions again");
    fence(&stage);
    let said = daemon.wait_end(EX_CONFIG, TAKEOVER);
    assert!(said.contains("instance_id"), "it names the key to change: {said}");
}

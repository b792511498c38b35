//! Two instances on the same topics: what one leaves the other takes over, retry counts and all.

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

/// Instances that stand still for longer than their session, each with requests in the air, come back when another has made
/// these attempts again: what they hear now is no outcome of theirs any more. A transaction of outcomes alone has read
/// nothing, and would not be fenced if it carried no offsets. There are several of them, since each of them may also notice
/// in time that its partitions are gone.
#[test]
fn zombies_commit_no_outcome_of_what_another_has_delivered() {
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
    // An endpoint that answers well is sent many at once.
    send(early);
    wait("delivered", early.len());
    held.store(true, Ordering::SeqCst);
    send(late);
    // All that was read is committed, so that what comes next are transactions of outcomes alone.
    wait("delivery_scheduled", uuids.len());
    stage.receiver.wait_for(uuids.len(), PATIENCE);
    zombies.iter().for_each(|zombie| zombie.signal("STOP"));
    held.store(false, Ordering::SeqCst);
    let mut heir = stage.start_instance(ZOMBIES);
    wait("delivered", uuids.len());
    assert_eq!(stage.receiver.count(), uuids.len() + late.len(), "the heir has sent them again");
    // Now the endpoint answers the zombies too, who can't listen yet.
    open.send(true).expect("they wait");
    let all = || (stage.receiver.answered() == stage.receiver.count()).then_some(());
    wait_until("everybody is answered", PATIENCE, all);
    let told: Vec<usize> =
        zombies.iter().map(|zombie| zombie.logged().matches(REVOKED).count()).collect();
    zombies.iter().for_each(|zombie| zombie.signal("CONT"));
    for (zombie, before) in zombies.iter_mut().zip(told) {
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

/// Two daemons that a supervisor starts with one `instance_id` would fence each other for ever if each was started again.
#[test]
fn of_two_instances_with_one_id_one_ends_with_78_and_the_other_works() {
    let mut stage = Stage::on(broker::shared(), "instances-double", 2);
    stage.set("kafka.instance_id", "the-same");
    let mut daemons = vec![stage.start_instance(0), stage.spawn(1)];
    let ended = wait_until("one of them is fenced", TAKEOVER, || {
        let ended = |(number, daemon): (usize, &mut Daemon)| Some((number, daemon.ended()?));
        daemons.iter_mut().enumerate().find_map(ended)
    });
    let said = daemons.remove(ended.0).logged();
    assert_eq!(ended.1, EX_CONFIG, "{said}");
    assert!(said.contains("instance_id"), "it says what to change: {said}");
    let mut survivor = daemons.remove(0);
    survivor.wait_ready();
    let uuids = Random::seeded(45).uuids(10);
    stage.send_flows_of(&uuids);
    stage.send_reports_of(&uuids);
    invariants::wait_delivered(&stage, &uuids, TAKEOVER);
    survivor.stop();
}

/// Kafka that was away may execute a request to join again after the instance has joined anew, and fences it then. The
/// member that joins here stands for that request.
#[test]
fn an_instance_that_its_own_former_join_has_fenced_joins_again_once() {
    let mut own = Broker::start();
    let mut stage = Stage::on(own.kafka(), "instances-former", 2);
    stage.set("kafka.instance_id", "the-same");
    let mut daemon = stage.start();
    own.kill();
    daemon.wait_answer("/readyz", 503);
    own.restart();
    daemon.wait_ready();
    let join = || {
        let properties = [
            ("group.instance.id", "the-same"),
            ("partition.assignment.strategy", "range"),
            ("session.timeout.ms", "10000"),
        ];
        stage.kafka.join_with(&stage.group(), &stage.topic("flow-complete"), &properties)
    };
    drop(join());
    daemon.wait_logged("joins again", 0);
    daemon.wait_ready();
    let uuids = Random::seeded(46).uuids(10);
    stage.send_flows_of(&uuids);
    stage.send_reports_of(&uuids);
    invariants::wait_delivered(&stage, &uuids, TAKEOVER);
    assert!(daemon.partitions() > 0, "it has its partitions again");
    drop(join());
    let said = daemon.wait_end(EX_CONFIG, TAKEOVER);
    assert!(said.contains("instance_id"), "it says what to change: {said}");
}

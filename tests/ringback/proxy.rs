//! The network between daemon and broker fails at the worst moment of each request. This delays deliveries and has no
//! other effect.

use crate::harness::daemon::Daemon;
use crate::harness::proxy::{self, Api, Does, Fault, Meets};
use crate::harness::receiver::Answer;
use crate::harness::samples::{Random, flow, report};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, invariants, wait_until};
use serde_json::Value;
use std::time::Duration;

const IN_FLIGHT_MAX: i64 = 16;
const UNCOMMITTED_MAX: i64 = 50;
/// The number of deliveries that a daemon may repeat after it lost its partitions under load.
const LOST: usize = 16 + 50;
/// Longer than the timeouts of the session (6 s) and of the transaction (5 s), and longer than clients wait for an
/// answer.
const TOO_LONG: Duration = Duration::from_secs(9);
/// Several timeouts may follow each other.
const RECOVERY: Duration = Duration::from_secs(90);

/// A running daemon behind the proxy.
struct Scene {
    stage: Stage,
    random: Random,
    uuids: Vec<String>,
    daemon: Daemon,
    client: String,
}

impl Scene {
    fn open(name: &str, seed: u64) -> Self {
        let mut stage = Stage::on(proxy::shared().kafka(), name, 2);
        stage.set("kafka.bootstrap_servers", proxy::shared().bootstrap());
        stage.set("delivery.in_flight_max", IN_FLIGHT_MAX);
        stage.set("delivery.uncommitted_max", UNCOMMITTED_MAX);
        stage.set_webhook("in_flight_max", IN_FLIGHT_MAX);
        stage.receiver.script(|_, _| Answer::status(200).after(Duration::from_millis(10)));
        let daemon = stage.start();
        let client = format!("ringback-{name}-0");
        Self { stage, random: Random::seeded(seed), uuids: Vec::new(), daemon, client }
    }

    /// Sends flows and their reports, and waits for a quarter of the flows, so that the daemon is busy when this
    /// returns.
    fn feed(&mut self, flows: usize) {
        let before = self.stage.receiver.requests().len();
        self.send(flows);
        self.stage.receiver.wait_for(before + flows / 4, PATIENCE);
    }

    fn send(&mut self, flows: usize) {
        let uuids = self.random.uuids(flows);
        let flows: Vec<Value> = uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect();
        let reports: Vec<Value> =
            uuids.iter().map(|uuid| report(uuid, "s-1", "DELIVERED")).collect();
        self.stage.send_flows(&flows);
        self.stage.send_reports(&reports);
        self.uuids.extend(uuids);
    }

    fn once(&self, meets: Meets, does: Does) -> Fault {
        proxy::shared().once(&self.client, meets, does)
    }

    fn until_lifted(&self, meets: Meets, does: Does) -> Fault {
        proxy::shared().until_lifted(&self.client, meets, does)
    }

    /// Panics unless the daemon recovers without help and delivers everything, including flows that come now.
    fn assert_recovers(&mut self) {
        self.send(40);
        invariants::wait_delivered(&self.stage, &self.uuids, RECOVERY);
        self.daemon.wait_ready();
        proxy::shared().assert_between(self.daemon.pid());
    }

    /// Panics unless everything was delivered. `repeats_max` is the number of repeats that each loss of partitions
    /// explains.
    fn assert_all_delivered(mut self, repeats_max: usize) {
        self.assert_recovers();
        self.daemon.stop();
        let losses = self.daemon.logged().matches("\"lost\":true").count();
        println!("partitions were lost {losses} times");
        let repeats_max = repeats_max * losses.max(1);
        let repeats = invariants::assert_delivered(&self.stage, &self.uuids, repeats_max);
        invariants::assert_consumed(&self.stage);
        let most = repeats_max.to_string();
        let counts = self.stage.verify_with(0, &["--at-rest", "--repeats-max", &most]);
        println!("{repeats} repeats, at most {repeats_max} are explained; {counts}");
    }

    /// Waits until the group has given the daemon's partitions away while the daemon still had them.
    fn wait_lost(&self) {
        wait_until("the partitions are lost", PATIENCE, || {
            self.daemon.logged().contains("\"lost\":true").then_some(())
        });
    }

    fn errors(&self, kind: &str) -> f64 {
        let errors = self.daemon.metric("ringback_transaction_errors_total", &[("kind", kind)]);
        errors.expect("a metric")
    }
}

#[test]
fn a_commit_is_repeated_whichever_part_of_it_is_lost() {
    let mut scene = Scene::open("proxy-commit", 81);
    scene.feed(40);
    for does in [Does::LoseAnswer, Does::LoseRequest, Does::HalveAnswer, Does::CutAll] {
        let fault = scene.once(Meets::Commit, does);
        scene.feed(100);
        fault.wait_fired(PATIENCE);
        fault.lift();
        scene.assert_recovers();
    }
    scene.assert_all_delivered(0);
}

/// Another producer takes the transactional id over while the commit or its answer is held, so the daemon gets no
/// result.
fn commit_without_a_result(name: &str, seed: u64, does: Does) {
    let mut scene = Scene::open(name, seed);
    scene.feed(40);
    let fault = scene.until_lifted(Meets::Commit, does);
    scene.send(100);
    fault.wait_fired(PATIENCE);
    let id = format!("{}.{name}-0", scene.stage.group());
    scene.stage.kafka.take_over(&id);
    fault.lift();
    wait_until("the producer is fenced", PATIENCE, || {
        (scene.errors("fenced") + scene.errors("fatal") > 0.0).then_some(())
    });
    scene.assert_all_delivered(0);
}

#[test]
fn a_commit_whose_success_is_not_reported_is_found_in_the_changelog() {
    commit_without_a_result("proxy-unknown-made", 82, Does::HoldAnswer);
}

#[test]
fn a_commit_whose_failure_is_not_reported_is_repeated() {
    commit_without_a_result("proxy-unknown-lost", 83, Does::HoldRequest);
}

/// Holds requests of this kind under load for longer than any client waits.
fn held(name: &str, seed: u64, meets: Meets, does: Does) -> Scene {
    let mut scene = Scene::open(name, seed);
    scene.feed(40);
    // This slow endpoint keeps the daemon busy for the whole time.
    scene.stage.receiver.script(|_, _| Answer::status(200).after(Duration::from_millis(100)));
    let fault = scene.until_lifted(meets, does);
    scene.send(700);
    fault.wait_fired(PATIENCE);
    std::thread::sleep(TOO_LONG);
    fault.lift();
    scene
}

#[test]
fn offsets_that_arrive_after_the_transaction_timed_out_only_cost_time() {
    let of = Meets::Api(Api::TXN_OFFSET_COMMIT);
    let scene = held("proxy-offsets", 84, of, Does::HoldRequest);
    assert!(scene.errors("abortable") > 0.0, "no transaction timed out");
    scene.assert_all_delivered(0);
}

#[test]
fn rows_that_are_acknowledged_after_their_timeout_only_cost_time() {
    let scene = held("proxy-produce", 85, Meets::Api(Api::PRODUCE), Does::HoldAnswer);
    assert!(scene.errors("abortable") > 0.0, "no transaction timed out");
    scene.assert_all_delivered(0);
}

#[test]
fn a_member_that_is_evicted_under_load_repeats_at_most_what_it_had_not_committed() {
    let scene = held("proxy-heartbeat", 86, Meets::Api(Api::HEARTBEAT), Does::HoldRequest);
    scene.wait_lost();
    scene.assert_all_delivered(LOST);
}

#[test]
fn a_network_outage_longer_than_the_session_repeats_at_most_what_was_not_committed() {
    let scene = held("proxy-everything", 87, Meets::Everything, Does::HoldRequest);
    scene.wait_lost();
    scene.assert_all_delivered(LOST);
}

/// Starts the daemon again while these requests are held. It is not ready until they are answered, and reports what it
/// waits for.
fn held_at_the_start(name: &str, seed: u64, api: Api, delete_store: bool, says: &str) {
    let mut scene = Scene::open(name, seed);
    scene.feed(100);
    scene.daemon.stop();
    if delete_store {
        let store = scene.stage.instance_dir(0).join("data");
        std::fs::remove_dir_all(store).expect("a store to delete");
    }
    let fault = scene.until_lifted(Meets::Api(api), Does::HoldRequest);
    scene.daemon = scene.stage.spawn(0);
    fault.wait_fired(PATIENCE);
    std::thread::sleep(Duration::from_secs(3));
    let waits = scene.daemon.wait_answer("/readyz", 503);
    assert!(waits.contains(says), "{waits}");
    fault.lift();
    scene.daemon.wait_ready();
    // The stop, not the network, explains requests that were in flight when the daemon stopped.
    scene.assert_all_delivered(0);
}

#[test]
fn a_changelog_is_restored_once_it_can_be_read() {
    // The owner of the changelog's rows is read before the daemon joins the group.
    held_at_the_start("proxy-fetch", 88, Api::FETCH, true, "waiting for Kafka");
}

#[test]
fn an_assignment_waits_until_its_offsets_can_be_read() {
    held_at_the_start("proxy-offset-fetch", 89, Api::OFFSET_FETCH, false, "restoring");
}

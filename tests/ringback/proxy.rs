//! The network between daemon and broker fails, at the worst moment of each request: it costs time, and nothing else.

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
/// What a daemon may repeat that lost its partitions while it was at work.
const LOST: usize = 16 + 50;
/// Longer than the session and the transaction live without a word (6 s and 5 s), and than what clients wait for an answer.
const TOO_LONG: Duration = Duration::from_secs(9);
/// Time-outs upon time-outs.
const RECOVERY: Duration = Duration::from_secs(90);

/// A daemon at work behind the proxy.
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

    /// Flows and their reports; some of them are delivered before this ends, so that the daemon is in the midst of it.
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

    /// The daemon goes on by itself: all is delivered, also what comes now.
    fn goes_on(&mut self) {
        self.send(40);
        invariants::wait_delivered(&self.stage, &self.uuids, RECOVERY);
        self.daemon.wait_ready();
        proxy::shared().assert_between(self.daemon.pid());
    }

    /// `repeats_max`: what each loss of its partitions explains.
    fn ends(mut self, repeats_max: usize) {
        self.goes_on();
        self.daemon.stop();
        let losses = self.daemon.logged().matches("\"lost\":true").count();
        println!("{losses} times its partitions were lost");
        let repeats_max = repeats_max * losses.max(1);
        let repeats = invariants::assert_delivered(&self.stage, &self.uuids, repeats_max);
        invariants::assert_consumed(&self.stage);
        let most = repeats_max.to_string();
        let counts = self.stage.verify_with(0, &["--at-rest", "--repeats-max", &most]);
        println!("{repeats} repeats, at most {repeats_max} are explained; {counts}");
    }

    /// Panics unless the group has given its partitions away while it had them.
    fn lost(&self) {
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
fn a_commit_is_asked_for_again_whatever_is_lost_of_it() {
    let mut scene = Scene::open("proxy-commit", 81);
    scene.feed(40);
    for does in [Does::LoseAnswer, Does::LoseRequest, Does::HalveAnswer, Does::CutAll] {
        let fault = scene.once(Meets::Commit, does);
        scene.feed(100);
        fault.wait_fired(PATIENCE);
        fault.lift();
        scene.goes_on();
    }
    scene.ends(0);
}

/// The commit is on its way there or back when somebody else takes the transactional id over: what came of it nobody says.
fn unknown(name: &str, seed: u64, does: Does) {
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
    scene.ends(0);
}

#[test]
fn a_commit_that_was_made_though_nobody_says_so_is_found_in_the_changelog() {
    unknown("proxy-unknown-made", 82, Does::HoldAnswer);
}

#[test]
fn a_commit_that_was_not_made_though_nobody_says_so_is_made_again() {
    unknown("proxy-unknown-lost", 83, Does::HoldRequest);
}

/// Requests of this kind are held under load for longer than anybody waits.
fn held(name: &str, seed: u64, meets: Meets, does: Does) -> Scene {
    let mut scene = Scene::open(name, seed);
    scene.feed(40);
    // So slow that there is work for all of the time.
    scene.stage.receiver.script(|_, _| Answer::status(200).after(Duration::from_millis(100)));
    let fault = scene.until_lifted(meets, does);
    scene.send(700);
    fault.wait_fired(PATIENCE);
    std::thread::sleep(TOO_LONG);
    fault.lift();
    scene
}

#[test]
fn offsets_that_do_not_arrive_until_the_transaction_has_timed_out_cost_time_only() {
    let of = Meets::Api(Api::TXN_OFFSET_COMMIT);
    let scene = held("proxy-offsets", 84, of, Does::HoldRequest);
    assert!(scene.errors("abortable") > 0.0, "nobody gave up");
    scene.ends(0);
}

#[test]
fn rows_whose_receipt_does_not_come_until_they_are_given_up_cost_time_only() {
    let scene = held("proxy-produce", 85, Meets::Api(Api::PRODUCE), Does::HoldAnswer);
    assert!(scene.errors("abortable") > 0.0, "nobody gave up");
    scene.ends(0);
}

#[test]
fn a_member_that_is_evicted_while_it_works_repeats_what_it_had_in_hand_at_most() {
    let scene = held("proxy-heartbeat", 86, Meets::Api(Api::HEARTBEAT), Does::HoldRequest);
    scene.lost();
    scene.ends(LOST);
}

#[test]
fn a_network_that_is_gone_for_longer_than_the_session_costs_what_was_in_hand_at_most() {
    let scene = held("proxy-everything", 87, Meets::Everything, Does::HoldRequest);
    scene.lost();
    scene.ends(LOST);
}

/// Starts again while these requests are held; it is not ready until they are answered, and says what it waits for.
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
    // What was in the air when it was stopped is none of the network's doing.
    scene.ends(0);
}

#[test]
fn a_changelog_that_can_not_be_read_for_a_while_is_restored_when_it_can() {
    // Whose rows the changelog holds is read before the group is joined.
    held_at_the_start("proxy-fetch", 88, Api::FETCH, true, "waiting for Kafka");
}

#[test]
fn offsets_that_can_not_be_read_at_an_assignment_are_waited_for() {
    held_at_the_start("proxy-offset-fetch", 89, Api::OFFSET_FETCH, false, "restoring");
}

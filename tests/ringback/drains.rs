//! SIGTERM: the store on disk has every committed row afterwards, even if the drain does not finish. It is the last copy
//! if the cluster is lost too.

use crate::harness::daemon::Daemon;
use crate::harness::proxy::{self, Does, Fault, Meets};
use crate::harness::receiver::Answer;
use crate::harness::samples::Random;
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, invariants};
use std::time::Duration;
use tokio::sync::watch;

/// The grace period that the chart and the guide demand at least.
const GRACE: Duration = Duration::from_secs(10);

/// A daemon behind a proxy, whose endpoint holds all answers, and whose store lacks committed rows.
struct Scene {
    stage: Stage,
    daemon: Daemon,
    client: String,
    /// Lets the endpoint answer.
    gate: watch::Sender<bool>,
}

impl Scene {
    fn open(name: &str, seed: u64) -> Self {
        Self::open_with(name, seed, "")
    }

    /// Like `open`, with a failpoint of the daemon.
    fn open_with(name: &str, seed: u64, failpoint: &str) -> Self {
        let mut stage = Stage::on(proxy::shared().kafka(), name, 1);
        if !failpoint.is_empty() {
            stage.set_variable("RINGBACK_FAILPOINT", failpoint);
        }
        stage.set("kafka.bootstrap_servers", proxy::shared().bootstrap());
        let (gate, gated) = watch::channel(false);
        stage.receiver.script(move |_, _| Answer::status(503).behind(&gated));
        let daemon = stage.start();
        let uuids = Random::seeded(seed).uuids(20);
        stage.send_flows_of(&uuids);
        invariants::wait_consumed(&stage, PATIENCE);
        stage.receiver.wait_for(1, PATIENCE);
        Self { stage, daemon, client: format!("ringback-{name}-0"), gate }
    }

    /// Lets no request of the daemon reach Kafka.
    fn hold_kafka(&self) -> Fault {
        proxy::shared().until_lifted(&self.client, Meets::Everything, Does::HoldRequest)
    }

    /// Panics unless a changelog can be written from the store that has all that the group has committed.
    fn assert_stored(&self) {
        self.stage.delete_topic("changelog");
        let done = self.stage.alone(&["changelog", "rebuild", "--dry-run", "--json"]);
        done.succeeds();
        let plan: serde_json::Value = serde_json::from_str(&done.out).expect("JSON");
        assert_eq!(plan["stored"][0]["rows"], 20, "{plan}");
    }
}

#[test]
fn the_store_has_all_rows_although_an_endpoint_holds_its_answers() {
    let mut scene = Scene::open("drains-endpoint", 1901);
    scene.daemon.stop_within(GRACE);
    scene.assert_stored();
}

/// The engine waits for Kafka when the limit of the drain has passed.
#[test]
fn the_store_has_all_rows_although_kafka_answers_nothing() {
    let mut scene = Scene::open("drains-kafka", 1902);
    let fault = scene.hold_kafka();
    scene.gate.send(true).expect("the endpoint listens");
    // The next call begins after this line and waits longer than the drain.
    scene.daemon.wait_logged("Kafka is slow to answer", 0);
    scene.daemon.stop_within(GRACE);
    assert!(scene.daemon.logged().contains("the drain did not finish in time"));
    fault.lift();
    scene.assert_stored();
}

/// A supervisor's kill, or a second signal, comes while the engine waits for requests in flight.
#[test]
fn the_store_has_all_rows_before_the_drain_waits() {
    let mut scene = Scene::open("drains-killed", 1903);
    scene.daemon.signal("TERM");
    scene.daemon.wait_logged("partitions revoked", 0);
    scene.daemon.kill();
    scene.assert_stored();
}

/// The last commit fails for good, and stops the partitions.
#[test]
fn the_store_has_all_rows_although_the_last_commit_is_abandoned() {
    let mut scene = Scene::open("drains-abandoned", 1904);
    scene.stage.kafka.alter_topic(&scene.stage.topic("events"), "max.message.bytes", "100");
    scene.gate.send(true).expect("the endpoint listens");
    scene.daemon.wait_logged("a transaction failed; retrying", 0);
    scene.daemon.stop_within(GRACE);
    scene.assert_stored();
}

/// The process ends before the store is closed.
#[cfg(feature = "failpoints")]
#[test]
fn the_store_has_the_outcomes_of_requests_that_end_during_the_drain() {
    let mut scene = Scene::open_with("drains-outcomes", 1905, "drained:1");
    scene.daemon.signal("TERM");
    scene.daemon.wait_logged("partitions revoked", 0);
    scene.gate.send(true).expect("the endpoint listens");
    scene.daemon.wait_abort("drained", PATIENCE);
    scene.stage.wait_events("attempt_failed", 1);
    scene.stage.clear_variables();
    let restored = scene.stage.start().logged();
    let mut lines = restored.lines().filter_map(|line| serde_json::from_str(line).ok());
    let is_one = |line: &serde_json::Value| line["message"] == "partition restored";
    let last = lines.rfind(is_one).expect("a line about the restore");
    assert_eq!(last["records"], 0, "no row is in the changelog only");
}

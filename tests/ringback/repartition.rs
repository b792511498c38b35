//! `ringback repartition` copies changelog and inbox to another number of partitions: nothing is lost and nothing is
//! sent twice.

#[cfg(feature = "failpoints")]
mod beside;
mod refused;

use crate::harness::daemon::Done;
use crate::harness::kafka::{Message, Record};
use crate::harness::receiver::{Answer, Received};
use crate::harness::samples::{Random, flow, report, with};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, changelog, invariants};
use ringback::domain::owner;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The account whose endpoint is gone and stays disabled.
const GONE: i64 = 29;
/// The account whose endpoint was gone and is enabled by an unread command.
const BACK: i64 = 30;
/// The account whose endpoint fails until it recovers.
const FLAKY: i64 = 31;

/// Returns the arguments of a repartition to `partitions` partitions.
fn arguments(partitions: &str) -> [&str; 4] {
    ["repartition", "--partitions", partitions, "--yes"]
}

/// Runs a repartition, and uses the new topics from then on.
fn repartition(stage: &mut Stage, partitions: &str) -> Done {
    let done = stage.command(&arguments(partitions));
    done.succeeds();
    switch(stage, partitions);
    done
}

/// Uses the topics of a repartition for daemons and commands that start afterwards.
fn switch(stage: &mut Stage, partitions: &str) {
    for kind in ["changelog", "inbox"] {
        let name = stage.topic(kind);
        let stem = name.rsplit_once('-').filter(|(_, end)| end.parse::<u32>().is_ok());
        let stem = stem.map_or(name.as_str(), |(stem, _)| stem);
        stage.rename(kind, format!("{stem}-{partitions}"));
    }
}

/// Creates a stage on which twenty deliveries wait for their retries and the daemon has stopped. It has two partitions.
fn waiting(name: &str, seed: u64) -> (Stage, Arc<AtomicBool>, Vec<String>) {
    crate::rebuild::waiting(name, seed)
}

/// Starts the daemon, and panics unless both phases of each uuid are delivered and all topics agree.
fn delivers(stage: &Stage, recovered: &AtomicBool, uuids: &[String]) {
    crate::rebuild::delivers_by(stage.start(), stage, recovered, uuids);
    stage.verify();
}

/// Returns the rows that count, without those of partitions, by key.
fn rows(messages: &[Message]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let left = changelog::left(messages).into_iter();
    left.map(|((_, key), value)| (key, value)).filter(|(key, _)| key[0] == b's').collect()
}

/// A stage with flows of every state.
struct Scene {
    stage: Stage,
    /// Whether all endpoints but that of [`GONE`] accept everything.
    recovered: Arc<AtomicBool>,
    /// Both phases are delivered before the repartition.
    over: Vec<String>,
    /// Phase 1 is delivered, and the reports come after the repartition.
    waiting: Vec<String>,
    /// Phase 1 fails and is retried.
    failing: Vec<String>,
    /// The reports are there, and the flows come after the repartition.
    early: Vec<String>,
    /// The flows are in the inputs or in the inbox, and no instance has read them.
    unread: Vec<String>,
}

impl Scene {
    fn new(name: &str, partitions: i32, seed: u64) -> Self {
        let mut stage = Stage::on(broker::shared(), name, partitions);
        for (account, name) in [(GONE, "gone"), (BACK, "back"), (FLAKY, "flaky")] {
            stage.add_account(account);
            stage.add_webhook(name, account, &stage.receiver.url(&format!("/{name}")));
        }
        stage.set("delivery.retry.initial_interval_ms", 500);
        stage.set("delivery.retry.interval_max_ms", 500);
        stage.set("delivery.attempts_max", 1000);
        let mut random = Random::seeded(seed);
        let mut uuids = |count| random.uuids(count);
        let (over, waiting, failing) = (uuids(15), uuids(25), uuids(15));
        let (early, unread) = (uuids(10), uuids(20));
        let recovered = Arc::new(AtomicBool::new(false));
        let is_recovered = recovered.clone();
        stage.receiver.script(move |request: &Received, _| {
            let is_well = is_recovered.load(Ordering::Relaxed);
            Answer::status(match request.path.as_str() {
                "/gone" => 410,
                "/back" if !is_well => 410,
                "/flaky" if !is_well => 503,
                _ => 200,
            })
        });
        Self { stage, recovered, over, waiting, failing, early, unread }
    }

    /// Sends flows of an account without SMS.
    fn send_of(&self, account: i64, name: &str, count: usize) {
        let uuids = (0..count).map(|number| format!("{name}-{number}"));
        let flows = uuids.map(|uuid| with(flow(&uuid, &[]), "accountID", json!(account)));
        self.stage.send_flows(&flows.collect::<Vec<Value>>());
    }

    /// Reaches the states that a daemon reaches.
    fn prepare(&self) {
        let Self { stage, over, waiting, failing, early, .. } = self;
        stage.send_flows_of(&[&over[..], waiting].concat());
        let failing_of = |record: Value| with(record, "accountID", json!(FLAKY));
        stage.send_flows(
            &failing.iter().map(|uuid| failing_of(flow(uuid, &["s-1"]))).collect::<Vec<_>>(),
        );
        let reports = failing.iter().map(|uuid| failing_of(report(uuid, "s-1", "DELIVERED")));
        stage.send_reports(&reports.collect::<Vec<_>>());
        stage.send_reports_of(&[&over[..], early].concat());
        self.send_of(GONE, "gone", 6);
        self.send_of(BACK, "back", 6);
        stage.dead_letters(12, PATIENCE);
        stage.wait_events("endpoint_disabled", 2);
        stage.wait_events("attempt_failed", failing.len());
        stage.wait_events("delivered", 2 * over.len() + waiting.len());
        invariants::wait_consumed(stage, PATIENCE);
    }

    /// Writes commands that no instance reads before the repartition: one enables an endpoint, and others replay its dead
    /// letters.
    fn order(&self) {
        self.stage.command(&["webhook", "enable", "back", "--yes"]).succeeds();
        self.stage.command(&["dead-letter", "replay", "--yes", "--webhook", "back"]).succeeds();
    }

    /// Starts the daemon on the new topics, ends everything, and panics unless each delivery was made once. Besides the
    /// scene's own, there are `more` deliveries.
    fn finish(&self, more: usize) {
        let Self { stage, recovered, over, waiting, failing, early, unread } = self;
        let called = || {
            let requests = stage.receiver.requests();
            requests.iter().filter(|request| request.path == "/gone").count()
        };
        let before = called();
        recovered.store(true, Ordering::Relaxed);
        let mut daemon = stage.start();
        let logged = daemon.logged();
        assert!(logged.contains("the store was moved aside"), "{logged}");
        stage.send_reports_of(&[&waiting[..], unread].concat());
        stage.send_flows_of(early);
        let all = [&over[..], waiting, failing, early, unread].concat();
        // The dead letters of an endpoint were replayed.
        let count = 2 * all.len() + 6 + more;
        stage.wait_events("delivered", count);
        self.send_of(GONE, "still-gone", 6);
        stage.dead_letters(12 + 6, PATIENCE);
        invariants::wait_consumed(stage, PATIENCE);
        commands_work(stage, &waiting[0]);
        stage.verify_beside();
        daemon.stop();
        assert_eq!(called(), before, "a disabled endpoint stays disabled in every partition");
        let delivered = stage.wait_events("delivered", count);
        let key = |event: &Value| (event["phonon_uuid"].to_string(), event["phase"].to_string());
        let once: BTreeSet<(String, String)> = delivered.iter().map(key).collect();
        assert_eq!((once.len(), delivered.len()), (count, count), "each phase is delivered once");
        // The events count each request as an attempt, so that none was repeated.
        stage.verify_with(0, &["--at-rest", "--repeats-max", "0"]);
    }
}

/// Panics unless the commands that read the topics find everything.
fn commands_work(stage: &Stage, uuid: &str) {
    for arguments in [&["offsets", "show"][..], &["dead-letter", "list"], &["webhook", "list"]] {
        let done = stage.command(arguments);
        assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
        assert_eq!(done.err, "", "{arguments:?}");
    }
    let traced = stage.command(&["trace", uuid, "--all-partitions", "--json"]);
    traced.succeeds();
    assert_eq!(traced.out.matches("\"type\":\"delivered\"").count(), 2, "{}", traced.out);
}

#[test]
fn every_state_survives_more_partitions_under_load() {
    let mut scene = Scene::new("repartition-more", 2, 1901);
    let stage = &scene.stage;
    let mut daemon = stage.start();
    scene.prepare();
    let load = Random::seeded(1902).uuids(300);
    let send = |uuids: &[String]| {
        stage.send_flows(&uuids.iter().map(|uuid| flow(uuid, &[])).collect::<Vec<Value>>());
    };
    let (before, meanwhile) = load.split_at(100);
    send(before);
    let mut command = stage.launch("repartition", &arguments("5"));
    command.wait_said("stop all instances now");
    // The copy follows.
    meanwhile.chunks(20).for_each(send);
    // The command must not see that the group is empty before everything is written.
    command.signal("STOP");
    daemon.stop();
    stage.send_flows_of(&scene.unread);
    scene.order();
    command.signal("CONT");
    let done = command.wait();
    done.succeeds();
    for text in [
        "changelog = \"repartition-more.changelog-5\"",
        "RINGBACK__TOPICS__INBOX=repartition-more.inbox-5",
    ] {
        assert!(done.out.contains(text), "{}", done.out);
    }
    // A daemon with the former configuration would send everything again.
    let former = stage.refused();
    assert!(
        former.contains("RINGBACK__TOPICS__INBOX") && former.contains("repartition-more.inbox-5"),
        "{former}"
    );
    let offsets = stage.command(&["offsets", "show"]);
    let says = "has replaced it by topic repartition-more.changelog-5";
    assert!(offsets.err.contains(says), "{offsets:?}");
    let old = stage.kafka.read(&stage.topic("changelog"));
    switch(&mut scene.stage, "5");
    let stage = &scene.stage;
    assert_eq!(rows(&old), rows(&stage.kafka.read(&stage.topic("changelog"))));
    assert_eq!(stage.wait_events("endpoint_enabled", 2).len(), 2, "one of each former partition");
    assert_eq!(stage.wait_events("repartitioned", 1)[0]["former_partitions"], 2);
    scene.finish(load.len());
}

/// Writes flows into partitions that do not own their uuids, moves the group behind them, and writes copies of them to the
/// inbox, as an instance does that is killed before it reads its inbox.
fn forward(stage: &Stage, uuids: &[String], partitions: i32) {
    let topic = stage.topic("flow-complete");
    let wrong = |uuid: &String| {
        let own = owner(uuid.as_bytes(), partitions.cast_unsigned());
        let partition = Some((own + 1) % partitions);
        Record { partition, ..stage.record("flow-complete", &flow(uuid, &["s-1"])) }
    };
    let records: Vec<Record> = uuids.iter().map(wrong).collect();
    stage.kafka.produce(&records);
    let skip = ["offsets", "reset", "--topic", &topic, "--to", "end", "--yes"];
    stage.alone(&skip).succeeds();
    for message in stage.kafka.read(&topic) {
        let key = message.key.clone().expect("a key");
        if !uuids.iter().any(|uuid| uuid.as_bytes() == key) {
            continue;
        }
        let (partition, offset) = (message.partition.to_string(), message.offset.to_string());
        let headers = [
            ("ringback.kind", "flow_complete"),
            ("ringback.source.topic", topic.as_str()),
            ("ringback.source.partition", &partition),
            ("ringback.source.offset", &offset),
            ("ringback.source.timestamp", "2026-01-02T03:04:05.678Z"),
            ("traceparent", TRACE),
        ];
        let inbox = stage.topic("inbox");
        let partition = Some(owner(&key, partitions.cast_unsigned()));
        let (key, value) = (Some(key), message.value);
        let copy = Record { topic: inbox, partition, key, value, timestamp_ms: Some(FORWARDED_MS) };
        stage.kafka.produce_with(&[copy], &headers);
    }
}

/// The time at which the record was forwarded.
const FORWARDED_MS: i64 = 1_767_323_045_000;
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn every_state_survives_fewer_partitions() {
    let mut scene = Scene::new("repartition-fewer", 5, 1903);
    let mut daemon = scene.stage.start();
    scene.prepare();
    daemon.stop();
    let (forwarded, direct) = scene.unread.split_at(10);
    forward(&scene.stage, forwarded, 5);
    scene.stage.send_flows_of(direct);
    scene.order();
    let done = repartition(&mut scene.stage, "2");
    let says = "input repartition-fewer.flow-complete has 5 partitions";
    assert!(done.out.contains(says), "{}", done.out);
    let stage = &scene.stage;
    let inbox = stage.kafka.read(&stage.topic("inbox"));
    for uuid in forwarded {
        let copied = inbox.iter().find(|it| it.key.as_deref() == Some(uuid.as_bytes()));
        let copied = copied.expect("the unread record was copied");
        assert_eq!(copied.partition, owner(uuid.as_bytes(), 2));
        assert_eq!(copied.header("ringback.source.timestamp"), "2026-01-02T03:04:05.678Z");
        assert_eq!(copied.header("traceparent"), TRACE);
        assert_eq!(copied.timestamp_ms, Some(FORWARDED_MS));
    }
    scene.finish(0);
}

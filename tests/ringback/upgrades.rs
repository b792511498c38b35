//! The daemon continues with the data of earlier versions, and refuses data of a newer version without changing it.

use crate::harness::PATIENCE;
use crate::harness::changelog;
use crate::harness::daemon::copy_dir;
use crate::harness::kafka::{Message, Record};
use crate::harness::receiver::Received;
use crate::harness::samples::{ACCOUNT, flow};
use crate::harness::stage::Stage;
use crate::harness::verify::report;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringback::domain::{ErrorReason, Timestamp};
use ringback::store::Store;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Returns the fixture's directory. The expectations below are those of `src/engine/restore/tests/rows.rs`.
fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/1")
}

/// Returns the changelog of the fixture as records.
fn records(stage: &Stage) -> Vec<Record> {
    let text = std::fs::read_to_string(fixture().join("changelog.jsonl")).expect("a fixture");
    let bytes = |value: &Value| value.as_str().map(|text| STANDARD.decode(text).expect("base64"));
    let record = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("a line is JSON");
        let (key, value) = (bytes(&line["key"]), bytes(&line["value"]));
        Record {
            topic: stage.topic("changelog"),
            partition: Some(0),
            key,
            value,
            ..Record::default()
        }
    };
    text.lines().map(record).collect()
}

/// Copies the fixture's store to the stage, with a checkpoint of the present time. Returns the offset up to which it
/// has the changelog.
fn put_store(stage: &Stage) -> i64 {
    let data = stage.instance_dir(0).join("data");
    copy_dir(&fixture().join("store"), &data);
    let store = Store::open(&data).expect("the fixture's store opens");
    let partition = store.partition(0).expect("its partition");
    let mut checkpoint = partition.checkpoint().expect("its checkpoint");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let ms = now.expect("after 1970").as_millis();
    checkpoint.at = Timestamp::from_ms(i64::try_from(ms).expect("before the year 292 million"));
    let mut batch = partition.batch(0);
    batch.put_checkpoint(&partition, checkpoint);
    partition.commit(&mut batch).expect("the store can be written");
    partition.flush().expect("the store can be flushed");
    checkpoint.next_offset
}

/// Creates a stage with the webhooks of the fixture's deliveries. One of the deliveries has waited since 2023.
fn staged(name: &str) -> Stage {
    let mut stage = Stage::on(crate::harness::broker::shared(), name, 1);
    for (account, webhook) in (ACCOUNT + 1..).zip(["held", "gone", "failing"]) {
        let url = stage.receiver.url(&format!("/hooks/{webhook}"));
        stage.add_account(account);
        stage.add_webhook(webhook, account, &url);
    }
    stage
}

/// Returns the ids of the fixture's deliveries.
fn ids() -> BTreeSet<String> {
    let text = std::fs::read_to_string(fixture().join("expected.txt")).expect("a fixture");
    let lines = text.lines().filter_map(|line| line.split_once(" = "));
    let found = lines.filter(|(path, _)| path.starts_with("state ") && path.ends_with("].id"));
    found.map(|(_, id)| id.trim_matches('"').to_owned()).collect()
}

/// Panics unless waiting deliveries are delivered, whatever their due time, and held ones stay. Deliveries of disabled
/// endpoints and expired ones become dead letters.
fn assert_continues(stage: &Stage, restored: i64) {
    let mut daemon = stage.start();
    let letters = stage.dead_letters(4, PATIENCE);
    let first = ["open-waiting", "open-timed-out", "replayed", "फोनन-😀"];
    let again = ["open-held", "open-not-wanted", "unknown", "delivered-once"];
    let failed = ErrorReason::ALL.map(|reason| format!("failed-{}", reason.as_str()));
    let mut wanted: Vec<&str> = failed.iter().map(String::as_str).collect();
    wanted.extend(first.into_iter().chain(again).chain(["open-held", "new"]));
    // A new flow is delivered like any other.
    stage.send_flows(&[flow("new", &[])]);
    stage.events().wait("everything is delivered", PATIENCE, |events| {
        let delivered = events.iter().filter(|event| event.json()["type"] == "delivered");
        delivered.count() >= wanted.len()
    });
    daemon.stop();
    assert_only_old_deliveries_are_violations(stage);
    assert_restored(&daemon.logged(), restored);
    let requests = stage.receiver.requests();
    let uuid = |request: &Received| request.json()["phonon-uuid"].as_str().map(str::to_owned);
    let mut delivered: Vec<String> = requests.iter().filter_map(uuid).collect();
    delivered.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(delivered, wanted, "each is delivered once, and phase 2 after phase 1");
    let ids = ids();
    for request in requests.iter().filter(|request| uuid(request).as_deref() != Some("new")) {
        let id = request.header("webhook-id");
        assert!(ids.contains(id), "{id} was in the outbox");
    }
    let mut reasons: Vec<_> =
        letters.iter().map(|letter| letter.header("ringback.reason")).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["age_exceeded", "endpoint_disabled", "endpoint_disabled", "flow_missing"]);
    assert_left(&stage.kafka.read(&stage.topic("changelog")));
}

/// Panics unless the checker's violations concern only the fixture's uuids and deliveries. The stage has no events of
/// the time before the fixture was made, so those violations are expected. Stores and offsets must agree with the
/// changelog.
fn assert_only_old_deliveries_are_violations(stage: &Stage) {
    let verified = report(&stage.verified(0, &["--at-rest"]));
    let violations = verified["violations"].as_array().expect("a list");
    let ids = ids();
    for violation in violations {
        let is_old_uuid = violation["uuid"].as_str().is_some_and(|uuid| uuid != "new");
        let is_old_id = violation["webhook_id"].as_str().is_some_and(|id| ids.contains(id));
        let kinds = ["order", "unscheduled", "unexplained_state", "lost", "overdue"];
        let what = violation["what"].as_str().unwrap_or_default();
        assert!((is_old_uuid || is_old_id) && kinds.contains(&what), "{violation}");
    }
    assert_eq!(verified["counts"]["repeats"], 0);
}

/// Panics unless this many records were restored without an error.
fn assert_restored(log: &str, restored: i64) {
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).expect("a log line is JSON");
        assert_ne!(line["level"], "ERROR", "{line}");
        if line["message"] == "partition restored" {
            assert_eq!(line["records"], restored, "{line}");
        }
    }
    assert!(log.contains("partition restored"), "{log}");
    assert!(!log.contains("does not fit the changelog"), "{log}");
}

/// Panics unless the changelog still has the rows that wait until 2100.
fn assert_left(changelog: &[Message]) {
    let left: BTreeSet<String> = changelog::uuids(changelog).into_iter().collect();
    for uuid in [
        "awaiting",
        "awaiting-expired",
        "to-held",
        "open-waiting",
        "open-collecting",
        "ended",
        "silent-late",
    ] {
        assert!(left.contains(uuid), "the changelog has lost {uuid}: {left:?}");
    }
    for uuid in ["forgotten", "forgotten-early", "ended-expired", "unknown"] {
        assert!(!left.contains(uuid), "the changelog still has {uuid}: {left:?}");
    }
}

#[test]
fn the_daemon_continues_with_the_changelog_of_an_earlier_version() {
    // With this name the stage has the topics of the fixture's meta row. Its offsets say that three flows were read.
    let stage = staged("fixture");
    stage.send_flows(&["seen-1", "seen-2", "seen-3"].map(|uuid| flow(uuid, &[])));
    let records = records(&stage);
    stage.kafka.produce(&records);
    assert_continues(&stage, i64::try_from(records.len()).expect("few"));
}

#[test]
fn the_daemon_continues_with_the_store_of_an_earlier_version() {
    let stage = staged("upgrades-store");
    let records = records(&stage);
    stage.kafka.produce(&records);
    let had = put_store(&stage);
    assert_continues(&stage, i64::try_from(records.len()).expect("few") - had);
}

/// The row of a newer version ends the daemon with advice. The daemon changes nothing in the partition.
#[test]
fn a_row_of_a_newer_version_is_refused_and_not_changed() {
    for (name, key) in
        [("state", &b"snew"[..]), ("endpoint", b"ecrm"), ("meta", b"m"), ("kind", b"xnew")]
    {
        let stage = staged(&format!("upgrades-newer-{name}"));
        let newer = Record {
            topic: stage.topic("changelog"),
            partition: Some(0),
            key: Some(key.to_vec()),
            value: Some([&[0xc3, 1][..], &0xfeed_u64.to_le_bytes(), &[0]].concat()),
            ..Record::default()
        };
        let mut all = records(&stage);
        all.push(newer.clone());
        stage.kafka.produce(&all);
        let said = stage.ends_with(1);
        assert!(said.contains("a newer version has written to partition 0"), "{name}: {said}");
        assert!(said.contains("run that version or a later one"), "{name}: {said}");
        assert_eq!(stage.kafka.read(&stage.topic("changelog")).len(), all.len(), "{name}");
        assert!(stage.receiver.requests().is_empty(), "{name}");
        assert!(stage.kafka.read(&stage.topic("events")).is_empty(), "{name}");
    }
}

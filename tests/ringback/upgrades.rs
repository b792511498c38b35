//! What earlier versions left behind is gone on with, and what a newer one left is refused and not touched.

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

/// The fixture whose rows are gone on with; the expectations below are those of `src/engine/restore/tests/rows.rs`.
fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/1")
}

/// The changelog of the fixture as records.
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

/// The fixture's store, as if it had been written just now; how much of the changelog it has.
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
    partition.commit(&mut batch).expect("it is written");
    partition.flush().expect("it is durable");
    checkpoint.next_offset
}

/// A stage with the webhooks that the fixture's deliveries wait for, one of them since 2023.
fn staged(name: &str) -> Stage {
    let mut stage = Stage::on(crate::harness::broker::shared(), name, 1);
    for (account, webhook) in (ACCOUNT + 1..).zip(["held", "gone", "failing"]) {
        let url = stage.receiver.url(&format!("/hooks/{webhook}"));
        stage.add_account(account);
        stage.add_webhook(webhook, account, &url);
    }
    stage
}

/// The ids of the fixture's deliveries.
fn ids() -> BTreeSet<String> {
    let text = std::fs::read_to_string(fixture().join("expected.txt")).expect("a fixture");
    let lines = text.lines().filter_map(|line| line.split_once(" = "));
    let found = lines.filter(|(path, _)| path.starts_with("state ") && path.ends_with("].id"));
    found.map(|(_, id)| id.trim_matches('"').to_owned()).collect()
}

/// What waits is delivered, whatever its due time was; what is held back stays; what is disabled, or has expired, is given up.
fn goes_on(stage: &Stage, restored: i64) {
    let mut daemon = stage.start();
    let letters = stage.dead_letters(4, PATIENCE);
    let first = ["open-waiting", "open-timed-out", "replayed", "फोनन-😀"];
    let again = ["open-held", "open-not-wanted", "unknown", "delivered-once"];
    let failed = ErrorReason::ALL.map(|reason| format!("failed-{}", reason.as_str()));
    let mut wanted: Vec<&str> = failed.iter().map(String::as_str).collect();
    wanted.extend(first.into_iter().chain(again).chain(["open-held", "new"]));
    // A new flow goes the way of all.
    stage.send_flows(&[flow("new", &[])]);
    stage.events().wait("everything is delivered", PATIENCE, |events| {
        let delivered = events.iter().filter(|event| event.json()["type"] == "delivered");
        delivered.count() >= wanted.len()
    });
    daemon.stop();
    assert_nobody_else_is_accused(stage);
    assert_told(&daemon.logged(), restored);
    let requests = stage.receiver.requests();
    let uuid = |request: &Received| request.json()["phonon-uuid"].as_str().map(str::to_owned);
    let mut delivered: Vec<String> = requests.iter().filter_map(uuid).collect();
    delivered.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(delivered, wanted, "each once, and phase 2 after phase 1");
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

/// The checker knows nothing of what was done before the fixture was made, of which no event tells here: it wonders at those
/// uuids, and at nothing else. Stores and offsets agree with the changelog.
fn assert_nobody_else_is_accused(stage: &Stage) {
    let told = report(&stage.verified(0, &["--at-rest"]));
    let violations = told["violations"].as_array().expect("a list");
    let ids = ids();
    for violation in violations {
        let is_old_uuid = violation["uuid"].as_str().is_some_and(|uuid| uuid != "new");
        let is_old_id = violation["webhook_id"].as_str().is_some_and(|id| ids.contains(id));
        let kinds = ["order", "unscheduled", "unexplained_state", "lost", "overdue"];
        let what = violation["what"].as_str().unwrap_or_default();
        assert!((is_old_uuid || is_old_id) && kinds.contains(&what), "{violation}");
    }
    assert_eq!(told["counts"]["repeats"], 0);
}

/// So many records were restored, and nothing was wrong.
fn assert_told(log: &str, restored: i64) {
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

/// What waits until 2100 is there still.
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
        assert!(left.contains(uuid), "{uuid} is there still: {left:?}");
    }
    for uuid in ["forgotten", "forgotten-early", "ended-expired", "unknown"] {
        assert!(!left.contains(uuid), "{uuid} is gone: {left:?}");
    }
}

#[test]
fn an_earlier_versions_changelog_is_gone_on_with() {
    // Called so, its topics are those whose offsets the fixture's meta row tells: three flows were seen.
    let stage = staged("fixture");
    stage.send_flows(&["seen-1", "seen-2", "seen-3"].map(|uuid| flow(uuid, &[])));
    let records = records(&stage);
    stage.kafka.produce(&records);
    goes_on(&stage, i64::try_from(records.len()).expect("few"));
}

#[test]
fn an_earlier_versions_store_is_gone_on_with() {
    let stage = staged("upgrades-store");
    let records = records(&stage);
    stage.kafka.produce(&records);
    let had = put_store(&stage);
    goes_on(&stage, i64::try_from(records.len()).expect("few") - had);
}

/// A newer version's row ends the daemon with what to do; nothing of the partition was touched, and once the row is gone it
/// goes on.
#[test]
fn a_newer_versions_row_is_refused_by_name_and_left_alone() {
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
        let told = stage.ends_with(1);
        assert!(told.contains("a newer version has written to partition 0"), "{name}: {told}");
        assert!(told.contains("run that version again, or a later one"), "{name}: {told}");
        assert_eq!(stage.kafka.read(&stage.topic("changelog")).len(), all.len(), "{name}");
        assert!(stage.receiver.requests().is_empty(), "{name}");
        assert!(stage.kafka.read(&stage.topic("events")).is_empty(), "{name}");
    }
}

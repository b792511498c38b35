//! Accidents of the changelog: it is deleted, gets more partitions, or belongs to another group.

use super::page::Page;
use crate::harness::daemon::{Daemon, copy_dir};
use crate::harness::samples::{Random, flow};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, invariants};
use crate::rebuild::{delivers_by, waiting};
use serde_json::Value;
use std::sync::atomic::Ordering;

/// Returns whether the table of `ringback offsets show` has a lag of 0 in every line.
pub(super) fn no_lag(table: &str) -> bool {
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let titles = lines.next().unwrap_or_default();
    let column = titles.iter().position(|title| *title == "LAG").expect("a column");
    lines.all(|line| line[column] == "0")
}

fn is_ready(daemon: &Daemon) {
    assert_eq!(daemon.get("/readyz").expect("it answers").0, 200);
}

/// `changelog-lost.md`, with a store that is up to date.
pub(super) fn deleted(page: &Page) {
    let (stage, recovered, uuids) = waiting("guide-deleted", 961);
    stage.delete_topic("changelog");
    let mut reader = page.follow();
    let said = reader.is_refused(&stage, 0, "ringback run");
    assert!(said.contains("does not exist"), "{said}");
    assert!(said.contains(&stage.topic("changelog")) && said.contains("[store]"), "{said}");
    let dry = reader.succeeds(&stage, "ringback changelog rebuild --dry-run");
    for words in ["rows as of ", " are to be written"] {
        assert!(dry.out.contains(words), "{}", dry.out);
    }
    assert_eq!(stage.kafka.partitions(&stage.topic("changelog")), 0, "it changes nothing");
    reader.succeeds(&stage, "ringback changelog rebuild");
    assert_eq!(stage.kafka.partitions(&stage.topic("changelog")), 2);
    let daemon = reader.starts_ready(&stage, "ringback run");
    is_ready(&daemon);
    reader.until(&stage, "ringback offsets show", |done| no_lag(&done.out));
    delivers_by(daemon, &stage, &recovered, &uuids);
    stage.verify();
}

/// `changelog-lost.md`, with a store that is out of date.
pub(super) fn older_copy(page: &Page) {
    let (stage, recovered, uuids) = waiting("guide-older", 962);
    let store = stage.instance_dir(0).join("data");
    let copy = stage.instance_dir(0).join("copy");
    copy_dir(&store, &copy);
    let late = Random::seeded(963).uuids(5);
    stage.send_flows_of(&late);
    let mut daemon = stage.start();
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    std::fs::remove_dir_all(&store).expect("a store");
    copy_dir(&copy, &store);
    stage.delete_topic("changelog");
    let mut reader = page.follow();
    let refused = reader.runs(&stage, "ringback changelog rebuild");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.out.contains("out of date"), "{}", refused.out);
    reader.succeeds(&stage, "ringback changelog rebuild --older");
    let mut daemon = reader.starts_ready(&stage, "ringback run");
    recovered.store(true, Ordering::Relaxed);
    let all = [uuids, late].concat();
    stage.send_reports_of(&all);
    invariants::wait_delivered(&stage, &all, PATIENCE);
    reader.until(&stage, "ringback offsets show", |done| no_lag(&done.out));
    daemon.stop();
    // Webhooks that are sent again have the same webhook-id.
    invariants::assert_delivered(&stage, &all, usize::MAX);
}

/// `changelog-lost.md`, without any store.
pub(super) fn without_a_store(page: &Page) {
    let (stage, recovered, uuids) = waiting("guide-no-store", 964);
    stage.recreate("changelog", 2);
    std::fs::remove_dir_all(stage.instance_dir(0).join("data")).expect("a store");
    let mut reader = page.follow();
    let said = reader.is_refused(&stage, 0, "ringback run");
    reader.sees("has no rows", &said);
    let mut daemon = reader.starts_ready(&stage, "ringback run --accept-loss");
    recovered.store(true, Ordering::Relaxed);
    let more = Random::seeded(965).uuids(3);
    stage.send_flows_of(&more);
    let delivered = stage.wait_events("delivered", more.len());
    reader.until(&stage, "ringback offsets show", |done| no_lag(&done.out));
    daemon.stop();
    assert!(delivered.iter().all(|event| !uuids.iter().any(|uuid| event["phonon_uuid"] == **uuid)));
}

/// `group.md`: a second system has the topics of the first.
pub(super) fn shared_by_mistake(page: &Page) {
    let first = Stage::new("guide-shared");
    let mut daemon = first.start();
    let uuids = Random::seeded(966).uuids(5);
    first.send_flows(&uuids.iter().map(|uuid| flow(uuid, &[])).collect::<Vec<Value>>());
    first.receiver.wait_for(5, PATIENCE);
    invariants::wait_consumed(&first, PATIENCE);
    let mut second = Stage::new("guide-shared-staging");
    second.command(&["topics", "--mend"]).succeeds();
    for (key, kind) in [
        ("changelog", "changelog"),
        ("inbox", "inbox"),
        ("events", "events"),
        ("dead_letter", "dead-letter"),
    ] {
        second.set(&format!("topics.{key}"), first.topic(kind));
    }
    let mut reader = page.follow();
    let said = reader.is_refused(&second, 0, "ringback run");
    reader.sees("belong to the consumer group", &said);
    assert!(said.contains(&first.group()) && said.contains(&second.group()), "{said}");
    let checked = reader.runs(&second, "ringback check --online");
    assert_eq!(checked.code, Some(78), "{checked:?}");
    reader.sees("belong to the consumer group", &checked.err);
    // Topics of its own.
    for (key, kind) in [
        ("changelog", "changelog"),
        ("inbox", "inbox"),
        ("events", "events"),
        ("dead_letter", "dead-letter"),
    ] {
        second.set(&format!("topics.{key}"), second.topic(kind));
    }
    reader.succeeds(&second, "ringback check --online");
    let mut other = reader.starts_ready(&second, "ringback run");
    other.stop();
    is_ready(&daemon);
    daemon.stop();
    assert_eq!(first.receiver.count() + second.receiver.count(), 5, "nothing was sent twice");
}

/// `group.md`: a group is renamed.
pub(super) fn renamed_group(page: &Page) {
    let mut stage = Stage::new("guide-renamed");
    stage.command(&["topics", "--mend"]).succeeds();
    let former = stage.group();
    let send = |stage: &Stage, seed| {
        let uuids = Random::seeded(seed).uuids(5);
        stage.send_flows(&uuids.iter().map(|uuid| flow(uuid, &[])).collect::<Vec<Value>>());
    };
    let mut daemon = stage.start();
    send(&stage, 967);
    stage.receiver.wait_for(5, PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    stage.set("kafka.group_id", "guide-renamed.second");
    let mut reader = page.follow();
    let said = reader.is_refused(&stage, 1, "ringback run");
    reader.sees("belong to the consumer group", &said);
    daemon.stop();
    let mut daemon = reader.starts(&stage, 1, "ringback run --adopt");
    daemon.wait_ready();
    send(&stage, 968);
    stage.receiver.wait_for(10, PATIENCE);
    daemon.stop();
    // Instance 0 has the former group's store.
    let mut daemon = reader.starts_ready(&stage, "ringback run");
    is_ready(&daemon);
    reader.succeeds(&stage, "ringback check --online");
    daemon.stop();
    stage.set("kafka.group_id", former);
    stage.refused();
    assert_eq!(stage.receiver.count(), 10, "nothing was sent twice");
}

/// `partitions.md`: the changelog has got more partitions.
pub(super) fn grown(page: &Page) {
    let (stage, recovered, uuids) = waiting("guide-grown", 969);
    stage.kafka.grow_topic(&stage.topic("changelog"), 4);
    let mut reader = page.follow().below("The changelog was given more partitions");
    let said = reader.is_refused(&stage, 0, "ringback run");
    assert!(said.contains("are spread over 2 partitions"), "{said}");
    stage.delete_topic("changelog");
    reader.succeeds(&stage, "ringback changelog rebuild");
    let daemon = reader.starts_ready(&stage, "ringback run");
    let topics = reader.runs(&stage, "ringback topics");
    let shown = format!("{} (changelog): 2 partitions", stage.topic("changelog"));
    assert!(topics.out.contains(&shown), "{}", topics.out);
    delivers_by(daemon, &stage, &recovered, &uuids);
}

/// `partitions.md`: the inbox has too few partitions.
pub(super) fn small_inbox(page: &Page) {
    let stage = Stage::on(broker::shared(), "guide-inbox", 2);
    stage.recreate("inbox", 1);
    let mut reader = page.follow().below(super::INBOX);
    let said = reader.runs(&stage, "ringback topics");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("it has 1 partitions, the changelog has 2"), "{}", said.out);
    reader.is_refused(&stage, 0, "ringback run");
    reader.runs(&stage, "ringback topics --mend");
    assert_eq!(stage.kafka.partitions(&stage.topic("inbox")), 2);
    reader.succeeds(&stage, "ringback topics");
    stage.start().stop();
}

/// `partitions.md`: the inbox has too many partitions, and is replaced.
pub(super) fn large_inbox(page: &Page) {
    let stage = Stage::on(broker::shared(), "guide-large-inbox", 2);
    stage.command(&["topics", "--mend"]).succeeds();
    stage.kafka.grow_topic(&stage.topic("inbox"), 3);
    let uuids = Random::seeded(971).uuids(5);
    let mut daemon = stage.start();
    stage.send_flows_of(&uuids);
    stage.send_reports_of(&uuids);
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    let mut reader = page.follow().below(super::INBOX);
    let said = reader.runs(&stage, "ringback topics");
    assert!(said.out.contains("it has 3 partitions, the changelog has 2"), "{}", said.out);
    reader.until(&stage, "ringback offsets show", |done| no_lag(&done.out));
    daemon.stop();
    let shown = reader.succeeds(&stage, "ringback offsets show");
    assert!(no_lag(&shown.out), "{}", shown.out);
    stage.delete_topic("inbox");
    reader.succeeds(&stage, "ringback topics --create");
    let mut daemon = reader.starts_ready(&stage, "ringback run");
    reader.succeeds(&stage, "ringback topics");
    daemon.stop();
    invariants::assert_delivered(&stage, &uuids, 0);
}

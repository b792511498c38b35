//! Accidents of the inputs: they are created again, lose records, or must be read from another position.

use super::changelog::no_lag;
use super::page::Page;
use crate::harness::daemon::Daemon;
use crate::harness::kafka::Record;
use crate::harness::receiver::now_ms;
use crate::harness::samples::{Random, flow};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, invariants};
use serde_json::Value;

fn stage(name: &str) -> Stage {
    Stage::on(broker::shared(), name, 1)
}

fn send(stage: &Stage, uuids: &[String]) {
    stage.send_flows(&uuids.iter().map(|uuid| flow(uuid, &[])).collect::<Vec<Value>>());
}

/// Sends `count` flows, and waits until they are read and delivered.
fn delivers(stage: &Stage, seed: u64, count: usize) -> Vec<String> {
    let uuids = Random::seeded(seed).uuids(count);
    let before = stage.receiver.count();
    send(stage, &uuids);
    stage.receiver.wait_for(before + count, PATIENCE);
    invariants::wait_consumed(stage, PATIENCE);
    uuids
}

fn counted(daemon: &Daemon, stage: &Stage, metric: &str, count: f64) {
    let topic = stage.topic("flow-complete");
    let value = daemon.metric(metric, &[("topic", &topic)]);
    assert_eq!(value.map(|value| value.to_string()), Some(count.to_string()), "{metric}");
}

/// `inputs.md`: all records of the new topic are read.
pub(super) fn recreated(page: &Page) {
    let stage = stage("guide-recreated");
    let mut daemon = stage.start();
    delivers(&stage, 972, 5);
    daemon.stop();
    stage.recreate("flow-complete", 1);
    let mut reader = page.follow();
    let shown = reader.runs(&stage, "ringback offsets show");
    reader.sees("another topic: it was deleted and created again", &shown.out);
    let uuids = Random::seeded(973).uuids(8);
    send(&stage, &uuids);
    let mut daemon = reader.starts_ready(&stage, "ringback run");
    stage.receiver.wait_for(13, PATIENCE);
    stage.wait_events("input_recreated", 1);
    // The line comes with the commit of the event.
    daemon.wait_logged("the input topic was deleted and created again", 0);
    reader.sees("the input topic was deleted and created again", &daemon.logged());
    reader.says("input_recreated");
    reader.says("ringback_inputs_recreated_total");
    counted(&daemon, &stage, "ringback_inputs_recreated_total", 1.0);
    let shown = reader.until(&stage, "ringback offsets show", |done| {
        no_lag(&done.out) && !done.out.contains("another topic")
    });
    shown.succeeds();
    daemon.stop();
    assert_eq!(stage.receiver.count(), 13);
}

/// `inputs.md`: the new topic begins with copies of records that were read long ago, and is read from its end.
pub(super) fn recreated_from_end(page: &Page) {
    recreated_with_copies(page, "guide-recreated-end", "ringback run --from end");
}

/// `inputs.md`: the new topic is read from ten minutes ago.
pub(super) fn recreated_from_age(page: &Page) {
    recreated_with_copies(page, "guide-recreated-age", "ringback run --from 10m");
}

fn recreated_with_copies(page: &Page, name: &str, command: &str) {
    let stage = stage(name);
    let mut daemon = stage.start();
    delivers(&stage, 974, 4);
    daemon.stop();
    stage.recreate("flow-complete", 1);
    let hour_ago = now_ms().checked_sub(3_600_000).and_then(|ms| i64::try_from(ms).ok());
    let copies = Random::seeded(975).uuids(4);
    let records = copies.iter().map(|uuid| {
        let record = stage.record("flow-complete", &flow(uuid, &[]));
        Record { timestamp_ms: hour_ago, ..record }
    });
    stage.kafka.produce(&records.collect::<Vec<_>>());
    let mut reader = page.follow();
    let mut daemon = reader.starts_ready(&stage, command);
    delivers(&stage, 976, 3);
    daemon.stop();
    let mut daemon = reader.starts_ready(&stage, "ringback run");
    reader.until(&stage, "ringback offsets show", |done| no_lag(&done.out)).succeeds();
    daemon.stop();
    assert_eq!(stage.receiver.count(), 7, "{command} leaves the copies out");
}

/// `inputs.md`: Kafka deletes records before they are read.
pub(super) fn deleted_unread(page: &Page) {
    let stage = stage("guide-missed");
    let mut daemon = stage.start();
    delivers(&stage, 977, 5);
    daemon.stop();
    let topic = stage.topic("flow-complete");
    let lost = Random::seeded(978).uuids(7);
    send(&stage, &lost);
    stage.kafka.delete_records(&topic, 0, stage.kafka.end(&topic, 0));
    let mut daemon = stage.start();
    let missed = stage.wait_events("records_missed", 1);
    let mut reader = page.follow().below("Records were deleted before they were read");
    assert_eq!((&missed[0]["records"], &missed[0]["topic"]), (&7.into(), &topic.clone().into()));
    let logged = daemon.logged();
    let error = logged.lines().find(|line| line.contains("ERROR")).expect("an ERROR");
    reader.sees("Kafka deleted records of the input before they were read", error);
    reader.says("ringback_source_records_missed_total");
    counted(&daemon, &stage, "ringback_source_records_missed_total", 7.0);
    let found = reader.runs(&stage, "ringback verify");
    assert_eq!(found.code, Some(1), "{found:?}");
    reader.sees("missed", &found.out);
    // The producer sends them again.
    send(&stage, &lost);
    stage.receiver.wait_for(12, PATIENCE);
    reader.runs(&stage, "ringback offsets show").succeeds();
    let done = reader.until(&stage, "ringback offsets show", |done| no_lag(&done.out));
    done.succeeds();
    counted(&daemon, &stage, "ringback_source_records_missed_total", 7.0);
    daemon.stop();
}

/// `offsets.md`: some records are skipped.
pub(super) fn skipped(page: &Page) {
    let stage = stage("guide-skip");
    let mut daemon = stage.start();
    delivers(&stage, 979, 2);
    daemon.stop();
    send(&stage, &Random::seeded(980).uuids(8));
    let mut reader = page.follow();
    let shown = reader.succeeds(&stage, "ringback offsets show");
    let titles = shown.out.lines().next().expect("titles").split_whitespace();
    let titles = titles.collect::<Vec<_>>();
    assert_eq!(titles, ["TOPIC", "PARTITION", "GROUP", "STATE", "FIRST", "END", "LAG", "NOTE"]);
    assert_eq!(line(&stage, &shown.out)[1..], ["0", "2", "2", "0", "10", "8"]);
    let inbox = stage.topic("inbox");
    assert!(shown.out.lines().any(|line| line.starts_with(&inbox)), "{}", shown.out);
    let skip = "ringback offsets skip --topic flow-complete --partition 0 --records 3";
    let dry = reader.succeeds(&stage, &format!("{skip} --dry-run"));
    assert!(dry.out.contains("2 -> 5: 3 records are skipped"), "{}", dry.out);
    reader.succeeds(&stage, skip);
    let mut daemon = reader.starts_ready(&stage, "ringback run");
    stage.receiver.wait_for(7, PATIENCE);
    reader.says("offsets_moved");
    stage.wait_events("offsets_moved", 1);
    let shown = reader.until(&stage, "ringback offsets show", |done| no_lag(&done.out));
    assert_eq!(line(&stage, &shown.out)[1..], ["0", "10", "10", "0", "10", "0"]);
    daemon.stop();
    assert_eq!(stage.receiver.count(), 7, "3 of 10 were skipped");
}

/// Returns the line of the first input.
fn line<'a>(stage: &Stage, table: &'a str) -> Vec<&'a str> {
    let topic = stage.topic("flow-complete");
    let line = table.lines().find(|line| line.starts_with(&topic)).expect("a line");
    line.split_whitespace().collect()
}

/// `offsets.md`: all records are read again.
pub(super) fn read_again(page: &Page) {
    let stage = stage("guide-reset");
    let mut daemon = stage.start();
    delivers(&stage, 981, 6);
    daemon.stop();
    let mut reader = page.follow();
    let reset = "ringback offsets reset --topic flow-complete --to beginning";
    let dry = reader.succeeds(&stage, &format!("{reset} --dry-run"));
    assert!(dry.out.contains("6 -> 0: 6 records are read again"), "{}", dry.out);
    reader.succeeds(&stage, reset);
    let mut daemon = reader.starts_ready(&stage, "ringback run");
    stage.wait_events("record_ignored", 6);
    reader.until(&stage, "ringback offsets show", |done| no_lag(&done.out)).succeeds();
    daemon.stop();
    assert_eq!(stage.receiver.count(), 6, "nothing is sent twice");
}

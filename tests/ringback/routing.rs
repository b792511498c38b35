//! Records that are in another partition than the one that owns their uuid, or that have no key.

use crate::harness::changelog;
use crate::harness::kafka::Record;
use crate::harness::samples::{Random, flow, report};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, invariants, wait_until};

const PARTITIONS: i32 = 3;

/// Produces records of twenty uuids where `place` puts them, and expects one delivery of each. Returns how many were
/// forwarded.
fn delivered_however_placed(name: &str, place: impl Fn(Record, &str) -> Record) -> usize {
    let stage = Stage::on(broker::shared(), name, PARTITIONS);
    let uuids = Random::seeded(20).uuids(20);
    let mut records = Vec::new();
    for uuid in &uuids {
        let flow = flow(uuid, &["s-1"]);
        let report = report(uuid, "s-1", "DELIVERED");
        records.push(place(stage.record("flow-complete", &flow), uuid));
        records.push(place(stage.record("sms-delivery-report", &report), uuid));
    }
    stage.kafka.produce(&records);
    let mut daemon = stage.start();
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    daemon.stop();
    invariants::assert_delivered(&stage, &uuids, 0);
    stage.kafka.read(&stage.topic("inbox")).len()
}

fn owner(uuid: &str) -> i32 {
    ringback::domain::owner(uuid.as_bytes(), PARTITIONS.unsigned_abs())
}

/// The input's records are in their owner's partition, until the input gets more partitions than the changelog has.
#[test]
fn an_input_with_more_partitions_is_forwarded_from_the_next_start_on() {
    let stage = Stage::on(broker::shared(), "routing-grown", PARTITIONS);
    let uuids = Random::seeded(21).uuids(40);
    let (early, late) = uuids.split_at(20);
    let flows =
        |uuids: &[String]| uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect::<Vec<_>>();
    let reports = |uuids: &[String]| {
        let report = |uuid: &String| report(uuid, "s-1", "DELIVERED");
        uuids.iter().map(report).collect::<Vec<_>>()
    };
    let mut daemon = stage.start();
    stage.send_flows(&flows(early));
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    stage.kafka.grow_topic(&stage.topic("flow-complete"), PARTITIONS + 2);
    stage.send_flows(&flows(late));
    stage.send_reports(&reports(&uuids));
    let mut daemon = stage.start();
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    invariants::assert_delivered(&stage, &uuids, 0);
    assert_eq!(stage.kafka.read(&stage.topic("inbox")).len(), late.len());
    stage.verify();
}

#[test]
fn records_of_the_owners_partition_are_not_forwarded() {
    // Kafka's own partitioner places the records, so this also compares it with ours.
    assert_eq!(delivered_however_placed("routing-java", |record, _| record), 0);
}

#[test]
fn records_of_another_partitioner_are_forwarded() {
    let elsewhere = |record, uuid: &str| {
        let partition = Some((owner(uuid) + 1) % PARTITIONS);
        Record { partition, ..record }
    };
    assert_eq!(delivered_however_placed("routing-elsewhere", elsewhere), 40);
}

#[test]
fn records_without_a_key_are_forwarded() {
    let keyless = |record, uuid: &str| {
        let partition = Some((owner(uuid) + 2) % PARTITIONS);
        Record { key: None, partition, ..record }
    };
    assert_eq!(delivered_however_placed("routing-keyless", keyless), 40);
}

/// Instances of two versions may disagree about the owner of a uuid. A record that they forwarded to each other four
/// times already becomes a dead letter, and its replay is delivered.
#[test]
fn a_record_that_was_forwarded_too_often_is_a_dead_letter_that_can_be_replayed() {
    let stage = Stage::on(broker::shared(), "routing-hops", PARTITIONS);
    let uuids = Random::seeded(22).uuids(2);
    for (uuid, hops) in uuids.iter().zip(["3", "4"]) {
        let record = stage.record("flow-complete", &flow(uuid, &[]));
        let partition = Some((owner(uuid) + 1) % PARTITIONS);
        let record = Record { topic: stage.topic("inbox"), partition, ..record };
        let headers = [
            ("ringback.kind", "flow_complete"),
            ("ringback.source.topic", &stage.topic("flow-complete")),
            ("ringback.source.partition", "0"),
            ("ringback.source.offset", "0"),
            ("ringback.source.timestamp", "2026-01-01T00:00:00Z"),
            ("ringback.inbox-hops", hops),
        ];
        stage.kafka.produce_with(&[record], &headers);
    }
    let mut daemon = stage.start();
    let letter = stage.dead_letters(1, PATIENCE).remove(0);
    assert_eq!(letter.header("ringback.reason"), "undecodable");
    assert!(letter.header("ringback.detail").contains("different versions"), "{letter:?}");
    assert_eq!(letter.json(), flow(&uuids[1], &[]));
    stage.receiver.wait_for(1, PATIENCE);
    let inbox = stage.kafka.read(&stage.topic("inbox"));
    let mut hops: Vec<&str> = inbox.iter().map(|it| it.header("ringback.inbox-hops")).collect();
    hops.sort_unstable();
    assert_eq!(hops, ["3", "4", "4"], "the first record was forwarded once more");
    let done = stage.command(&["dead-letter", "replay", "--yes"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    stage.receiver.wait_for(2, PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    let delivered: Vec<String> = stage.receiver.requests().iter().map(|it| it.uuid()).collect();
    assert_eq!(delivered, uuids);
    assert_eq!(stage.dead_letters(1, PATIENCE).len(), 1);
}

/// The old offset must not count for a later topic of the same name.
#[test]
fn an_input_that_is_no_longer_configured_leaves_no_offset_behind() {
    let mut stage = Stage::on(broker::shared(), "routing-gone", 1);
    let own = stage.topic("flow-complete");
    let other = format!("{own}-other");
    stage.kafka.create_topics(&[(other.as_str(), 1, &[])]);
    stage.set("topics.flow_complete", vec![own.clone(), other.clone()]);
    let mut daemon = stage.start();
    let record =
        Record { topic: other.clone(), ..stage.record("flow-complete", &flow("gone", &[])) };
    stage.kafka.produce(&[record]);
    stage.events().wait("the flow is delivered", PATIENCE, |events| {
        events.iter().any(|event| event.json()["type"] == "delivered")
    });
    let remembered = |stage: &Stage| {
        let left = changelog::left(&stage.kafka.read(&stage.topic("changelog")));
        let meta = left.get(&(0, b"m".to_vec())).expect("a meta row").clone();
        let meta = ringback::codec::row::decode_meta(&meta.into()).expect("a meta row");
        meta.offsets.iter().any(|input| *input.topic == *other && input.next_offset > 0)
    };
    wait_until("the offset is committed", PATIENCE, || remembered(&stage).then_some(()));
    daemon.stop();
    stage.set("topics.flow_complete", vec![own]);
    let mut daemon = stage.start();
    wait_until("the offset is removed", PATIENCE, || (!remembered(&stage)).then_some(()));
    daemon.stop();
}

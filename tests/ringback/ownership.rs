//! The owner of a changelog and a store: a daemon continues with the rows of another owner only if an operator says so.

use crate::harness::PATIENCE;
use crate::harness::changelog;
use crate::harness::daemon::{EX_CONFIG, copy_dir};
use crate::harness::kafka::Record;
use crate::harness::samples::{Random, flow};
use crate::harness::stage::Stage;
use ringback::codec::row;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn flows(seed: u64, count: usize) -> (Vec<String>, Vec<serde_json::Value>) {
    let uuids = Random::seeded(seed).uuids(count);
    let flows = uuids.iter().map(|uuid| flow(uuid, &[])).collect();
    (uuids, flows)
}

/// Creates a stage whose endpoint fails until the flag is set, with `count` deliveries that wait for their next
/// attempt.
fn waiting(name: &str, count: usize) -> (Stage, Arc<AtomicBool>, Vec<String>) {
    let mut stage = Stage::new(name);
    stage.set("delivery.attempts_max", 1000);
    let recovered = stage.fail_until_recovered(300);
    let (uuids, flows) = flows(71, count);
    stage.send_flows(&flows);
    (stage, recovered, uuids)
}

fn wait_attempted(stage: &Stage, count: usize) {
    stage.events().wait("each delivery was attempted", PATIENCE, |events| {
        let failed = events.iter().map(|event| event.json());
        let uuids = failed
            .filter(|event| event["type"] == "attempt_failed")
            .map(|event| event["phonon_uuid"].to_string());
        uuids.collect::<std::collections::BTreeSet<_>>().len() >= count
    });
}

fn wait_delivered(stage: &Stage, count: usize) {
    stage.events().wait("they are delivered", PATIENCE, |events| {
        let delivered = events.iter().filter(|event| event.json()["type"] == "delivered");
        delivered.count() >= count
    });
}

#[test]
fn another_group_is_refused_until_it_adopts_the_changelog() {
    let mut stage = Stage::new("ownership-group");
    let (first, all) = (stage.group(), flows(70, 10));
    let mut daemon = stage.start();
    stage.send_flows(&all.1);
    stage.receiver.wait_for(all.0.len(), PATIENCE);

    stage.set("kafka.group_id", "ownership-group.second");
    let said = stage.spawn(1).wait_end(EX_CONFIG, PATIENCE);
    for word in [first.as_str(), "ownership-group.second", "run --adopt", "every webhook twice"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let said = stage.spawn_with(1, &["--adopt"]).wait_end(EX_CONFIG, PATIENCE);
    assert!(said.contains("has 1 members"), "{said}");
    assert_eq!(stage.receiver.count(), all.0.len(), "nothing was sent twice");

    daemon.stop();
    let mut second = stage.spawn_with(1, &["--adopt"]);
    second.wait_ready();
    let more = flows(72, 5);
    stage.send_flows(&more.1);
    stage.receiver.wait_for(all.0.len() + more.0.len(), PATIENCE);
    second.stop();
    // The second group needs no permission from now on, and the first group is refused.
    stage.start_instance(1).stop();
    stage.set("kafka.group_id", first);
    let said = stage.refused();
    assert!(said.contains("ownership-group.second"), "{said}");
    assert_eq!(stage.receiver.by_id().len(), 15);
    assert_eq!(stage.receiver.count(), 15, "nothing was sent twice");
}

/// Two groups that start at the same moment both find a changelog without rows. The later one to commit becomes its
/// owner.
#[test]
fn a_daemon_ends_when_another_group_has_written_to_its_changelog() {
    let stage = Stage::new("ownership-moment");
    let mut daemon = stage.start();
    let changelog = stage.topic("changelog");
    let rows = changelog::left(&stage.kafka.read(&changelog));
    let meta = rows.get(&(0, b"m".to_vec())).expect("a daemon at rest has a meta row").clone();
    let mut meta = row::decode_meta(&meta.into()).expect("a meta row");
    meta.owner.as_mut().expect("the row has an owner").group = "ownership-moment.second".into();
    let mut value = Vec::new();
    row::encode_meta(&meta, &mut value);
    let (key, value) = (Some(b"m".to_vec()), Some(value));
    stage.kafka.produce(&[Record {
        topic: changelog,
        partition: Some(0),
        key,
        value,
        ..Record::default()
    }]);
    let said = daemon.wait_end(EX_CONFIG, PATIENCE);
    assert!(said.contains("ownership-moment.second"), "{said}");
}

#[test]
fn a_changelog_that_was_recreated_does_not_wipe_the_store() {
    let (stage, recovered, uuids) = waiting("ownership-recreated", 20);
    let mut daemon = stage.start();
    wait_attempted(&stage, uuids.len());
    daemon.stop();
    let changelog = stage.topic("changelog");
    stage.recreate("changelog", 2);
    let said = stage.refused();
    for word in [changelog.as_str(), "deleted and created again", "changelog rebuild"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    // The daemon starts only with this option, and even then it keeps the store.
    let mut daemon = stage.spawn_with(0, &["--accept-loss"]);
    daemon.wait_ready();
    recovered.store(true, Ordering::Relaxed);
    let (more, flows) = flows(73, 3);
    stage.send_flows(&flows);
    wait_delivered(&stage, more.len());
    daemon.stop();
    let kept = std::fs::read_dir(stage.instance_dir(0)).expect("a directory");
    let kept = kept.filter_map(Result::ok).map(|entry| entry.file_name().into_string());
    let kept: Vec<String> = kept.filter_map(Result::ok).collect();
    assert!(kept.iter().any(|name| name.starts_with("data.replaced-")), "{kept:?}");
    stage.start().stop();
}

#[test]
fn a_missing_changelog_is_not_created_while_a_store_holds_its_rows() {
    let (stage, _, uuids) = waiting("ownership-gone", 5);
    let mut daemon = stage.start();
    wait_attempted(&stage, uuids.len());
    daemon.stop();
    stage.kafka.delete_topics(&[&stage.topic("changelog")]);
    let said = stage.refused();
    assert!(said.contains("does not exist") && said.contains("changelog rebuild"), "{said}");
}

#[test]
fn a_group_that_lost_both_its_changelog_and_its_store_is_refused() {
    let (stage, _, uuids) = waiting("ownership-nothing", 5);
    let mut daemon = stage.start();
    wait_attempted(&stage, uuids.len());
    daemon.stop();
    stage.recreate("changelog", 2);
    std::fs::remove_dir_all(stage.instance_dir(0).join("data")).expect("a store");
    let said = stage.refused();
    assert!(said.contains("has no rows of this partition"), "{said}");
    let mut daemon = stage.spawn_with(0, &["--accept-loss"]);
    daemon.wait_ready();
    daemon.stop();
    stage.start().stop();
}

#[test]
fn a_changelog_that_lost_rows_that_the_store_has_not_seen_is_refused() {
    let (stage, _, uuids) = waiting("ownership-shorter", 20);
    let mut daemon = stage.start();
    wait_attempted(&stage, uuids.len());
    daemon.stop();
    let (data, old) = (stage.instance_dir(0).join("data"), stage.instance_dir(0).join("old"));
    copy_dir(&data, &old);
    let mut daemon = stage.start();
    let (more, flows) = flows(75, 20);
    stage.send_flows(&flows);
    wait_attempted(&stage, uuids.len() + more.len());
    daemon.stop();
    std::fs::remove_dir_all(&data).expect("a store");
    copy_dir(&old, &data);
    // Kafka deletes no records of a topic that is only compacted.
    let changelog = stage.topic("changelog");
    stage.kafka.alter_topic(&changelog, "cleanup.policy", "delete");
    for partition in 0..2 {
        stage.kafka.delete_records(&changelog, partition, stage.kafka.end(&changelog, partition));
    }
    stage.kafka.alter_topic(&changelog, "cleanup.policy", "compact");
    let said = stage.refused();
    assert!(said.contains("has the offsets") && said.contains("accept-loss"), "{said}");
    let kept = std::fs::read_dir(&data).expect("the store is left alone").count();
    assert!(kept > 3, "{kept} files");
}

#[test]
fn a_changelog_that_got_more_partitions_is_refused() {
    let mut stage = Stage::new("ownership-grown");
    stage.set("correlation.report_timeout_s", 3600);
    let uuids = Random::seeded(74).uuids(20);
    let flows: Vec<_> = uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect();
    let mut daemon = stage.start();
    stage.send_flows(&flows);
    stage.receiver.wait_for(uuids.len(), PATIENCE);
    daemon.stop();
    for kind in ["changelog", "inbox"] {
        stage.kafka.grow_topic(&stage.topic(kind), 4);
    }
    let said = stage.refused();
    for word in ["spread over 2 partitions", "has 4", "ops/guide/partitions.md"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn a_store_of_another_changelog_is_refused() {
    let (stage, _, uuids) = waiting("ownership-store", 5);
    let mut daemon = stage.start();
    wait_attempted(&stage, uuids.len());
    daemon.stop();
    let other = Stage::new("ownership-store-other");
    let mut daemon = other.start();
    daemon.stop();
    let data = |stage: &Stage| stage.instance_dir(0).join("data");
    std::fs::remove_dir_all(data(&other)).expect("a store");
    copy_dir(&data(&stage), &data(&other));
    let said = other.refused();
    assert!(said.contains("of the store") && said.contains("it is another topic"), "{said}");
}

//! Stores of several machines, of another cluster or of another changelog, and stores that hold only rows of endpoints.

use super::{delivers, failing, rebuild, waiting};
use crate::harness::kafka::Record;
use crate::harness::samples::{Random, flow};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, invariants, wait_until};
use ringback::codec::row::{self, Meta, Owner};
use ringback::domain::Timestamp;
use serde_json::Value;
use std::sync::atomic::Ordering;

const REBUILD: [&str; 3] = ["changelog", "rebuild", "--yes"];
/// The key of a partition's meta row.
const META: &[u8] = b"m";

#[test]
fn each_machine_writes_the_partitions_of_its_own_store() {
    let (stage, recovered) = failing("rebuild-machines", 4);
    let uuids = Random::seeded(914).uuids(40);
    let mut daemons = [0, 1].map(|number| stage.start_instance(number));
    wait_until("each instance has two partitions", PATIENCE, || {
        daemons.iter().all(|daemon| daemon.partitions() == 2).then_some(())
    });
    stage.send_flows_of(&uuids);
    stage.wait_events("attempt_failed", uuids.len());
    invariants::wait_consumed(&stage, PATIENCE);
    // Both stop at once, so that neither takes the other one's partitions.
    daemons.iter().for_each(|daemon| daemon.signal("TERM"));
    daemons.iter_mut().for_each(|daemon| drop(daemon.wait_end(0, PATIENCE)));
    stage.delete_topic("changelog");
    // A partition that moved from one instance to the other is out of date in the first one's store.
    let written = |number: u8| {
        let done = stage.alone_on(number, &[&REBUILD[..], &["--json"]].concat());
        let plan: Value = serde_json::from_str(&done.out).expect("JSON");
        assert_eq!((&plan["partitions"], &plan["written"]), (&4.into(), &true.into()), "{plan}");
        let stored = plan["stored"].as_array().expect("a list").iter();
        let (written, others): (Vec<_>, Vec<_>) = stored.partition(|it| it["action"] == "write");
        for other in others {
            let is_older = other["reason"].to_string().contains("it is out of date");
            assert!(is_older || other["action"] == "done", "{plan}");
        }
        written.iter().map(|it| it["partition"].as_u64().expect("a number")).collect::<Vec<_>>()
    };
    let first = written(0);
    assert_eq!(first.len(), 2, "instance 0 writes its own partitions: {first:?}");
    let said = stage.refused();
    assert!(said.contains("ringback changelog rebuild"), "the rest is missing: {said}");
    let mut all = [first, written(1)].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
    let mut daemons = [0, 1].map(|number| stage.start_instance(number));
    recovered.store(true, Ordering::Relaxed);
    stage.send_reports_of(&uuids);
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemons.iter_mut().for_each(crate::harness::daemon::Daemon::stop);
    invariants::assert_delivered(&stage, &uuids, usize::MAX);
    invariants::assert_attempts_counted(&stage, 0);
}

/// Returns a meta row that names the stage's group as the owner of the rows.
fn meta_row(stage: &Stage, replaces: Option<&str>, rebuilt_up_to: Option<&str>) -> Vec<u8> {
    let owner = Owner {
        cluster: None,
        group: stage.group().into(),
        changelog: None,
        partitions: 2,
        replaces: replaces.map(Into::into),
        rebuilt_up_to: rebuilt_up_to.map(Into::into),
        ..Owner::default()
    };
    let committed_at = Timestamp::from_ms(1_700_000_000_000);
    let (meta, mut bytes) =
        (Meta { offsets: Vec::new(), committed_at, owner: Some(owner) }, vec![]);
    row::encode_meta(&meta, &mut bytes);
    bytes
}

#[test]
fn a_rebuild_refuses_foreign_rows_and_options_that_do_not_fit_the_store() {
    let (stage, ..) = waiting("rebuild-others", 915);
    stage.recreate("changelog", 2);
    for (arguments, says) in [
        (["--partition", "7"], "has no rows of partition 7"),
        (["--partitions", "3"], "spread over 2 partitions, but --partitions is 3"),
    ] {
        let done = stage.alone(&[&REBUILD[..], &arguments].concat());
        assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
        assert!(done.err.contains(says), "{says:?} is missing: {}", done.err);
    }
    let topic = stage.topic("changelog");
    for (value, says) in [
        (meta_row(&stage, Some("elsewhere"), Some("u-1")), "from another store was interrupted"),
        (meta_row(&stage, Some("elsewhere"), None), "which a rebuild does not overwrite"),
        (b"of a version to come".to_vec(), "has a meta row of a newer version"),
    ] {
        let (partition, key) = (Some(0), Some(META.to_vec()));
        stage.kafka.produce(&[Record {
            topic: topic.clone(),
            partition,
            key,
            value: Some(value),
            timestamp_ms: None,
        }]);
        let done = stage.alone(&["changelog", "rebuild", "--dry-run"]);
        assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
        let refused = done.out.lines().find(|line| line.contains("partition 0 is refused"));
        assert!(refused.is_some_and(|line| line.contains(says)), "{says:?}: {}", done.out);
        assert!(
            done.out.contains("partition 1:") && done.out.contains("to be written"),
            "{done:?}"
        );
    }
}

/// The cluster was replaced by a copy. Ringback can't distinguish this from a wrong broker address.
#[test]
fn a_store_of_another_cluster_is_used_only_with_the_option_older() {
    let (stage, recovered, uuids) = waiting("rebuild-cluster", 916);
    let directory = stage.instance_dir(0).join("data");
    let options = rocksdb::Options::default();
    let families = rocksdb::DB::list_cf(&options, &directory).expect("a store");
    let db = rocksdb::DB::open_cf(&options, &directory, &families).expect("no daemon has it open");
    for partition in 0..2 {
        let family = db.cf_handle(&format!("partition-{partition}")).expect("the partition");
        let bytes = db.get_cf(&family, META).expect("the store can be read").expect("a meta row");
        let mut meta = row::decode_meta(&bytes.into()).expect("a meta row");
        meta.owner.as_mut().expect("an owner").cluster = Some("elsewhere".into());
        let mut bytes = Vec::new();
        row::encode_meta(&meta, &mut bytes);
        db.put_cf(&family, META, bytes).expect("the store can be written");
        db.flush_cf(&family).expect("the store can be flushed");
    }
    drop(db);
    stage.delete_topic("changelog");
    let done = rebuild(&stage);
    assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
    assert!(done.out.contains("it belongs to the Kafka cluster elsewhere"), "{}", done.out);
    stage.alone(&["changelog", "rebuild", "--older", "--yes"]).succeeds();
    delivers(&stage, &recovered, &uuids);
}

#[test]
fn a_disabled_endpoint_is_rebuilt_even_if_no_uuid_is_left() {
    let mut stage = Stage::on(broker::shared(), "rebuild-endpoints", 1);
    stage.set("correlation.dedup_window_s", 1);
    stage.receiver.statuses(&[410]);
    let mut daemon = stage.start();
    stage.send_flows(&[flow("gone", &[])]);
    stage.wait_events("endpoint_disabled", 1);
    stage.wait_forgotten(PATIENCE);
    daemon.stop();
    stage.delete_topic("changelog");
    rebuild(&stage).succeeds();
    stage.receiver.statuses(&[200]);
    let daemon = stage.start();
    let disabled = || daemon.metric("ringback_endpoints", &[("state", "disabled")]);
    wait_until("the endpoint is still disabled", PATIENCE, || {
        disabled().filter(|count| *count == 1.0)
    });
    stage.send_flows(&[flow("refused", &[])]);
    stage.dead_letters(2, PATIENCE);
    assert_eq!(stage.receiver.count(), 1, "nothing more was sent");
}

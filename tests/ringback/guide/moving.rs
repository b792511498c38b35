//! `another-cluster.md`, `backup.md` and `disaster.md`: the state moves to another cluster, or goes back to a copy.

use super::changelog::no_lag;
use super::page::Page;
use super::shell::Shell;
use crate::harness::PATIENCE;
use crate::harness::broker::{self, Broker};
use crate::harness::kafka::Kafka;
use crate::harness::samples::Random;
use crate::harness::stage::Stage;
use crate::harness::{invariants, wait_until};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

const PARTITIONS: i32 = 2;
/// The exit code of a command that may succeed if it is repeated.
const EX_TEMPFAIL: i32 = 75;

/// Three groups of flows: phase 1 was delivered, phase 1 waits for a retry, and the record came after the stop.
pub(super) fn moved(page: &Page) {
    let (former, new) = (Broker::start(), broker::shared());
    let mut stage = Stage::on(former.kafka(), "guide-moved", PARTITIONS);
    let recovered = stage.fail_until_recovered(1000);
    let uuids = Random::seeded(981).uuids(15);
    let [delivered, waiting, late] = [&uuids[..5], &uuids[5..10], &uuids[10..]];
    let mut daemon = stage.start();
    recovered.store(true, Ordering::Relaxed);
    stage.send_flows_of(delivered);
    stage.wait_events("delivered", delivered.len());
    recovered.store(false, Ordering::Relaxed);
    stage.send_flows_of(waiting);
    stage.wait_events("attempt_failed", waiting.len());

    let inputs = create_inputs(&new, &stage, PARTITIONS);
    let mut reader = page
        .follow()
        .call("kafka-former:9092", former.kafka().bootstrap())
        .call("kafka-new:9092", new.bootstrap())
        .call("flow-complete", &inputs[0])
        .call("sms-delivery-report", &inputs[1])
        .call("factor = 3", "factor = 1");
    let shell = Shell::new("guide-moved-shell");
    shell.save("mirror.properties", &reader.program("properties"));
    let mirror = reader.leaves(&shell, "connect-mirror-maker.sh mirror.properties");
    reader.until(&stage, "ringback offsets show", |done| no_lag(&done.out));
    daemon.stop();
    stage.send_flows_of(late);
    let copied = |count: usize| {
        wait_until("the flows are copied", PATIENCE, || {
            (new.read(&inputs[0]).len() >= count).then_some(())
        });
    };
    copied(uuids.len());

    change_cluster(&mut stage, &new);
    let said = reader.is_refused(&stage, 0, "ringback run");
    assert!(said.contains("[store]") && said.contains("changelog"), "{said}");
    let dry = reader.succeeds(&stage, "ringback changelog rebuild --older --dry-run");
    assert!(dry.out.contains(" are to be written"), "{dry:?}");
    reader.succeeds(&stage, "ringback changelog rebuild --older");
    recovered.store(true, Ordering::Relaxed);
    let mut daemon = reader.starts_ready(&stage, "ringback run --from 2h");
    // The line comes with the commit of the event.
    daemon.wait_logged("the input topic was deleted and created again", 0);
    reader.sees("the input topic was deleted and created again", &daemon.logged());
    stage.send_reports_of(&uuids);
    // Phase 1 of the first group has its event on the former cluster.
    stage.wait_events("delivered", 2 * uuids.len() - delivered.len());
    invariants::wait_consumed(&stage, PATIENCE);
    drop(mirror);
    reader.until(&stage, "ringback offsets show", |done| {
        no_lag(&done.out) && !done.out.contains("another topic")
    });
    reader.succeeds(&stage, "ringback check --online");
    daemon.stop();

    let mut answered: BTreeMap<(String, u8), usize> = BTreeMap::new();
    for requests in stage.receiver.by_id().values() {
        *answered.entry((requests[0].uuid(), requests[0].phase())).or_default() += 1;
    }
    assert_eq!(answered.len(), 2 * uuids.len(), "each uuid has both phases");
    assert!(
        answered.values().all(|count| *count == 1),
        "no phase has two deliveries: {answered:?}"
    );
    for requests in stage.receiver.by_id().values() {
        let is_delivered = requests[0].phase() == 1 && delivered.contains(&requests[0].uuid());
        assert!(!is_delivered || requests.len() == 1, "a delivered webhook is sent again");
    }
}

/// Changes the stage to another cluster, which has the inputs only.
fn change_cluster(stage: &mut Stage, kafka: &Kafka) {
    stage.kafka = kafka.clone();
    stage.set("kafka.bootstrap_servers", kafka.bootstrap().to_owned());
}

fn create_inputs(kafka: &Kafka, stage: &Stage, partitions: i32) -> [String; 2] {
    let inputs = ["flow-complete", "sms-delivery-report"].map(|kind| stage.topic(kind));
    kafka.create_topics(&inputs.each_ref().map(|name| (name.as_str(), partitions, &[][..])));
    inputs
}

/// `disaster.md`: deliveries that waited on a lost cluster are made on a new one.
pub(super) fn cluster_lost(page: &Page) {
    let (lost, new) = (Broker::start(), broker::shared());
    let mut stage = Stage::on(lost.kafka(), "guide-lost", PARTITIONS);
    let recovered = stage.fail_until_recovered(1000);
    let uuids = Random::seeded(982).uuids(10);
    stage.send_flows_of(&uuids);
    let mut daemon = stage.start();
    stage.wait_events("attempt_failed", uuids.len());
    daemon.stop();
    drop(lost);
    create_inputs(&new, &stage, PARTITIONS);
    change_cluster(&mut stage, &new);
    let mut reader = page.follow();
    // The new cluster may not know the group's coordinator yet.
    reader
        .until(&stage, "ringback changelog rebuild --older", |done| done.code != Some(EX_TEMPFAIL));
    let daemon = reader.starts_ready(&stage, "ringback run");
    recovered.store(true, Ordering::Relaxed);
    stage.send_reports_of(&uuids);
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    reader.until(&stage, "ringback offsets show", |done| no_lag(&done.out));
    assert_eq!(daemon.get("/readyz").expect("it answers").0, 200);
    invariants::assert_delivered(&stage, &uuids, usize::MAX);
}

/// `backup.md`: an older copy of a store takes the place of the newer one.
pub(super) fn gone_back(page: &Page) {
    let mut stage = Stage::without_topics(broker::shared(), "guide-backup");
    create_inputs(&stage.kafka, &stage, 1);
    let recovered = stage.fail_until_recovered(1000);
    let uuids = Random::seeded(983).uuids(15);
    let (early, late) = uuids.split_at(10);
    let mut shell = Shell::new("guide-backup-shell");
    shell.export("BROKERS", stage.kafka.bootstrap());
    let mut reader = page
        .follow()
        .call("/var/lib/ringback", stage.instance_dir(0).join("data").display().to_string())
        .call("/backup/ringback", shell.home().join("copy").display().to_string())
        .call("ringback.changelog", stage.topic("changelog"));
    let mut daemon = stage.start();
    stage.send_flows_of(early);
    stage.wait_events("attempt_failed", early.len());
    daemon.stop();
    reader.types_well(&mut shell, "cp -a /var/lib/ringback /backup/ringback");
    let mut daemon = stage.start();
    stage.send_flows_of(late);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    reader.types_well(&mut shell, "mv /var/lib/ringback /var/lib/ringback.newer");
    reader.types_well(&mut shell, "cp -a /backup/ringback /var/lib/ringback");
    reader.types_well(
        &mut shell,
        "kafka-topics.sh --bootstrap-server \"$BROKERS\" --delete --topic ringback.changelog",
    );
    reader.succeeds(&stage, "ringback changelog rebuild --older");
    let mut daemon = reader.starts_ready(&stage, "ringback run");
    recovered.store(true, Ordering::Relaxed);
    stage.send_reports_of(&uuids);
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    reader.until(&stage, "ringback offsets show", |done| no_lag(&done.out));
    daemon.stop();
    // Webhooks that are sent again have the same webhook-id.
    invariants::assert_delivered(&stage, &uuids, usize::MAX);
}

//! The metrics of waiting work in the inputs and in the outbox.

use crate::harness::check::Scene;
use crate::harness::receiver::Answer;
use crate::harness::samples::{Random, flow};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, wait_until};
use rdkafka::producer::{BaseRecord, Producer as _};
use std::time::Duration;

fn wait_metric(
    scene: &Scene<'_>,
    name: &str,
    labels: &[(&str, &str)],
    is: impl Fn(f64) -> bool,
) -> f64 {
    let mut last = None;
    let what = format!("{name} {labels:?}");
    wait_until(&what, PATIENCE, || {
        last = scene.daemon.metric(name, labels);
        last.filter(|value| is(*value))
    })
}

fn is_zero(value: f64) -> bool {
    value.abs() < f64::EPSILON
}

#[test]
fn an_idle_daemon_has_no_lag_although_markers_follow_the_last_records() {
    let stage = Stage::new("lag-idle");
    let mut scene = Scene::open(&stage);
    let mut random = Random::seeded(3);
    // All records are in one partition. Those whose uuid belongs to the other one are forwarded through the inbox.
    let records: Vec<_> = (0..8)
        .map(|_| {
            let flow = flow(&format!("u-{:x}", random.next()), &[]);
            let partition = Some(0);
            crate::harness::kafka::Record { partition, ..stage.record("flow-complete", &flow) }
        })
        .collect();
    stage.kafka.produce(&records);
    scene.wait_for("correlation_ended", records.len());
    let inbox = stage.topic("inbox");
    let ends: i64 = (0..2).map(|partition| stage.kafka.end(&inbox, partition)).sum();
    assert!(ends > 1, "something was forwarded");
    for topic in [&inbox, &stage.topic("flow-complete")] {
        let labels = [("topic", topic.as_str())];
        wait_metric(&scene, "ringback_consumer_lag", &labels, is_zero);
        wait_metric(&scene, "ringback_consumer_lag_seconds", &labels, is_zero);
    }
    scene.daemon.stop();
    // The lag is also zero after a start without any new records.
    let scene = Scene::open(&stage);
    wait_metric(&scene, "ringback_consumer_lag", &[("topic", &inbox)], is_zero);
}

#[test]
fn records_behind_an_open_transaction_count_as_lag() {
    let stage = Stage::on(broker::shared(), "lag-open", 1);
    let mut scene = Scene::open(&stage);
    scene.flows(&[flow("before", &[])]);
    scene.wait_for("correlation_ended", 1);
    let topic = stage.topic("flow-complete");
    let labels = [("topic", topic.as_str())];
    wait_metric(&scene, "ringback_consumer_lag", &labels, is_zero);
    let open = stage.kafka.transaction("lag-open", Duration::from_secs(60));
    let value = flow("open", &[]).to_string();
    open.send(BaseRecord::to(&topic).key("open").payload(&value)).expect("it is taken");
    open.flush(PATIENCE).expect("it is written");
    scene.flows(&[flow("behind", &[])]);
    let lag = wait_metric(&scene, "ringback_consumer_lag", &labels, |lag| lag >= 2.0);
    assert!(lag < 3.0, "{lag}");
    wait_metric(&scene, "ringback_consumer_lag_seconds", &labels, |age| age > 1.0);
    open.commit_transaction(PATIENCE).expect("it is committed");
    scene.wait_for("correlation_ended", 3);
    wait_metric(&scene, "ringback_consumer_lag", &labels, is_zero);
    wait_metric(&scene, "ringback_consumer_lag_seconds", &labels, is_zero);
    scene.daemon.stop();
}

#[test]
fn a_row_that_waits_for_its_next_attempt_is_old_and_not_overdue() {
    let mut stage = Stage::new("lag-retry");
    stage.set("delivery.retry.initial_interval_ms", 600_000);
    stage.set("delivery.retry.interval_max_ms", 600_000);
    stage.receiver.script(|_, _| Answer::status(500));
    let mut scene = Scene::open(&stage);
    scene.flows(&[flow("fails", &[])]);
    scene.wait_for("attempt_failed", 1);
    wait_metric(&scene, "ringback_outbox_oldest_seconds", &[], |age| age > 2.0);
    assert_eq!(scene.daemon.metric("ringback_outbox_overdue_seconds", &[]), Some(0.0));
    scene.daemon.stop();
    let mut scene = Scene::open(&stage);
    wait_metric(&scene, "ringback_outbox_oldest_seconds", &[], |age| age > 2.0);
    assert_eq!(scene.daemon.metric("ringback_outbox_overdue_seconds", &[]), Some(0.0));
    scene.daemon.stop();
}

#[test]
fn a_row_that_waits_for_a_slot_of_the_daemon_is_overdue_and_one_of_a_hanging_endpoint_is_not() {
    let mut stage = Stage::on(broker::shared(), "lag-overdue", 1);
    stage.set("delivery.in_flight_max", 1);
    let url = stage.receiver.url("/other");
    stage.add_account(29);
    stage.add_webhook("other", 29, &url);
    let (open, gate) = tokio::sync::watch::channel(false);
    stage.receiver.script(move |_, _| Answer::status(200).behind(&gate));
    let mut scene = Scene::open(&stage);
    scene.flows(&[flow("hangs", &[])]);
    stage.receiver.wait_for(1, PATIENCE);
    let overdue = || scene.daemon.metric("ringback_outbox_overdue_seconds", &[]);
    wait_metric(&scene, "ringback_outbox_oldest_seconds", &[], |age| age > 1.5);
    assert_eq!(overdue(), Some(0.0), "the attempt is in flight");
    let other = crate::harness::samples::with(flow("other", &[]), "accountID", 29.into());
    scene.flows(&[other]);
    wait_metric(&scene, "ringback_outbox_overdue_seconds", &[], |age| age > 1.0);
    open.send(true).expect("the receiver runs");
    scene.wait_for("correlation_ended", 2);
    wait_metric(&scene, "ringback_outbox_overdue_seconds", &[], is_zero);
    wait_metric(&scene, "ringback_outbox_oldest_seconds", &[], is_zero);
    scene.daemon.stop();
}

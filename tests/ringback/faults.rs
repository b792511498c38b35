//! What the transaction's errors do, by class: an embedded broker answers with them where a real one can't be made to.
//!
//! That broker keeps no transactions, so that this shows the engine's way through each class and that nothing is lost;
//! that nothing is doubled is shown on the real one.

use crate::harness::PATIENCE;
use crate::harness::broker;
use crate::harness::child::free_port;
use crate::harness::samples::{flow, phase_1};
use crate::harness::stage::Stage;
use crate::harness::wait_until;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use ringback::app::App;
use ringback::config::Loaded;
use ringback::shutdown::HangUps;
use tokio::sync::watch;

type Mock = MockCluster<'static, DefaultProducerContext>;

/// Sends one flow, makes the broker answer badly by `inject`, sends a second flow, waits until the daemon counts a fault of
/// the class `kind`, lets the broker be good again by `relieve`, and wants the webhooks of both.
fn survives(
    name: &str,
    kind: &str,
    inject: impl Fn(&Mock, &Stage),
    relieve: impl Fn(&Mock, &Stage),
) {
    let mock = Mock::new(1).expect("an embedded broker");
    let mut stage = Stage::without_topics(broker::shared(), name);
    stage.kafka = crate::harness::kafka::Kafka::at(mock.bootstrap_servers());
    stage.set("kafka.bootstrap_servers", mock.bootstrap_servers());
    for topic in
        ["flow-complete", "sms-delivery-report", "changelog", "inbox", "events", "dead-letter"]
    {
        mock.create_topic(&stage.topic(topic), 2, 1).expect("a topic");
    }
    let file = stage.write_config(0, free_port());
    let loaded = Loaded::load(&file).expect("a good configuration");
    let app = App::new(loaded).expect("it can be built").without_topic_checks();
    let metrics = app.metrics();
    let (stop, stopped) = watch::channel(false);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let hang_ups = runtime.block_on(async { HangUps::new() }).expect("SIGHUP can be taken over");
    let running = runtime.spawn(app.run(hang_ups, stopped));

    let [first, second] = ["first", "second"].map(|uuid| flow(&format!("{name}-{uuid}"), &[]));
    stage.send_flows(std::slice::from_ref(&first));
    let arrived = |body: &serde_json::Value| {
        stage.receiver.requests().iter().any(|request| request.json() == *body).then_some(())
    };
    wait_until("the first webhook", PATIENCE, || arrived(&phase_1(&first)));
    inject(&mock, &stage);
    stage.send_flows(std::slice::from_ref(&second));
    let counted = format!("ringback_transaction_errors_total{{kind=\"{kind}\"}} ");
    wait_until("the fault is met", PATIENCE, || {
        let text = metrics.render(ringback::telemetry::Format::Text, ringback::clock::now());
        let count = text.lines().find_map(|line| line.strip_prefix(&counted)).map(str::to_owned);
        (count.expect("the metric") != "0").then_some(())
    });
    relieve(&mock, &stage);
    wait_until("the second webhook", PATIENCE, || arrived(&phase_1(&second)));

    stop.send(true).expect("it runs");
    let ended = runtime.block_on(running).expect("no panic");
    assert!(ended.is_ok(), "{ended:?}");
}

/// The broker answers the next requests of this kind with `errors`, and then well again.
fn answers(name: &str, kind: &str, request: RDKafkaApiKey, errors: &[RDKafkaRespErr]) {
    survives(name, kind, |mock, _| mock.request_errors(request, errors), |_, _| {});
}

#[test]
fn a_retriable_answer_is_asked_again() {
    // More often than librdkafka asks by itself within one call.
    let busy = RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS;
    answers("faults-retriable", "retriable", RDKafkaApiKey::AddOffsetsToTxn, &[busy; 12]);
}

#[test]
fn an_abortable_answer_is_aborted_and_the_batch_tried_again() {
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
    answers("faults-member", "abortable", RDKafkaApiKey::TxnOffsetCommit, &[unknown]);
    let generation = RDKafkaRespErr::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION;
    answers("faults-generation", "abortable", RDKafkaApiKey::TxnOffsetCommit, &[generation]);
}

#[test]
fn a_topic_that_refuses_records_is_tried_again_until_it_takes_them() {
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    let set = |mock: &Mock, stage: &Stage, error| {
        mock.topic_error(&stage.topic("events"), error).expect("a topic")
    };
    let well = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
    survives("faults-topic", "abortable", |m, s| set(m, s, refused), |m, s| set(m, s, well));
}

#[test]
fn a_fenced_producer_is_replaced_and_the_partitions_restored() {
    let fenced = RDKafkaRespErr::RD_KAFKA_RESP_ERR_PRODUCER_FENCED;
    answers("faults-fenced", "fenced", RDKafkaApiKey::EndTxn, &[fenced]);
}

#[test]
fn a_fatal_answer_replaces_the_producer_and_restores_the_partitions() {
    let fatal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    answers("faults-fatal", "fatal", RDKafkaApiKey::EndTxn, &[fatal]);
}

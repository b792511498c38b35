//! Each class of transaction errors and its effect. An embedded broker returns errors that a real one can't be made to
//! return.
//!
//! The embedded broker keeps no transactions. These tests therefore show how the engine handles each class and that
//! nothing is lost. Tests on a real broker show that nothing is repeated.

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

/// Sends one flow, makes the broker fail by `inject`, and sends a second flow. Waits until the daemon counts an error
/// of the class `kind`, repairs the broker by `relieve`, and expects the webhooks of both flows.
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
    wait_until("the error is counted", PATIENCE, || {
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

/// Makes the broker answer the next requests of this kind with `errors`, and without errors afterwards.
fn survives_errors(name: &str, kind: &str, request: RDKafkaApiKey, errors: &[RDKafkaRespErr]) {
    survives(name, kind, |mock, _| mock.request_errors(request, errors), |_, _| {});
}

#[test]
fn a_retriable_error_is_retried() {
    // librdkafka itself retries fewer times than this within one call.
    let busy = RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS;
    survives_errors("faults-retriable", "retriable", RDKafkaApiKey::AddOffsetsToTxn, &[busy; 12]);
}

#[test]
fn after_an_abortable_error_the_batch_is_aborted_and_retried() {
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
    survives_errors("faults-member", "abortable", RDKafkaApiKey::TxnOffsetCommit, &[unknown]);
    let generation = RDKafkaRespErr::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION;
    survives_errors(
        "faults-generation",
        "abortable",
        RDKafkaApiKey::TxnOffsetCommit,
        &[generation],
    );
}

#[test]
fn a_topic_that_rejects_records_is_retried_until_it_accepts_them() {
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
    survives_errors("faults-fenced", "fenced", RDKafkaApiKey::EndTxn, &[fenced]);
}

#[test]
fn a_fatal_error_replaces_the_producer_and_restores_the_partitions() {
    let fatal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    survives_errors("faults-fatal", "fatal", RDKafkaApiKey::EndTxn, &[fatal]);
}

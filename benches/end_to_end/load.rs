//! Source records, and the gateway that writes them to their topics.

use crate::kafka::Kafka;
use crate::receiver::now_us;
use crate::samples::{self, Random};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// The number of partitions of each topic.
pub(crate) const PARTITIONS: i32 = 4;

/// The phonon-uuid and the SMS in the templates. The ids that replace them have the same length.
const UUID: &str = "00000000-0000-4000-8000-000000000001";
const SMS: &str = "00000000-0000-4000-8000-000000000002";

/// The input topics of a part of the benchmark.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    pub(crate) flows: String,
    pub(crate) reports: String,
}

impl Inputs {
    /// Creates the topics.
    pub(crate) fn create(kafka: &Kafka, part: &str) -> Self {
        let inputs = Self { flows: format!("{part}.flows"), reports: format!("{part}.reports") };
        kafka
            .create_topics(&[(&inputs.flows, PARTITIONS, &[]), (&inputs.reports, PARTITIONS, &[])]);
        inputs
    }
}

/// The records as text. Replacing ids in text is cheap, which matters because the producer shares the cores with the
/// daemon.
pub(crate) struct Templates {
    flow: String,
    report: String,
    small: String,
    silent: String,
}

impl Templates {
    /// Makes the templates from the samples. Further keys fill a flow record up to 1.5 KB, the size of a long flow.
    pub(crate) fn new() -> Self {
        let mut flow = samples::flow(UUID, &[SMS]);
        let keys = flow["keys"].as_array_mut().expect("the sample has keys");
        for number in 0..7 {
            keys.push(json!({"name": format!("$flow.key.field{number}"), "value": "Thank you for calling"}));
        }
        let small = json!({
            "phononUuid": UUID, "accountID": samples::ACCOUNT, "flowId": 200, "webhookEnabled": true,
            "callDetails": [{"calleeNumber": "919879072567", "calleeType": "VISITOR", "duration": "15962"}],
            "sms": [],
        });
        let silent = samples::with(flow.clone(), "sms", json!([])).to_string();
        let report = samples::report(UUID, SMS, "DELIVERED");
        let small = small.to_string();
        Self { flow: flow.to_string(), report: report.to_string(), small, silent }
    }

    /// Returns the length of a flow record in bytes.
    pub(crate) fn flow_bytes(&self) -> usize {
        self.flow.len()
    }

    /// Returns a flow complete record with one SMS.
    pub(crate) fn flow(&self, ids: &Ids) -> String {
        self.flow.replace(UUID, &ids.uuid).replace(SMS, &ids.sms)
    }

    /// Returns the length of a flow record without SMS in bytes.
    pub(crate) fn silent_bytes(&self) -> usize {
        self.silent.len()
    }

    /// Returns a flow complete record of the usual size without SMS.
    pub(crate) fn silent(&self, ids: &Ids) -> String {
        self.silent.replace(UUID, &ids.uuid)
    }

    /// Returns the final report about that SMS.
    pub(crate) fn report(&self, ids: &Ids) -> String {
        self.report.replace(UUID, &ids.uuid).replace(SMS, &ids.sms)
    }

    /// Returns a flow complete record of 200 bytes without SMS.
    pub(crate) fn small(&self, ids: &Ids) -> String {
        self.small.replace(UUID, &ids.uuid)
    }
}

/// The ids of one flow.
pub(crate) struct Ids {
    pub(crate) uuid: String,
    pub(crate) sms: String,
}

/// Returns the ids of `count` flows, the same for the same seed.
pub(crate) fn ids(count: usize, seed: u64) -> impl Iterator<Item = Ids> {
    let mut random = Random::seeded(seed);
    (0..count).map(move |_| Ids { uuid: random.uuid(), sms: random.uuid() })
}

struct NoLoss;

impl ClientContext for NoLoss {}

impl ProducerContext for NoLoss {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            // A panic in librdkafka's thread would be lost, and nothing can be measured without the records.
            eprintln!("a record could not be produced: {error}");
            std::process::abort();
        }
    }
}

/// A gateway. Its records have their uuid as key and are partitioned as Java's clients do.
pub(crate) struct Gateway(ThreadedProducer<NoLoss>);

impl Gateway {
    /// Creates a producer with this linger time.
    pub(crate) fn new(kafka: &Kafka, linger_ms: u32) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", kafka.bootstrap()).set("partitioner", "murmur2_random");
        config.set("linger.ms", linger_ms.to_string()).set("compression.type", "lz4");
        Self(config.create_with_context(NoLoss).expect("a producer"))
    }

    /// Sends a record. Waits while the queue is full.
    pub(crate) fn send(&self, topic: &str, uuid: &str, record: &str) {
        let mut message = BaseRecord::<str, str>::to(topic).key(uuid).payload(record);
        loop {
            match self.0.send(message) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), unsent)) => {
                    std::thread::sleep(Duration::from_millis(5));
                    message = unsent;
                }
                Err((error, _)) => panic!("{topic}: {error}"),
            }
        }
    }

    /// Waits until all records are written.
    pub(crate) fn flush(&self) {
        self.0.flush(Duration::from_secs(60)).expect("everything is written");
    }
}

/// The time at which the record of each webhook was sent, in Unix microseconds, by uuid and phase.
pub(crate) type Sent = BTreeMap<(String, u8), u64>;

/// Produces flows and their reports, and waits until they are written.
pub(crate) fn preload(kafka: &Kafka, inputs: &Inputs, templates: &Templates, flows: usize) {
    let gateway = Gateway::new(kafka, 20);
    for ids in ids(flows, 1) {
        gateway.send(&inputs.flows, &ids.uuid, &templates.flow(&ids));
        gateway.send(&inputs.reports, &ids.uuid, &templates.report(&ids));
    }
    gateway.flush();
}

/// Produces flows without SMS, and waits until they are written.
pub(crate) fn preload_silent(kafka: &Kafka, inputs: &Inputs, templates: &Templates, flows: usize) {
    let gateway = Gateway::new(kafka, 20);
    for ids in ids(flows, 5) {
        gateway.send(&inputs.flows, &ids.uuid, &templates.silent(&ids));
    }
    gateway.flush();
}

/// Sends the records at this rate. Returns the time at which each webhook's record was sent, in Unix microseconds.
pub(crate) fn steadily(
    kafka: &Kafka,
    inputs: &Inputs,
    templates: &Templates,
    all: impl Iterator<Item = Ids>,
    per_second: f64,
) -> Sent {
    // Without linger each record would be one request, and the broker would be the bottleneck at a high rate.
    let gateway = Gateway::new(kafka, if per_second > 1000.0 { 5 } else { 1 });
    let mut sent = BTreeMap::new();
    let mut reports = VecDeque::new();
    let start = Instant::now();
    let wait_until = |seconds: f64| {
        let due = Duration::from_secs_f64(seconds);
        // A sleep per record would cost more CPU than the record.
        if let Some(ahead) = due.checked_sub(start.elapsed()) {
            std::thread::sleep(ahead.max(Duration::from_millis(2)));
        }
    };
    let report = |(due, ids): (f64, Ids), sent: &mut BTreeMap<_, _>| {
        wait_until(due);
        let record = templates.report(&ids);
        sent.insert((ids.uuid.clone(), 2), now_us());
        gateway.send(&inputs.reports, &ids.uuid, &record);
    };
    for (number, ids) in all.enumerate() {
        let due = number as f64 / per_second;
        while reports.front().is_some_and(|(report_due, _)| *report_due <= due) {
            report(reports.pop_front().expect("a report"), &mut sent);
        }
        wait_until(due);
        let record = templates.flow(&ids);
        sent.insert((ids.uuid.clone(), 1), now_us());
        gateway.send(&inputs.flows, &ids.uuid, &record);
        reports.push_back((due + 1.0, ids));
    }
    for waiting in reports {
        report(waiting, &mut sent);
    }
    gateway.flush();
    sent
}

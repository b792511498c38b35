//! Writes records to the inputs, as the platform's producers do. The daemon itself does not use it.

use super::client::{self, Cluster, LogError};
use super::report::Reports;
use super::rights::Operation;
use super::settings::KafkaSettings;
use crate::domain::owner;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientContext, Message as _};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const METADATA_TIMEOUT: Duration = Duration::from_secs(10);
/// A broker that is unreachable for longer fails the records.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause while the producer's queue is full.
const PAUSE: Duration = Duration::from_millis(20);

/// Keeps the first failure.
#[derive(Default)]
struct Context(Mutex<Option<(String, KafkaError)>>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Reports.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Reports.error(error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| (message.topic().to_owned(), error.clone()));
        }
    }
}

/// A producer without transactions.
pub struct Sender {
    producer: BaseProducer<Context>,
    partitions: BTreeMap<String, u32>,
}

impl Sender {
    /// Opens a producer for `topics`. Blocks.
    ///
    /// # Errors
    /// Kafka does not answer, or a topic is missing.
    pub fn open(settings: &KafkaSettings, topics: &[String]) -> Result<Self, LogError> {
        let names = topics.iter().map(String::as_str);
        let cluster = Cluster::new(settings)?;
        let partitions = cluster.partition_counts(names, Operation::Write, METADATA_TIMEOUT)?;
        if let Some(topic) = topics.iter().find(|topic| !partitions.contains_key(*topic)) {
            let what = "it is missing; `ringback topics --create --with-inputs N` creates it";
            return Err(LogError::Topic { topic: topic.clone(), what: what.to_owned() });
        }
        let mut config = client::producer(settings, "");
        config.remove("transactional.id");
        config.remove("transaction.timeout.ms");
        config.set("message.timeout.ms", DELIVERY_TIMEOUT.as_millis().to_string());
        let producer = config.create_with_context(Context::default()).map_err(LogError::Client)?;
        Ok(Self { producer, partitions })
    }

    /// Writes a record to the partition that owns `key`. Waits while the queue is full.
    ///
    /// # Errors
    /// A record was refused: this one, or one before it.
    pub fn send(&self, topic: &str, key: Option<&str>, value: &[u8]) -> Result<(), LogError> {
        let count = self.partitions.get(topic).copied().unwrap_or(1);
        let mut record = BaseRecord::<str, [u8]>::to(topic).payload(value);
        if let Some(key) = key {
            record = record.key(key).partition(owner(key.as_bytes(), count));
        }
        loop {
            self.producer.poll(Duration::ZERO);
            self.check()?;
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, back)) => {
                    if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                        return Err(failed(topic, error));
                    }
                    record = back;
                    self.producer.poll(PAUSE);
                }
            }
        }
    }

    /// Waits until Kafka has acknowledged all records.
    ///
    /// # Errors
    /// A record was refused, or Kafka does not answer.
    pub fn finish(self) -> Result<(), LogError> {
        let flushed = self.producer.flush(DELIVERY_TIMEOUT + METADATA_TIMEOUT);
        self.check()?;
        flushed.map_err(LogError::request("the records are not acknowledged"))
    }

    fn check(&self) -> Result<(), LogError> {
        let mut first = self.producer.context().0.lock().unwrap_or_else(PoisonError::into_inner);
        first.take().map_or(Ok(()), |(topic, error)| Err(failed(&topic, error)))
    }
}

fn failed(topic: &str, error: KafkaError) -> LogError {
    LogError::request(format!("a record can't be written to topic {topic}"))(error)
}

//! The embedded broker: librdkafka's mock cluster, a producer of source records, and a consumer of the daemon's topics.
//!
//! The mock cluster speaks Kafka's protocol, but keeps everything in memory. It has no fencing, no compaction, and no
//! offsets in transactions. So it shows what the daemon does, but proves none of its guarantees.

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

const PARTITIONS: i32 = 2;
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// The reason why the embedded broker failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerError {
    /// librdkafka reported an error.
    #[error("the embedded broker")]
    Kafka(#[from] KafkaError),
    /// The system refused to start the thread.
    #[error("the embedded broker's thread")]
    System(#[from] io::Error),
}

/// The broker and its producer. Dropping it ends both and waits for the broker's thread.
pub(super) struct Broker {
    servers: String,
    /// `None` only while the broker is dropped.
    producer: Option<ThreadedProducer<DefaultProducerContext>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Starts a broker with `topics`. Calls `show` with the topic and the value of each record in the topics `watched`.
    /// Blocks until the broker runs.
    pub(super) fn start(
        topics: Vec<String>,
        watched: Vec<String>,
        show: impl Fn(&str, &[u8]) + Send + 'static,
    ) -> Result<Self, BrokerError> {
        let stopping = Arc::new(AtomicBool::new(false));
        let (started, start) = channel();
        let stop = stopping.clone();
        // The handle of the cluster is not `Send`, so one thread creates and drops it.
        let run = move || run(&topics, &watched, &started, &stop, show);
        let thread = std::thread::Builder::new().name("broker".to_owned()).spawn(run)?;
        let servers = start.recv().map_err(io::Error::other)??;
        let mut config = client(&servers);
        let producer = config.set("partitioner", "murmur2_random").create()?;
        Ok(Self { servers, producer: Some(producer), stopping, thread: Some(thread) })
    }

    /// Returns the bootstrap servers.
    pub(super) fn servers(&self) -> &str {
        &self.servers
    }

    /// Produces a source record, as a gateway would.
    pub(super) fn send(&self, topic: &str, key: &str, value: &str) -> Result<(), BrokerError> {
        let Some(producer) = &self.producer else { return Ok(()) };
        let record = BaseRecord::to(topic).key(key).payload(value);
        producer.send(record).map_err(|(error, _)| error.into())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // The producer is dropped before the broker, because it would log the lost connection.
        self.producer = None;
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was already printed to stderr.
            let _ = thread.join();
        }
    }
}

fn client(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    // The broker ends before its clients close. The log level hides the errors that they then report.
    config.set_log_level(RDKafkaLogLevel::Critical);
    config.set("bootstrap.servers", servers);
    config
}

fn run(
    topics: &[String],
    watched: &[String],
    started: &Sender<Result<String, KafkaError>>,
    stopping: &AtomicBool,
    show: impl Fn(&str, &[u8]),
) {
    let (_cluster, consumer) = match open(topics, watched) {
        Ok((cluster, consumer)) => {
            let _ = started.send(Ok(cluster.bootstrap_servers()));
            (cluster, consumer)
        }
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    while !stopping.load(Ordering::Relaxed) {
        match consumer.poll(POLL_TIMEOUT) {
            Some(Ok(message)) => show(message.topic(), message.payload().unwrap_or_default()),
            Some(Err(error)) => tracing::warn!(%error, "the embedded broker can't be read"),
            None => {}
        }
    }
}

type Opened = (MockCluster<'static, DefaultProducerContext>, BaseConsumer);

fn open(topics: &[String], watched: &[String]) -> Result<Opened, KafkaError> {
    let cluster = MockCluster::new(1)?;
    for topic in topics {
        cluster.create_topic(topic, PARTITIONS, 1)?;
    }
    let mut config = client(&cluster.bootstrap_servers());
    // A consumer needs a group id, even if it neither joins nor commits.
    config.set("group.id", "demo").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.set("fetch.wait.max.ms", "20").create()?;
    let mut places = TopicPartitionList::new();
    for topic in watched {
        for partition in 0..PARTITIONS {
            places.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
    }
    consumer.assign(&places)?;
    Ok((cluster, consumer))
}

//! The embedded broker: librdkafka's own mock cluster, a producer of source records, and a look at what the daemon
//! writes.
//!
//! It speaks Kafka's protocol, but keeps everything in memory and knows neither fencing, nor compaction, nor offsets of
//! transactions: it shows what the daemon does, and proves nothing of what it promises.

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

/// Why the embedded broker is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerError {
    /// librdkafka refuses.
    #[error("the embedded broker")]
    Kafka(#[from] KafkaError),
    /// The system refuses.
    #[error("the embedded broker's thread")]
    System(#[from] io::Error),
}

/// The broker and its producer. Dropping it ends both, and waits for it.
pub(super) struct Broker {
    servers: String,
    /// `None` only while it ends.
    producer: Option<ThreadedProducer<DefaultProducerContext>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Starts a broker with `topics`, and hands each record of `watched` with its topic to `show`. Blocks a moment.
    pub(super) fn start(
        topics: Vec<String>,
        watched: Vec<String>,
        show: impl Fn(&str, &[u8]) + Send + 'static,
    ) -> Result<Self, BrokerError> {
        let stopping = Arc::new(AtomicBool::new(false));
        let (started, start) = channel();
        let stop = stopping.clone();
        // The cluster's handle can't change threads, so it lives and dies on this one.
        let run = move || run(&topics, &watched, &started, &stop, show);
        let thread = std::thread::Builder::new().name("broker".to_owned()).spawn(run)?;
        let servers = start.recv().map_err(io::Error::other)??;
        let mut config = client(&servers);
        let producer = config.set("partitioner", "murmur2_random").create()?;
        Ok(Self { servers, producer: Some(producer), stopping, thread: Some(thread) })
    }

    /// Where it is.
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
        // It goes first, or it would complain that the broker has gone.
        self.producer = None;
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has been told on stderr.
            let _ = thread.join();
        }
    }
}

fn client(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    // The broker goes without a farewell; nobody needs to read what its clients think of that.
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
    // A consumer needs the name of a group, though it neither joins nor commits.
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

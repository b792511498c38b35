//! The settings of every Kafka client, and what one of them alone can tell.

use super::report::Reports;
use super::settings::KafkaSettings;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use std::collections::BTreeMap;
use std::time::Duration;

/// The largest record that is written: a dead letter of 16 MiB and what stands around it.
pub(super) const MESSAGE_BYTES_MAX: usize = 20 << 20;

/// Kafka can't be reached, or does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A client could not be made; a property of `[kafka.client]` is wrong.
    #[error("the Kafka client can't be made: check [kafka] and [kafka.client]")]
    Client(#[source] KafkaError),
    /// A request failed.
    #[error("{what}")]
    Request {
        /// What was asked.
        what: String,
        /// What came of it.
        source: KafkaError,
    },
    /// A topic refused a request.
    #[error("topic {topic}: {what}")]
    Topic {
        /// Which topic.
        topic: String,
        /// What it said.
        what: String,
    },
}

impl LogError {
    pub(super) fn request(what: impl Into<String>) -> impl FnOnce(KafkaError) -> Self {
        let what = what.into();
        move |source| Self::Request { what, source }
    }
}

/// Which kind of client a property is for; the other kind would only warn of it.
const CONSUMER_ONLY: [&str; 12] = [
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
    "group.",
    "fetch.",
    "queued.",
    "max.partition.fetch.bytes",
    "auto.offset.reset",
    "check.crcs",
    "auto.commit.interval.ms",
    "partition.assignment.strategy",
    "coordinator.query.interval.ms",
];
const PRODUCER_ONLY: [&str; 11] = [
    "transaction.timeout.ms",
    "queue.buffering.",
    "linger.ms",
    "compression.",
    "batch.",
    "acks",
    "request.required.acks",
    "delivery.timeout.ms",
    "message.timeout.ms",
    "sticky.partitioning.linger.ms",
    "message.send.max.retries",
];

fn is_for(names: &[&str], key: &str) -> bool {
    names.iter().any(|name| key.starts_with(name))
}

fn base(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Warning);
    config.set("bootstrap.servers", &settings.bootstrap_servers);
    config.set("client.id", format!("ringback-{}", settings.instance_id));
    config.set("allow.auto.create.topics", "false");
    config.set("reconnect.backoff.max.ms", "1000");
    config
}

fn overridden(
    mut config: ClientConfig,
    settings: &KafkaSettings,
    foreign: &[&str],
) -> ClientConfig {
    for (key, value) in settings.client.iter().filter(|(key, _)| !is_for(foreign, key)) {
        config.set(key, value);
    }
    config
}

/// The group's consumer.
pub(super) fn consumer(settings: &KafkaSettings) -> ClientConfig {
    let mut config = base(settings);
    for (key, value) in [
        ("group.id", settings.group_id.as_str()),
        // Static membership: a restart within the session keeps the partitions, and with them the disks.
        ("group.instance.id", settings.instance_id.as_str()),
        ("session.timeout.ms", "10000"),
        ("max.poll.interval.ms", "300000"),
        ("auto.offset.reset", "earliest"),
        ("fetch.queue.backoff.ms", "20"),
        // Otherwise each record that arrives is an answer of its own: some hundred requests a second, at both ends.
        ("fetch.min.bytes", "32768"),
        ("fetch.wait.max.ms", "40"),
        // Of each partition, since each has a queue of its own.
        ("queued.max.messages.kbytes", "1024"),
        ("queued.min.messages", "2000"),
        ("max.partition.fetch.bytes", "262144"),
        ("statistics.interval.ms", "1000"),
    ] {
        config.set(key, value);
    }
    let mut config = overridden(config, settings, &PRODUCER_ONLY);
    for (key, value) in [
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("isolation.level", "read_committed"),
        // Under cooperative assignment, retained partitions are fenced spuriously across generations.
        ("partition.assignment.strategy", "range"),
    ] {
        config.set(key, value);
    }
    config
}

/// A consumer outside of any group, for restoring and looking.
pub(super) fn observer(settings: &KafkaSettings, isolation: &str) -> ClientConfig {
    let mut config = overridden(base(settings), settings, &PRODUCER_ONLY);
    config.remove("group.instance.id");
    for (key, value) in [
        // Without a group of its own, rust-rdkafka would serve the wrong queue; nobody joins or commits here.
        ("group.id", format!("{}.observer", settings.group_id).as_str()),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("enable.partition.eof", "true"),
        ("auto.offset.reset", "error"),
        ("fetch.queue.backoff.ms", "5"),
        // A restore goes on beside the work on what was there before. Most of the changelog are small records, of which each takes
        // some hundred bytes more in a queue.
        ("queued.max.messages.kbytes", "2048"),
        ("queued.min.messages", "20000"),
        ("max.partition.fetch.bytes", "262144"),
        ("isolation.level", isolation),
    ] {
        config.set(key, value);
    }
    config
}

/// A consumer outside of any group.
pub(super) type Observer = BaseConsumer<Reports>;

/// A client for restoring and looking.
pub(super) fn observe(settings: &KafkaSettings, isolation: &str) -> Result<Observer, LogError> {
    observer(settings, isolation).create_with_context(Reports).map_err(LogError::Client)
}

/// The transactional producer `id`.
pub(super) fn producer(settings: &KafkaSettings, id: &str) -> ClientConfig {
    let mut config = base(settings);
    for (key, value) in [
        ("transaction.timeout.ms", "10000"),
        // A commit flushes, and that waits for nobody: until then records had better gather than be sent in dribs and drabs.
        ("linger.ms", "50"),
        ("compression.type", "lz4"),
        // librdkafka's own default is CRC32; Kafka's, and so every consumer's expectation, is murmur2.
        ("partitioner", "murmur2_random"),
        ("queue.buffering.max.messages", "200000"),
        ("queue.buffering.max.kbytes", "131072"),
    ] {
        config.set(key, value);
    }
    config.set("message.max.bytes", MESSAGE_BYTES_MAX.to_string());
    let mut config = overridden(config, settings, &CONSUMER_ONLY);
    config.set("transactional.id", id);
    config.set("acks", "all");
    config
}

/// An administrator.
pub(super) fn admin(settings: &KafkaSettings) -> ClientConfig {
    let foreign: Vec<&str> = CONSUMER_ONLY.into_iter().chain(PRODUCER_ONLY).collect();
    overridden(base(settings), settings, &foreign)
}

/// What the cluster's metadata says of topics.
pub struct Cluster {
    client: Observer,
}

impl Cluster {
    /// A client that looks; it connects when it is asked something.
    ///
    /// # Errors
    /// When a property of `[kafka.client]` is wrong.
    pub fn new(settings: &KafkaSettings) -> Result<Self, LogError> {
        let client = observe(settings, "read_uncommitted")?;
        Ok(Self { client })
    }

    pub(super) fn client(&self) -> &Observer {
        &self.client
    }

    /// How many members the consumer group has; none, if there is no such group.
    ///
    /// # Errors
    /// When Kafka can't be reached within `timeout`.
    pub fn members(&self, group: &str, timeout: Duration) -> Result<usize, LogError> {
        let groups =
            self.client.client().fetch_group_list(Some(group), timeout).map_err(
                LogError::request(format!("the members of group {group} can't be read")),
            )?;
        Ok(groups.groups().iter().map(|group| group.members().len()).sum())
    }

    /// The partition counts of all topics.
    ///
    /// # Errors
    /// When Kafka can't be reached within `timeout`.
    pub fn partition_counts(&self, timeout: Duration) -> Result<BTreeMap<String, u32>, LogError> {
        let metadata = self
            .client
            .fetch_metadata(None, timeout)
            .map_err(LogError::request("Kafka does not answer"))?;
        let count = |topic: &rdkafka::metadata::MetadataTopic| {
            u32::try_from(topic.partitions().len()).unwrap_or(0)
        };
        Ok(metadata.topics().iter().map(|topic| (topic.name().to_owned(), count(topic))).collect())
    }
}

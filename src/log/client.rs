//! The settings of every Kafka client, and the requests that need only one client.

use super::native::GroupMember;
use super::report::Reports;
use super::rights::{self, Operation, Right};
use super::settings::KafkaSettings;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataTopic};
use std::collections::BTreeMap;
use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

/// The largest record that is written, in bytes: a dead letter of 16 MiB and its surrounding fields.
pub const MESSAGE_BYTES_MAX: usize = 20 << 20;

/// The values of properties that `[kafka.client]` does not set, for those properties that other settings must fit to.
pub const CLIENT_DEFAULTS: [(&str, u32); 8] = [
    ("session.timeout.ms", 10_000),
    ("max.poll.interval.ms", 300_000),
    ("transaction.timeout.ms", 10_000),
    // The records of a transaction are handed over at once, and collected meanwhile. They leave while the coordinator
    // adds the offsets.
    ("queue.buffering.max.ms", 2),
    ("reconnect.backoff.max.ms", 1000),
    // librdkafka's own defaults.
    ("heartbeat.interval.ms", 3000),
    ("reconnect.backoff.ms", 100),
    ("message.max.bytes", 1_000_000),
];

fn default(name: &str) -> String {
    let found = CLIENT_DEFAULTS.iter().find(|(known, _)| *known == name);
    found.map_or_else(String::new, |(_, value)| value.to_string())
}

/// Kafka can't be reached, or refuses a request.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A client can't be created: a property of `[kafka.client]` is wrong.
    #[error("the Kafka client can't be created: check [kafka] and [kafka.client]")]
    Client(#[source] KafkaError),
    #[error("{what}")]
    Request {
        /// The description of the failure.
        what: String,
        source: KafkaError,
    },
    /// Kafka's authorizer denies the request. The list of missing rights is never empty.
    #[error("Kafka denies the request: {} missing", rights::named(.0))]
    Denied(Vec<Right>),
    /// Our own topics can't be created before the inputs, because the changelog gets as many partitions as the largest
    /// input.
    #[error(
        "topic {0} can't be created: none of the inputs exists yet, and the changelog gets as many partitions as the largest: \
         create them first, or correct their names in [topics]"
    )]
    NoInputs(String),
    /// The system can't start another thread, or the thread ended early.
    #[error("the thread `{0}` can't run")]
    Thread(&'static str, #[source] io::Error),
    /// Kafka rejects a request about one topic.
    #[error("topic {topic}: {what}")]
    Topic {
        /// The name of the topic.
        topic: String,
        what: String,
    },
}

/// The consumer group has members, so daemons run.
#[derive(Debug, thiserror::Error)]
#[error(
    "the consumer group {group} has {members} members: stop all instances and run this command again (Kafka removes an \
     instance that was killed once its session has timed out)"
)]
pub struct HasMembers {
    group: String,
    members: usize,
}

/// Starts a named thread.
///
/// # Errors
/// The system can't start another thread.
pub fn start_thread(
    name: &'static str,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, LogError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map_err(|error| LogError::Thread(name, error))
}

/// Runs a blocking request to Kafka on one of Tokio's threads for blocking work.
///
/// # Errors
/// The request fails, or its thread does.
pub async fn blocking<T: Send + 'static>(
    request: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    let done = tokio::task::spawn_blocking(request).await;
    done.unwrap_or_else(|error| Err(LogError::Thread("kafka-request", io::Error::other(error))))
}

impl LogError {
    pub(super) fn request(what: impl Into<String>) -> impl FnOnce(KafkaError) -> Self {
        let what = what.into();
        move |source| Self::Request { what, source }
    }

    /// Returns whether no broker answers, so that further requests are useless.
    #[must_use]
    pub fn is_away(&self) -> bool {
        let away = [
            RDKafkaErrorCode::AllBrokersDown,
            RDKafkaErrorCode::BrokerTransportFailure,
            RDKafkaErrorCode::OperationTimedOut,
            RDKafkaErrorCode::Resolve,
        ];
        match self {
            Self::Request { source, .. } => {
                source.rdkafka_error_code().is_some_and(|code| away.contains(&code))
            }
            Self::Client(_)
            | Self::Denied(_)
            | Self::NoInputs(_)
            | Self::Thread(..)
            | Self::Topic { .. } => false,
        }
    }

    /// Returns whether an operator has to correct the configuration, the rights or the topics: a retry would change
    /// nothing.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Client(_) | Self::Denied(_) | Self::NoInputs(_) => true,
            Self::Request { .. } | Self::Thread(..) | Self::Topic { .. } => false,
        }
    }

    /// Converts the error of a request that may have failed because `right` is missing.
    pub(super) fn request_by(
        right: Right,
        what: impl Into<String>,
    ) -> impl FnOnce(KafkaError) -> Self {
        let what = what.into();
        move |source| {
            if rights::is_refusal(source.rdkafka_error_code()) {
                Self::Denied(vec![right])
            } else {
                Self::Request { what, source }
            }
        }
    }
}

/// Properties for one kind of client. The other kind would only log a warning about them.
const CONSUMER_ONLY: [&str; 9] = [
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
    "group.",
    "fetch.",
    "queued.",
    "max.partition.fetch.bytes",
    "coordinator.query.interval.ms",
    "check.crcs",
];
const PRODUCER_ONLY: [&str; 13] = [
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
    "retries",
    "request.timeout.ms",
];

/// Two names of one property. If both are set, librdkafka uses either value, by chance.
const TWO_NAMES: [(&str, &str); 3] = [
    ("fetch.message.max.bytes", "max.partition.fetch.bytes"),
    ("compression.codec", "compression.type"),
    ("queue.buffering.max.ms", "linger.ms"),
];

fn is_for(names: &[&str], key: &str) -> bool {
    names.iter().any(|name| key.starts_with(name))
}

fn base(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    // An operator who sets `debug` wants to see librdkafka's own log.
    let verbose = settings.client.contains_key("debug");
    config.set_log_level(if verbose { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Warning });
    config.set("bootstrap.servers", &settings.bootstrap_servers);
    config.set("client.id", format!("ringback-{}", settings.instance_id));
    config.set("allow.auto.create.topics", "false");
    config.set("reconnect.backoff.max.ms", default("reconnect.backoff.max.ms"));
    config
}

fn overridden(
    mut config: ClientConfig,
    settings: &KafkaSettings,
    foreign: &[&str],
) -> ClientConfig {
    for (key, value) in settings.client.iter().filter(|(key, _)| !is_for(foreign, key)) {
        for (one, other) in TWO_NAMES {
            if key == one {
                config.remove(other);
            } else if key == other {
                config.remove(one);
            }
        }
        config.set(key, value);
    }
    config
}

/// Returns the configuration of the group's consumer.
pub(super) fn consumer(settings: &KafkaSettings) -> ClientConfig {
    let mut config = base(settings);
    for (key, value) in [
        ("group.id", settings.group_id.as_str()),
        // Static membership: an instance that restarts within the session timeout keeps its partitions, and so their
        // stores.
        ("group.instance.id", settings.instance_id.as_str()),
        ("session.timeout.ms", default("session.timeout.ms").as_str()),
        ("max.poll.interval.ms", default("max.poll.interval.ms").as_str()),
        ("fetch.queue.backoff.ms", "20"),
        // The limits are per partition, since each partition has its own queue.
        ("queued.max.messages.kbytes", "1024"),
        ("queued.min.messages", "2000"),
        ("max.partition.fetch.bytes", "262144"),
        ("statistics.interval.ms", "1000"),
    ] {
        config.set(key, value);
    }
    let mut config = overridden(config, settings, &PRODUCER_ONLY);
    for (key, value) in [
        ("auto.offset.reset", "earliest"),
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

/// Returns the configuration of a consumer outside of any group, for restores and inspection.
pub(super) fn observer(settings: &KafkaSettings, isolation: &str) -> ClientConfig {
    let mut config = overridden(base(settings), settings, &PRODUCER_ONLY);
    config.remove("group.instance.id");
    config.remove("fetch.message.max.bytes");
    for (key, value) in [
        // Without a group, rust-rdkafka would serve the wrong queue. The daemons' own group needs no further right. No
        // observer joins it or commits in it.
        ("group.id", settings.group_id.as_str()),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("enable.partition.eof", "true"),
        ("auto.offset.reset", "error"),
        ("fetch.queue.backoff.ms", "5"),
        // A restore runs beside the processing of partitions that are already there. Most changelog records are small,
        // and each takes some hundred bytes more in a queue.
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

/// Creates a client for restores and inspection.
pub(super) fn observe(settings: &KafkaSettings, isolation: &str) -> Result<Observer, LogError> {
    observer(settings, isolation).create_with_context(Reports).map_err(LogError::Client)
}

/// Returns the configuration of the producer with the transactional id `id`.
pub(super) fn producer(settings: &KafkaSettings, id: &str) -> ClientConfig {
    let mut config = base(settings);
    for (key, value) in [
        ("queue.buffering.max.ms", default("queue.buffering.max.ms").as_str()),
        ("transaction.timeout.ms", default("transaction.timeout.ms").as_str()),
        ("compression.type", "lz4"),
        // librdkafka's own default is CRC32. Kafka's default, which every consumer expects, is murmur2.
        ("partitioner", "murmur2_random"),
        ("queue.buffering.max.messages", "200000"),
        ("queue.buffering.max.kbytes", "131072"),
    ] {
        config.set(key, value);
    }
    config.set("message.max.bytes", MESSAGE_BYTES_MAX.to_string());
    let mut config = overridden(config, settings, &CONSUMER_ONLY);
    let largest = config.get("message.max.bytes").and_then(|bytes| bytes.trim().parse().ok());
    if largest.is_some_and(|bytes: usize| bytes < MESSAGE_BYTES_MAX) {
        // A user may want smaller responses, but a dead letter must fit.
        config.set("message.max.bytes", MESSAGE_BYTES_MAX.to_string());
    }
    config.set("transactional.id", id);
    config.set("acks", "all");
    config
}

/// Returns the configuration of an admin client.
pub(super) fn admin(settings: &KafkaSettings) -> ClientConfig {
    let foreign: Vec<&str> = CONSUMER_ONLY.into_iter().chain(PRODUCER_ONLY).collect();
    overridden(base(settings), settings, &foreign)
}

/// A client for the cluster's metadata.
pub struct Cluster {
    client: Observer,
}

impl Cluster {
    /// Creates a client. It connects with the first request.
    ///
    /// # Errors
    /// A property of `[kafka.client]` is wrong.
    pub fn new(settings: &KafkaSettings) -> Result<Self, LogError> {
        let client = observe(settings, "read_uncommitted")?;
        Ok(Self { client })
    }

    pub(super) fn client(&self) -> &Observer {
        &self.client
    }

    /// Returns the number of members of the consumer group, or 0 if there is no such group.
    ///
    /// # Errors
    /// Kafka does not answer within `timeout`, or denies the request.
    pub fn members(&self, group: &str, timeout: Duration) -> Result<usize, LogError> {
        self.group_members(group, timeout).map(|members| members.len())
    }

    /// Returns the members of the consumer group with their partitions, or none if there is no such group.
    ///
    /// # Errors
    /// Kafka does not answer within `timeout`, or denies the request.
    pub fn group_members(
        &self,
        group: &str,
        timeout: Duration,
    ) -> Result<Vec<GroupMember>, LogError> {
        rights::members(self.client.client(), group, timeout)
    }

    /// Checks that the consumer group has no members, so that no daemon runs. The outer result is Kafka's.
    ///
    /// # Errors
    /// Kafka does not answer within `timeout`, or denies the request.
    pub fn check_alone(
        &self,
        group: &str,
        timeout: Duration,
    ) -> Result<Result<(), HasMembers>, LogError> {
        Ok(match self.members(group, timeout)? {
            0 => Ok(()),
            members => Err(HasMembers { group: group.to_owned(), members }),
        })
    }

    /// Returns the partition counts of those of `topics` that exist. `operation` is the operation that the caller needs
    /// on them.
    ///
    /// # Errors
    /// Kafka can't be reached within `timeout`, or denies the request.
    pub fn partition_counts<'a>(
        &self,
        topics: impl IntoIterator<Item = &'a str>,
        operation: Operation,
        timeout: Duration,
    ) -> Result<BTreeMap<String, u32>, LogError> {
        let ask = |topic| {
            let failed = LogError::request("Kafka does not answer");
            self.client.fetch_metadata(topic, timeout).map_err(failed)
        };
        let all = ask(None)?;
        let mut counts = BTreeMap::new();
        let mut hidden = Vec::new();
        for name in topics {
            match all.topics().iter().find(|topic| topic.name() == name) {
                Some(topic) => drop(counts.insert(name.to_owned(), partitions(topic))),
                // The response omits topics that the client may not see. Only a request by name distinguishes a hidden
                // topic from a missing one.
                None if is_hidden(&ask(Some(name))?, name) => {
                    hidden.push(Right::on_topic(operation, name));
                }
                None => {}
            }
        }
        if hidden.is_empty() { Ok(counts) } else { Err(LogError::Denied(hidden)) }
    }
}

fn partitions(topic: &MetadataTopic) -> u32 {
    u32::try_from(topic.partitions().len()).unwrap_or(0)
}

/// Returns whether the client may not see the topic.
pub(super) fn is_hidden(metadata: &Metadata, name: &str) -> bool {
    let mut topics = metadata.topics().iter();
    let error = topics.find(|topic| topic.name() == name).and_then(MetadataTopic::error);
    error.is_some_and(|code| rights::is_refusal(Some(code.into())))
}

#[cfg(test)]
mod tests {
    use super::{KafkaSettings, MESSAGE_BYTES_MAX, admin, consumer, observer, producer};

    fn settings(properties: &[(&str, &str)]) -> KafkaSettings {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        KafkaSettings {
            bootstrap_servers: "a:9092".to_owned(),
            group_id: "g".to_owned(),
            instance_id: "i".to_owned(),
            commit_interval_ms: 100,
            client: properties.iter().map(owned).collect(),
        }
    }

    #[test]
    fn users_properties_reach_only_the_kinds_of_clients_that_they_apply_to() {
        let settings = settings(&[
            ("message.max.bytes", "8192"),
            ("session.timeout.ms", "6000"),
            ("transaction.timeout.ms", "5000"),
            ("compression.codec", "zstd"),
            ("client.rack", "r"),
        ]);
        let (consumer, producer) = (consumer(&settings), producer(&settings, "t"));
        assert_eq!(consumer.get("message.max.bytes"), Some("8192"));
        let needed = MESSAGE_BYTES_MAX.to_string();
        assert_eq!(producer.get("message.max.bytes"), Some(needed.as_str()));
        assert_eq!(consumer.get("session.timeout.ms"), Some("6000"));
        assert_eq!(producer.get("session.timeout.ms"), None);
        assert_eq!(producer.get("transaction.timeout.ms"), Some("5000"));
        assert_eq!(
            (producer.get("compression.codec"), producer.get("compression.type")),
            (Some("zstd"), None)
        );
        assert_eq!(admin(&settings).get("client.rack"), Some("r"));
    }

    #[test]
    fn an_observer_needs_no_group_of_its_own() {
        let observer = observer(&settings(&[]), "read_committed");
        assert_eq!(observer.get("group.id"), Some("g"));
        assert_eq!(observer.get("group.instance.id"), None);
    }
}

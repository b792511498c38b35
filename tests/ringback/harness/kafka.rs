//! Kafka as the tests use it: create topics, produce, read to the end, follow.

use super::{PATIENCE, runtime, wait_until};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{
    BorrowedHeaders, BorrowedMessage, DeliveryResult, Header, Headers, Message as _, OwnedHeaders,
};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientContext, types::RDKafkaErrorCode};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A cluster.
#[derive(Clone, Debug)]
pub(crate) struct Kafka {
    bootstrap: String,
}

/// A topic to create: its name, its number of partitions, its settings.
pub(crate) type Wanted<'a> = (&'a str, i32, &'a [(&'a str, &'a str)]);

/// A record to produce.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) topic: String,
    /// `None`: Java's partitioner chooses by the key.
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    /// `None`: the time of the call.
    pub(crate) timestamp_ms: Option<i64>,
}

/// A record of a topic.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: BTreeMap<String, String>,
    /// The headers in their order, with the values as bytes.
    pub(crate) raw_headers: Vec<(String, Option<Vec<u8>>)>,
    pub(crate) timestamp_ms: Option<i64>,
}

impl Message {
    /// Returns the value as JSON. An event is checked against the published schema.
    pub(crate) fn json(&self) -> serde_json::Value {
        let value = self.value.as_deref().unwrap_or_default();
        let json = serde_json::from_slice(value)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(value)));
        super::events::check(&json);
        json
    }

    /// Returns a header's value, or an empty text without such a header.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map_or_else(BTreeMap::new, |headers| {
            let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or(b"")).into();
            headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
        });
        let raw = |headers: &BorrowedHeaders| {
            let own = |header: Header<'_, &[u8]>| {
                (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
            };
            headers.iter().map(own).collect()
        };
        Self {
            raw_headers: message.headers().map_or_else(Vec::new, raw),
            timestamp_ms: message.timestamp().to_millis(),
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
        }
    }
}

/// A producer's context that ends the tests when a record is lost.
struct NoLoss;

impl ClientContext for NoLoss {}

impl ProducerContext for NoLoss {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            // A panic in librdkafka's thread would be lost, and the test can't continue without its records.
            eprintln!("harness: a record could not be produced: {error}");
            std::process::abort();
        }
    }
}

impl Kafka {
    /// Returns the cluster at `bootstrap`.
    pub(crate) fn at(bootstrap: String) -> Self {
        Self { bootstrap }
    }

    /// Returns `host:port`.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Returns whether the cluster answers within `timeout`.
    pub(crate) fn answers(&self, timeout: Duration) -> bool {
        let admin = self.admin();
        admin.inner().fetch_metadata(None, timeout).is_ok_and(|all| !all.brokers().is_empty())
    }

    /// Creates topics, each with its partitions and settings.
    pub(crate) fn create_topics(&self, topics: &[Wanted<'_>]) {
        let new = topics.iter().map(|(name, partitions, settings)| {
            let topic = NewTopic::new(name, *partitions, TopicReplication::Fixed(1));
            settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
        });
        let new: Vec<NewTopic<'_>> = new.collect();
        let created = runtime().block_on(self.admin().create_topics(&new, &AdminOptions::new()));
        for result in created.expect("the broker answers") {
            result.unwrap_or_else(|(topic, error)| panic!("{topic} was not created: {error}"));
        }
        // The controller has created them; the broker that answers clients learns it a moment later.
        let admin = self.admin();
        wait_until("the broker knows its new topics", PATIENCE, || {
            let all = admin.inner().fetch_metadata(None, Duration::from_secs(10)).ok()?;
            let known = |name: &str| {
                let found = all.topics().iter().find(|topic| topic.name() == name);
                found.is_some_and(|topic| topic.partitions().iter().all(|it| it.leader() >= 0))
            };
            topics.iter().all(|(name, _, _)| known(name)).then_some(())
        });
    }

    /// Creates a topic. Returns `false` while one of the same name is still being deleted.
    pub(crate) fn try_create(&self, (name, partitions, settings): &Wanted<'_>) -> bool {
        let topic = NewTopic::new(name, *partitions, TopicReplication::Fixed(1));
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let created =
            runtime().block_on(self.admin().create_topics([&topic], &AdminOptions::new()));
        created.expect("the broker answers").iter().all(Result::is_ok)
    }

    /// Returns the offset after the last record of a partition.
    pub(crate) fn end(&self, topic: &str, partition: i32) -> i64 {
        self.try_end(topic, partition).expect("the broker answers")
    }

    /// Like `end`, or `None` while the partition has no leader.
    pub(crate) fn try_end(&self, topic: &str, partition: i32) -> Option<i64> {
        let admin = self.admin();
        let ends = admin.inner().fetch_watermarks(topic, partition, Duration::from_secs(5));
        ends.ok().map(|(_, end)| end)
    }

    /// Deletes the records of a partition below `before`, as retention does.
    pub(crate) fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut offsets = rdkafka::TopicPartitionList::new();
        let added = offsets.add_partition_offset(topic, partition, Offset::Offset(before));
        added.expect("an offset");
        // The client must live until the answer comes: a dropped one never answers.
        let admin = self.admin();
        let done = admin.delete_records(&offsets, &AdminOptions::new());
        runtime().block_on(done).expect("the broker deletes records");
    }

    /// Raises a topic's number of partitions to `partitions`.
    pub(crate) fn grow_topic(&self, topic: &str, partitions: i32) {
        let wanted = [NewPartitions::new(topic, usize::try_from(partitions).expect("some"))];
        let admin = self.admin();
        let done = admin.create_partitions(&wanted, &AdminOptions::new());
        for result in runtime().block_on(done).expect("the broker answers") {
            result.unwrap_or_else(|(topic, error)| panic!("{topic} does not grow: {error}"));
        }
    }

    /// Deletes those of the topics that exist, if the broker answers.
    pub(crate) fn delete_topics(&self, topics: &[&str]) {
        let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(5)));
        let _done = runtime().block_on(self.admin().delete_topics(topics, &options));
    }

    /// Returns a topic's setting.
    pub(crate) fn topic_setting(&self, topic: &str, setting: &str) -> Option<String> {
        let topics = [ResourceSpecifier::Topic(topic)];
        let described = self.admin();
        let described = described.describe_configs(&topics, &AdminOptions::new());
        let described = runtime().block_on(described).expect("the broker answers");
        let resource = described.into_iter().next()?.ok()?;
        resource.get(setting).and_then(|entry| entry.value.clone())
    }

    /// Sets a topic's setting. Its other settings stay.
    pub(crate) fn alter_topic(&self, topic: &str, setting: &str, value: &str) {
        let (admin, options) = (self.admin(), AdminOptions::new());
        let specifier = ResourceSpecifier::Topic(topic);
        let described = runtime().block_on(admin.describe_configs(&[specifier], &options));
        let described = described.expect("the broker answers").into_iter().next();
        let described = described.expect("an answer").expect("the topic is there");
        // An alteration replaces all of the topic's own settings.
        let own = described.entries.into_iter().filter(|e| e.source == ConfigSource::DynamicTopic);
        let mut all: BTreeMap<String, String> =
            own.filter_map(|entry| Some((entry.name, entry.value?))).collect();
        all.insert(setting.to_owned(), value.to_owned());
        let config = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let config = all.iter().fold(config, |config, (key, value)| config.set(key, value));
        let altered = runtime().block_on(admin.alter_configs([&config], &options));
        for result in altered.expect("the broker answers") {
            result.unwrap_or_else(|(_, error)| panic!("{topic} is not altered: {error}"));
        }
    }

    /// Returns the number of partitions, or 0 if there is no such topic.
    pub(crate) fn partitions(&self, topic: &str) -> i32 {
        let admin = self.admin();
        let metadata = admin.inner().fetch_metadata(Some(topic), Duration::from_secs(10));
        let metadata = metadata.expect("metadata");
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        found.map_or(0, |found| i32::try_from(found.partitions().len()).expect("few"))
    }

    /// Produces the records and waits until all are written. Records of one partition keep their order.
    pub(crate) fn produce(&self, records: &[Record]) {
        // An unknown header, which the daemon must ignore.
        self.produce_with(records, &[("from", "tests")]);
    }

    /// Like `produce`, with other headers.
    pub(crate) fn produce_with(&self, records: &[Record], headers: &[(&str, &str)]) {
        self.producer().produce(records, headers);
    }

    /// Like `produce_with`, with headers that need not be text.
    pub(crate) fn produce_raw(&self, records: &[Record], headers: &[(&str, Option<&[u8]>)]) {
        self.producer().produce_raw(records, headers);
    }

    /// Creates a producer for repeated use.
    pub(crate) fn producer(&self) -> Producing {
        let mut config = self.config();
        config.set("partitioner", "murmur2_random").set("enable.idempotence", "true");
        config.set("message.max.bytes", "25000000").set("linger.ms", "1");
        Producing(config.create_with_context(NoLoss).expect("a producer"))
    }

    /// Creates a transactional producer with an open transaction.
    pub(crate) fn transaction(&self, id: &str, timeout: Duration) -> BaseProducer {
        let mut config = self.config();
        config.set("transactional.id", id);
        config.set("transaction.timeout.ms", timeout.as_millis().to_string());
        let producer: BaseProducer = config.create().expect("a producer");
        producer.init_transactions(Duration::from_secs(20)).expect("the coordinator answers");
        producer.begin_transaction().expect("nothing is open");
        producer
    }

    /// Returns all committed records of a topic, by partition and offset.
    pub(crate) fn read(&self, topic: &str) -> Vec<Message> {
        let mut tail = self.follow(topic);
        let mut open: BTreeSet<i32> = (0..self.partitions(topic)).collect();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !open.is_empty() {
            assert!(Instant::now() < deadline, "the end of {topic} {open:?} was not reached");
            if let Polled::End(ended) = tail.poll(Duration::from_millis(200)) {
                open.remove(&ended);
            }
        }
        let mut messages = std::mem::take(&mut tail.messages);
        messages.sort_by_key(|message| (message.partition, message.offset));
        messages
    }

    /// Follows the committed records of a topic from its start.
    pub(crate) fn follow(&self, topic: &str) -> Tail {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let group = format!("tests-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut config = self.config();
        // Without a group id of its own the consumer would get another queue from rust-rdkafka.
        config.set("group.id", group).set("enable.auto.commit", "false");
        config.set("enable.partition.eof", "true").set("isolation.level", "read_committed");
        config.set("fetch.wait.max.ms", "50");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut partitions = TopicPartitionList::new();
        for partition in 0..self.partitions(topic) {
            let offset = Offset::Beginning;
            partitions.add_partition_offset(topic, partition, offset).expect("a valid offset");
        }
        assert!(partitions.count() > 0, "there is no topic {topic}");
        consumer.assign(&partitions).expect("assigned");
        Tail { topic: topic.to_owned(), consumer, messages: Vec::new() }
    }

    /// Returns the offsets that a group committed, by partition.
    pub(crate) fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let mut config = self.config();
        config.set("group.id", group).set("isolation.level", "read_committed");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_range(topic, 0, self.partitions(topic) - 1);
        let committed = consumer.committed_offsets(partitions, Duration::from_secs(20));
        let committed = committed.expect("the coordinator answers");
        let offset = |offset: Offset| offset.to_raw().filter(|raw| *raw >= 0);
        let of = committed.elements();
        of.iter().filter_map(|e| Some((e.partition(), offset(e.offset())?))).collect()
    }

    /// Moves the offsets of a group without members, as Kafka's own tool does.
    pub(crate) fn reset_offsets(&self, group: &str, topic: &str, offset: i64) {
        let mut config = self.config();
        config.set("group.id", group).set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut offsets = TopicPartitionList::new();
        for partition in 0..self.partitions(topic) {
            let offset = Offset::Offset(offset);
            offsets.add_partition_offset(topic, partition, offset).expect("a valid offset");
        }
        // Kafka removes a static member that has stopped once its session has timed out.
        wait_until("the group has no members", PATIENCE, || {
            consumer.commit(&offsets, CommitMode::Sync).ok()
        });
    }

    /// Joins `group` until the consumer is dropped. Waits until partitions of `topic` are assigned.
    #[cfg(feature = "failpoints")]
    pub(crate) fn join(&self, group: &str, topic: &str) -> BaseConsumer {
        self.join_with(group, topic, &[])
    }

    /// Like `join`, with further properties of librdkafka.
    pub(crate) fn join_with(
        &self,
        group: &str,
        topic: &str,
        properties: &[(&str, &str)],
    ) -> BaseConsumer {
        let mut config = self.config();
        config.set("group.id", group).set("enable.auto.commit", "false");
        for (name, value) in properties {
            config.set(*name, *value);
        }
        let consumer: BaseConsumer = config.create().expect("a consumer");
        consumer.subscribe(&[topic]).expect("a topic");
        let deadline = Instant::now() + Duration::from_secs(40);
        while consumer.assignment().is_ok_and(|assigned| assigned.count() == 0) {
            assert!(Instant::now() < deadline, "no partition was assigned in {group}");
            let _record = consumer.poll(Duration::from_millis(50));
        }
        consumer
    }

    /// Takes a transactional id over, as a second process with the same id does: the open transaction is aborted and
    /// the former holder is fenced.
    pub(crate) fn take_over(&self, transactional_id: &str) {
        let mut config = self.config();
        config.set("transactional.id", transactional_id);
        let producer: ThreadedProducer<NoLoss> =
            config.create_with_context(NoLoss).expect("a producer");
        producer.init_transactions(Duration::from_secs(30)).expect("the coordinator answers");
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().expect("an admin client")
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Tests kill brokers on purpose, so librdkafka logs only critical errors.
        config.set("bootstrap.servers", &self.bootstrap).set("log_level", "2");
        config
    }
}

/// A producer.
pub(crate) struct Producing(ThreadedProducer<NoLoss>);

impl Producing {
    /// Produces the records and waits until all are written. Records of one partition keep their order.
    pub(crate) fn produce(&self, records: &[Record], headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(key, value)| (*key, Some(value.as_bytes())));
        self.produce_raw(records, &headers.collect::<Vec<_>>());
    }

    /// Like `produce`, with headers that need not be text.
    pub(crate) fn produce_raw(&self, records: &[Record], headers: &[(&str, Option<&[u8]>)]) {
        for record in records {
            let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: *value })
            });
            let mut message = BaseRecord::<[u8], [u8]>::to(&record.topic).headers(headers);
            message.partition = record.partition;
            message.key = record.key.as_deref();
            message.payload = record.value.as_deref();
            message.timestamp = record.timestamp_ms;
            while let Err((error, unsent)) = self.0.send(message) {
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                assert!(full, "{}: {error}", record.topic);
                std::thread::sleep(Duration::from_millis(5));
                message = unsent;
            }
        }
        // Longer than the restart of a killed broker takes.
        self.0.flush(Duration::from_secs(90)).expect("everything is written");
    }
}

/// A topic that is being followed.
pub(crate) struct Tail {
    topic: String,
    consumer: BaseConsumer,
    messages: Vec<Message>,
}

impl Tail {
    /// Reads until `enough` accepts the records so far, and returns them. Panics with `what` after `timeout`.
    pub(crate) fn wait(
        &mut self,
        what: &str,
        timeout: Duration,
        enough: impl Fn(&[Message]) -> bool,
    ) -> &[Message] {
        let deadline = Instant::now() + timeout;
        while !enough(&self.messages) {
            let seen = self.messages.len();
            let topic = &self.topic;
            assert!(Instant::now() < deadline, "{topic}: {what}: not in time; {seen} records seen");
            self.catch_up(deadline);
        }
        &self.messages
    }

    /// Reads all present records, so that `enough` runs once per batch and not once per record.
    fn catch_up(&mut self, deadline: Instant) {
        while Instant::now() < deadline {
            match self.poll(Duration::from_millis(20)) {
                Polled::Record => {}
                Polled::End(_) | Polled::Nothing => return,
            }
        }
    }

    /// Returns the records that were read so far.
    pub(crate) fn seen(&self) -> &[Message] {
        &self.messages
    }

    /// Takes the next record.
    fn poll(&mut self, timeout: Duration) -> Polled {
        match self.consumer.poll(timeout) {
            Some(Ok(message)) => {
                self.messages.push(Message::of(&message));
                Polled::Record
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => Polled::End(partition),
            // The broker may be away for a while. The caller's deadline limits the wait.
            Some(Err(_)) | None => Polled::Nothing,
        }
    }
}

/// The result of a poll.
enum Polled {
    Record,
    /// A partition was read to its end.
    End(i32),
    Nothing,
}

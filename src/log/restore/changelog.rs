//! The changelog in Kafka.

use super::{Changelog, Polled};
use crate::log::away;
use crate::log::client::{self, LogError, Observer};
use crate::log::record::{TopicPartition, list};
use crate::log::report::is_due;
use crate::log::rights::{Operation, Right};
use crate::log::scan::hopeless;
use crate::log::settings::KafkaSettings;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::Duration;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// The changelog in Kafka.
pub struct KafkaChangelog {
    settings: KafkaSettings,
    topic: Arc<str>,
    /// A read_committed client would get the last stable offset as the end, and silently restore too little.
    all: Observer,
    stable: Observer,
    rows: Option<Observer>,
}

impl KafkaChangelog {
    /// Creates the clients. They connect with the first request.
    ///
    /// # Errors
    /// A property of `[kafka.client]` is wrong.
    pub fn new(settings: &KafkaSettings, topic: &str) -> Result<Self, LogError> {
        Ok(Self {
            settings: settings.clone(),
            topic: topic.into(),
            all: client::observe(settings, "read_uncommitted")?,
            stable: client::observe(settings, "read_committed")?,
            rows: None,
        })
    }

    fn watermarks(&self, client: &Observer, partition: i32) -> Result<(i64, i64), LogError> {
        client
            .fetch_watermarks(&self.topic, partition, REQUEST_TIMEOUT)
            .map_err(LogError::request("the changelog's watermarks can't be read"))
    }
}

impl Changelog for KafkaChangelog {
    fn ends(&self, partition: i32) -> Result<(i64, i64), LogError> {
        self.watermarks(&self.all, partition)
    }

    fn stable_end(&self, partition: i32) -> Result<i64, LogError> {
        Ok(self.watermarks(&self.stable, partition)?.1)
    }

    fn assign(&mut self, starts: &[(i32, i64)]) -> Result<(), LogError> {
        let mut list = TopicPartitionList::new();
        for (partition, from) in starts {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*from))
                .map_err(LogError::request("the changelog's offsets can't be set"))?;
        }
        let rows = client::observe(&self.settings, "read_committed")?;
        rows.assign(&list).map_err(LogError::request("the changelog can't be assigned"))?;
        self.rows = Some(rows);
        Ok(())
    }

    fn poll<T>(&mut self, take: impl FnOnce(Polled<'_>) -> T) -> T {
        match self.rows.as_ref().and_then(|rows| rows.poll(POLL_TIMEOUT)) {
            Some(Ok(message)) => take(Polled::Row {
                partition: message.partition(),
                offset: message.offset(),
                key: message.key().unwrap_or(&[]),
                value: message.payload(),
            }),
            Some(Err(KafkaError::PartitionEOF(partition))) => take(Polled::End(partition)),
            Some(Err(error)) if hopeless(&error) => {
                let right = Right::on_topic(Operation::Read, &self.topic);
                let failed = LogError::request_by(right, "the changelog can't be read");
                take(Polled::Failed(failed(error)))
            }
            Some(Err(error)) => {
                // The code that waits for Kafka logs the outage.
                let is_away = away::note(error.rdkafka_error_code(), "");
                if !is_away && is_due(&format!("restoring: {error}")) {
                    tracing::warn!(%error, "a temporary error while restoring");
                }
                take(Polled::Nothing)
            }
            None => take(Polled::Nothing),
        }
    }

    fn done(&mut self, partition: i32) {
        let place = TopicPartition { topic: self.topic.clone(), partition };
        if let Some(rows) = &self.rows {
            let _ = rows.pause(&list([&place]));
        }
    }
}

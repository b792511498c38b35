//! The ids of a cluster and its topics.
//!
//! A topic that was deleted and created again has the same name and another id. Offsets in one of them mean nothing in
//! the other.

use super::client::{Cluster, LogError};
use super::native;
use crate::codec::row::TopicId;
use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The ids of a cluster and of some of its topics.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Identity {
    /// The cluster's id; `None`: the broker does not report it.
    pub cluster: Option<Arc<str>>,
    /// The ids of the topics that exist; `None`: the broker has no topic ids.
    pub topics: BTreeMap<Arc<str>, Option<TopicId>>,
}

impl Identity {
    /// Returns the id of `topic`, if it is known.
    #[must_use]
    pub fn topic(&self, topic: &str) -> Option<&TopicId> {
        self.topics.get(topic).and_then(Option::as_ref)
    }

    /// Returns whether Kafka has given one of the topics no id.
    #[must_use]
    pub fn lacks_ids(&self) -> bool {
        self.topics.values().any(Option::is_none)
    }

    /// Returns whether Kafka has given the topic no id. A topic that is absent from the answer counts like the others
    /// of its cluster.
    #[must_use]
    pub fn is_without_id(&self, topic: &str) -> bool {
        self.topics.get(topic).map_or_else(|| self.lacks_ids(), Option::is_none)
    }
}

impl Cluster {
    /// Returns the ids of the cluster and of `topics`. Topics that do not exist are left out.
    ///
    /// # Errors
    /// Kafka does not answer within `timeout`, or refuses to describe a topic.
    pub fn identity(&self, topics: &[&str], timeout: Duration) -> Result<Identity, LogError> {
        identity(self.client().client(), topics, timeout)
    }
}

/// Requests the ids of the cluster and of `topics` with `client`.
pub(super) fn identity<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    timeout: Duration,
) -> Result<Identity, LogError> {
    let cluster = native::cluster_id(client, timeout);
    let described = native::topics(client, topics, timeout)
        .map_err(LogError::request("the topics can't be described"))?;
    let mut ids = BTreeMap::new();
    for topic in described {
        match topic.error {
            None => drop(ids.insert(topic.name.into(), topic.id)),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {}
            Some(code) => {
                let what = format!("topic {} can't be described", topic.name);
                return Err(LogError::request(what)(KafkaError::MetadataFetch(code)));
            }
        }
    }
    Ok(Identity { cluster, topics: ids })
}

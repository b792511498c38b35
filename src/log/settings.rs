//! The part of the configuration that the log needs.

use crate::codec::source::Unwrap;
use crate::domain::RecordKind;
use std::collections::BTreeMap;

/// `[kafka]`
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port`, comma separated.
    pub bootstrap_servers: String,
    pub group_id: String,
    /// Stable per instance: `transactional.id` and `group.instance.id`.
    pub instance_id: String,
    /// The longest time for which a transaction collects records under load, in milliseconds.
    pub commit_interval_ms: u64,
    /// `[kafka.client]`: librdkafka's properties, which override the defaults of every client.
    pub client: BTreeMap<String, String>,
}

impl std::fmt::Debug for KafkaSettings {
    /// The client's properties may be secrets, so only their names are shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("group_id", &self.group_id)
            .field("instance_id", &self.instance_id)
            .field("commit_interval_ms", &self.commit_interval_ms)
            .field("client", &self.client.keys())
            .finish()
    }
}

/// `[topics]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicNames {
    pub flow_complete: Vec<String>,
    pub delivery_report: Vec<String>,
    /// Call begin records, which can trigger rules; may be empty.
    pub flow_started: Vec<String>,
    /// Events, which record every fact.
    pub events: String,
    pub dead_letter: String,
    pub changelog: String,
    /// Forwarded records and operators' commands.
    pub inbox: String,
    /// The envelopes from which source records are taken.
    pub unwrap: Unwrap,
}

impl TopicNames {
    /// Returns the topics whose offsets or rows the state depends on.
    #[must_use]
    pub fn identified(&self) -> Vec<&str> {
        let sources = self.sources().map(|(name, _)| name.as_str());
        sources.chain([self.inbox.as_str(), self.changelog.as_str()]).collect()
    }

    /// Returns the topics of source events, with the kind of each.
    pub fn sources(&self) -> impl Iterator<Item = (&String, RecordKind)> {
        let kinds = [
            (&self.flow_started, RecordKind::Start),
            (&self.flow_complete, RecordKind::Flow),
            (&self.delivery_report, RecordKind::Report),
        ];
        kinds.into_iter().flat_map(|(list, kind)| list.iter().map(move |name| (name, kind)))
    }

    /// Returns our own four topics.
    pub fn own(&self) -> impl Iterator<Item = &str> {
        [&self.changelog, &self.inbox, &self.events, &self.dead_letter]
            .into_iter()
            .map(String::as_str)
    }

    /// Returns the names of all topics: first the inputs, then the daemon's own.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.sources().map(|(name, _)| name.as_str()).chain(self.own())
    }
}

/// `[schema_registry]`
#[derive(Clone)]
pub struct RegistrySettings {
    /// The base URL of its API.
    pub url: reqwest::Url,
    /// User and password of basic authentication.
    pub credentials: Option<(String, String)>,
}

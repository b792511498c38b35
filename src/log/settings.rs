//! What the log needs to know of the configuration.

use std::collections::BTreeMap;

/// `[kafka]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port`, comma separated.
    pub bootstrap_servers: String,
    /// The consumer group.
    pub group_id: String,
    /// Stable per instance: `transactional.id` and `group.instance.id`.
    pub instance_id: String,
    /// Under load a transaction gathers so long at most.
    pub commit_interval_ms: u64,
    /// `[kafka.client]`: librdkafka's properties, which override the defaults of every client.
    pub client: BTreeMap<String, String>,
}

/// `[topics]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicNames {
    /// Flow complete records.
    pub flow_complete: Vec<String>,
    /// Delivery reports.
    pub delivery_report: Vec<String>,
    /// Every fact.
    pub events: String,
    /// What was given up.
    pub dead_letter: String,
    /// The state, compacted.
    pub changelog: String,
    /// Forwarded records and operators' commands.
    pub inbox: String,
}

/// `[schema_registry]`
#[derive(Clone, Debug)]
pub struct RegistrySettings {
    /// Where its API starts.
    pub url: reqwest::Url,
    /// User and password of basic authentication.
    pub credentials: Option<(String, String)>,
}

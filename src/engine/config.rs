//! What the engine needs to know of the configuration.

use super::ownership::Permissions;
use crate::delivery::{Endpoint, PerSecond};
use crate::domain::{AccountId, Rules};
use crate::log::{KafkaSettings, TopicNames};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What changes only with a restart.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// `[kafka]`
    pub kafka: KafkaSettings,
    /// `[topics]`
    pub topics: TopicNames,
    /// The partitions of the changelog.
    pub partitions: u32,
    /// The broker knows clusters and topics by ids; an embedded one does not.
    pub is_identified: bool,
    /// What an operator has allowed at this start.
    pub permissions: Permissions,
    /// The inputs that have another number of partitions than the inbox.
    pub other_partition_counts: BTreeSet<Arc<str>>,
    /// What the instance may have unanswered.
    pub in_flight_max: usize,
    /// Outcomes that may not be committed yet.
    pub uncommitted_max: usize,
    /// Attempts per second of the instance.
    pub rate_per_second: Option<PerSecond>,
}

impl EngineSettings {
    /// Under load a transaction gathers so long at most.
    #[must_use]
    pub fn commit_interval(&self) -> Duration {
        Duration::from_millis(self.kafka.commit_interval_ms)
    }
}

/// What a reload changes, wholly or not at all.
pub struct EngineConfig {
    /// What decisions depend on.
    pub rules: Rules,
    /// The endpoints.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The accounts whose attempts per second are limited.
    pub account_rates: BTreeMap<AccountId, PerSecond>,
}

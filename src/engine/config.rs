//! The engine's part of the configuration.

use super::ownership::Permissions;
use crate::delivery::{Endpoint, PerSecond};
use crate::domain::{AccountId, Policy, WebhookName};
use crate::log::{KafkaSettings, TopicNames};
use imbl::OrdMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Settings that change only with a restart.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// `[kafka]`
    pub kafka: KafkaSettings,
    /// `[topics]`
    pub topics: TopicNames,
    /// The number of partitions of the changelog.
    pub partitions: u32,
    /// Whether the broker has ids of its cluster and topics; an embedded one has none.
    pub is_identified: bool,
    /// The operator's permissions for this start.
    pub permissions: Permissions,
    /// The inputs whose number of partitions differs from the inbox's.
    pub other_partition_counts: BTreeSet<Arc<str>>,
    /// The maximum number of unanswered requests of the instance.
    pub in_flight_max: usize,
    /// The maximum number of uncommitted outcomes.
    pub uncommitted_max: usize,
    /// The maximum number of attempts per second of the instance.
    pub rate_per_second: Option<PerSecond>,
}

impl EngineSettings {
    /// Returns the longest time for which a transaction gathers under load.
    #[must_use]
    pub fn commit_interval(&self) -> Duration {
        Duration::from_millis(self.kafka.commit_interval_ms)
    }
}

/// The settings that a reload replaces, all at once.
pub struct EngineConfig {
    /// The rules that decisions depend on.
    pub policy: Policy,
    /// The endpoints of all webhooks.
    pub endpoints: OrdMap<WebhookName, Arc<Endpoint>>,
    /// The attempts per second of accounts that have a limit.
    pub account_rates: OrdMap<AccountId, PerSecond>,
}

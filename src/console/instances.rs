//! The instances of the consumer group with their partitions.

use crate::log::{Cluster, KafkaSettings, LogError, TopicNames};
use crate::telemetry::Health;
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);
/// The beginning of the id of an instance's Kafka client.
const CLIENT_PREFIX: &str = "ringback-";

/// The members of the consumer group, as Kafka knows them.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct InstancesView {
    /// The consumer group.
    pub(super) group_id: String,
    /// Its members.
    pub(super) instances: Vec<InstanceView>,
}

/// An instance.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct InstanceView {
    /// `kafka.instance_id`.
    pub(super) instance_id: String,
    /// The address from which it is connected to Kafka.
    pub(super) host: String,
    /// Whether it is the instance that answers.
    pub(super) is_this: bool,
    /// Its partitions.
    pub(super) partitions: Vec<i32>,
    /// The states of the partitions. Only the instance itself knows them: `None` for the others.
    pub(super) states: Option<Vec<PartitionView>>,
}

/// The state of a partition.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct PartitionView {
    pub partition: i32,
    /// `running` or `restoring`.
    pub state: &'static str,
    /// The number of changelog records that are left, if that is known.
    pub restore_remaining: Option<u64>,
    /// How long its waiting work has made no progress, in seconds.
    pub stalled_seconds: u64,
}

/// Returns the states of the partitions of this instance.
#[must_use]
pub fn own_partitions(health: &Health) -> Vec<PartitionView> {
    let partitions = health.partitions().into_iter();
    let view = partitions.map(|health| PartitionView {
        partition: health.partition,
        state: if health.is_restored { "running" } else { "restoring" },
        restore_remaining: health.restore_remaining,
        stalled_seconds: health.stalled.as_secs(),
    });
    view.collect()
}

/// Asks Kafka for the members of the group. Blocks.
///
/// # Errors
/// Kafka does not answer, or denies the request.
pub(super) fn read(
    kafka: &KafkaSettings,
    topics: &TopicNames,
    health: &Health,
) -> Result<InstancesView, LogError> {
    let members = Cluster::new(kafka)?.group_members(&kafka.group_id, TIMEOUT)?;
    let mut instances: Vec<InstanceView> = members
        .into_iter()
        .map(|member| {
            let id = member.client_id.strip_prefix(CLIENT_PREFIX).unwrap_or(&member.client_id);
            let is_this = *id == *kafka.instance_id;
            // All inputs have the same owner for a partition's number; the inbox has every number.
            let of_inbox = member.partitions.iter().filter(|it| *it.topic == *topics.inbox);
            let partitions: BTreeSet<i32> = of_inbox.map(|it| it.partition).collect();
            InstanceView {
                instance_id: id.to_owned(),
                // Kafka's brokers write an address as Java does, behind a slash.
                host: member.host.trim_start_matches('/').to_owned(),
                is_this,
                partitions: partitions.into_iter().collect(),
                states: is_this.then(|| own_partitions(health)),
            }
        })
        .collect();
    instances.sort_by(|one, other| one.instance_id.cmp(&other.instance_id));
    Ok(InstancesView { group_id: kafka.group_id.to_string(), instances })
}

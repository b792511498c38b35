//! The queues of the assigned partitions, one per partition.

use super::callbacks::Context;
use super::position::Position;
use super::schemas::Line;
use crate::domain::RecordKind;
use crate::log::bell::Bell;
use crate::log::record::{Role, TopicPartition, Topics};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use std::cell::RefCell;
use std::sync::Arc;

/// The queue of an assigned partition, with its position.
pub(super) struct Queue {
    pub(super) place: TopicPartition,
    pub(super) records: PartitionQueue<Context>,
    pub(super) position: Position,
    /// The records that were taken from the queue and wait for schemas.
    pub(super) line: RefCell<Line>,
}

/// Splits off the queues of the partitions that `consumer` is assigned, in the order in which a flow's records are
/// written. From then on, their records arrive through these queues only. The bell rings when one of them is no longer
/// empty.
pub(super) fn split(
    consumer: &Arc<BaseConsumer<Context>>,
    topics: &Topics,
    bell: &Arc<Bell>,
) -> Result<Vec<Queue>, KafkaError> {
    let assignment = consumer.assignment()?;
    let mut partitions = assignment.elements();
    partitions.sort_by_key(|partition| match topics.roles.get(partition.topic()) {
        Some(Role::Source(RecordKind::Start)) => 0,
        Some(Role::Source(RecordKind::Flow)) => 1,
        Some(Role::Source(RecordKind::Report)) => 2,
        Some(Role::Inbox) | None => 3,
    });
    let queue = |topic: &str, partition| {
        let mut queue = consumer
            .split_partition_queue(topic, partition)
            .ok_or(KafkaError::NoMessageReceived)?;
        let bell = bell.clone();
        queue.set_nonempty_callback(move || bell.ring());
        let place = TopicPartition { topic: topic.into(), partition };
        Ok(Queue { place, records: queue, position: Position::default(), line: RefCell::default() })
    };
    partitions.iter().map(|partition| queue(partition.topic(), partition.partition())).collect()
}

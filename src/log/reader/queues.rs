//! The partitions' queues, read in the order of their records' timestamps, as far as records are at hand.
//!
//! A consumer's one queue holds what was fetched in the order of the answers, and after a pause one topic would be read
//! whole before the next: a hundred thousand flows, then their reports. In the order of time a flow meets its reports while
//! it is still in memory.

use super::callbacks::Context;
use crate::domain::{RecordKind, Timestamp};
use crate::log::record::{Record, Role, Topics};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Wakes the poll thread when a queue is no longer empty.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    sound: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.sound.notify_one();
    }

    fn wait(&self, timeout: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.sound.wait_timeout_while(rung, timeout, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

struct Queue {
    queue: PartitionQueue<Context>,
    /// The first record that was not taken yet.
    head: Option<Record>,
}

/// The queues of the assigned partitions.
#[derive(Default)]
pub(super) struct Queues {
    queues: Vec<Queue>,
    /// The heads, the earliest first; of equal ones a flow before a report.
    order: BinaryHeap<Reverse<(Timestamp, usize)>>,
    bell: Arc<Bell>,
}

impl Queues {
    /// The queues of what `consumer` is assigned; nothing is read of them by any other way from then on.
    pub(super) fn of(
        consumer: &Arc<BaseConsumer<Context>>,
        topics: &Topics,
    ) -> Result<Self, KafkaError> {
        let bell = Arc::new(Bell::default());
        let mut queues = Vec::new();
        let assignment = consumer.assignment()?;
        let mut partitions = assignment.elements();
        partitions.sort_by_key(|partition| match topics.roles.get(partition.topic()) {
            Some(Role::Source(RecordKind::Flow)) => 0,
            Some(Role::Source(RecordKind::Report)) => 1,
            Some(Role::Inbox) | None => 2,
        });
        for partition in partitions {
            let split = consumer.split_partition_queue(partition.topic(), partition.partition());
            let mut queue = split.ok_or(KafkaError::NoMessageReceived)?;
            let ringer = bell.clone();
            queue.set_nonempty_callback(move || ringer.ring());
            queues.push(Queue { queue, head: None });
        }
        Ok(Self { queues, order: BinaryHeap::new(), bell })
    }

    /// Forgets what was taken from the queues and not handed on.
    pub(super) fn forget_heads(&mut self) {
        self.order.clear();
        for queue in &mut self.queues {
            queue.head = None;
        }
    }

    /// Looks into the queues that were empty.
    pub(super) fn look(&mut self, read: &mut impl FnMut(Polled<'_>) -> Option<Record>) {
        for index in 0..self.queues.len() {
            if self.queues.get(index).is_some_and(|queue| queue.head.is_none()) {
                self.refill(index, read);
            }
        }
    }

    fn refill(&mut self, index: usize, read: &mut impl FnMut(Polled<'_>) -> Option<Record>) {
        let Some(queue) = self.queues.get_mut(index) else { return };
        queue.head = queue.queue.poll(Duration::ZERO).and_then(read);
        if let Some(record) = &queue.head {
            self.order.push(Reverse((record.source.timestamp, index)));
        }
    }

    /// The earliest record at hand.
    pub(super) fn next(
        &mut self,
        read: &mut impl FnMut(Polled<'_>) -> Option<Record>,
    ) -> Option<Record> {
        let Reverse((_, index)) = self.order.pop()?;
        let record = self.queues.get_mut(index)?.head.take();
        self.refill(index, read);
        record
    }

    /// Waits until there may be something to read.
    pub(super) fn wait(&self, timeout: Duration) {
        self.bell.wait(timeout);
    }
}

/// What came of looking into a queue.
pub(super) type Polled<'a> = Result<BorrowedMessage<'a>, KafkaError>;

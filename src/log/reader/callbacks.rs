//! librdkafka's callbacks on the poll thread: statistics, errors and rebalances.

use super::{Assignment, End, LogEvent, Sink};
use crate::clock;
use crate::log::connection::Connection;
use crate::log::record::TopicPartition;
use crate::log::report;
use crate::log::rights;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Statistics, TopicPartitionList};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The context that receives librdkafka's callbacks.
pub(in crate::log) struct Context {
    pub(super) sink: Sink,
    pub(super) epoch: Arc<AtomicU64>,
    /// The epoch of the last assignment or revocation that was reported. Only the poll thread writes and reads it.
    pub(super) reported_epoch: Arc<AtomicU64>,
    pub(super) connection: Connection,
    /// The ends of partitions. The poll thread reports them, completed with its own positions.
    pub(super) ends: Mutex<Vec<End>>,
    /// Kafka's authorizer has denied a request since the last check.
    pub(super) refused: AtomicBool,
    /// The time of the last failure of the connection.
    pub(super) disturbed: Mutex<Option<Instant>>,
}

/// The maximum age of a join request that Kafka executes late because it was unreachable.
const FORMER_JOIN_AGE_MAX: Duration = Duration::from_secs(600);

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        self.report_connection(&statistics);
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = End::all_of(&statistics);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        report::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if rights::is_refusal(error.rdkafka_error_code()) {
            self.refused.store(true, Ordering::Relaxed);
        }
        self.disturbed(&error);
        report::fault(&error, reason);
    }
}

impl ConsumerContext for Context {
    /// The default implementation ignores the result of `assign`, and its hooks lead to a second assignment.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assign(consumer, partitions);
        } else {
            self.revoke(consumer);
        }
    }
}

impl Context {
    /// Handles an error that the consumer has read.
    pub(super) fn failed(&self, error: &KafkaError) {
        let KafkaError::MessageConsumptionFatal(code) = error else {
            // The consumer waits for brokers and topics, which may come back.
            self.disturbed(error);
            report::fault(error, &format!("a temporary error while consuming: {error}"));
            return;
        };
        if *code == RDKafkaErrorCode::FencedInstanceId {
            let disturbed = *self.disturbed.lock().unwrap_or_else(PoisonError::into_inner);
            let was_disturbed = disturbed.is_some_and(|at| at.elapsed() < FORMER_JOIN_AGE_MAX);
            (self.sink)(LogEvent::Fenced { was_disturbed });
        } else {
            (self.sink)(LogEvent::Failed(format!("librdkafka reports a fatal error: {code}")));
        }
    }

    fn disturbed(&self, error: &KafkaError) {
        use RDKafkaErrorCode::{Fatal, FencedInstanceId, PartitionEOF};
        let code = error.rdkafka_error_code();
        if code.is_some_and(|code| [PartitionEOF, Fatal, FencedInstanceId].contains(&code)) {
            return;
        }
        *self.disturbed.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock::instant());
    }

    fn report_connection(&self, statistics: &Statistics) {
        if let Some(is_away) = self.connection.see(statistics) {
            (self.sink)(LogEvent::Away(is_away));
        }
    }

    fn next_epoch(&self) -> u64 {
        let epoch = self.epoch.fetch_add(1, Ordering::SeqCst) + 1;
        self.reported_epoch.store(epoch, Ordering::SeqCst);
        epoch
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        if let Err(error) = consumer.assign(partitions).and_then(|()| consumer.pause(partitions)) {
            (self.sink)(LogEvent::Failed(format!("the assignment can't be accepted: {error}")));
            return;
        }
        let epoch = self.next_epoch();
        let elements = partitions.elements();
        let place = |p: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            TopicPartition { topic: p.topic().into(), partition: p.partition() }
        };
        let places = elements.iter().map(place);
        (self.sink)(LogEvent::Assigned(Assignment { epoch, places: places.collect() }));
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>) {
        self.next_epoch();
        let (reply, answered) = sync_channel(1);
        (self.sink)(LogEvent::Revoked { lost: consumer.assignment_lost(), reply });
        // A dropped reply counts as an answer too: an unanswered revocation would block the consumer for ever.
        let _ = answered.recv();
        if let Err(error) = consumer.unassign() {
            (self.sink)(LogEvent::Failed(format!("the partitions can't be unassigned: {error}")));
        }
    }
}

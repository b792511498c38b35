//! The metrics of Kafka, its transactions, and the work that they commit.

use super::super::definitions as define;
use super::super::family::{Family, Maker};
use super::super::labels::TransactionErrorKind;
use super::{Metrics, add};
use prometheus::{Histogram, IntCounter, IntGauge};
use std::time::Duration;

pub(super) struct KafkaMetrics {
    reachable: IntGauge,
    partitions_assigned: IntGauge,
    rebalances: IntCounter,
    transaction_duration: Histogram,
    transaction_records: Histogram,
    transaction_errors: Family<TransactionErrorKind, IntCounter>,
    in_flight: IntGauge,
    in_flight_max: IntGauge,
    uncommitted: IntGauge,
    uncommitted_max: IntGauge,
}

impl KafkaMetrics {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        Self {
            reachable: make.gauge(&define::KAFKA_REACHABLE),
            partitions_assigned: make.gauge(&define::PARTITIONS_ASSIGNED),
            rebalances: make.counter(&define::REBALANCES),
            transaction_duration: make.histogram(&define::TRANSACTION_DURATION),
            transaction_records: make.histogram(&define::TRANSACTION_RECORDS_WRITTEN),
            transaction_errors: make.counters(&define::TRANSACTION_ERRORS),
            in_flight: make.gauge(&define::IN_FLIGHT),
            in_flight_max: make.gauge(&define::IN_FLIGHT_MAX),
            uncommitted: make.gauge(&define::UNCOMMITTED),
            uncommitted_max: make.gauge(&define::UNCOMMITTED_MAX),
        }
    }

    pub(super) fn show(&self, is_reachable: bool, partitions: usize) {
        self.reachable.set(i64::from(is_reachable));
        self.partitions_assigned.set(number(partitions));
    }
}

impl Metrics {
    /// Counts an assignment of partitions.
    pub fn rebalance(&self) {
        self.kafka.rebalances.inc();
    }

    /// Observes the time from the beginning of a transaction to its commit, and the number of its records.
    #[expect(clippy::cast_precision_loss, reason = "a batch has far fewer than 2^52 records")]
    pub fn transaction(&self, duration: Duration, records: usize) {
        self.kafka.transaction_duration.observe(duration.as_secs_f64());
        self.kafka.transaction_records.observe(records as f64);
    }

    /// Counts a failed transaction.
    pub fn transaction_error(&self, kind: TransactionErrorKind) {
        add(self.kafka.transaction_errors.at(kind), 1);
    }

    /// Sets the limits of unanswered requests and of uncommitted outcomes.
    pub fn set_limits(&self, in_flight: usize, uncommitted: usize) {
        self.kafka.in_flight_max.set(number(in_flight));
        self.kafka.uncommitted_max.set(number(uncommitted));
    }

    /// Sets the number of unanswered requests, and of outcomes that are not committed.
    pub fn set_in_flight(&self, in_flight: usize, uncommitted: usize) {
        self.kafka.in_flight.set(number(in_flight));
        self.kafka.uncommitted.set(number(uncommitted));
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

//! Logs librdkafka's messages at the appropriate level.

use super::away;
use crate::clock;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A client context that only logs.
pub(super) struct Reports;

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // A client with this context is never a member of a group, so it does not need this right.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed) {
            tracing::debug!(%error, reason, "no right on the group");
        } else {
            fault(&error, reason);
        }
    }
}

impl ConsumerContext for Reports {}

/// Logs one line of librdkafka's log.
pub(super) fn line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    if facility == "FAIL" {
        away::note_line(message);
    }
    // Each broken connection logs these many times, and the code that waits for Kafka logs the outage once. The code
    // that commits logs each failed transaction.
    let usual = ["FAIL", "ERROR", "CONFWARN", "TERMINATE", "TXNERR", "ADDPARTS", "ADDOFFSETS"]
        .contains(&facility);
    match level {
        // Each producer that is created for the next try repeats the message.
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical
            if is_due(message) =>
        {
            tracing::error!(facility, "{message}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning if !usual => {
            tracing::warn!(facility, "{message}")
        }
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning
        | RDKafkaLogLevel::Notice
        | RDKafkaLogLevel::Info
        | RDKafkaLogLevel::Debug => tracing::debug!(facility, "{message}"),
    }
}

/// Logs a fault that no call returns.
pub(super) fn fault(error: &KafkaError, reason: &str) {
    // The end of a partition is not a fault. A client that ends may leave this event unread.
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
        return;
    }
    if away::note(error.rdkafka_error_code(), reason) {
        tracing::debug!(%error, reason, "a broker can't be used");
    } else if is_due(reason) {
        tracing::warn!(%error, reason, "Kafka reports a fault");
    } else {
        tracing::debug!(%error, reason, "Kafka reports a fault");
    }
}

/// A lasting fault is reported at each try, and logged once in this time.
const REPEAT: Duration = Duration::from_secs(60);
/// The limit of distinct faults.
const FAULTS_MAX: usize = 64;

/// Returns whether `reason` is to be logged at a level for operators: it was not logged within the last minute. The
/// engine's events are counted and summed up in `engine/report/burst.rs` instead.
#[must_use]
pub fn is_due(reason: &str) -> bool {
    static SAID: Mutex<Vec<(String, Instant)>> = Mutex::new(Vec::new());
    // Every change is complete in itself, so that a panic elsewhere leaves nothing half done.
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    said.retain(|(_, at)| clock::since(*at) < REPEAT);
    let is_known = said.iter().any(|(known, _)| known == reason);
    if !is_known {
        // The list is bounded: the oldest entry is dropped first.
        if said.len() >= FAULTS_MAX {
            said.remove(0);
        }
        said.push((reason.to_owned(), clock::instant()));
    }
    !is_known
}

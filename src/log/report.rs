//! What librdkafka says, at the level at which somebody wants to hear it.

use super::away;
use crate::clock;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A context that only reports.
pub(super) struct Reports;

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Nobody who only reports is a member of a group, and so needs none.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed) {
            tracing::debug!(%error, reason, "the group can't be asked for");
        } else {
            fault(&error, reason);
        }
    }
}

impl ConsumerContext for Reports {}

/// One of librdkafka's own lines.
pub(super) fn line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    if facility == "FAIL" {
        away::note_line(message);
    }
    // Each broken connection says so many times over; whoever waits for Kafka says it once. So does whoever commits, of each
    // transaction that fails.
    let usual = ["FAIL", "ERROR", "CONFWARN", "TERMINATE", "TXNERR", "ADDPARTS", "ADDOFFSETS"]
        .contains(&facility);
    match level {
        // Each producer that is made for the next try says so again.
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

/// A fault that no call returns.
pub(super) fn fault(error: &KafkaError, reason: &str) {
    // The end of a partition is no fault; a client that ends may leave it unread.
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

/// A fault that lasts is reported at each try; it is said this often.
const REPEAT: Duration = Duration::from_secs(60);
/// So many faults are told apart.
const FAULTS_MAX: usize = 64;

/// Whether what `reason` names is to be logged for people: it was not, within the last minute. The engine's events are counted
/// and summed up in `engine/report/burst.rs` instead.
#[must_use]
pub fn is_due(reason: &str) -> bool {
    static SAID: Mutex<Vec<(String, Instant)>> = Mutex::new(Vec::new());
    // Every change is complete in itself, so that a panic elsewhere leaves nothing half done.
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    said.retain(|(_, at)| clock::since(*at) < REPEAT);
    let is_known = said.iter().any(|(known, _)| known == reason);
    if !is_known {
        // Nothing may fill the memory; what was said first is forgotten first.
        if said.len() >= FAULTS_MAX {
            said.remove(0);
        }
        said.push((reason.to_owned(), clock::instant()));
    }
    !is_known
}

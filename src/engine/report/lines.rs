//! The log lines about the results of records and deliveries.

use super::burst::{About, Bursts};
use crate::domain::{
    DeadLetterReason, Delivery, ErrorReason, Event, PhononUuid, SkippedRule, Source,
};
use crate::telemetry::mask;

/// Logs an event that an operator may look up by its uuid. Usual events are logged at level `debug`.
pub(super) fn log_event(uuid: &PhononUuid, event: &Event, bursts: &Bursts) {
    let phonon_uuid = uuid.as_str();
    match event {
        Event::DeadLettered { delivery, reason, .. } => {
            log_dead_letter(phonon_uuid, delivery, *reason, bursts);
        }
        Event::RecordDeadLettered { record, reason, detail } => {
            let Source { topic, partition, offset, .. } = &record.source;
            log_record(bursts, Some(phonon_uuid), (topic, *partition, *offset), *reason, detail);
        }
        Event::AttemptFailed { delivery, attempt, outcome, retry_at, .. } => {
            let error = outcome.error.as_deref().map(mask::text);
            let (reason, error) = (outcome.reason.map(ErrorReason::as_str), error.as_deref());
            let (status, again) = (outcome.status, retry_at.is_some());
            tracing::debug!(phonon_uuid, webhook_id = %delivery, attempt, reason, status, error, again, "an attempt failed");
        }
        Event::Delivered { delivery, attempt, outcome, .. } => {
            let (webhook, phase) = (delivery.webhook.as_str(), delivery.phase.number());
            let (status, duration_ms) = (outcome.status, outcome.duration_ms);
            tracing::debug!(phonon_uuid, webhook, webhook_id = %delivery.id, phase, attempt, status, duration_ms, "delivered");
        }
        Event::RecordIgnored(record) => {
            tracing::debug!(phonon_uuid, reason = record.reason.as_str(), "a record was ignored");
        }
        Event::Replayed { delivery } => {
            if !bursts.is_single(About::Replay, "") {
                return;
            }
            let (webhook, phase) = (delivery.webhook.as_str(), delivery.phase.number());
            let replays = delivery.replays;
            tracing::info!(phonon_uuid, webhook, webhook_id = %delivery.id, phase, replays, "a dead letter is sent again");
        }
        Event::ReportTimedOut { missing } => {
            if bursts.is_single(About::Timeout, "") {
                let missing = missing.len();
                tracing::info!(phonon_uuid, missing, "delivery reports did not arrive in time");
            }
        }
        Event::RuleSkipped(skipped) => log_rule(phonon_uuid, skipped, bursts),
        Event::FlowStarted { .. }
        | Event::FlowAccepted(_)
        | Event::FlowSilenced { .. }
        | Event::ReportAccepted { .. }
        | Event::ReportAdopted { .. }
        | Event::DeliveryScheduled { .. }
        | Event::DeliveryRendered { .. }
        | Event::OutcomeKept { .. }
        | Event::RuleDeferred(_)
        | Event::RuleJudged(_)
        | Event::StartExpired
        | Event::CollectionClosed(_)
        | Event::CorrelationEnded
        | Event::MarkerKept { .. }
        | Event::Gathering(_)
        | Event::MarkerExpired => {}
    }
}

/// Logs that a record became a dead letter, with its position and the reason. The line contains nothing of the record's
/// content.
pub(super) fn log_record(
    bursts: &Bursts,
    phonon_uuid: Option<&str>,
    (topic, partition, offset): (&str, i32, i64),
    reason: DeadLetterReason,
    detail: &str,
) {
    let reason = reason.as_str();
    if bursts.is_single(About::Record, reason) {
        let detail = mask::text(detail);
        let detail = detail.as_ref();
        tracing::warn!(
            phonon_uuid,
            topic,
            partition,
            offset,
            reason,
            detail,
            "a record became a dead letter"
        );
    }
}

fn log_dead_letter(
    phonon_uuid: &str,
    delivery: &Delivery,
    reason: DeadLetterReason,
    bursts: &Bursts,
) {
    if !bursts.is_single(About::Delivery, reason.as_str()) {
        return;
    }
    let outcome = delivery.last_outcome.as_ref();
    let error = outcome.and_then(|outcome| outcome.error.as_deref()).map(mask::text);
    tracing::warn!(
        phonon_uuid,
        webhook = delivery.webhook.as_str(),
        webhook_id = %delivery.id,
        phase = delivery.phase.number(),
        attempts = delivery.attempts,
        reason = reason.as_str(),
        status = outcome.and_then(|outcome| outcome.status),
        error = error.as_deref(),
        "a delivery became a dead letter"
    );
}

fn log_rule(phonon_uuid: &str, skipped: &SkippedRule, bursts: &Bursts) {
    if !bursts.is_single(About::Rule, skipped.reason.as_str()) {
        return;
    }
    let SkippedRule { webhook, trigger, reason, variable, .. } = skipped;
    let (webhook, reason) = (webhook.as_str(), reason.as_str());
    let (variable, trigger) = (variable.as_deref(), &**trigger);
    tracing::warn!(
        phonon_uuid,
        webhook,
        on = trigger,
        reason,
        variable,
        "a rule was skipped, so that its webhook is not sent"
    );
}

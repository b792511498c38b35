//! The engine's reports: metrics, health and log lines about work that is committed.

mod burst;
mod gauges;
mod lag;
mod lines;
mod unknown;

use super::dispatcher::Dispatcher;
use super::partitions::Partitions;
use super::work::{DeferredReport, Work, shown};
use crate::clock;
use crate::codec::event::{InputChange, InputEvent};
use crate::codec::row::TopicId;
use crate::domain::{
    EndpointEvent, Event, IgnoreReason, IgnoredRecord, PhononUuid, RecordKind, Source, WebhookName,
};
use crate::log::{End, Log};
use crate::store::Disk;
use crate::telemetry::{EndpointChange, Health, Metrics, SourceResult, Waiting};
use burst::Bursts;
use gauges::SetAt;
use lag::Lag;
use lines::{log_event, log_record};
use std::sync::Arc;
use std::time::Duration;
use unknown::UnknownStatuses;

/// Metrics, health and the lines of the log.
pub(super) struct Report {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    bursts: Bursts,
    unknown_statuses: UnknownStatuses,
    lag: Lag,
    set_at: SetAt,
}

impl Report {
    pub(super) fn new(metrics: Arc<Metrics>, health: Arc<Health>) -> Self {
        Self {
            metrics,
            health,
            bursts: Bursts::default(),
            unknown_statuses: UnknownStatuses::default(),
            lag: Lag::default(),
            set_at: SetAt::now(),
        }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// Returns metrics and health for another thread.
    pub(super) fn shared(&self) -> (Arc<Metrics>, Arc<Health>) {
        (self.metrics.clone(), self.health.clone())
    }

    /// Logs everything that was only counted, because the process ends.
    pub(super) fn finish(&self) {
        self.bursts.finish();
    }

    /// Reports a change of the rights that Kafka denies the reader. Without them it reads nothing, or can't join its
    /// group.
    pub(super) fn denied(&self, before: Option<String>, now: Option<String>) {
        if let Some(before) = before {
            self.health.resume(&Waiting::Other(before));
        }
        match now {
            Some(missing) => {
                tracing::warn!("waiting for rights in Kafka: {missing}; see ops/guide/rights.md");
                self.health.wait(Waiting::Other(missing));
            }
            None => tracing::info!("Kafka grants the missing rights again"),
        }
    }

    /// Keeps the ends of the inputs until the lag is shown.
    pub(super) fn note_ends(&mut self, ends: Vec<End>) {
        self.lag.note(ends);
    }

    /// Shows the uncommitted part of each input, and for how long it has existed.
    pub(super) fn show_lag<L: Log, D: Disk>(
        &mut self,
        partitions: &Partitions<L, D>,
        dispatcher: &Dispatcher,
    ) {
        self.lag.show(partitions, dispatcher, &self.metrics);
    }

    /// Reports a committed batch in metrics and logs.
    pub(super) fn committed(&self, work: &Work) {
        for report in &work.reports {
            match report {
                DeferredReport::Event(uuid, event) => {
                    self.event(uuid, event);
                    log_event(uuid, event, &self.bursts);
                }
                DeferredReport::ReportDelay(delay) => self.metrics.report_delay(*delay),
                DeferredReport::Endpoint(webhook, event) => self.endpoint(webhook, event),
                DeferredReport::Breaker(webhook, state) => {
                    self.metrics.endpoint_change(shown(*state).1);
                    let (webhook, breaker) = (webhook.as_str(), shown(*state).0.as_str());
                    tracing::info!(webhook, breaker, "an endpoint's breaker has changed");
                }
                DeferredReport::Input(event) => self.input(event),
                DeferredReport::Reload => {}
                DeferredReport::Forwarded(place) => {
                    self.metrics.source_record(&place.topic, SourceResult::Forwarded)
                }
                DeferredReport::Skipped(place) => {
                    self.metrics.source_record(&place.topic, SourceResult::Skipped)
                }
                DeferredReport::Bad { place, offset, reason, detail } => {
                    self.metrics.source_record(&place.topic, SourceResult::DeadLettered);
                    self.metrics.dead_record(*reason);
                    let place = (&*place.topic, place.partition, *offset);
                    log_record(&self.bursts, None, place, *reason, detail);
                }
            }
        }
    }

    fn event(&self, uuid: &PhononUuid, event: &Event) {
        match event {
            Event::FlowStarted { source, .. } => self.source(source, SourceResult::Accepted),
            Event::FlowAccepted(flow) => self.source(&flow.source, SourceResult::Accepted),
            Event::FlowSilenced { source, reason, .. } => self.ignored(source, *reason, false),
            Event::ReportAccepted { report, known, status } => {
                self.source(&report.source, SourceResult::Accepted);
                if !known {
                    let (metrics, bursts) = (&self.metrics, &self.bursts);
                    self.unknown_statuses.note(uuid.as_str(), status, metrics, bursts);
                }
            }
            Event::RecordIgnored(IgnoredRecord { source, reason, waited, .. }) => {
                self.ignored(source, *reason, *waited)
            }
            Event::RecordDeadLettered { record, reason, .. } => {
                self.metrics.dead_record(*reason);
                // A report that waited for its flow was counted when it was accepted.
                if record.sms.is_none() || record.kind != Some(RecordKind::Report) {
                    self.source(&record.source, SourceResult::DeadLettered);
                }
            }
            Event::Delivered { delivery, at, .. } => {
                // The record's time comes from another machine's clock.
                let delivered_at = clock::wall().minus_ms(clock::now().ms_since(*at));
                let latency = delivered_at.ms_since(delivery.source.timestamp);
                let latency = Duration::from_millis(latency);
                let of = (&delivery.webhook, delivery.phase);
                let trace = delivery.source.trace_id_of(delivery.id);
                self.metrics.delivered(of, trace, latency, delivered_at);
            }
            Event::DeadLettered { delivery, reason, .. } => {
                self.metrics.dead_delivery(&delivery.webhook, delivery.phase, *reason);
            }
            Event::Replayed { .. } => self.metrics.replay(),
            Event::ReportTimedOut { .. } => self.metrics.report_timeout(),
            Event::RuleSkipped(skipped) => self.metrics.rule_skipped(skipped.reason),
            Event::ReportAdopted { .. }
            | Event::DeliveryScheduled { .. }
            | Event::DeliveryRendered { .. }
            | Event::OutcomeKept { .. }
            | Event::RuleDeferred(_)
            | Event::RuleJudged(_)
            | Event::StartExpired
            | Event::CollectionClosed(_)
            | Event::AttemptFailed { .. }
            | Event::CorrelationEnded
            | Event::MarkerKept { .. }
            | Event::Gathering(_)
            | Event::MarkerExpired => {}
        }
    }

    fn input(&self, event: &InputEvent) {
        let InputEvent { topic, partition, change } = event;
        match change {
            InputChange::Recreated { former, id, former_offset, offset } => {
                self.metrics.input_recreated(topic);
                tracing::warn!(
                    topic = topic.as_ref(),
                    partition,
                    former_topic_id = former.as_ref().map(TopicId::as_str),
                    topic_id = id.as_ref().map(TopicId::as_str),
                    former_offset,
                    offset,
                    "the input topic was deleted and created again; it is read from this offset on; see ops/guide/inputs.md"
                );
            }
            InputChange::Missed { from, to } => {
                let records = to.saturating_sub(*from);
                self.metrics.records_missed(topic, u64::try_from(records).unwrap_or(0));
                tracing::error!(
                    topic = topic.as_ref(),
                    partition,
                    from_offset = from,
                    to_offset = to,
                    records,
                    "Kafka deleted records of the input before they were read; raise the topic's retention, or read faster; see \
                     ops/guide/inputs.md"
                );
            }
            // Commands that run while the daemon is stopped report it, too.
            InputChange::Moved { from, to, by } => {
                tracing::warn!(
                    topic = topic.as_ref(),
                    partition,
                    from_offset = from,
                    to_offset = to,
                    by = by.as_str(),
                    "the position of the input was moved; records that are read again are recognised and ignored; see \
                     ops/guide/offsets.md"
                );
            }
        }
    }

    fn endpoint(&self, webhook: &WebhookName, event: &EndpointEvent) {
        let webhook = webhook.as_str();
        match event {
            EndpointEvent::Held { until } => {
                self.metrics.endpoint_change(EndpointChange::Held);
                let for_ms = until.ms_since(clock::now());
                tracing::info!(webhook, for_ms, "an endpoint asks for a pause");
            }
            EndpointEvent::Disabled { disabled, .. } => {
                self.metrics.endpoint_change(EndpointChange::Disabled);
                let cause = disabled.cause.as_str();
                tracing::warn!(
                    webhook,
                    cause,
                    "an endpoint is disabled, and its deliveries become dead letters; once it works again, run `ringback \
                     webhook enable` and `ringback dead-letter replay`"
                );
            }
            EndpointEvent::Enabled => {
                self.metrics.endpoint_change(EndpointChange::Enabled);
                tracing::info!(webhook, "an endpoint is enabled in a partition");
            }
            EndpointEvent::NoticeDue { finding, .. } => {
                let finding = finding.kind().as_str();
                tracing::info!(webhook, finding, "the owner of an endpoint gets a notice");
            }
            EndpointEvent::DisabledElsewhere(_)
            | EndpointEvent::Failing { .. }
            | EndpointEvent::Recovered { .. }
            | EndpointEvent::Reported { .. }
            | EndpointEvent::LettersCounted(_) => {}
        }
    }

    fn source(&self, source: &Source, result: SourceResult) {
        self.metrics.source_record(&source.topic, result);
    }

    fn ignored(&self, source: &Source, reason: IgnoreReason, waited: bool) {
        self.metrics.record_ignored(reason);
        if !waited {
            self.source(source, SourceResult::Ignored);
        }
    }
}

//! What the engine tells about its work, once it is committed.

mod lines;

use super::Shell;
use super::ports::Log;
use super::work::{Told, Work, shown};
use crate::clock;
use crate::codec::event::{InputChange, InputEvent};
use crate::codec::row::TopicId;
use crate::domain::{
    EndpointEvent, Event, IgnoreReason, IgnoredRecord, RecordKind, Source, WebhookName,
};
use crate::telemetry::{
    CorrelationState, DeliveryResult, EndpointChange, EndpointState, OutboxState, SourceResult,
};
use lines::{log_event, log_record};
use std::collections::BTreeMap;
use std::time::Duration;

const REPORT_INTERVAL: Duration = Duration::from_secs(1);

impl<L: Log> Shell<L> {
    /// Tells metrics and logs what was committed.
    pub(super) fn tell(&self, work: &Work) {
        for told in &work.told {
            match told {
                Told::Event(uuid, event) => {
                    self.tell_event(event);
                    log_event(uuid, event, &self.bursts);
                }
                Told::Endpoint(webhook, event) => self.tell_endpoint(webhook, event),
                Told::Breaker(webhook, state) => {
                    self.metrics.endpoint_change(shown(*state).1);
                    let (webhook, breaker) = (webhook.as_str(), shown(*state).0.as_str());
                    tracing::info!(webhook, breaker, "an endpoint's breaker has changed");
                }
                Told::Input(event) => self.tell_input(event),
                Told::Reload => {}
                Told::Forwarded(place) => {
                    self.metrics.source_record(&place.topic, SourceResult::Forwarded)
                }
                Told::Bad { place, offset, reason, detail } => {
                    self.metrics.source_record(&place.topic, SourceResult::DeadLettered);
                    self.metrics.dead_letter(*reason);
                    log_record(
                        &self.bursts,
                        None,
                        (&place.topic, place.partition, *offset),
                        *reason,
                        detail,
                    );
                }
            }
        }
    }

    fn tell_event(&self, event: &Event) {
        match event {
            Event::FlowStarted { source, .. } => self.source(source, SourceResult::Accepted),
            Event::FlowAccepted(flow) => self.source(&flow.source, SourceResult::Accepted),
            Event::FlowSilenced { source, reason, .. } => self.ignored(source, *reason, false),
            Event::ReportAccepted { report, known, .. } => {
                self.source(&report.source, SourceResult::Accepted);
                if !known {
                    self.metrics.unknown_status();
                }
            }
            Event::RecordIgnored(IgnoredRecord { source, reason, waited, .. }) => {
                self.ignored(source, *reason, *waited)
            }
            Event::RecordDeadLettered { record, reason, .. } => {
                self.metrics.dead_letter(*reason);
                // A report that waited was counted when it was accepted.
                if record.sms.is_none() || record.kind != Some(RecordKind::Report) {
                    self.source(&record.source, SourceResult::DeadLettered);
                }
            }
            Event::Delivered { delivery, at, .. } => {
                self.metrics.delivery(delivery.phase, DeliveryResult::Delivered);
                // The record has its time from another machine's clock.
                let delivered_at = clock::wall().minus_ms(clock::now().ms_since(*at));
                let latency = delivered_at.ms_since(delivery.source.timestamp);
                let latency = Duration::from_millis(latency);
                self.metrics.delivery_latency(delivery.phase, latency);
            }
            Event::DeadLettered { delivery, reason, .. } => {
                self.metrics.delivery(delivery.phase, DeliveryResult::DeadLettered);
                self.metrics.dead_letter(*reason);
            }
            Event::Replayed { .. } => self.metrics.replay(),
            Event::ReportTimedOut { .. } => self.metrics.report_timeout(),
            Event::RuleSkipped(skipped) => self.metrics.rule_skipped(skipped.reason),
            Event::ReportAdopted { .. }
            | Event::DeliveryScheduled { .. }
            | Event::DeliveryRendered { .. }
            | Event::StartExpired
            | Event::CollectionClosed(_)
            | Event::AttemptFailed { .. }
            | Event::CorrelationEnded
            | Event::MarkerKept { .. }
            | Event::MarkerExpired => {}
        }
    }

    fn tell_input(&self, event: &InputEvent) {
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
            // Commands report it too, which run while the daemon does not.
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

    fn tell_endpoint(&self, webhook: &WebhookName, event: &EndpointEvent) {
        let webhook = webhook.as_str();
        match event {
            EndpointEvent::Held { until } => {
                self.metrics.endpoint_change(EndpointChange::Held);
                let for_ms = until.ms_since(clock::now());
                tracing::info!(webhook, for_ms, "an endpoint asks to be left alone");
            }
            EndpointEvent::Disabled { disabled, .. } => {
                self.metrics.endpoint_change(EndpointChange::Disabled);
                let cause = disabled.cause.as_str();
                tracing::warn!(
                    webhook,
                    cause,
                    "an endpoint is disabled and its deliveries are given up; once it is well, run `ringback webhook \
                     enable` and `ringback dead-letter replay`"
                );
            }
            EndpointEvent::Enabled => {
                self.metrics.endpoint_change(EndpointChange::Enabled);
                tracing::info!(webhook, "an endpoint is enabled in a partition");
            }
            EndpointEvent::DisabledElsewhere(_)
            | EndpointEvent::Failing { .. }
            | EndpointEvent::Recovered { .. } => {}
        }
    }

    /// The state of every configured endpoint; disabled, if it is in any partition of ours.
    fn endpoints(&self) -> BTreeMap<WebhookName, EndpointState> {
        let breakers = self.lanes.breakers().into_iter();
        let mut states: BTreeMap<WebhookName, EndpointState> =
            breakers.map(|(webhook, state)| (webhook, shown(state).0)).collect();
        for task in self.tasks.values() {
            for (webhook, _) in task.rows.endpoints().iter().filter(|(_, e)| e.disabled.is_some()) {
                if let Some(state) = states.get_mut(webhook) {
                    *state = EndpointState::Disabled;
                }
            }
        }
        states
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

    /// Sets the gauges, from what is counted as work is done.
    pub(super) fn report(&mut self) {
        if clock::since(self.reported_at) < REPORT_INTERVAL {
            return;
        }
        self.reported_at = clock::instant();
        self.bursts.report();
        let mut states = [0_u64; 4];
        let mut held = 0;
        let mut bytes = 0;
        for task in self.tasks.values() {
            let tally = task.rows.tally();
            for (sum, count) in
                states.iter_mut().zip([tally.awaiting_flow, tally.open, tally.silent, tally.ended])
            {
                *sum += count;
            }
            held += tally.held;
            bytes += task.rows.bytes();
        }
        let kinds = [
            CorrelationState::AwaitingFlow,
            CorrelationState::Open,
            CorrelationState::Silent,
            CorrelationState::Ended,
        ];
        for (kind, count) in kinds.into_iter().zip(states) {
            self.metrics.set_correlations(kind, signed(count));
        }
        let in_flight = self.lanes.in_flight() as u64;
        let (rows, in_hand) = self.outbox.counts();
        let ready = (in_hand as u64).saturating_sub(in_flight);
        let waiting = rows.saturating_sub(in_hand as u64);
        for (state, count) in [
            (OutboxState::InFlight, in_flight),
            (OutboxState::Ready, ready),
            (OutboxState::Waiting, waiting),
            (OutboxState::Held, held),
        ] {
            self.metrics.set_outbox_rows(state, signed(count));
        }
        self.metrics.set_endpoints(&self.endpoints());
        self.metrics.set_outbox_oldest(self.outbox.oldest());
        let overdue = self.outbox.overdue(&self.lanes.ready(), clock::now());
        self.metrics.set_outbox_overdue(overdue);
        self.metrics.set_store_bytes(bytes);
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

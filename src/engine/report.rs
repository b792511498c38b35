//! What the engine tells about its work, once it is committed.

use super::Engine;
use super::work::{Told, Work};
use crate::domain::{Event, IgnoreReason, IgnoredRecord, RecordKind, Source};
use crate::telemetry::{CorrelationState, DeliveryResult, OutboxState, SourceResult};
use std::time::{Duration, Instant};

const REPORT_INTERVAL: Duration = Duration::from_secs(1);

impl Engine {
    /// Tells metrics and logs what was committed.
    pub(super) fn tell(&self, work: &Work) {
        for told in &work.told {
            match told {
                Told::Event(event) => self.tell_event(event),
                Told::Forwarded(place) => {
                    self.metrics.source_record(&place.topic, SourceResult::Forwarded)
                }
                Told::Bad(place, reason) => {
                    self.metrics.source_record(&place.topic, SourceResult::DeadLettered);
                    self.metrics.dead_letter(*reason);
                }
            }
        }
    }

    fn tell_event(&self, event: &Event) {
        match event {
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
                if record.sms.is_none() || record.kind == Some(RecordKind::Flow) {
                    self.source(&record.source, SourceResult::DeadLettered);
                }
            }
            Event::Delivered { delivery, at, .. } => {
                self.metrics.delivery(delivery.phase, DeliveryResult::Delivered);
                let latency = Duration::from_millis(at.ms_since(delivery.source.timestamp));
                self.metrics.delivery_latency(delivery.phase, latency);
            }
            Event::DeadLettered { delivery, reason, .. } => {
                self.metrics.delivery(delivery.phase, DeliveryResult::DeadLettered);
                self.metrics.dead_letter(*reason);
            }
            Event::ReportTimedOut { .. } => self.metrics.report_timeout(),
            Event::ReportAdopted { .. }
            | Event::DeliveryScheduled { .. }
            | Event::CollectionClosed(_)
            | Event::AttemptFailed { .. }
            | Event::CorrelationEnded
            | Event::MarkerKept { .. }
            | Event::MarkerExpired => {}
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

    /// Sets the gauges, from what is counted as work is done.
    pub(super) fn report(&mut self) {
        if self.reported_at.elapsed() < REPORT_INTERVAL {
            return;
        }
        self.reported_at = Instant::now();
        let mut states = [0_u64; 4];
        let mut held = 0;
        let mut bytes = 0;
        for task in self.tasks.values() {
            let tally = task.checkpoint.tally;
            for (sum, count) in
                states.iter_mut().zip([tally.awaiting_flow, tally.open, tally.silent, tally.ended])
            {
                *sum += count;
            }
            held += tally.held;
            bytes += task.partition.bytes();
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
        self.metrics.set_outbox_oldest(self.oldest_due());
        self.metrics.set_store_bytes(bytes);
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

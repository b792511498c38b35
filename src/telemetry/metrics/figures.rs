//! The figures for the console's charts.

use super::Metrics;
use crate::domain::{DeadLetterReason, Phase, WebhookName};
use crate::telemetry::labels::{DeliveryResult, OutboxState};
use crate::telemetry::sample::{Sample, WebhookFigures};
use prometheus::IntGauge;
use std::collections::HashMap;

fn value(gauge: &IntGauge) -> u64 {
    u64::try_from(gauge.get()).unwrap_or_default()
}

impl Metrics {
    /// Returns the figures of the instance at this time.
    #[must_use]
    pub fn sample(&self) -> Sample {
        let delivered = |result: DeliveryResult| {
            let counts = Phase::ALL.into_iter().filter_map(|it| self.deliveries.at((it, result)));
            counts.map(|count| count.get()).sum()
        };
        let records = self.source_topics.iter().flat_map(|(_, counts)| counts.all());
        let outbox = OutboxState::ALL
            .iter()
            .map(|state| (*state, self.outbox_rows.at(*state).map(value).unwrap_or_default()));
        let letters = DeadLetterReason::ALL.iter().map(|reason| {
            (*reason, value(&self.dead_letters_open.with_label_values(&[reason.as_str()])))
        });
        let are_counted = self.letters_are_counted();
        Sample {
            records: records.map(|count| count.get()).sum(),
            attempts: self.attempts.all().iter().map(|count| count.get()).sum(),
            delivered: delivered(DeliveryResult::Delivered),
            dead_lettered: delivered(DeliveryResult::DeadLettered),
            outbox: outbox.collect(),
            awaiting_reports: value(&self.awaiting_reports),
            open_letters: if are_counted { letters.collect() } else { Vec::new() },
        }
    }

    /// Returns the figures of the webhooks that have series of their own.
    #[must_use]
    pub fn webhook_figures(&self) -> HashMap<WebhookName, WebhookFigures> {
        self.webhooks.figures()
    }
}

//! The counts and gauges of one webhook, or of several together.

use super::{counted, dead_letter, define, labelled, measured};
use crate::domain::{DeadLetterReason, Phase, Timestamp};
use crate::telemetry::definitions::{Definition, WEBHOOK_LATENCY_SECONDS};
use crate::telemetry::labels::{AttemptOutcome, DeliveryResult, EndpointState, Label, Try};
use crate::telemetry::sample::WebhookFigures;
use prometheus::proto::{Bucket, Histogram, Metric};
use std::collections::BTreeMap;
use std::time::Duration;

/// Receives each metric with its definition.
type Add<'a> = &'a mut dyn FnMut(&Definition, Metric);

/// Everything that is counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Series {
    attempts: [[u64; AttemptOutcome::COUNT]; Try::COUNT],
    deliveries: [u64; DeliveryResult::COUNT],
    /// The observations of each bucket, and of `+Inf`; not cumulative.
    latency: [u64; WEBHOOK_LATENCY_SECONDS.len() + 1],
    latency_sum: f64,
    dead_letters: BTreeMap<(Phase, DeadLetterReason), u64>,
}

impl Series {
    pub(super) fn attempt(&mut self, attempt: Try, outcome: AttemptOutcome) {
        let counts = self.attempts.get_mut(attempt.index());
        if let Some(count) = counts.and_then(|counts| counts.get_mut(outcome.index())) {
            *count += 1;
        }
    }

    fn delivery(&mut self, result: DeliveryResult) {
        if let Some(count) = self.deliveries.get_mut(result.index()) {
            *count += 1;
        }
    }

    pub(super) fn delivered(&mut self, latency: Duration) {
        self.delivery(DeliveryResult::Delivered);
        let seconds = latency.as_secs_f64();
        self.latency_sum += seconds;
        let bucket = WEBHOOK_LATENCY_SECONDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.latency.get_mut(bucket) {
            *count += 1;
        }
    }

    pub(super) fn dead_lettered(&mut self, phase: Phase, reason: DeadLetterReason) {
        self.delivery(DeliveryResult::DeadLettered);
        *self.dead_letters.entry((phase, reason)).or_default() += 1;
    }

    /// Shows this dead letter with the count 0 from the start.
    pub(super) fn foresee(&mut self, phase: Phase, reason: DeadLetterReason) {
        self.dead_letters.entry((phase, reason)).or_default();
    }

    /// Returns the counts. The gauges are 0.
    pub(super) fn figures(&self) -> WebhookFigures {
        let success = AttemptOutcome(None).index();
        let delivered: u64 = self.latency.iter().sum();
        let result = |result: DeliveryResult| {
            self.deliveries.get(result.index()).copied().unwrap_or_default()
        };
        #[expect(clippy::cast_precision_loss, reason = "a mean has fewer digits")]
        let mean = (delivered > 0).then(|| self.latency_sum / delivered as f64);
        WebhookFigures {
            attempts: self.attempts.iter().flatten().sum(),
            succeeded: self.attempts.iter().filter_map(|counts| counts.get(success)).sum(),
            delivered: result(DeliveryResult::Delivered),
            dead_lettered: result(DeliveryResult::DeadLettered),
            mean_latency: mean.and_then(|mean| Duration::try_from_secs_f64(mean).ok()),
            ..WebhookFigures::default()
        }
    }

    /// Adds the counts of `others`.
    pub(super) fn absorb(&mut self, others: &Self) {
        let add = |to: &mut [u64], from: &[u64]| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        };
        for (to, from) in self.attempts.iter_mut().zip(&others.attempts) {
            add(to, from);
        }
        add(&mut self.deliveries, &others.deliveries);
        add(&mut self.latency, &others.latency);
        self.latency_sum += others.latency_sum;
        for (letter, count) in &others.dead_letters {
            *self.dead_letters.entry(*letter).or_default() += count;
        }
    }

    /// Passes all counts to `add`. Outcomes that did not occur are left out, except success.
    pub(super) fn expose(&self, webhook: &str, add: Add<'_>) {
        let outcomes = AttemptOutcome::words();
        for (attempt, counts) in Try::ALL.iter().zip(&self.attempts) {
            for (count, outcome) in counts.iter().zip(&outcomes) {
                let outcome = outcome.first().map_or("", AsRef::as_ref);
                let labels =
                    [("outcome", outcome), ("try", attempt.as_str()), ("webhook", webhook)];
                if *count > 0 || outcome == "success" {
                    add(&define::WEBHOOK_ATTEMPTS, counted(&labels, *count));
                }
            }
        }
        for (result, count) in DeliveryResult::ALL.iter().zip(self.deliveries) {
            let labels = [("result", result.as_str()), ("webhook", webhook)];
            add(&define::WEBHOOK_DELIVERIES, counted(&labels, count));
        }
        add(&define::WEBHOOK_LATENCY, self.latency(webhook));
        for ((phase, reason), count) in &self.dead_letters {
            let metric = dead_letter("delivery", *reason, Some(*phase), webhook, *count);
            add(&define::DEAD_LETTERS, metric);
        }
    }

    fn latency(&self, webhook: &str) -> Metric {
        let (mut histogram, mut cumulative) = (Histogram::default(), 0);
        let mut buckets = Vec::with_capacity(WEBHOOK_LATENCY_SECONDS.len());
        for (bound, count) in WEBHOOK_LATENCY_SECONDS.iter().zip(self.latency) {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(cumulative);
            buckets.push(bucket);
        }
        histogram.set_bucket(buckets);
        histogram.set_sample_count(self.latency.iter().sum());
        histogram.set_sample_sum(self.latency_sum);
        let mut metric = labelled(&[("webhook", webhook)]);
        metric.set_histogram(histogram);
        metric
    }
}

/// Everything that goes up and down.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Gauges {
    pub(super) rows: u64,
    pub(super) rate_limited: u64,
    pub(super) held: u64,
    pub(super) oldest: Option<Timestamp>,
    pub(super) state: EndpointState,
}

impl Gauges {
    /// Adds the load of another webhook.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.rows += other.rows;
        self.rate_limited += other.rate_limited;
        self.held += other.held;
        self.oldest = self.oldest.into_iter().chain(other.oldest).min();
    }

    #[expect(clippy::cast_precision_loss, reason = "the format's numbers are floats")]
    pub(super) fn expose(&self, webhook: &str, now: Timestamp, add: Add<'_>) {
        let age = self.oldest.map_or(0, |oldest| now.ms_since(oldest));
        for (definition, value) in [
            (&define::WEBHOOK_BACKLOG, self.rows as f64),
            (&define::WEBHOOK_OLDEST, Duration::from_millis(age).as_secs_f64()),
            (&define::WEBHOOK_RATE_LIMITED, self.rate_limited as f64),
            (&define::WEBHOOK_HELD, self.held as f64),
        ] {
            add(definition, measured(&[("webhook", webhook)], value));
        }
    }

    /// Passes the state to `add`. Several webhooks together have none.
    pub(super) fn expose_state(&self, webhook: &str, add: Add<'_>) {
        let state = f64::from(self.state as u8);
        add(&define::WEBHOOK_STATE, measured(&[("webhook", webhook)], state));
        add(&define::BREAKER_STATE, measured(&[("endpoint", webhook)], state));
    }
}

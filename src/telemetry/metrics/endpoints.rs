//! The metrics of endpoints and webhooks.

use super::{EndpointState, Metrics, WebhookLoad, add, set};
use crate::domain::{DeadLetterReason, Outcome, Phase, Timestamp, WebhookName};
use crate::telemetry::labels::{AttemptOutcome, DeliveryResult, Try};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

impl Metrics {
    /// Sets the states of all endpoints, and the loads of their webhooks. `all` are their names, and `states` has those
    /// that are not closed.
    pub fn set_endpoints<'a>(
        &self,
        all: impl ExactSizeIterator<Item = &'a WebhookName>,
        is_configured: impl Fn(&WebhookName) -> bool,
        states: &BTreeMap<WebhookName, EndpointState>,
        loads: &[WebhookLoad],
    ) {
        for state in EndpointState::ALL {
            let count = match state {
                EndpointState::Closed => all.len().saturating_sub(states.len()),
                EndpointState::HalfOpen | EndpointState::Open | EndpointState::Disabled => {
                    states.values().filter(|other| *other == state).count()
                }
            };
            set(self.endpoints.at(*state), i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.webhooks.refresh(all, is_configured, loads, states, Instant::now());
    }

    /// Counts a finished attempt with its trace and its number, which counts from 1, and observes its duration.
    pub fn attempt(
        &self,
        (webhook, phase): (&WebhookName, Phase),
        (trace, number): (u128, u32),
        outcome: &Outcome,
        at: Timestamp,
    ) {
        add(self.attempts.at((phase, AttemptOutcome(outcome.reason))), 1);
        let seconds = Duration::from_millis(outcome.duration_ms).as_secs_f64();
        self.attempt_duration.observe(seconds, trace, at);
        let attempt = if number <= 1 { Try::First } else { Try::Retry };
        self.webhooks.attempt(webhook, attempt, outcome, at);
    }

    /// Counts a delivered webhook with its trace, and observes its latency, which counts from its source record's
    /// timestamp.
    pub fn delivered(
        &self,
        (webhook, phase): (&WebhookName, Phase),
        trace: u128,
        latency: Duration,
        at: Timestamp,
    ) {
        add(self.deliveries.at((phase, DeliveryResult::Delivered)), 1);
        if let Some(histogram) = self.delivery_latency(phase) {
            histogram.observe(latency.as_secs_f64(), trace, at);
        }
        self.webhooks.delivered(webhook, latency);
    }

    /// Counts a delivery that became a dead letter.
    pub fn dead_delivery(&self, webhook: &WebhookName, phase: Phase, reason: DeadLetterReason) {
        add(self.deliveries.at((phase, DeliveryResult::DeadLettered)), 1);
        self.webhooks.dead_delivery(webhook, phase, reason);
    }

    /// Counts a record that became a dead letter.
    pub fn dead_record(&self, reason: DeadLetterReason) {
        self.webhooks.dead_record(reason);
    }
}

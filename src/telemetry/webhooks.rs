//! The series of single webhooks. The busiest have series of their own; all others share one.
//!
//! A webhook counts in its own series while it has them, otherwise in those of all others. When a busier webhook takes
//! its place, its counts are added to those of all others. So nothing is lost, and the sum over all series is always the
//! count of the instance.

mod series;
mod table;

pub use table::WebhookLoad;

use super::definitions::{self as define, Definition, MetricKind};
use super::family::sound;
use super::labels::{AttemptOutcome, EndpointState, Try};
use super::sample::{LastFailure, WebhookFigures};
use crate::domain::{DeadLetterReason, Outcome, Phase, Timestamp, WebhookName};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use series::{Gauges, Series};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use table::Table;

/// The label of all webhooks that have no series of their own. A webhook of this name never has some.
const OTHER: &str = "other";

const DEFINITIONS: [&Definition; 10] = [
    &define::WEBHOOK_ATTEMPTS,
    &define::WEBHOOK_DELIVERIES,
    &define::WEBHOOK_LATENCY,
    &define::WEBHOOK_BACKLOG,
    &define::WEBHOOK_OLDEST,
    &define::WEBHOOK_RATE_LIMITED,
    &define::WEBHOOK_HELD,
    &define::WEBHOOK_STATE,
    &define::BREAKER_STATE,
    &define::DEAD_LETTERS,
];

/// The series of the webhooks of an instance, and the dead letters.
#[derive(Clone)]
pub(super) struct Webhooks(Arc<Mutex<Table>>);

impl Webhooks {
    /// Creates them for at most `shown_max` webhooks with series of their own.
    pub(super) fn new(shown_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Table::new(shown_max))))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn attempt(
        &self,
        webhook: &WebhookName,
        attempt: Try,
        outcome: &Outcome,
        at: Timestamp,
    ) {
        let Outcome { reason, status, .. } = *outcome;
        let mut table = self.lock();
        table.count(webhook, 1.0, |series| series.attempt(attempt, AttemptOutcome(reason)));
        if let Some(reason) = reason {
            table.note_failure(webhook, LastFailure { at, reason, status });
        }
    }

    /// Returns the figures of the webhooks that have series of their own.
    pub(super) fn figures(&self) -> HashMap<WebhookName, WebhookFigures> {
        let table = self.lock();
        let shown = table.exposed.shown.iter();
        shown.map(|(webhook, shown)| (webhook.clone(), shown.figures())).collect()
    }

    pub(super) fn delivered(&self, webhook: &WebhookName, latency: Duration) {
        self.lock().count(webhook, 0.0, |series| series.delivered(latency));
    }

    pub(super) fn dead_delivery(
        &self,
        webhook: &WebhookName,
        phase: Phase,
        reason: DeadLetterReason,
    ) {
        self.lock().count(webhook, 0.0, |series| series.dead_lettered(phase, reason));
    }

    pub(super) fn dead_record(&self, reason: DeadLetterReason) {
        self.lock().dead_record(reason);
    }

    /// Sets the gauges, and selects the webhooks that have series of their own. `all` are the configured webhooks, and
    /// `states` has the endpoints that are not closed.
    pub(super) fn refresh<'a>(
        &self,
        all: impl Iterator<Item = &'a WebhookName>,
        is_configured: impl Fn(&WebhookName) -> bool,
        loads: &[WebhookLoad],
        states: &BTreeMap<WebhookName, EndpointState>,
        now: Instant,
    ) {
        let mut table = self.lock();
        table.select(all, is_configured, loads, now);
        table.set_gauges(loads, states);
    }

    /// Fixes the time at which ages are shown.
    pub(super) fn at(&self, now: Timestamp) {
        self.lock().exposed.now = now;
    }
}

impl Collector for Webhooks {
    fn desc(&self) -> Vec<&Desc> {
        DESCRIPTIONS.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // A copy, because attempts wait for the lock.
        let table = self.lock().exposed.clone();
        let mut exposed: HashMap<&'static str, Vec<Metric>> = HashMap::new();
        let mut add = |definition: &Definition, metric| {
            exposed.entry(definition.name).or_default().push(metric);
        };
        for (webhook, shown) in &table.shown {
            let webhook = webhook.as_str();
            shown.series.expose(webhook, &mut add);
            shown.gauges.expose(webhook, table.now, &mut add);
            shown.gauges.expose_state(webhook, &mut add);
        }
        table.other.expose(OTHER, &mut add);
        table.other_gauges.expose(OTHER, table.now, &mut add);
        for (reason, count) in &table.dead_records {
            add(&define::DEAD_LETTERS, dead_letter("record", *reason, None, "", *count));
        }
        DEFINITIONS
            .iter()
            .map(|definition| {
                let mut family = MetricFamily::default();
                family.set_name(definition.name.to_owned());
                family.set_help(definition.help.to_owned());
                family.set_field_type(match definition.kind {
                    MetricKind::Counter => MetricType::COUNTER,
                    MetricKind::Gauge => MetricType::GAUGE,
                    MetricKind::Histogram => MetricType::HISTOGRAM,
                });
                family.set_metric(exposed.remove(definition.name).unwrap_or_default());
                family
            })
            .collect()
    }
}

static DESCRIPTIONS: std::sync::LazyLock<Vec<Desc>> = std::sync::LazyLock::new(|| {
    let description = |definition: &&Definition| {
        let labels = definition.labels.iter().map(|label| (*label).to_owned()).collect();
        let (name, help) = (definition.name.to_owned(), definition.help.to_owned());
        sound(Desc::new(name, help, labels, HashMap::new()))
    };
    DEFINITIONS.iter().map(description).collect()
});

/// Returns a metric without a value. Labels are sorted by name, as the library does it.
fn labelled(labels: &[(&str, &str)]) -> Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    Metric::from_label(labels.iter().map(pair).collect())
}

#[expect(clippy::cast_precision_loss, reason = "the format's numbers are floats")]
fn counted(labels: &[(&str, &str)], count: u64) -> Metric {
    let (mut metric, mut counter) = (labelled(labels), Counter::default());
    counter.set_value(count as f64);
    metric.set_counter(counter);
    metric
}

fn measured(labels: &[(&str, &str)], value: f64) -> Metric {
    let (mut metric, mut gauge) = (labelled(labels), Gauge::default());
    gauge.set_value(value);
    metric.set_gauge(gauge);
    metric
}

/// Returns the count of dead letters of a kind.
fn dead_letter(
    kind: &str,
    reason: DeadLetterReason,
    phase: Option<Phase>,
    webhook: &str,
    count: u64,
) -> Metric {
    let labels = [
        ("kind", kind),
        ("phase", phase.map_or("", Phase::as_str)),
        ("reason", reason.as_str()),
        ("webhook", webhook),
    ];
    counted(&labels, count)
}

//! The metrics of a daemon, with one typed call per occurrence.

mod accounts;
mod configuration;
mod endpoints;
mod figures;
mod kafka;
mod store;
mod traces;

pub use store::{Stalls, StoreCondition};

use super::definitions as define;
use super::exemplars::{Exemplar, TracedHistogram};
use super::exposition::Shown;
use super::family::{Family, Maker, sound};
use super::keyed::Keyed;
use super::labels::{
    AttemptOutcome, ClockJump, ConfigPart, CorrelationState, DeliveryResult, EndpointChange,
    EndpointState, Label, LookUpFailure, OutboxState, ReloadResult, ShortageKind, SourceResult,
};
use super::output;
use super::process::Process;
use super::render::Format;
use super::since::{NEVER, Since, age};
use super::webhooks::{WebhookLoad, Webhooks};
use crate::domain::{DeadLetterReason, IgnoreReason, Phase, SkipReason, Timestamp};
use accounts::AccountMetrics;
use kafka::KafkaMetrics;
use prometheus::proto::Metric;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Registry,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::StoreMetrics;

/// The label of a topic that was not known at the start.
const OTHER_TOPIC: &str = "other";

/// The Unix epoch, 1970.
const EPOCH: Timestamp = Timestamp::from_ms(0);

/// All metrics of one daemon.
pub struct Metrics {
    registry: Registry,
    build_info: IntGaugeVec,
    ready: IntGauge,
    source_topics: Vec<(String, Family<SourceResult, IntCounter>)>,
    source_records: IntCounterVec,
    records_missed: IntCounterVec,
    inputs_recreated: IntCounterVec,
    records_ignored: Family<IgnoreReason, IntCounter>,
    reports_ignored: Family<IgnoreReason, IntCounter>,
    unknown_statuses: IntCounter,
    unknown_status_words: IntCounterVec,
    report_timeouts: IntCounter,
    awaiting_reports: IntGauge,
    awaiting_reports_oldest: Since,
    report_delay: Histogram,
    rules_skipped: Family<SkipReason, IntCounter>,
    correlations: Family<CorrelationState, IntGauge>,
    outbox_rows: Family<OutboxState, IntGauge>,
    outbox_oldest: Since,
    outbox_overdue: Since,
    deliveries: Family<(Phase, DeliveryResult), IntCounter>,
    /// By phase, in the order of its values.
    delivery_latency: Vec<TracedHistogram>,
    attempts: Family<(Phase, AttemptOutcome), IntCounter>,
    attempt_duration: TracedHistogram,
    webhooks: Webhooks,
    dead_letters_open: IntGaugeVec,
    dead_letters_oldest: GaugeVec,
    /// The time of the oldest open dead letter, if they were counted.
    dead_letters_since: Mutex<Option<i64>>,
    replays: IntCounter,
    rate_limited: IntCounter,
    exchanges_repeated: IntCounter,
    look_ups_failed: Family<LookUpFailure, IntCounter>,
    own_shortages: Family<ShortageKind, IntCounter>,
    endpoints: Family<EndpointState, IntGauge>,
    endpoint_changes: Family<EndpointChange, IntCounter>,
    kafka: KafkaMetrics,
    consumer_lag: IntGaugeVec,
    consumer_lag_seconds: GaugeVec,
    unread_since: Mutex<BTreeMap<(String, i32), i64>>,
    partition_stalled: GaugeVec,
    partitions_shown: Mutex<BTreeSet<i32>>,
    restore_records: IntCounter,
    restore_remaining: IntGaugeVec,
    config_reloads: Family<ReloadResult, IntCounter>,
    config_reloaded: IntGauge,
    config_reloaded_at: Gauge,
    config_hash: Family<ConfigPart, IntGauge>,
    config_restart: IntGauge,
    accounts: AccountMetrics,
    clock_jumps: Family<ClockJump, IntCounter>,
    log_lines_lost: IntCounter,
    spans_exported: IntCounter,
    spans_dropped: IntCounter,
    store: StoreMetrics,
    certificates: Keyed,
}

impl Metrics {
    /// Creates the metrics of a daemon that reads `topics`, without series of single webhooks.
    #[must_use]
    pub fn new(topics: &[String]) -> Arc<Self> {
        Self::with_webhooks(topics, 0)
    }

    /// Creates the metrics of a daemon that reads `topics`, with series of their own for at most `webhooks_max`
    /// webhooks.
    #[must_use]
    pub fn with_webhooks(topics: &[String], webhooks_max: usize) -> Arc<Self> {
        let registry = Registry::new();
        let make = Maker(&registry);
        let process: Box<dyn prometheus::core::Collector> = Box::new(Process::default());
        sound(registry.register(process));
        let webhooks = Webhooks::new(webhooks_max);
        sound(registry.register(Box::new(webhooks.clone())));
        let latency = make.histogram_vec(&define::DELIVERY_LATENCY);
        let of_phase = |phase: Phase| traced(&define::DELIVERY_LATENCY, of_phase(&latency, phase));
        let attempt_duration = make.histogram(&define::ATTEMPT_DURATION);
        let source_records = make.counter_vec(&define::SOURCE_RECORDS);
        let of_topic = |topic: &String| (topic.clone(), Family::resolve(&source_records, &[topic]));
        let metrics = Self {
            build_info: make.gauge_vec(&define::BUILD_INFO),
            ready: make.gauge(&define::READY),
            source_topics: topics.iter().map(of_topic).collect(),
            records_missed: make.counter_vec(&define::RECORDS_MISSED),
            inputs_recreated: make.counter_vec(&define::INPUTS_RECREATED),
            records_ignored: make.counters(&define::RECORDS_IGNORED),
            reports_ignored: make.counters(&define::REPORTS_IGNORED),
            unknown_statuses: make.counter(&define::UNKNOWN_STATUSES),
            unknown_status_words: make.counter_vec(&define::UNKNOWN_STATUS_WORDS),
            report_timeouts: make.counter(&define::REPORT_TIMEOUTS),
            awaiting_reports: make.gauge(&define::AWAITING_REPORTS),
            awaiting_reports_oldest: Since::new(make.seconds(&define::AWAITING_REPORTS_OLDEST)),
            report_delay: make.histogram(&define::REPORT_DELAY),
            rules_skipped: make.counters(&define::RULES_SKIPPED),
            correlations: make.gauges(&define::CORRELATIONS),
            outbox_rows: make.gauges(&define::OUTBOX_ROWS),
            outbox_oldest: Since::new(make.seconds(&define::OUTBOX_OLDEST)),
            outbox_overdue: Since::new(make.seconds(&define::OUTBOX_OVERDUE)),
            deliveries: make.counters(&define::DELIVERIES),
            delivery_latency: Phase::ALL.map(of_phase).into(),
            attempts: make.counters(&define::ATTEMPTS),
            attempt_duration: traced(&define::ATTEMPT_DURATION, attempt_duration),
            dead_letters_open: make.gauge_vec(&define::DEAD_LETTERS_OPEN),
            dead_letters_oldest: make.float_vec(&define::DEAD_LETTERS_OLDEST),
            dead_letters_since: Mutex::default(),
            replays: make.counter(&define::REPLAYS),
            rate_limited: make.counter(&define::RATE_LIMITED),
            exchanges_repeated: make.counter(&define::EXCHANGES_REPEATED),
            look_ups_failed: make.counters(&define::LOOK_UPS_FAILED),
            own_shortages: make.counters(&define::OWN_SHORTAGES),
            endpoints: make.gauges(&define::ENDPOINTS),
            endpoint_changes: make.counters(&define::ENDPOINT_CHANGES),
            kafka: KafkaMetrics::new(&make),
            consumer_lag: make.gauge_vec(&define::CONSUMER_LAG),
            consumer_lag_seconds: make.float_vec(&define::CONSUMER_LAG_SECONDS),
            unread_since: Mutex::default(),
            partition_stalled: make.float_vec(&define::PARTITION_STALLED),
            partitions_shown: Mutex::default(),
            restore_records: make.counter(&define::RESTORE_RECORDS),
            restore_remaining: make.gauge_vec(&define::RESTORE_REMAINING),
            config_reloads: make.counters(&define::CONFIG_RELOADS),
            config_reloaded: make.gauge(&define::CONFIG_RELOADED),
            config_reloaded_at: make.seconds(&define::CONFIG_RELOADED_AT),
            config_hash: make.gauges(&define::CONFIG_HASH),
            config_restart: make.gauge(&define::CONFIG_RESTART),
            accounts: AccountMetrics::new(&make),
            clock_jumps: make.counters(&define::CLOCK_JUMPS),
            log_lines_lost: make.counter(&define::LOG_LINES_LOST),
            spans_exported: make.counter(&define::SPANS_EXPORTED),
            spans_dropped: make.counter(&define::SPANS_DROPPED),
            store: StoreMetrics::new(&make),
            certificates: Keyed::new(make.float_vec(&define::CERTIFICATE_EXPIRY)),
            webhooks,
            source_records,
            registry,
        };
        metrics.begin(topics);
        Arc::new(metrics)
    }

    /// Creates the series whose labels are known from the start.
    fn begin(&self, topics: &[String]) {
        // An alert on the increase needs a series with 0 before the first loss.
        for topic in topics {
            self.records_missed(topic, 0);
        }
        self.identify("", "");
    }

    /// Sets the instance and the group that the metrics name.
    pub fn identify(&self, instance_id: &str, group_id: &str) {
        self.build_info.reset();
        self.build_info.with_label_values(&build(instance_id, group_id)).set(1);
    }

    /// Counts a processed record of `topic`.
    pub fn source_record(&self, topic: &str, result: SourceResult) {
        self.source_records(topic, result, 1);
    }

    /// Counts `count` processed records of `topic` that have the same result.
    pub fn source_records(&self, topic: &str, result: SourceResult, count: u64) {
        match self.source_topics.iter().find(|(name, _)| name == topic) {
            Some((_, family)) => add(family.at(result), count),
            // All topics are known at the start. An unknown one is counted under a label of the closed set.
            None => {
                self.source_records.with_label_values(&[OTHER_TOPIC, result.as_str()]).inc_by(count)
            }
        }
    }

    /// Counts `records` records of `topic` that Kafka deleted before they were read.
    pub fn records_missed(&self, topic: &str, records: u64) {
        self.records_missed.with_label_values(&[topic]).inc_by(records);
    }

    /// Counts a partition of `topic` that is read from its beginning because the topic was created again.
    pub fn input_recreated(&self, topic: &str) {
        self.inputs_recreated.with_label_values(&[topic]).inc();
    }

    /// Counts a source record that changed nothing.
    pub fn record_ignored(&self, reason: IgnoreReason) {
        add(self.records_ignored.at(reason), 1);
        add(self.reports_ignored.at(reason), 1);
    }

    /// Counts a report whose status is not in the status table. The caller limits the number of words and their length.
    pub fn unknown_status(&self, word: &str) {
        self.unknown_statuses.inc();
        self.unknown_status_words.with_label_values(&[word]).inc();
    }

    /// Sets the number of flows that wait for reports, and when the oldest was accepted.
    pub fn set_awaiting_reports(&self, flows: u64, oldest: Option<Timestamp>) {
        self.awaiting_reports.set(i64::try_from(flows).unwrap_or(i64::MAX));
        self.awaiting_reports_oldest.set(oldest);
    }

    /// Observes the time from a flow complete record to the final report of one of its SMS.
    pub fn report_delay(&self, delay: Duration) {
        self.report_delay.observe(delay.as_secs_f64());
    }

    /// Sets when the first certificate of each of these files expires.
    pub fn set_certificates(&self, files: &BTreeMap<String, Timestamp>) {
        let seconds = |at: &Timestamp| Duration::from_millis(at.ms_since(EPOCH)).as_secs_f64();
        self.certificates
            .set(&files.iter().map(|(file, at)| (file.clone(), seconds(at))).collect());
    }

    /// Counts a flow whose reports did not all arrive in time.
    pub fn report_timeout(&self) {
        self.report_timeouts.inc();
    }

    /// Counts a rule whose webhook is not sent because its conditions could not be evaluated.
    pub fn rule_skipped(&self, reason: SkipReason) {
        add(self.rules_skipped.at(reason), 1);
    }

    /// Sets the number of correlations in `state`.
    pub fn set_correlations(&self, state: CorrelationState, count: i64) {
        set(self.correlations.at(state), count);
    }

    /// Sets the number of outbox rows in `state`.
    pub fn set_outbox_rows(&self, state: OutboxState, count: i64) {
        set(self.outbox_rows.at(state), count);
    }

    /// Sets when the oldest unfinished delivery was scheduled. Its age is computed when the metric is read, so that it
    /// grows even if the engine is stuck.
    pub fn set_outbox_oldest(&self, scheduled_at: Option<Timestamp>) {
        self.outbox_oldest.set(scheduled_at);
    }

    /// Sets the due time of the oldest due delivery that only the daemon delays.
    pub fn set_outbox_overdue(&self, due_at: Option<Timestamp>) {
        self.outbox_overdue.set(due_at);
    }

    fn delivery_latency(&self, phase: Phase) -> Option<&TracedHistogram> {
        self.delivery_latency.get(phase as usize)
    }

    /// Counts `exchanges` requests that were repeated within their attempts.
    pub fn exchanges_repeated(&self, exchanges: u64) {
        self.exchanges_repeated.inc_by(exchanges);
    }

    fn letters_are_counted(&self) -> bool {
        self.dead_letters_since.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Sets the number of open dead letters, or removes it (`None`) when it is unknown. `oldest` is the time of the
    /// oldest of them.
    pub fn set_dead_letters_open(
        &self,
        counts: Option<&BTreeMap<DeadLetterReason, u64>>,
        oldest: Option<Timestamp>,
    ) {
        let since_ms = counts.map(|_| oldest.map_or(NEVER, Timestamp::as_ms));
        *self.dead_letters_since.lock().unwrap_or_else(PoisonError::into_inner) = since_ms;
        if counts.is_none() {
            self.dead_letters_open.reset();
        }
        for (reason, count) in counts.into_iter().flatten() {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.dead_letters_open.with_label_values(&[reason.as_str()]).set(count);
        }
    }

    /// Counts a dead delivery that is sent again.
    pub fn replay(&self) {
        self.replays.inc();
    }

    /// Counts `attempts` attempts that rate limits delayed.
    pub fn rate_limited(&self, attempts: u64) {
        self.rate_limited.inc_by(attempts);
    }

    /// Counts an attempt that was put back because the daemon lacks a resource.
    pub fn own_shortage(&self, kind: ShortageKind) {
        add(self.own_shortages.at(kind), 1);
    }

    /// Counts a failed name look-up.
    pub fn look_up_failed(&self, reason: LookUpFailure) {
        add(self.look_ups_failed.at(reason), 1);
    }

    /// Counts a change of an endpoint's state.
    pub fn endpoint_change(&self, change: EndpointChange) {
        add(self.endpoint_changes.at(change), 1);
    }

    /// Sets how many records of an assigned partition are not processed yet.
    pub fn set_consumer_lag(&self, topic: &str, partition: i32, lag: i64) {
        self.consumer_lag.with_label_values(&[topic, &partition.to_string()]).set(lag);
    }

    /// Sets the timestamp of the oldest unprocessed record of an assigned partition.
    pub fn set_unread_since(&self, topic: &str, partition: i32, since: Option<Timestamp>) {
        let since_ms = since.map_or(NEVER, Timestamp::as_ms);
        self.unread_since().insert((topic.to_owned(), partition), since_ms);
    }

    fn unread_since(&self) -> MutexGuard<'_, BTreeMap<(String, i32), i64>> {
        self.unread_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the lag of a partition that is no longer assigned.
    pub fn remove_consumer_lag(&self, topic: &str, partition: i32) {
        self.unread_since().remove(&(topic.to_owned(), partition));
        let labels = [topic, &partition.to_string()];
        let _ = self.consumer_lag_seconds.remove_label_values(&labels);
        // A series that was never set can't be removed; this is no error.
        let _ = self.consumer_lag.remove_label_values(&[topic, &partition.to_string()]);
    }

    /// Counts `records` changelog records that were read to restore state.
    pub fn restored(&self, records: u64) {
        self.restore_records.inc_by(records);
    }

    /// Exports the state of [`super::Health`] for the assigned partitions only.
    pub(super) fn show_health(&self, shown: &Shown<'_>) {
        let Shown { is_ready, is_kafka_reachable, partitions } = *shown;
        self.ready.set(i64::from(is_ready));
        self.kafka.show(is_kafka_reachable, partitions.len());
        let mut shown = self.partitions_shown.lock().unwrap_or_else(PoisonError::into_inner);
        let assigned: BTreeSet<i32> = partitions.iter().map(|health| health.partition).collect();
        for gone in shown.difference(&assigned) {
            // Both series exist since an earlier call.
            let _ = self.partition_stalled.remove_label_values(&[gone.to_string()]);
            let _ = self.restore_remaining.remove_label_values(&[gone.to_string()]);
        }
        for health in partitions {
            let partition = health.partition.to_string();
            let remaining = health.restore_remaining.or(health.is_restored.then_some(0));
            self.partition_stalled
                .with_label_values(&[&partition])
                .set(health.stalled.as_secs_f64());
            match remaining {
                Some(remaining) => self
                    .restore_remaining
                    .with_label_values(&[&partition])
                    .set(i64::try_from(remaining).unwrap_or(i64::MAX)),
                // The number is unknown, and 0 would mean that the partition is restored.
                None => drop(self.restore_remaining.remove_label_values(&[&partition])),
            }
        }
        *shown = assigned;
    }

    /// Sets how often the wall clock has jumped since the process began.
    pub fn show_clock_jumps(&self, direction: ClockJump, count: u64) {
        if let Some(counter) = self.clock_jumps.at(direction) {
            raise(counter, count);
        }
    }

    /// Renders all metrics at the time `now` in `format`.
    #[must_use]
    pub fn render(&self, format: Format, now: Timestamp) -> String {
        self.outbox_oldest.show(now);
        self.awaiting_reports_oldest.show(now);
        match *self.dead_letters_since.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(since_ms) => {
                let seconds = age(since_ms, now).as_secs_f64();
                self.dead_letters_oldest.with_label_values::<&str>(&[]).set(seconds);
            }
            None => self.dead_letters_oldest.reset(),
        }
        self.webhooks.at(now);
        self.outbox_overdue.show(now);
        self.accounts.show(now);
        for ((topic, partition), since_ms) in &*self.unread_since() {
            let labels = [topic.as_str(), &partition.to_string()];
            let seconds = age(*since_ms, now).as_secs_f64();
            self.consumer_lag_seconds.with_label_values(&labels).set(seconds);
        }
        raise(&self.log_lines_lost, output::lines_lost());
        let exemplars = |name: &str, metric: &Metric| self.exemplars(name, metric);
        format.encode(&self.registry.gather(), &exemplars)
    }

    /// Returns the exemplars of a histogram's buckets.
    fn exemplars(&self, name: &str, metric: &Metric) -> Vec<Option<Exemplar>> {
        let value = |label: &str| metric.get_label().iter().find(|pair| pair.name() == label);
        let histogram = match name {
            name if name == define::ATTEMPT_DURATION.name => Some(&self.attempt_duration),
            name if name == define::DELIVERY_LATENCY.name => {
                let is_it =
                    |phase: &Phase| value("phase").is_some_and(|it| it.value() == phase.as_str());
                Phase::ALL.into_iter().find(is_it).and_then(|phase| self.delivery_latency(phase))
            }
            _ => None,
        };
        histogram.map(TracedHistogram::exemplars).unwrap_or_default()
    }
}

/// Returns the values of the labels of `ringback_build_info`.
pub(super) fn build<'a>(instance_id: &'a str, group_id: &'a str) -> [&'a str; 4] {
    let commit = option_env!("RINGBACK_COMMIT").filter(|it| !it.is_empty()).unwrap_or("unknown");
    [env!("CARGO_PKG_VERSION"), commit, instance_id, group_id]
}

fn traced(definition: &define::Definition, histogram: Histogram) -> TracedHistogram {
    TracedHistogram::new(histogram, definition.buckets)
}

fn of_phase(vec: &HistogramVec, phase: Phase) -> Histogram {
    let words = Phase::words().into_iter().nth(phase as usize).unwrap_or_default();
    let labels: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    sound(vec.get_metric_with_label_values(&labels))
}

/// Raises a counter to `count`. Two concurrent calls must not both add the same difference.
pub(super) fn raise(counter: &IntCounter, count: u64) {
    static RAISING: Mutex<()> = Mutex::new(());
    let _one = RAISING.lock().unwrap_or_else(PoisonError::into_inner);
    counter.inc_by(count.saturating_sub(counter.get()));
}

pub(super) fn add(counter: Option<&IntCounter>, count: u64) {
    if let Some(counter) = counter {
        counter.inc_by(count);
    }
}

fn set(gauge: Option<&IntGauge>, value: i64) {
    if let Some(gauge) = gauge {
        gauge.set(value);
    }
}

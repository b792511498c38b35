//! Every metric's name, labels and help.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts observations by size.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Definition {
    /// As Prometheus knows it.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The labels' names.
    pub labels: &'static [&'static str],
    /// For people.
    pub help: &'static str,
    /// The upper bounds of a histogram.
    pub(super) buckets: &'static [f64],
}

/// An attempt is cut off after 60 s at most.
const ATTEMPT_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0];

/// A first attempt takes parts of a second, retries stretch a delivery to a day and more.
const LATENCY_SECONDS: &[f64] = &[
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0,
    86400.0,
];

/// Commits take milliseconds, or the broker has a problem.
const TRANSACTION_SECONDS: &[f64] =
    &[0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

macro_rules! definitions {
    ($($constant:ident: $kind:ident $name:literal [$($label:literal),*] $(in $buckets:ident)? = $help:literal;)+) => {
        $(
            pub(super) const $constant: Definition = Definition {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                help: $help,
                buckets: definitions!(@buckets $($buckets)?),
            };
        )+

        impl Definition {
            /// Every metric of the daemon, in the order of the documentation; the process's own come on top.
            pub const ALL: &'static [Self] = &[$($constant,)+];
        }
    };
    (@buckets) => { &[] };
    (@buckets $buckets:ident) => { $buckets };
}

definitions! {
    BUILD_INFO: Gauge "ringback_build_info" ["version"] = "Always 1; the label is the daemon's version.";
    READY: Gauge "ringback_ready" [] = "1 while /readyz says so, else 0.";
    SOURCE_RECORDS: Counter "ringback_source_records_total" ["topic", "result"]
        = "Records read from the input topics, by what became of them.";
    RECORDS_MISSED: Counter "ringback_source_records_missed_total" ["topic"]
        = "Offsets of input topics that Kafka deleted before they were read.";
    INPUTS_RECREATED: Counter "ringback_inputs_recreated_total" ["topic"]
        = "Partitions of input topics that were deleted and created again, and are read anew.";
    RECORDS_IGNORED: Counter "ringback_records_ignored_total" ["reason"]
        = "Source records, flow complete or delivery report, that changed nothing, by reason.";
    REPORTS_IGNORED: Counter "ringback_reports_ignored_total" ["reason"]
        = "Deprecated, removed in the next version: the same as ringback_records_ignored_total.";
    UNKNOWN_STATUSES: Counter "ringback_unknown_statuses_total" []
        = "Delivery reports whose status the status table does not know; it counts as final.";
    REPORT_TIMEOUTS: Counter "ringback_report_timeouts_total" []
        = "Flows whose delivery reports did not all come in time.";
    RULES_SKIPPED: Counter "ringback_rules_skipped_total" ["reason"]
        = "Rules whose webhooks were not sent since their conditions could not be judged, by reason.";
    CORRELATIONS: Gauge "ringback_correlations" ["state"]
        = "Phonon-uuids that are known here, by what is known of them.";
    OUTBOX_ROWS: Gauge "ringback_outbox_rows" ["state"]
        = "Deliveries that are not finished: waiting for their due time, ready, held until phase 1 is over, or in flight.";
    OUTBOX_OLDEST: Gauge "ringback_outbox_oldest_seconds" []
        = "Age of the oldest delivery that is not finished, since it was scheduled or no longer held for phase 1; 0 when all are.";
    OUTBOX_OVERDUE: Gauge "ringback_outbox_overdue_seconds" []
        = "How long the delivery has been due that has been due the longest and that only the daemon keeps waiting: not a retry interval, a rate limit, a breaker, the endpoint's own wish or its own concurrency; 0 when there is none.";
    DELIVERIES: Counter "ringback_deliveries_total" ["phase", "kind", "result"]
        = "Deliveries finished, by kind of webhook and result; the label phase is deprecated, says 0 for a rule, and is removed in the next version.";
    DELIVERY_LATENCY: Histogram "ringback_delivery_latency_seconds" ["phase", "kind"] in LATENCY_SECONDS
        = "From the source record's time until its webhook was delivered, by kind of webhook; the label phase is deprecated as in ringback_deliveries_total.";
    ATTEMPTS: Counter "ringback_attempts_total" ["phase", "kind", "outcome"]
        = "HTTP attempts ended, by kind of webhook and outcome; the label phase is deprecated as in ringback_deliveries_total.";
    ATTEMPT_DURATION: Histogram "ringback_attempt_duration_seconds" [] in ATTEMPT_SECONDS
        = "From an attempt's start to its end.";
    EXCHANGES_REPEATED: Counter "ringback_exchanges_repeated_total" []
        = "Requests sent again at once within their attempt, since a kept connection ended or refused them.";
    DEAD_LETTERS: Counter "ringback_dead_letters_total" ["reason"]
        = "Deliveries and records given up, by reason.";
    REPLAYS: Counter "ringback_replays_total" []
        = "Deliveries that were given up and that an operator put back into the outbox.";
    RATE_LIMITED: Counter "ringback_rate_limited_total" []
        = "Times that a rate limit held a delivery back.";
    OWN_SHORTAGES: Counter "ringback_own_shortages_total" ["kind"]
        = "Attempts that were put back uncounted since the daemon itself lacked open files, memory, ports, buffers or threads.";
    ENDPOINTS: Gauge "ringback_endpoints" ["state"]
        = "Configured endpoints, by their breaker's state, or disabled.";
    ENDPOINT_CHANGES: Counter "ringback_endpoint_changes_total" ["state"]
        = "Changes of an endpoint's state: of its breaker, held by its own wish, disabled or enabled.";
    BREAKER_STATE: Gauge "ringback_breaker_state" ["endpoint"]
        = "Per endpoint, where that is switched on: 0 closed, 1 half open, 2 open, 3 disabled.";
    TRANSACTION_DURATION: Histogram "ringback_transaction_duration_seconds" [] in TRANSACTION_SECONDS
        = "From a Kafka transaction's begin until it was committed.";
    TRANSACTION_ERRORS: Counter "ringback_transaction_errors_total" ["kind"]
        = "Kafka transactions that failed, by what has to follow.";
    CONSUMER_LAG: Gauge "ringback_consumer_lag" ["topic", "partition"]
        = "Offsets of an assigned partition that are not processed yet, those behind an open transaction too; 0 when all records are.";
    CONSUMER_LAG_SECONDS: Gauge "ringback_consumer_lag_seconds" ["topic", "partition"]
        = "Age of the oldest record of an assigned partition that is not processed yet, by its own timestamp, or since when it is known to wait where it can't be read yet; 0 when there is none.";
    PARTITION_STALLED: Gauge "ringback_partition_stalled_seconds" ["partition"]
        = "How long an assigned partition has had work without progress; 0 while it progresses or has none.";
    RESTORE_RECORDS: Counter "ringback_restore_records_total" []
        = "Changelog records read to restore state.";
    RESTORE_REMAINING: Gauge "ringback_restore_remaining" ["partition"]
        = "Changelog records left until an assigned partition is restored; 0 once it is, absent while the end of the changelog is not known yet.";
    CONFIG_RELOADS: Counter "ringback_config_reloads_total" ["result"]
        = "Times that SIGHUP had the configuration read again, by result.";
    CONFIG_RELOADED: Gauge "ringback_config_last_reload_successful" []
        = "1 while the configuration that was read last is in force, else 0.";
    CONFIG_RELOADED_AT: Gauge "ringback_config_last_reload_success_timestamp_seconds" []
        = "When the configuration in force was read, in seconds since 1970.";
    CONFIG_HASH: Gauge "ringback_config_hash" ["part"]
        = "A number that differs when the configuration in force does: all of it, or the accounts file, which instances share.";
    CONFIG_RESTART: Gauge "ringback_config_restart_needed" []
        = "Keys of ringback.toml whose values, as read at the last reload, are not in force until a restart.";
    CLOCK_JUMPS: Counter "ringback_clock_jumps_total" ["direction"]
        = "Jumps of the wall clock, by direction; due times, ages and time-outs go on without them.";
    LOG_LINES_LOST: Counter "ringback_log_lines_lost_total" []
        = "Log lines that stderr did not take, as when its disk is full or nobody reads it.";
    STORE_CORRUPTIONS: Counter "ringback_store_corruptions_total" []
        = "Damaged stores that were set aside to be restored from the changelog.";
    STORE_BYTES: Gauge "ringback_store_bytes" [] = "Size of the state store on disk.";
}

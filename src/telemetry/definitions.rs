//! Every metric's name, labels and help.

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations by size.
    Histogram,
}

/// The definition of one metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Definition {
    /// The metric's name in Prometheus.
    pub name: &'static str,
    pub kind: MetricKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    pub help: &'static str,
    /// The upper bounds of a histogram.
    pub(super) buckets: &'static [f64],
}

/// An attempt ends after at most 60 s.
const ATTEMPT_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0];

/// A first attempt takes a fraction of a second; with retries a delivery may take a day and more.
const LATENCY_SECONDS: &[f64] = &[
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0,
    86400.0,
];

/// Commits take milliseconds unless the broker has a problem.
const TRANSACTION_SECONDS: &[f64] =
    &[0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The buckets of each webhook: few, because there are many webhooks.
pub(super) const WEBHOOK_LATENCY_SECONDS: &[f64; 7] =
    &[0.25, 1.0, 5.0, 30.0, 300.0, 3600.0, 86400.0];

/// A gateway reports within seconds or hours, and a flow waits for days.
const REPORT_SECONDS: &[f64] =
    &[1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0, 259_200.0];

/// A batch has up to some thousand records.
const TRANSACTION_RECORDS: &[f64] = &[1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0];

macro_rules! definitions {
    ($(#[$doc:meta])* $list:ident; $($constant:ident: $kind:ident $name:literal [$($label:literal),*] $(in $buckets:ident)? = $help:literal;)+) => {
        $(
            pub(super) const $constant: Definition = Definition {
                name: $name,
                kind: MetricKind::$kind,
                labels: &[$($label),*],
                help: $help,
                buckets: definitions!(@buckets $($buckets)?),
            };
        )+

        impl Definition {
            $(#[$doc])*
            pub const $list: &'static [Self] = &[$($constant,)+];
        }
    };
    (@buckets) => { &[] };
    (@buckets $buckets:ident) => { $buckets };
}

definitions! {
    /// All metrics of the daemon in the order of the documentation, without those of the process.
    ALL;
    BUILD_INFO: Gauge "ringback_build_info" ["version", "commit", "instance_id", "group_id"]
        = "Always 1. The labels hold the daemon's version, the commit that it was built from, kafka.instance_id and kafka.group_id.";
    READY: Gauge "ringback_ready" [] = "1 if /readyz answers 200, otherwise 0.";
    SOURCE_RECORDS: Counter "ringback_source_records_total" ["topic", "result"]
        = "Total number of records read from the input topics, by result.";
    RECORDS_MISSED: Counter "ringback_source_records_missed_total" ["topic"]
        = "Total number of offsets of input topics that Kafka deleted before they were read.";
    INPUTS_RECREATED: Counter "ringback_inputs_recreated_total" ["topic"]
        = "Total number of partitions of input topics that were deleted and created again, and are read from their beginning.";
    RECORDS_IGNORED: Counter "ringback_records_ignored_total" ["reason"]
        = "Total number of source records (flow complete or delivery report) that changed nothing, by reason.";
    REPORTS_IGNORED: Counter "ringback_reports_ignored_total" ["reason"]
        = "Deprecated: use ringback_records_ignored_total, which has the same values. Will be removed in the next version.";
    UNKNOWN_STATUSES: Counter "ringback_unknown_statuses_total" []
        = "Total number of delivery reports whose status is not in the status table. Such a status has the class that [statuses] sets with unknown.";
    UNKNOWN_STATUS_WORDS: Counter "ringback_unknown_status_words_total" ["status"]
        = "Total number of delivery reports whose status is not in the status table, by status. The first 20 statuses since the start have a series each, and other counts the rest.";
    REPORT_TIMEOUTS: Counter "ringback_report_timeouts_total" []
        = "Total number of flows whose delivery reports did not all arrive in time.";
    AWAITING_REPORTS: Gauge "ringback_awaiting_reports" []
        = "Number of flows that wait for delivery reports, in restored partitions.";
    AWAITING_REPORTS_OLDEST: Gauge "ringback_awaiting_reports_oldest_seconds" []
        = "Age in seconds of the oldest flow that waits for delivery reports, since it was accepted; 0 without one.";
    REPORT_DELAY: Histogram "ringback_report_delay_seconds" [] in REPORT_SECONDS
        = "Seconds from a flow complete record to the final delivery report of one of its SMS, by the records' timestamps; 0 if the report came first.";
    RULES_SKIPPED: Counter "ringback_rules_skipped_total" ["reason"]
        = "Total number of rules that were triggered and whose webhook was not sent, by reason.";
    CORRELATIONS: Gauge "ringback_correlations" ["state"]
        = "Number of phonon-uuids with state in this instance's partitions, by state.";
    OUTBOX_ROWS: Gauge "ringback_outbox_rows" ["state"]
        = "Number of unfinished deliveries, by what they wait for: due (only for the endpoint's concurrency, or for the daemon), retry (for the time of their next attempt), rate_limited, held (the endpoint asked for a pause, or its webhook is not configured), breaker (it is not closed), after_phase_1 (until phase 1, or the webhooks that they depend on, have ended), in_flight. A retry counts as due up to 16 seconds late.";
    OUTBOX_OLDEST: Gauge "ringback_outbox_oldest_seconds" []
        = "Age in seconds of the oldest unfinished delivery, since it was scheduled or released after phase 1; 0 without unfinished deliveries.";
    OUTBOX_OVERDUE: Gauge "ringback_outbox_overdue_seconds" []
        = "Seconds since the due time of the oldest due delivery that only the daemon delays; 0 without one. A retry interval, a rate limit, a breaker, the endpoint's Retry-After and its concurrency limit do not count as delays of the daemon.";
    DELIVERIES: Counter "ringback_deliveries_total" ["phase", "kind", "result"]
        = "Total number of finished deliveries, by kind of webhook and result. The label phase is deprecated (0 for a rule) and will be removed in the next version.";
    DELIVERY_LATENCY: Histogram "ringback_delivery_latency_seconds" ["phase", "kind"] in LATENCY_SECONDS
        = "Seconds from the source record's timestamp until its webhook was delivered, by kind of webhook. The label phase is deprecated as in ringback_deliveries_total.";
    ATTEMPTS: Counter "ringback_attempts_total" ["phase", "kind", "outcome"]
        = "Total number of finished HTTP attempts, by kind of webhook and outcome. The label phase is deprecated as in ringback_deliveries_total.";
    ATTEMPT_DURATION: Histogram "ringback_attempt_duration_seconds" [] in ATTEMPT_SECONDS
        = "Duration of HTTP attempts in seconds.";
    EXCHANGES_REPEATED: Counter "ringback_exchanges_repeated_total" []
        = "Total number of requests that were repeated at once within their attempt, because a kept connection ended or refused them.";
    LOOK_UPS_FAILED: Counter "ringback_look_ups_failed_total" ["reason"]
        = "Total number of failed name look-ups, by reason: the name or its address is missing, no name server answered in time, or one refused. A look-up shared by several attempts counts once.";
    DEAD_LETTERS: Counter "ringback_dead_letters_total" ["kind", "reason", "phase", "webhook"]
        = "Total number of dead letters: of kind delivery by reason, phase (0 for a rule) and webhook, and of kind record by reason. The webhooks are those of ringback_webhook_attempts_total.";
    DEAD_LETTERS_OPEN: Gauge "ringback_dead_letters_open" ["reason"]
        = "Number of dead letters without a known replay in this instance's partitions, by reason. Covers the last 7 days if the inbox has lost records. Updated every 5 seconds; absent if it can't be counted.";
    DEAD_LETTERS_OLDEST: Gauge "ringback_dead_letters_open_oldest_seconds" []
        = "Age in seconds of the oldest of the dead letters that ringback_dead_letters_open counts; 0 without one, absent if they can't be counted.";
    REPLAYS: Counter "ringback_replays_total" []
        = "Total number of dead deliveries that an operator put back into the outbox.";
    RATE_LIMITED: Counter "ringback_rate_limited_total" []
        = "Total number of times a delivery was delayed by a rate limit.";
    OWN_SHORTAGES: Counter "ringback_own_shortages_total" ["kind"]
        = "Total number of attempts that were put back, without being counted as attempts, because the daemon lacked open files, memory, ports or buffers.";
    ENDPOINTS: Gauge "ringback_endpoints" ["state"]
        = "Number of configured endpoints, by the state of their breaker, or disabled.";
    ENDPOINT_CHANGES: Counter "ringback_endpoint_changes_total" ["state"]
        = "Total number of state changes of endpoints: breaker closed, half open or open, held by Retry-After, disabled, enabled.";
    BREAKER_STATE: Gauge "ringback_breaker_state" ["endpoint"]
        = "Deprecated: use ringback_webhook_state, which has the same values. Will be removed in the next version.";
    WEBHOOK_ATTEMPTS: Counter "ringback_webhook_attempts_total" ["webhook", "outcome", "try"]
        = "Total number of finished HTTP attempts, by webhook, outcome, and whether it was the first attempt of its delivery. The [http] endpoint_labels_max busiest webhooks have series of their own; webhook=\"other\" counts all others. When a busier webhook takes the place of another one, the counts of that one are added to other: use no rate over other, but ringback_attempts_total.";
    WEBHOOK_DELIVERIES: Counter "ringback_webhook_deliveries_total" ["webhook", "result"]
        = "Total number of finished deliveries, by webhook and result.";
    WEBHOOK_LATENCY: Histogram "ringback_webhook_latency_seconds" ["webhook"] in WEBHOOK_LATENCY_SECONDS
        = "Seconds from the source record's timestamp until its webhook was delivered, by webhook.";
    WEBHOOK_BACKLOG: Gauge "ringback_webhook_backlog" ["webhook"]
        = "Number of unfinished deliveries, by webhook, without those that wait until phase 1 is over.";
    WEBHOOK_OLDEST: Gauge "ringback_webhook_oldest_seconds" ["webhook"]
        = "Age in seconds of the oldest unfinished delivery of a webhook, since it was scheduled or released after phase 1; 0 without one. Of a retried delivery it is known to the minute, and up to a minute too low.";
    WEBHOOK_RATE_LIMITED: Gauge "ringback_webhook_rate_limited" ["webhook"]
        = "Number of due deliveries of a webhook that wait because a rate limit is used up.";
    WEBHOOK_HELD: Gauge "ringback_webhook_held" ["webhook"]
        = "Number of due deliveries of a webhook that wait because its endpoint asked for a pause, its breaker is not closed, or it is not configured.";
    WEBHOOK_STATE: Gauge "ringback_webhook_state" ["webhook"]
        = "State of a webhook's endpoint: 0 closed, 1 half open, 2 open, 3 disabled. Absent for webhook=\"other\".";
    IN_FLIGHT: Gauge "ringback_in_flight" [] = "Number of unanswered requests.";
    IN_FLIGHT_MAX: Gauge "ringback_in_flight_max" []
        = "Maximum number of unanswered requests: [delivery] in_flight_max.";
    UNCOMMITTED: Gauge "ringback_uncommitted" []
        = "Number of attempts whose outcomes are not committed yet. A crash repeats these and the unanswered requests.";
    UNCOMMITTED_MAX: Gauge "ringback_uncommitted_max" []
        = "[delivery] uncommitted_max. The limit is shared: ringback_in_flight and ringback_uncommitted together are at most ringback_in_flight_max and ringback_uncommitted_max together.";
    KAFKA_REACHABLE: Gauge "ringback_kafka_reachable" []
        = "0 while the daemon waits for an answer of Kafka, otherwise 1.";
    PARTITIONS_ASSIGNED: Gauge "ringback_partitions_assigned" []
        = "Number of partitions of the state that this instance owns.";
    REBALANCES: Counter "ringback_rebalances_total" []
        = "Total number of assignments that this instance received from the consumer group.";
    TRANSACTION_RECORDS_WRITTEN: Histogram "ringback_transaction_records" [] in TRANSACTION_RECORDS
        = "Number of records that a committed Kafka transaction wrote.";
    TRANSACTION_DURATION: Histogram "ringback_transaction_duration_seconds" [] in TRANSACTION_SECONDS
        = "Seconds from the beginning of a Kafka transaction until it was committed.";
    TRANSACTION_ERRORS: Counter "ringback_transaction_errors_total" ["kind"]
        = "Total number of failed Kafka transactions, by kind of error.";
    CONSUMER_LAG: Gauge "ringback_consumer_lag" ["topic", "partition"]
        = "Number of offsets of an assigned partition that are not processed yet, including those behind an open transaction; 0 if all records are processed.";
    CONSUMER_LAG_SECONDS: Gauge "ringback_consumer_lag_seconds" ["topic", "partition"]
        = "Age in seconds of the oldest unprocessed record of an assigned partition, by its timestamp, or since it is known to wait if it can't be read yet; 0 without one.";
    PARTITION_STALLED: Gauge "ringback_partition_stalled_seconds" ["partition"]
        = "Seconds that an assigned partition has had work without making progress; 0 if it makes progress or has no work.";
    RESTORE_RECORDS: Counter "ringback_restore_records_total" []
        = "Total number of changelog records read to restore state.";
    RESTORE_REMAINING: Gauge "ringback_restore_remaining" ["partition"]
        = "Number of changelog records left until an assigned partition is restored; 0 once it is restored, absent while the end of the changelog is unknown.";
    CONFIG_RELOADS: Counter "ringback_config_reloads_total" ["result"]
        = "Total number of configuration reloads, by result.";
    CONFIG_RELOADED: Gauge "ringback_config_last_reload_successful" []
        = "1 if the last reload of the configuration was applied, otherwise 0.";
    CONFIG_RELOADED_AT: Gauge "ringback_config_last_reload_success_timestamp_seconds" []
        = "Unix time in seconds at which the configuration in force was read.";
    CONFIG_HASH: Gauge "ringback_config_hash" ["part"]
        = "Hash of the configuration in force: all of it, or only the accounts file, which instances share.";
    CONFIG_RESTART: Gauge "ringback_config_restart_needed" []
        = "Number of keys of ringback.toml whose new values, as read by the last reload, need a restart.";
    ACCOUNT_FAULTS: Gauge "ringback_account_faults" []
        = "Number of faults in rows of the accounts' database. Where a row is wrong, its last good definition stays in force.";
    ACCOUNTS_AGE: Gauge "ringback_accounts_age_seconds" []
        = "Seconds since the accounts in force were last compared with the accounts' database; 0 if the accounts are in a file.";
    ACCOUNTS_APPLIED_AT: Gauge "ringback_accounts_applied_timestamp_seconds" []
        = "Unix time in seconds at which changes of the accounts' database were last applied; 0 if the accounts are in a file.";
    ACCOUNT_READINGS: Counter "ringback_account_readings_total" ["result"]
        = "Total number of readings of the accounts' database, by result.";
    ACCOUNT_LOOK_UPS: Counter "ringback_account_look_ups_total" ["result"]
        = "Total number of accounts that were looked up in their database because a record of an unknown account had arrived, by result.";
    CLOCK_JUMPS: Counter "ringback_clock_jumps_total" ["direction"]
        = "Total number of jumps of the wall clock, by direction. Due times, ages and time-outs are not affected.";
    LOG_LINES_LOST: Counter "ringback_log_lines_lost_total" []
        = "Total number of log lines that could not be written to stderr, for example because its disk is full.";
    SPANS_EXPORTED: Counter "ringback_spans_exported_total" []
        = "Total number of spans that the collector of [traces] has accepted.";
    SPANS_DROPPED: Counter "ringback_spans_dropped_total" []
        = "Total number of spans that were lost: the queue was full, or the collector did not accept them.";
    STORE_CORRUPTIONS: Counter "ringback_store_corruptions_total" []
        = "Total number of damaged stores that were set aside and restored from the changelog.";
    STORE_BYTES: Gauge "ringback_store_bytes" [] = "Size of the state store on disk in bytes.";
    STORE_PARTITION_BYTES: Gauge "ringback_store_partition_bytes" ["partition"]
        = "Size of the state of an assigned partition on disk and in memory in bytes.";
    STORE_DISK_FREE: Gauge "ringback_store_disk_free_bytes" []
        = "Free space of the state store's disk in bytes, as far as this process may use it.";
    STORE_STALLS: Counter "ringback_store_write_stalls_total" ["kind"]
        = "Total number of times that RocksDB stopped or slowed down writes because compaction or flushes fell behind.";
    STORE_WRITE_ERRORS: Counter "ringback_store_write_errors_total" []
        = "Total number of failed flushes and compactions of RocksDB. A failed write of the daemon itself ends it.";
    CERTIFICATE_EXPIRY: Gauge "ringback_certificate_expiry_timestamp_seconds" ["file"]
        = "Unix time in seconds at which the certificates of a file that the configuration names expire: the first of a client's chain, or the last of several authorities. Covers the 200 files that expire first.";
}

definitions! {
    /// The metrics that only the sink has. It also has `ringback_build_info`, `ringback_ready`,
    /// `ringback_consumer_lag`, `ringback_clock_jumps_total` and `ringback_log_lines_lost_total`.
    SINK;
    SINK_EVENTS: Counter "ringback_sink_events_total" ["result"]
        = "Total number of processed events, by result: stored (the end of a delivery), without_sms (the end of a delivery about no SMS), other (no end of a delivery), unreadable.";
    SINK_DOCUMENTS: Counter "ringback_sink_documents_total" ["result"]
        = "Total number of answers for documents of SMS, by result: written, unchanged (the document has this answer or a newer one), missing (there is no document), refused (the answer became a dead letter).";
    SINK_WRITE_DURATION: Histogram "ringback_sink_write_duration_seconds" [] in TRANSACTION_SECONDS
        = "Seconds from sending a batch of answers until the database acknowledged it.";
    SINK_WRITE_ERRORS: Counter "ringback_sink_write_errors_total" []
        = "Total number of tries to write a batch that failed and were repeated.";
}

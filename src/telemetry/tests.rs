//! Tests of the rendered metrics.

mod reference;

use super::*;
use crate::domain::{
    DeadLetterReason, ErrorReason, IgnoreReason, Outcome, Phase, SkipReason, Timestamp, Verdict,
    WebhookName,
};
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn outcome(reason: Option<ErrorReason>, duration_ms: u64) -> Outcome {
    Outcome {
        verdict: if reason.is_none() { Verdict::Delivered } else { Verdict::Retry },
        status: None,
        duration_ms,
        response: bytes::Bytes::new(),
        response_truncated: false,
        retry_after_ms: None,
        disables: false,
        mapped: Default::default(),
        reason,
        error: None,
    }
}

fn now() -> Timestamp {
    ago(0)
}

fn ago(seconds: u64) -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let then = now - Duration::from_secs(seconds);
    Timestamp::from_ms(i64::try_from(then.as_millis()).unwrap())
}

/// Creates metrics with at least one occurrence of everything.
fn busy() -> (Arc<Metrics>, Arc<Health>) {
    let topics = ["flow-complete".to_owned(), "reports\"\\\n".to_owned()];
    let metrics = Metrics::with_endpoints(&topics, 2);
    metrics.source_record("flow-complete", SourceResult::Accepted);
    metrics.source_records("flow-complete", SourceResult::Accepted, 41);
    metrics.source_record("unknown-topic", SourceResult::Forwarded);
    metrics.record_ignored(IgnoreReason::NotifyOff);
    metrics.unknown_status("TELEPATHY");
    metrics.report_timeout();
    metrics.rule_skipped(SkipReason::NoValue);
    metrics.config_reloaded(ReloadResult::Applied, Timestamp::from_ms(1_700_000_000_500));
    metrics.config_reloaded(ReloadResult::Refused, now());
    metrics.set_config_hash(ConfigPart::All, 281_474_976_710_655);
    metrics.set_config_restart_needed(2);
    metrics.set_correlations(CorrelationState::Open, 10);
    metrics.set_outbox_rows(OutboxState::InFlight, 5);
    metrics.set_outbox_oldest(Some(ago(1000)));
    metrics.delivery(Phase::One, DeliveryResult::Delivered);
    metrics.delivery(Phase::Two, DeliveryResult::DeadLettered);
    metrics.delivery_latency(Phase::Two, Duration::from_millis(700));
    metrics.attempt(Phase::One, &outcome(None, 20));
    metrics.attempt(Phase::Two, &outcome(Some(ErrorReason::Timeout), 15_000));
    metrics.dead_letter(DeadLetterReason::FlowMissing);
    metrics.replay();
    metrics.rate_limited(1);
    metrics.endpoint_change(EndpointChange::Held);
    let states = [
        ("crm", EndpointState::Open),
        ("erp", EndpointState::Disabled),
        ("one too many", EndpointState::Open),
    ];
    set_endpoints(&metrics, &states);
    metrics.set_dead_letters_open(Some(&[(DeadLetterReason::FlowMissing, 7)].into()));
    metrics.transaction(Duration::from_millis(3));
    metrics.transaction_error(TransactionErrorKind::Fenced);
    metrics.set_consumer_lag("flow-complete", 3, 17);
    metrics.set_unread_since("flow-complete", 3, None);
    metrics.restored(250);
    metrics.records_missed("flow-complete", 3);
    metrics.input_recreated("flow-complete");
    metrics.set_store_bytes(4096);
    let health = Health::new(STALL_DEADLINE);
    health.assign(3);
    health.restoring(3, 1200);
    health.publish(&*metrics);
    (metrics, health)
}

#[track_caller]
fn check_lines(rendered: &str, lines: &[&str]) {
    for line in lines {
        assert!(rendered.lines().any(|it| it == *line), "missing: {line}\n{rendered}");
    }
}

/// Sets the states of endpoints, which are all that are configured.
fn set_endpoints(metrics: &Metrics, states: &[(&str, EndpointState)]) {
    let states = states.iter().map(|(name, state)| (WebhookName::new(name).unwrap(), *state));
    let states: std::collections::BTreeMap<_, _> = states.collect();
    metrics.set_endpoints(states.keys(), |endpoint| states.contains_key(endpoint), &states);
}

#[test]
fn each_occurrence_is_shown_with_its_labels() {
    let (metrics, _health) = busy();
    check_lines(
        &metrics.render(Format::Text, now()),
        &[
            "ringback_source_records_total{result=\"accepted\",topic=\"flow-complete\"} 42",
            "ringback_source_records_total{result=\"ignored\",topic=\"flow-complete\"} 0",
            "ringback_source_records_total{result=\"forwarded\",topic=\"other\"} 1",
            "ringback_records_ignored_total{reason=\"notify_off\"} 1",
            "ringback_reports_ignored_total{reason=\"notify_off\"} 1",
            "ringback_unknown_statuses_total 1",
            "ringback_unknown_status_words_total{status=\"TELEPATHY\"} 1",
            "ringback_report_timeouts_total 1",
            "ringback_rules_skipped_total{reason=\"no_value\"} 1",
            "ringback_rules_skipped_total{reason=\"replaced\"} 0",
            "ringback_config_reloads_total{result=\"applied\"} 1",
            "ringback_config_reloads_total{result=\"refused\"} 1",
            "ringback_config_last_reload_successful 0",
            "ringback_config_last_reload_success_timestamp_seconds 1700000000.5",
            "ringback_config_hash{part=\"all\"} 281474976710655",
            "ringback_config_hash{part=\"accounts\"} 0",
            "ringback_config_restart_needed 2",
            "ringback_correlations{state=\"open\"} 10",
            "ringback_correlations{state=\"awaiting_flow\"} 0",
            "ringback_outbox_rows{state=\"in_flight\"} 5",
            "ringback_outbox_rows{state=\"held\"} 0",
            "ringback_deliveries_total{kind=\"flow_complete\",phase=\"1\",result=\"delivered\"} 1",
            "ringback_deliveries_total{kind=\"delivery_status\",phase=\"2\",result=\"dead_lettered\"} 1",
            "ringback_deliveries_total{kind=\"delivery_status\",phase=\"2\",result=\"delivered\"} 0",
            "ringback_deliveries_total{kind=\"rule\",phase=\"0\",result=\"delivered\"} 0",
            "ringback_delivery_latency_seconds_bucket{kind=\"delivery_status\",phase=\"2\",le=\"0.5\"} 0",
            "ringback_delivery_latency_seconds_bucket{kind=\"delivery_status\",phase=\"2\",le=\"1\"} 1",
            "ringback_attempts_total{kind=\"flow_complete\",outcome=\"success\",phase=\"1\"} 1",
            "ringback_attempts_total{kind=\"delivery_status\",outcome=\"timeout\",phase=\"2\"} 1",
            "ringback_attempts_total{kind=\"delivery_status\",outcome=\"authentication_failure\",phase=\"2\"} 0",
            "ringback_attempt_duration_seconds_sum 15.02",
            "ringback_attempt_duration_seconds_count 2",
            "ringback_dead_letters_total{reason=\"flow_missing\"} 1",
            "ringback_dead_letters_open{reason=\"flow_missing\"} 7",
            "ringback_replays_total 1",
            "ringback_rate_limited_total 1",
            "ringback_endpoints{state=\"closed\"} 0",
            "ringback_endpoints{state=\"open\"} 2",
            "ringback_endpoint_changes_total{state=\"held\"} 1",
            "ringback_breaker_state{endpoint=\"crm\"} 2",
            "ringback_breaker_state{endpoint=\"erp\"} 3",
            "ringback_transaction_duration_seconds_count 1",
            "ringback_transaction_errors_total{kind=\"fenced\"} 1",
            "ringback_consumer_lag{partition=\"3\",topic=\"flow-complete\"} 17",
            "ringback_restore_records_total 250",
            "ringback_restore_remaining{partition=\"3\"} 1200",
            "ringback_partition_stalled_seconds{partition=\"3\"} 0",
            "ringback_store_bytes 4096",
            "ringback_ready 0",
            concat!("ringback_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ],
    );
}

#[test]
fn every_definition_is_shown_in_both_formats() {
    let (metrics, _health) = busy();
    let text = metrics.render(Format::Text, now());
    let open = metrics.render(Format::OpenMetrics, now());
    for Definition { name, kind, help, .. } in Definition::ALL {
        let kind = format!("{kind:?}").to_lowercase();
        let family = name.strip_suffix("_total").unwrap_or(name);
        check_lines(&text, &[&format!("# TYPE {name} {kind}"), &format!("# HELP {name} {help}")]);
        check_lines(&open, &[&format!("# TYPE {family} {kind}")]);
    }
    let own = |text: &str| text.lines().filter(|it| it.starts_with("# TYPE ringback_")).count();
    assert_eq!(own(&text), Definition::ALL.len(), "only defined metrics are shown");
    assert_eq!(own(&open), Definition::ALL.len(), "only defined metrics are shown");
    assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
}

#[test]
fn open_dead_letters_are_not_shown_when_they_could_not_be_counted() {
    let (metrics, _health) = busy();
    metrics.set_dead_letters_open(None);
    let text = metrics.render(Format::Text, now());
    assert!(!text.contains("ringback_dead_letters_open{"), "{text}");
}

#[test]
fn endpoints_are_opt_in_and_capped() {
    let (metrics, _health) = busy();
    assert!(!metrics.render(Format::Text, now()).contains("one too many"));
    let metrics = Metrics::new(&[]);
    set_endpoints(&metrics, &[("crm", EndpointState::Open)]);
    assert!(!metrics.render(Format::Text, now()).contains("crm"));
}

#[test]
fn partitions_that_are_not_assigned_are_not_shown() {
    let (metrics, health) = busy();
    health.restored(3);
    health.resume(&Waiting::Start);
    health.publish(&*metrics);
    check_lines(
        &metrics.render(Format::Text, now()),
        &["ringback_ready 1", "ringback_restore_remaining{partition=\"3\"} 0"],
    );
    health.unassign(3);
    health.publish(&*metrics);
    metrics.remove_consumer_lag("flow-complete", 3);
    metrics.remove_consumer_lag("flow-complete", 4);
    let text = metrics.render(Format::Text, now());
    assert!(!text.contains("partition=\"3\""), "{text}");
}

#[test]
fn stalls_and_ages_grow_without_updates() {
    let (metrics, health) = busy();
    health.restored(3);
    health.work_pending(3, Instant::now());
    std::thread::sleep(Duration::from_millis(5));
    health.publish(&*metrics);
    let value = |name: &str| -> f64 {
        let text = metrics.render(Format::Text, now());
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    assert!(value("ringback_partition_stalled_seconds{") >= 0.005);
    let age = value("ringback_outbox_oldest_seconds ");
    assert!((1000.0..1060.0).contains(&age), "{age}");
    metrics.set_outbox_oldest(None);
    assert!(value("ringback_outbox_oldest_seconds ").abs() < f64::EPSILON);
    metrics.set_outbox_oldest(Some(Timestamp::from_ms(i64::MAX - 1)));
    assert!(value("ringback_outbox_oldest_seconds ").abs() < f64::EPSILON, "clocks differ");
}

#[test]
fn a_restore_with_an_unknown_end_has_no_remaining_count() {
    let (metrics, health) = busy();
    let shown = || metrics.render(Format::Text, now());
    let has = |text: &str| text.contains("ringback_restore_remaining{partition=\"3\"}");
    assert!(has(&shown()), "1200 are left");
    health.restore(3);
    health.publish(&*metrics);
    assert!(!has(&shown()), "the restore begins again with an unknown end");
    assert!(shown().contains("ringback_ready 0"));
    health.restoring(3, 0);
    health.publish(&*metrics);
    assert!(has(&shown()));
    health.restored(3);
    health.publish(&*metrics);
    check_lines(&shown(), &["ringback_restore_remaining{partition=\"3\"} 0"]);
}

#[test]
fn the_lag_in_seconds_grows_without_updates_and_can_be_removed() {
    let (metrics, _health) = busy();
    let line = |seconds| {
        format!(
            "ringback_consumer_lag_seconds{{partition=\"3\",topic=\"flow-complete\"}} {seconds}"
        )
    };
    let at = Timestamp::from_ms;
    assert!(metrics.render(Format::Text, at(9000)).contains(&line(0)));
    metrics.set_unread_since("flow-complete", 3, Some(at(2000)));
    assert!(metrics.render(Format::Text, at(9000)).contains(&line(7)));
    assert!(metrics.render(Format::Text, at(12_000)).contains(&line(10)));
    metrics.remove_consumer_lag("flow-complete", 3);
    assert!(!metrics.render(Format::Text, at(12_000)).contains("ringback_consumer_lag_seconds{"));
}

#[test]
fn the_cpu_time_is_counted_in_fractions_of_a_second() {
    let (metrics, _health) = busy();
    let seconds = || {
        let text = metrics.render(Format::Text, now());
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix("process_cpu_seconds_total "));
        line.unwrap().parse::<f64>().unwrap()
    };
    // Rendering itself takes CPU time.
    let (first, mut last) = (seconds(), 0.0);
    for _ in 0..100 {
        last = seconds();
    }
    assert!(first < last && last - first < 60.0, "{first} {last}");
}

#[test]
fn the_accept_header_selects_the_format() {
    let check = |accept: &str, then: Format| {
        assert_eq!(Format::from_accept(Some(accept)), then, "{accept}");
    };
    assert_eq!(Format::from_accept(None), Format::Text);
    check("", Format::Text);
    check("*/*", Format::Text);
    check("text/html,application/xhtml+xml,*/*;q=0.8", Format::Text);
    check("application/openmetrics-text", Format::OpenMetrics);
    check("Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8", Format::OpenMetrics);
    check("application/openmetrics-text;q=0,*/*", Format::Text);
    check("application/openmetrics-text;version=9.0.0,*/*;q=0.1", Format::Text);
    check("application/openmetrics-text;q=0.3,text/plain;version=0.0.4;q=0.9", Format::Text);
    check(
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
         application/openmetrics-text;version=0.0.1;q=0.5,\
         text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
         text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        Format::OpenMetrics,
    );
}

#[test]
fn openmetrics_has_its_own_spelling_of_families_units_bounds_and_escapes() {
    let (metrics, _health) = busy();
    let open = metrics.render(Format::OpenMetrics, now());
    check_lines(
        &open,
        &[
            "# TYPE ringback_source_records counter",
            "ringback_source_records_total{result=\"accepted\",topic=\"flow-complete\"} 42",
            "ringback_source_records_total{result=\"accepted\",topic=\"reports\\\"\\\\\\n\"} 0",
            "# UNIT ringback_attempt_duration_seconds seconds",
            "# UNIT ringback_store_bytes bytes",
            "ringback_attempt_duration_seconds_bucket{le=\"15.0\"} 2",
            "ringback_attempt_duration_seconds_bucket{le=\"+Inf\"} 2",
            "ringback_attempt_duration_seconds_count 2",
        ],
    );
    assert!(open.ends_with("\n# EOF\n"));
}

/// Runs `promtool`, which the test set-up installs.
fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut promtool = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed (Debian's package `prometheus`; `make test` installs it)");
    promtool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    promtool.wait_with_output().unwrap()
}

#[test]
fn promtool_accepts_the_text() {
    let (metrics, _health) = busy();
    let text = metrics.render(Format::Text, now());
    let output = promtool(&["check", "metrics"], &text);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}\n{text}");
    let faulty = promtool(&["check", "metrics"], "# TYPE ringback_x counter\nringback_x 1\n");
    assert!(!faulty.status.success(), "the check finds faults: {faulty:?}");
}

/// `promtool check metrics` does not parse OpenMetrics, but the importer does. It needs a timestamp on each sample.
#[test]
fn promtool_parses_the_openmetrics() {
    let (metrics, _health) = busy();
    let timed = |line: &str| match line.starts_with('#') {
        true => format!("{line}\n"),
        false => format!("{line} 1700000000\n"),
    };
    let open: String = metrics.render(Format::OpenMetrics, now()).lines().map(timed).collect();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let import = |text: &str| {
        std::fs::write(path("metrics"), text).unwrap();
        let command = ["tsdb", "create-blocks-from", "openmetrics"];
        promtool(&[&command[..], &[&path("metrics"), &path("blocks")]].concat(), "")
    };
    let output = import(&open);
    assert!(output.status.success(), "{output:?}\n{open}");
    let faulty = import(&open.replace("# EOF\n", ""));
    assert!(!faulty.status.success(), "the import finds faults: {faulty:?}");
}

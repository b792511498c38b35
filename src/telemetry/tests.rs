//! Tests of the rendered metrics.

mod exposition;
mod reference;

use super::*;
use crate::domain::{
    DeadLetterReason, DeliveryId, ErrorReason, IgnoreReason, Outcome, Phase, SkipReason, Timestamp,
    Verdict, WebhookName,
};
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

fn webhook(name: &str) -> WebhookName {
    WebhookName::new(name).unwrap()
}

fn trace(number: u8) -> u128 {
    DeliveryId::from_bytes([number; 16]).trace_id()
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
    let metrics = Metrics::with_webhooks(&topics, 2);
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
    metrics.identify("ringback-0", "rb");
    let crm = webhook("crm");
    let (latency, at) = (Duration::from_millis(700), Timestamp::from_ms(1_700_000_000_250));
    metrics.delivered((&crm, Phase::One), trace(1), Duration::from_millis(20), at);
    metrics.delivered((&crm, Phase::Two), trace(2), latency, at);
    metrics.dead_delivery(&crm, Phase::Two, DeadLetterReason::Refused);
    metrics.attempt((&crm, Phase::One), (trace(1), 1), &outcome(None, 20), at);
    let timeout = outcome(Some(ErrorReason::Timeout), 15_000);
    metrics.attempt((&crm, Phase::Two), (trace(2), 2), &timeout, at);
    metrics.dead_record(DeadLetterReason::FlowMissing);
    metrics.set_awaiting_reports(4, Some(ago(300)));
    metrics.report_delay(Duration::from_secs(20));
    metrics.rebalance();
    metrics.set_limits(1024, 1000);
    metrics.set_in_flight(3, 9);
    metrics
        .set_certificates(&[("crm.pem".to_owned(), Timestamp::from_ms(1_900_000_000_000))].into());
    let condition = stalled(1, &[(3, 2)]);
    metrics.set_store_condition(&condition);
    metrics.replay();
    metrics.rate_limited(1);
    metrics.endpoint_change(EndpointChange::Held);
    let states = [
        ("crm", EndpointState::Open),
        ("erp", EndpointState::Disabled),
        ("one too many", EndpointState::Open),
    ];
    set_endpoints(&metrics, &states);
    metrics
        .set_dead_letters_open(Some(&[(DeadLetterReason::FlowMissing, 7)].into()), Some(ago(60)));
    metrics.transaction(Duration::from_millis(3), 250);
    metrics.transaction_error(TransactionErrorKind::Fenced);
    metrics.set_consumer_lag("flow-complete", 3, 17);
    metrics.set_unread_since("flow-complete", 3, None);
    metrics.restored(250);
    metrics.records_missed("flow-complete", 3);
    metrics.input_recreated("flow-complete");
    metrics.set_store_bytes(&[(3, 4000), (4, 96)].into());
    let health = Health::new(STALL_DEADLINE);
    health.assign(3);
    health.restoring(3, 1200);
    health.publish(&*metrics);
    (metrics, health)
}

/// Returns the condition of a store with room on its disk. `stops` is that of the database, `delays` are those of
/// partitions.
fn stalled(stops: u64, delays: &[(i32, u64)]) -> StoreCondition {
    let of = |(number, delays): &(i32, u64)| (*number, Stalls { stops: 0, delays: *delays });
    let partitions = delays.iter().map(of).collect();
    StoreCondition { disk_free: Some(1 << 30), stops, partitions, write_errors: 0 }
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
    metrics.set_endpoints(states.keys(), |endpoint| states.contains_key(endpoint), &states, &[]);
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
            "ringback_source_records_missed_total{topic=\"flow-complete\"} 3",
            "ringback_source_records_missed_total{topic=\"reports\\\"\\\\\\n\"} 0",
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
            "ringback_awaiting_reports 4",
            "ringback_report_delay_seconds_bucket{le=\"15\"} 0",
            "ringback_report_delay_seconds_bucket{le=\"30\"} 1",
            "ringback_deliveries_total{kind=\"flow_complete\",phase=\"1\",result=\"delivered\"} 1",
            "ringback_deliveries_total{kind=\"delivery_status\",phase=\"2\",result=\"dead_lettered\"} 1",
            "ringback_deliveries_total{kind=\"delivery_status\",phase=\"2\",result=\"delivered\"} 1",
            "ringback_deliveries_total{kind=\"rule\",phase=\"0\",result=\"delivered\"} 0",
            "ringback_delivery_latency_seconds_bucket{kind=\"delivery_status\",phase=\"2\",le=\"0.5\"} 0",
            "ringback_delivery_latency_seconds_bucket{kind=\"delivery_status\",phase=\"2\",le=\"1\"} 1",
            "ringback_attempts_total{kind=\"flow_complete\",outcome=\"success\",phase=\"1\"} 1",
            "ringback_attempts_total{kind=\"delivery_status\",outcome=\"timeout\",phase=\"2\"} 1",
            "ringback_attempts_total{kind=\"delivery_status\",outcome=\"authentication_failure\",phase=\"2\"} 0",
            "ringback_attempt_duration_seconds_sum 15.02",
            "ringback_attempt_duration_seconds_count 2",
            "ringback_dead_letters_total{kind=\"record\",phase=\"\",reason=\"flow_missing\",webhook=\"\"} 1",
            "ringback_dead_letters_total{kind=\"record\",phase=\"\",reason=\"no_uuid\",webhook=\"\"} 0",
            "ringback_dead_letters_total{kind=\"delivery\",phase=\"2\",reason=\"refused\",webhook=\"crm\"} 1",
            "ringback_dead_letters_total{kind=\"delivery\",phase=\"2\",reason=\"refused\",webhook=\"other\"} 0",
            "ringback_dead_letters_open{reason=\"flow_missing\"} 7",
            "ringback_replays_total 1",
            "ringback_rate_limited_total 1",
            "ringback_endpoints{state=\"closed\"} 0",
            "ringback_endpoints{state=\"open\"} 2",
            "ringback_endpoint_changes_total{state=\"held\"} 1",
            "ringback_breaker_state{endpoint=\"crm\"} 2",
            "ringback_breaker_state{endpoint=\"erp\"} 3",
            "ringback_ready 0",
            &format!(
                "ringback_build_info{{commit=\"{}\",group_id=\"rb\",instance_id=\"ringback-0\",version=\"{}\"}} 1",
                option_env!("RINGBACK_COMMIT").filter(|it| !it.is_empty()).unwrap_or("unknown"),
                env!("CARGO_PKG_VERSION")
            ),
        ],
    );
}

#[test]
fn a_webhook_has_series_of_its_own() {
    let (metrics, _health) = busy();
    check_lines(
        &metrics.render(Format::Text, now()),
        &[
            "ringback_webhook_attempts_total{outcome=\"success\",try=\"first\",webhook=\"crm\"} 1",
            "ringback_webhook_attempts_total{outcome=\"success\",try=\"retry\",webhook=\"crm\"} 0",
            "ringback_webhook_attempts_total{outcome=\"timeout\",try=\"retry\",webhook=\"crm\"} 1",
            "ringback_webhook_deliveries_total{result=\"delivered\",webhook=\"crm\"} 2",
            "ringback_webhook_deliveries_total{result=\"dead_lettered\",webhook=\"crm\"} 1",
            "ringback_webhook_latency_seconds_bucket{webhook=\"crm\",le=\"0.25\"} 1",
            "ringback_webhook_latency_seconds_bucket{webhook=\"crm\",le=\"1\"} 2",
            "ringback_webhook_latency_seconds_count{webhook=\"crm\"} 2",
            "ringback_webhook_state{webhook=\"crm\"} 2",
            "ringback_webhook_state{webhook=\"erp\"} 3",
        ],
    );
}

#[test]
fn kafka_and_the_store_have_series() {
    let (metrics, _health) = busy();
    check_lines(
        &metrics.render(Format::Text, now()),
        &[
            "ringback_transaction_duration_seconds_count 1",
            "ringback_transaction_records_sum 250",
            "ringback_rebalances_total 1",
            "ringback_partitions_assigned 1",
            "ringback_kafka_reachable 1",
            "ringback_in_flight 3",
            "ringback_in_flight_max 1024",
            "ringback_uncommitted 9",
            "ringback_uncommitted_max 1000",
            "ringback_certificate_expiry_timestamp_seconds{file=\"crm.pem\"} 1900000000",
            "ringback_transaction_errors_total{kind=\"fenced\"} 1",
            "ringback_consumer_lag{partition=\"3\",topic=\"flow-complete\"} 17",
            "ringback_restore_records_total 250",
            "ringback_restore_remaining{partition=\"3\"} 1200",
            "ringback_partition_stalled_seconds{partition=\"3\"} 0",
            "ringback_store_bytes 4096",
            "ringback_store_partition_bytes{partition=\"4\"} 96",
            "ringback_store_disk_free_bytes 1073741824",
            "ringback_store_write_stalls_total{kind=\"delay\"} 2",
            "ringback_store_write_errors_total 0",
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
    let oldest = |text: &str| {
        let name = "ringback_dead_letters_open_oldest_seconds ";
        text.lines().find_map(|line| line.strip_prefix(name)?.parse::<f64>().ok())
    };
    let age = oldest(&metrics.render(Format::Text, now()));
    assert!(age.is_some_and(|seconds| (60.0..90.0).contains(&seconds)), "{age:?}");
    metrics.set_dead_letters_open(Some(&[(DeadLetterReason::FlowMissing, 0)].into()), None);
    assert_eq!(oldest(&metrics.render(Format::Text, now())), Some(0.0));
    metrics.set_dead_letters_open(None, None);
    let text = metrics.render(Format::Text, now());
    assert!(!text.contains("ringback_dead_letters_open{"), "{text}");
    assert!(!text.contains("\nringback_dead_letters_open_oldest_seconds "), "{text}");
}

#[test]
fn webhooks_with_series_are_limited() {
    let (metrics, _health) = busy();
    assert!(!metrics.render(Format::Text, now()).contains("one too many"));
    let metrics = Metrics::new(&[]);
    set_endpoints(&metrics, &[("crm", EndpointState::Open)]);
    assert!(!metrics.render(Format::Text, now()).contains("crm"));
}

#[test]
fn stalls_are_counted_once_when_a_partition_is_given_away_and_comes_back() {
    let (metrics, _health) = busy();
    let delays =
        |count: u64| format!("ringback_store_write_stalls_total{{kind=\"delay\"}} {count}");
    for (condition, count) in [
        (stalled(1, &[(3, 5), (4, 10)]), 15),
        (stalled(1, &[(3, 6)]), 16),
        (stalled(1, &[(3, 6), (4, 12)]), 18),
    ] {
        metrics.set_store_condition(&condition);
        check_lines(&metrics.render(Format::Text, now()), &[&delays(count)]);
    }
    check_lines(
        &metrics.render(Format::Text, now()),
        &["ringback_store_write_stalls_total{kind=\"stop\"} 1"],
    );
}

#[test]
fn kafka_is_unreachable_while_the_daemon_waits_for_it() {
    let (metrics, health) = busy();
    let servers = Waiting::Kafka("127.0.0.1:9092".to_owned());
    health.wait(servers.clone());
    health.publish(&*metrics);
    check_lines(&metrics.render(Format::Text, now()), &["ringback_kafka_reachable 0"]);
    health.resume(&servers);
    health.publish(&*metrics);
    check_lines(&metrics.render(Format::Text, now()), &["ringback_kafka_reachable 1"]);
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
    metrics.set_store_bytes(&[(4, 96)].into());
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

//! Health, metrics, topics and logs, as operators see them.

use crate::harness::check::{Scene, Then, check};
use crate::harness::samples::{flow, phase_1, phase_2, report, with};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, child, signature, wait_until};
use serde_json::json;
use std::io::Write;
use std::process::{Command, Stdio};

/// The metrics that a daemon shows after it has delivered both phases of a flow.
const METRICS: [&str; 30] = [
    "ringback_build_info",
    "ringback_ready",
    "ringback_source_records_total",
    "ringback_reports_ignored_total",
    "ringback_unknown_statuses_total",
    "ringback_report_timeouts_total",
    "ringback_correlations",
    "ringback_outbox_rows",
    "ringback_outbox_oldest_seconds",
    "ringback_deliveries_total",
    "ringback_delivery_latency_seconds",
    "ringback_attempts_total",
    "ringback_attempt_duration_seconds",
    "ringback_dead_letters_total",
    "ringback_rate_limited_total",
    "ringback_look_ups_failed_total",
    "ringback_own_shortages_total",
    "ringback_endpoints",
    "ringback_transaction_duration_seconds",
    "ringback_transaction_errors_total",
    "ringback_consumer_lag",
    "ringback_partition_stalled_seconds",
    "ringback_restore_records_total",
    "ringback_restore_remaining",
    "ringback_clock_jumps_total",
    "ringback_log_lines_lost_total",
    "ringback_store_corruptions_total",
    "ringback_store_bytes",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
];

#[test]
fn metrics_count_the_work_and_pass_promtool() {
    let stage = Stage::new("operation-metrics");
    let mut scene = Scene::open(&stage);
    scene.flows(&[flow("metrics", &["s-1"])]);
    let report = report("metrics", "s-1", "DELIVERED");
    scene.reports(std::slice::from_ref(&report));
    scene.wait_for("correlation_ended", 1);
    scene.reports(&[report]);
    scene.wait_for("record_ignored:late", 1);
    let delivered = || scene.daemon.metric("ringback_deliveries_total", &[]);
    wait_until("two deliveries are counted", PATIENCE, || (delivered() == Some(2.0)).then_some(()));
    let late = scene.daemon.metric("ringback_reports_ignored_total", &[("reason", "late")]);
    assert_eq!(late, Some(1.0));
    let topic = stage.topic("flow-complete");
    let records = scene.daemon.metric("ringback_source_records_total", &[("topic", &topic)]);
    assert_eq!(records, Some(1.0));
    let lag = || scene.daemon.metric("ringback_consumer_lag", &[("topic", &topic)]);
    wait_until("nothing is left to read", PATIENCE, || (lag() == Some(0.0)).then_some(()));
    let text = scene.daemon.wait_answer("/metrics", 200);
    for name in METRICS {
        for comment in ["HELP", "TYPE"] {
            assert!(text.contains(&format!("# {comment} {name} ")), "{name} is missing: {text}");
        }
    }
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    promtool.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("promtool runs");
    let mut input = promtool.stdin.take().expect("stdin is piped");
    input.write_all(text.as_bytes()).expect("promtool reads");
    drop(input);
    let output = promtool.wait_with_output().expect("promtool ends");
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && complaints.is_empty(), "promtool: {complaints}");
    scene.daemon.stop();
}

#[test]
fn metrics_show_single_webhooks_up_to_the_configured_number() {
    let mut stage = Stage::new("operation-endpoints");
    let url = stage.receiver.url("/");
    stage.add_account(29);
    stage.add_webhook("erp", 29, &url);
    stage.set("http.endpoint_labels_max", 1);
    let mut daemon = stage.start();
    wait_until("the first endpoint is shown", PATIENCE, || {
        daemon.metric("ringback_breaker_state", &[("endpoint", "crm")])
    });
    assert_eq!(daemon.metric("ringback_breaker_state", &[("endpoint", "erp")]), None);
    assert_eq!(daemon.metric("ringback_endpoints", &[("state", "closed")]), Some(2.0));
    daemon.stop();
}

#[test]
fn without_kafka_the_daemon_runs_but_is_not_ready_and_names_the_reason() {
    let mut stage = Stage::without_topics(broker::shared(), "operation-no-kafka");
    stage.set("kafka.bootstrap_servers", format!("127.0.0.1:{}", child::free_port()));
    let mut daemon = stage.spawn(0);
    let says = daemon.wait_answer("/readyz", 503);
    assert!(
        says.to_lowercase().contains("kafka"),
        "/readyz names what the daemon waits for: {says}"
    );
    daemon.wait_answer("/livez", 200);
    assert_eq!(daemon.metric("ringback_kafka_reachable", &[]), Some(0.0));
    daemon.stop();
}

/// The inputs belong to the gateways: the daemon waits for them, and creates its own topics once it knows their size.
#[test]
fn the_daemon_waits_for_missing_inputs_and_creates_its_own_topics() {
    let stage = Stage::without_topics(broker::shared(), "operation-topics");
    let mut daemon = stage.spawn(0);
    let input = stage.topic("flow-complete");
    wait_until("/readyz names the missing topic", PATIENCE, || {
        let (status, says) = daemon.get("/readyz").ok()?;
        (status == 503 && says.contains(&input)).then_some(())
    });
    let plain: &[(&str, &str)] = &[];
    let reports = stage.topic("sms-delivery-report");
    stage.kafka.create_topics(&[(&input, 3, plain), (&reports, 2, plain)]);
    daemon.wait_ready();
    let changelog = stage.topic("changelog");
    let policy = stage.kafka.topic_setting(&changelog, "cleanup.policy");
    assert_eq!(policy.as_deref(), Some("compact"));
    let partitions = stage.kafka.partitions(&changelog);
    assert!(partitions >= 3, "{partitions} partitions: fewer than the inputs have");
    assert_eq!(stage.kafka.partitions(&stage.topic("inbox")), partitions);
    stage.send_flows(&[flow("topics", &[])]);
    stage.receiver.wait_for(1, PATIENCE);
    daemon.stop();
}

#[test]
fn logs_hold_no_secrets_no_bodies_and_no_whole_phone_numbers() {
    let mut stage = Stage::new("operation-logs");
    let auth = "type = 'basic'\nusername = 'phonon'\npassword = 'open sesame'";
    stage.set_webhook("auth", toml::from_str::<toml::Table>(auth).expect("TOML"));
    stage.set_webhook("signing_secrets", vec![signature::SECRET]);
    // The scene covers everything that is logged: a retry, a dead letter, an ignored record, a poisoned record.
    stage.receiver.statuses(&[500, 400]);
    let flow = flow("logs", &["s-1"]);
    let report = with(report("logs", "s-1", "DELIVERED"), "text", json!("one-time code 123456"));
    let bad = br#"{"phononUuid": "bad", "to": "919999999999""#;
    let then = Then::default()
        .attempted(phase_1(&flow))
        .attempted(phase_1(&flow))
        .attempted(phase_2(&flow, std::slice::from_ref(&report)))
        .attempted(phase_2(&flow, std::slice::from_ref(&report)))
        .dead_letter("refused")
        .dead_letter("refused")
        .dead_letter("undecodable")
        .event("correlation_ended");
    let when = |scene: &mut Scene<'_>| {
        scene.flows(&[flow]);
        scene.reports(&[report]);
        scene.stage.kafka.produce(&[scene.stage.raw("sms-delivery-report", bad)]);
    };
    let outcome = check(&stage, when, then);
    let log = std::fs::read_to_string(stage.instance_dir(0).join("stderr.log")).expect("a log");
    assert!(!log.is_empty(), "the daemon logs");
    let secret = signature::SECRET.trim_start_matches("whsec_");
    let letters: String = outcome
        .dead_letters
        .iter()
        .map(|letter| {
            format!(
                "{:?}{}",
                letter.headers,
                String::from_utf8_lossy(letter.value.as_deref().unwrap_or_default())
            )
        })
        .collect();
    let events: String = outcome.events.iter().map(ToString::to_string).collect();
    for hidden in ["open sesame", "cGhvbm9uOm9wZW4gc2VzYW1l", secret] {
        for (place, text) in [("log", &log), ("dead letter", &letters), ("event", &events)] {
            assert!(!text.contains(hidden), "{hidden} in a {place}");
        }
    }
    for hidden in ["919999999999", "919879072567", "919822003887", "one-time code"] {
        assert!(!log.contains(hidden), "{hidden} in the log");
    }
}

/// A daemon without a terminal writes its log for machines.
#[test]
fn logs_are_json_without_a_terminal() {
    let stage = Stage::new("operation-json");
    let mut daemon = stage.start();
    daemon.stop();
    for line in daemon.logged().lines() {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(line);
        assert!(parsed.is_ok_and(|line| line.is_object()), "no JSON: {line}");
    }
}

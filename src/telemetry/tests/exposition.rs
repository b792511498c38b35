//! Tests of the two text formats.

use super::{busy, check_lines, now, outcome, trace, webhook};
use crate::domain::{DeadLetterReason, ErrorReason, Phase, Timestamp, WebhookName};
use crate::telemetry::{Format, Health, Metrics, OutboxState, STALL_DEADLINE, WebhookLoad};
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

#[test]
fn openmetrics_has_the_trace_of_the_latest_observation_of_each_bucket() {
    let (metrics, _health) = busy();
    let at = Timestamp::from_ms(1_700_000_001_000);
    let (of, latency) = ((&webhook("crm"), Phase::Two), Duration::from_millis(800));
    metrics.delivered(of, trace(7), latency, at);
    let open = metrics.render(Format::OpenMetrics, now());
    let trace = |number: u8| format!("{number:02x}").repeat(16);
    check_lines(
        &open,
        &[
            "ringback_delivery_latency_seconds_bucket{kind=\"delivery_status\",phase=\"2\",le=\"0.5\"} 0",
            &format!(
                "ringback_delivery_latency_seconds_bucket{{kind=\"delivery_status\",phase=\"2\",le=\"1.0\"}} 2 # {{trace_id=\"{}\"}} 0.8 1700000001",
                trace(7)
            ),
            &format!(
                "ringback_attempt_duration_seconds_bucket{{le=\"15.0\"}} 2 # {{trace_id=\"{}\"}} 15 1700000000.25",
                trace(2)
            ),
        ],
    );
    assert!(!metrics.render(Format::Text, now()).contains("trace_id"));
}

/// A dashboard scrapes every few seconds, from every instance.
#[test]
fn a_scrape_of_two_hundred_partitions_and_webhooks_is_below_one_mebibyte() {
    let topics = ["flow-complete", "sms-delivery-report", "call-begin", "inbox"].map(str::to_owned);
    let metrics = Metrics::with_webhooks(&topics, 200);
    let health = Health::new(STALL_DEADLINE);
    let names: Vec<WebhookName> =
        (0..2000).map(|number| webhook(&format!("account-{number:05}-notify"))).collect();
    let at = now();
    for (name, reason) in names.iter().zip(ErrorReason::ALL.iter().cycle()) {
        for number in 1..=2 {
            for outcome in [outcome(Some(*reason), 20), outcome(Some(ErrorReason::Timeout), 20)] {
                metrics.attempt((name, Phase::One), (trace(1), number), &outcome, at);
            }
        }
        metrics.delivered((name, Phase::One), trace(1), Duration::from_secs(1), at);
        metrics.dead_delivery(name, Phase::Two, DeadLetterReason::Refused);
    }
    let load = |name: &WebhookName| WebhookLoad {
        webhook: name.clone(),
        rows: 12_345,
        in_flight: 32,
        later: 1000,
        waits_for: OutboxState::Breaker,
        oldest: Some(at),
    };
    let loads: Vec<WebhookLoad> = names.iter().map(load).collect();
    metrics.set_endpoints(names.iter(), |_| true, &Default::default(), &loads);
    for partition in 0..200 {
        health.assign(partition);
        health.restored(partition);
        for topic in &topics {
            metrics.set_consumer_lag(topic, partition, 1_234_567);
            metrics.set_unread_since(topic, partition, Some(at));
        }
    }
    metrics.set_store_bytes(&(0..200).map(|partition| (partition, 123_456_789)).collect());
    health.publish(&*metrics);
    for format in [Format::Text, Format::OpenMetrics] {
        let text = metrics.render(format, at);
        assert!(text.len() < 1 << 20, "{format:?}: {} bytes", text.len());
        let shown = text.matches("ringback_webhook_backlog{").count();
        assert_eq!(shown, 201, "200 webhooks and all others");
    }
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
            "ringback_report_delay_seconds_bucket{le=\"30.0\"} 1",
            "ringback_report_delay_seconds_bucket{le=\"+Inf\"} 1",
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
        // An exemplar stands behind the timestamp.
        false => match line.split_once(" # ") {
            Some((sample, exemplar)) => format!("{sample} 1700000000 # {exemplar}\n"),
            None => format!("{line} 1700000000\n"),
        },
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

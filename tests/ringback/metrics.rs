//! The metrics answer the questions of operators: what the deliveries wait for, how each webhook does, and which part of
//! the platform is silent.

use crate::harness::daemon::Daemon;
use crate::harness::http;
use crate::harness::receiver::Answer;
use crate::harness::samples::{flow, report, with};
use crate::harness::stage::{Stage, WEBHOOK};
use crate::harness::{PATIENCE, wait_until};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

const AWAITING: &str = "ringback_awaiting_reports";
const OLDEST: &str = "ringback_awaiting_reports_oldest_seconds";
const ROWS: &str = "ringback_outbox_rows";

fn wait_metric(
    daemon: &Daemon,
    name: &str,
    labels: &[(&str, &str)],
    is: impl Fn(f64) -> bool,
) -> f64 {
    wait_until(&format!("{name} {labels:?}"), PATIENCE, || {
        daemon.metric(name, labels).filter(|value| is(*value))
    })
}

fn flows_of(account: i64, prefix: &str, count: usize) -> Vec<Value> {
    let flow = |n| with(flow(&format!("{prefix}-{n}"), &[]), "accountID", json!(account));
    (0..count).map(flow).collect()
}

#[test]
fn flows_that_wait_for_reports_are_counted_with_their_age_over_a_crash_and_a_lost_store() {
    let stage = Stage::new("metrics-awaiting");
    let mut daemon = stage.start();
    let flows: Vec<Value> = (0..3).map(|n| flow(&format!("silent-{n}"), &["s-1"])).collect();
    stage.send_flows(&flows);
    stage.receiver.wait_for(3, PATIENCE);
    stage.send_reports(&[report("silent-0", "s-1", "SENT")]);
    wait_metric(&daemon, AWAITING, &[], |flows| flows == 3.0);
    let age = wait_metric(&daemon, OLDEST, &[], |seconds| seconds > 1.0);
    // At the kill, the rows are in memory and in the changelog. After the next start, the store is lost.
    daemon.kill();
    let mut daemon = stage.start();
    wait_metric(&daemon, AWAITING, &[], |flows| flows == 3.0);
    let later = wait_metric(&daemon, OLDEST, &[], |seconds| seconds > age);
    daemon.stop();
    std::fs::remove_dir_all(stage.instance_dir(0).join("data")).expect("a store to delete");
    let mut daemon = stage.start();
    wait_metric(&daemon, AWAITING, &[], |flows| flows == 3.0);
    wait_metric(&daemon, OLDEST, &[], |seconds| seconds > later);
    daemon.stop();
    // The store alone has them now.
    let mut daemon = stage.start();
    wait_metric(&daemon, AWAITING, &[], |flows| flows == 3.0);
    wait_metric(&daemon, OLDEST, &[], |seconds| seconds > later);
    // Each of two instances has one of the two partitions.
    let mut second = stage.start_instance(1);
    wait_until("both instances have a partition", PATIENCE, || {
        [&daemon, &second].iter().all(|it| it.partitions() == 1).then_some(())
    });
    wait_until("both instances together count the flows", PATIENCE, || {
        let counts = [&daemon, &second].map(|it| it.metric(AWAITING, &[]).unwrap_or_default());
        (counts.iter().sum::<f64>() == 3.0).then_some(())
    });
    second.stop();
    wait_metric(&daemon, AWAITING, &[], |flows| flows == 3.0);
    let reports: Vec<Value> =
        (0..3).map(|n| report(&format!("silent-{n}"), "s-1", "DELIVERED")).collect();
    stage.send_reports(&reports);
    wait_metric(&daemon, AWAITING, &[], |flows| flows == 0.0);
    wait_metric(&daemon, OLDEST, &[], |seconds| seconds == 0.0);
    wait_metric(&daemon, "ringback_report_delay_seconds_count", &[], |count| count == 3.0);
    let delays = daemon.metric("ringback_report_delay_seconds_sum", &[]);
    assert!(delays.is_some_and(|sum| sum >= 3.0 * age), "{delays:?} {age}");
    daemon.stop();
    stage.verify();
}

#[test]
fn a_report_that_came_before_its_flow_has_no_delay() {
    let stage = Stage::new("metrics-early");
    let mut daemon = stage.start();
    // An intermediate report has no delay that counts.
    stage.send_reports(&[report("early", "s-1", "SENT")]);
    stage.send_reports(&[report("early", "s-1", "DELIVERED")]);
    wait_metric(&daemon, "ringback_correlations", &[("state", "awaiting_flow")], |count| {
        count == 1.0
    });
    stage.send_flows(&[flow("early", &["s-1"])]);
    stage.receiver.wait_for(2, PATIENCE);
    wait_metric(&daemon, "ringback_report_delay_seconds_count", &[], |count| count == 1.0);
    assert_eq!(daemon.metric("ringback_report_delay_seconds_sum", &[]), Some(0.0));
    assert_eq!(daemon.metric(AWAITING, &[]), Some(0.0));
    daemon.stop();
}

/// One webhook for each reason to wait, with three flows each.
#[test]
fn deliveries_are_counted_by_what_they_wait_for() {
    let mut stage = Stage::new("metrics-rows");
    stage.set("delivery.request_timeout_ms", 60_000);
    stage.set("delivery.retry.initial_interval_ms", 600_000);
    stage.set("delivery.retry.interval_max_ms", 600_000);
    let paths = ["hanging", "failing", "paused", "limited", "broken"];
    for (account, path) in (101..).zip(paths) {
        let url = stage.receiver.url(&format!("/{path}"));
        stage.add_account(account);
        stage.add_webhook(path, account, &url);
        stage.set_last_webhook("in_flight_max", 1);
    }
    let breaker: toml::Table =
        [("attempts_min".to_owned(), 1.into()), ("open_s".to_owned(), 600.into())]
            .into_iter()
            .collect();
    stage.set_last_webhook("breaker", breaker);
    stage.set_named_webhook("limited", "rate", "1/h");
    stage.receiver.script(|request, _| match request.path.as_str() {
        "/hanging" => Answer::never(),
        "/paused" => Answer::status(503).header("retry-after", "600"),
        "/failing" | "/broken" => Answer::status(500),
        _ => Answer::status(200),
    });
    let mut daemon = stage.start();
    for account in (101..).take(paths.len()) {
        stage.send_flows(&flows_of(account, &format!("rows-{account}"), 3));
    }
    // Its phase 2 waits for its phase 1, whose retry is due later.
    let ordered = with(flow("rows-ordered", &["s-1"]), "accountID", json!(102));
    stage.send_flows(&[ordered]);
    let of_102 = with(report("rows-ordered", "s-1", "DELIVERED"), "accountID", json!(102));
    stage.send_reports(&[of_102]);
    for (state, count) in [
        ("in_flight", 1.0),
        ("due", 2.0),
        ("retry", 6.0),
        ("held", 2.0),
        ("rate_limited", 3.0),
        ("breaker", 2.0),
        ("after_phase_1", 1.0),
    ] {
        wait_metric(&daemon, ROWS, &[("state", state)], |rows| rows == count);
    }
    for (name, webhook, value) in [
        ("ringback_webhook_backlog", "hanging", 3.0),
        ("ringback_webhook_backlog", "failing", 4.0),
        ("ringback_webhook_rate_limited", "limited", 3.0),
        ("ringback_webhook_held", "paused", 2.0),
        ("ringback_webhook_held", "broken", 2.0),
        ("ringback_webhook_held", "hanging", 0.0),
        ("ringback_webhook_state", "broken", 2.0),
        ("ringback_webhook_state", "failing", 0.0),
    ] {
        let shown = daemon.metric(name, &[("webhook", webhook)]);
        assert_eq!(shown, Some(value), "{name} of {webhook}");
    }
    let tried = [("webhook", "failing"), ("outcome", "refused"), ("try", "first")];
    assert_eq!(daemon.metric("ringback_webhook_attempts_total", &tried), Some(4.0));
    let oldest = daemon.metric("ringback_webhook_oldest_seconds", &[("webhook", "limited")]);
    assert!(oldest.is_some_and(|seconds| seconds > 0.0), "{oldest:?}");
    assert_eq!(daemon.metric("ringback_webhook_backlog", &[("webhook", WEBHOOK)]), Some(0.0));
    daemon.stop();
}

#[test]
fn the_busiest_webhooks_have_series_and_no_count_is_lost() {
    let mut stage = Stage::new("metrics-busiest");
    stage.set("http.endpoint_labels_max", 2);
    let url = stage.receiver.url("/");
    for account in 201..205 {
        stage.add_account(account);
        stage.add_webhook(&format!("of-{account}"), account, &url);
    }
    stage.receiver.script(|request, nth| match request.json()["phonon-uuid"].as_str() {
        Some(uuid) if uuid.starts_with("refused") => Answer::status(400),
        Some(uuid) if uuid.starts_with("again") && nth == 1 => Answer::status(500),
        _ => Answer::status(200),
    });
    let mut daemon = stage.start();
    for account in 201..205 {
        stage.send_flows(&flows_of(account, &format!("first-{account}"), 1));
    }
    stage.receiver.wait_for(4, PATIENCE);
    stage.send_flows(&flows_of(203, "refused", 3));
    stage.send_flows(&flows_of(204, "again", 30));
    stage.dead_letters(3, PATIENCE);
    let total = |name: &str| daemon.metric(name, &[]);
    wait_until("all attempts are counted", PATIENCE, || {
        (total("ringback_attempts_total") == Some(67.0)
            && total("ringback_deliveries_total") == Some(37.0))
        .then_some(())
    });
    assert_eq!(total("ringback_webhook_attempts_total"), Some(67.0));
    assert_eq!(total("ringback_webhook_deliveries_total"), Some(37.0));
    assert_eq!(total("ringback_webhook_latency_seconds_count"), Some(34.0));
    let dead = [("kind", "delivery"), ("reason", "refused"), ("phase", "1")];
    assert_eq!(daemon.metric("ringback_dead_letters_total", &dead), Some(3.0));
    let text = daemon.wait_answer("/metrics", 200);
    let shown = text.lines().filter(|line| line.starts_with("ringback_webhook_state{")).count();
    assert_eq!(shown, 2, "{text}");
    let backlogs = text.lines().filter(|line| line.starts_with("ringback_webhook_backlog{"));
    assert_eq!(backlogs.count(), 3, "two webhooks and all others: {text}");
    daemon.stop();
}

#[test]
fn an_instance_says_who_it_is_what_it_may_and_when_its_certificates_expire() {
    let mut stage = Stage::new("metrics-instance");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).expect("an authority");
    std::fs::create_dir_all(stage.instance_dir(0)).expect("a directory");
    let path = stage.instance_dir(0).join("authority.pem");
    std::fs::write(&path, authority.pem()).expect("a file of an authority");
    stage.set_webhook("ca_file", path.to_str().expect("UTF-8"));
    stage.set("delivery.in_flight_max", 77);
    stage.set("delivery.uncommitted_max", 99);
    let mut daemon = stage.start();
    let group = stage.group();
    for (name, labels, value) in [
        (
            "ringback_build_info",
            vec![("group_id", group.as_str()), ("instance_id", "metrics-instance-0")],
            1.0,
        ),
        ("ringback_in_flight_max", vec![], 77.0),
        ("ringback_uncommitted_max", vec![], 99.0),
        ("ringback_in_flight", vec![], 0.0),
        ("ringback_uncommitted", vec![], 0.0),
        ("ringback_partitions_assigned", vec![], 2.0),
        ("ringback_kafka_reachable", vec![], 1.0),
        ("ringback_rebalances_total", vec![], 1.0),
        ("ringback_store_write_errors_total", vec![], 0.0),
        ("ringback_store_write_stalls_total", vec![], 0.0),
    ] {
        wait_metric(&daemon, name, &labels, |shown| shown == value);
    }
    wait_metric(&daemon, "ringback_store_disk_free_bytes", &[], |bytes| bytes > 1e6);
    wait_metric(&daemon, "ringback_store_partition_bytes", &[("partition", "1")], |bytes| {
        bytes > 0.0
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let file = [("file", path.to_str().expect("UTF-8"))];
    wait_metric(&daemon, "ringback_certificate_expiry_timestamp_seconds", &file, |at| at > now);
    stage.send_flows(&[flow("traced", &[])]);
    let request = stage.receiver.wait_for(1, PATIENCE).remove(0);
    let trace = request.header("traceparent").split('-').nth(1).expect("a trace").to_owned();
    let accept = [("Accept", "application/openmetrics-text;version=1.0.0")];
    wait_until("the delivery's trace is an exemplar", PATIENCE, || {
        let (_, text) = http::get_with(daemon.port(), "/metrics", &accept).ok()?;
        let exemplar = format!(" # {{trace_id=\"{trace}\"}} ");
        let of = |name: &str| {
            text.lines().any(|line| line.starts_with(name) && line.contains(&exemplar))
        };
        (of("ringback_delivery_latency_seconds_bucket")
            && of("ringback_attempt_duration_seconds_bucket"))
        .then_some(())
    });
    wait_metric(&daemon, "ringback_transaction_records_sum", &[], |records| records > 2.0);
    daemon.stop();
}

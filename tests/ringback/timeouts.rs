//! Timeouts: a flow that never comes, and reports that never come.

use crate::harness::check::{Scene, Then, check};
use crate::harness::samples::{flow, phase_1, phase_2, report};
use crate::harness::stage::Stage;
use serde_json::json;

#[test]
fn a_report_whose_flow_never_comes_is_a_dead_letter_with_its_raw_bytes() {
    let mut stage = Stage::new("timeouts-flow-missing");
    stage.set("correlation.correlation_ttl_s", 1);
    // The white space of the record is kept, because operators replay the original bytes.
    let raw = serde_json::to_vec_pretty(&report("orphan", "s-1", "DELIVERED")).expect("JSON");
    let record = crate::harness::kafka::Record {
        key: Some(b"orphan".to_vec()),
        ..stage.raw("sms-delivery-report", raw.clone())
    };
    let then = Then::default().dead_letter("flow_missing");
    let outcome = check(&stage, |scene| scene.stage.kafka.produce(&[record]), then);
    let letter = &outcome.dead_letters[0];
    assert_eq!(letter.value.as_deref(), Some(raw.as_slice()));
    assert_eq!(letter.key.as_deref(), Some(b"orphan".as_slice()));
    assert_eq!(letter.header("ringback.kind"), "record");
    assert_eq!(letter.header("ringback.source.topic"), stage.topic("sms-delivery-report"));
    assert_eq!(letter.header("ringback.source.offset"), "0");
}

#[test]
fn reports_that_never_come_end_the_correlation() {
    let mut stage = Stage::new("timeouts-end");
    stage.set("correlation.report_timeout_s", 1);
    let flow = flow("silence", &["s-1"]);
    let then = Then::default()
        .delivered(phase_1(&flow))
        .event("report_timed_out")
        .event("record_ignored:late");
    let when = |scene: &mut Scene<'_>| {
        scene.flows(&[flow]);
        scene.wait_for("report_timed_out", 1);
        scene.reports(&[report("silence", "s-1", "DELIVERED")]);
    };
    check(&stage, when, then);
}

#[test]
fn missing_reports_are_sent_as_unknown_under_notify() {
    let mut stage = Stage::new("timeouts-notify");
    stage.set("correlation.report_timeout_s", 2);
    stage.set("correlation.on_report_timeout", "notify");
    let flow = flow("notify", &["s-1", "s-2", "s-3"]);
    let known = report("notify", "s-2", "DELIVERED");
    let latest = report("notify", "s-3", "SENT");
    let unknown = json!({"id": "s-1", "deliveryStatus": "UNKNOWN"});
    let details = [unknown, known.clone(), latest.clone()];
    let then = Then::default()
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, &details))
        .event("report_timed_out");
    let when = |scene: &mut Scene<'_>| {
        scene.flows(&[flow]);
        scene.reports(&[known, report("notify", "s-3", "QUEUED"), latest]);
    };
    let outcome = check(&stage, when, then);
    let notified = outcome.webhooks.iter().find(|request| request.phase() == 2).expect("phase 2");
    assert!(
        notified.text().contains(r#"[{"id":"s-1","deliveryStatus":"UNKNOWN"},"#),
        "{notified:?}"
    );
}

#[test]
fn under_each_notify_sends_one_webhook_per_missing_sms() {
    let mut stage = Stage::new("timeouts-notify-each");
    stage.set("correlation.report_timeout_s", 2);
    stage.set("correlation.on_report_timeout", "notify");
    stage.set("correlation.phase2_wait", "each");
    let flow = flow("notify-each", &["s-1", "s-2", "s-3"]);
    let known = report("notify-each", "s-2", "DELIVERED");
    let unknown = |sms: &str| json!({"id": sms, "deliveryStatus": "UNKNOWN"});
    let then = Then::default()
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, std::slice::from_ref(&known)))
        .delivered(phase_2(&flow, &[unknown("s-1")]))
        .delivered(phase_2(&flow, &[unknown("s-3")]))
        .event("report_timed_out");
    let when = |scene: &mut Scene<'_>| {
        scene.flows(&[flow]);
        scene.reports(&[known]);
    };
    check(&stage, when, then);
}

/// The timeout is a row, not a timer of the process.
#[test]
fn a_report_timeout_survives_a_crash() {
    let mut stage = Stage::new("timeouts-crash");
    stage.set("correlation.report_timeout_s", 2);
    let flow = flow("crash", &["s-1"]);
    let then = Then::default().delivered(phase_1(&flow)).event("report_timed_out");
    let when = |scene: &mut Scene<'_>| {
        scene.flows(&[flow]);
        scene.wait_for("delivered", 1);
        scene.daemon.kill();
        scene.daemon = scene.stage.start();
    };
    check(&stage, when, then);
}

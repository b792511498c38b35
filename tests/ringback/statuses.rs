//! Delivery statuses as gateways write them, and the webhook that gathers the reports of a flow without a list.

use crate::definitions::{self, rule, webhook};
use crate::harness::check::{Scene, Then, check};
use crate::harness::samples::{flow, phase_1, phase_2, report, with};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, wait_until};
use serde_json::{Value, json};

const RECEIPT: &str = "id:0123 sub:001 dlvrd:000 submit date:2601010100 done date:2601010101 stat:UNDELIV err:075 text:stat:DELIVRD";

/// Returns a webhook for reports of delivered SMS, one for SMS that were not delivered, and one for SMS on their way.
fn rules() -> String {
    let report =
        "body = \"json\"\ntemplate = '{\"sms\": \"$sms.id\", \"status\": \"$sms.deliveryStatus\"}'";
    let of = [("good", "sms:DELIVERED"), ("bad", "sms: UNDELIVERED "), ("taken", "sms:SUBMITTED")];
    let webhooks = of.map(|(name, _)| webhook(name, report));
    [webhook("crm", ""), webhooks.concat(), of.map(|(name, on)| rule(&[on], name, "")).concat()]
        .concat()
}

#[test]
fn statuses_are_read_as_gateways_write_them() {
    let mut stage = definitions::stage("statuses-read", &rules());
    stage.set("statuses.intermediate", vec!["HELD_*"]);
    stage.set("statuses.aliases.8", "SUBMITTED");
    let flow = flow("read", &["s-1", "s-2", "s-3"]);
    let last = [
        report("read", "s-1", " DELIVRD "),
        report("read", "s-2", RECEIPT),
        report("read", "s-3", "EXPIRED"),
    ];
    let mut scene = Scene::open(&stage);
    scene.flows(std::slice::from_ref(&flow));
    scene.wait_for("flow_accepted", 1);
    scene.reports(&[
        report("read", "s-1", "SENT_TO_QUEUE"),
        report("read", "s-1", "sending"),
        with(report("read", "s-2", ""), "deliveryStatus", json!(8)),
        report("read", "s-3", "held_by_operator"),
        report("read", "s-3", " Dispatched"),
    ]);
    scene.wait_for("report_accepted", 5);
    scene.reports(&last);
    let accepted = scene.wait_for("report_accepted", 8);
    scene.wait_for("correlation_ended", 1);
    scene.daemon.stop();
    assert!(accepted.iter().all(|event| event["known_status"] == true), "{accepted:#?}");
    let requests = stage.receiver.requests();
    let of = |path: &str| -> Vec<Value> {
        requests.iter().filter(|it| it.path == path).map(|it| it.json()).collect()
    };
    assert_eq!(
        of("/crm"),
        [phase_1(&flow), phase_2(&flow, &last)],
        "bodies keep the text as it came"
    );
    assert_eq!(of("/good"), [json!({"sms": "s-1", "status": " DELIVRD "})]);
    assert_eq!(of("/bad"), [json!({"sms": "s-2", "status": RECEIPT})]);
    assert_eq!(of("/taken").len(), 1, "{requests:#?}");
    assert_eq!(requests.len(), 5);
    stage.verify();
}

#[test]
fn unknown_words_are_named_once_and_may_be_intermediate() {
    let mut stage = Stage::new("statuses-unknown");
    stage.set("statuses.unknown", "intermediate");
    let flow = flow("unknown", &["s-1", "s-2"]);
    let last = ["s-1", "s-2"].map(|sms| report("unknown", sms, "DELIVERED"));
    let mut scene = Scene::open(&stage);
    scene.flows(std::slice::from_ref(&flow));
    scene.wait_for("flow_accepted", 1);
    scene
        .reports(&[report("unknown", "s-1", "telepathy"), report("unknown", "s-2", " TELEPATHY ")]);
    scene.wait_for("report_accepted", 2);
    let counted = |labels: &[(&str, &str)]| {
        scene.daemon.metric("ringback_unknown_status_words_total", labels)
    };
    wait_until("both are counted", PATIENCE, || {
        (counted(&[("status", "TELEPATHY")]) == Some(2.0)).then_some(())
    });
    assert_eq!(counted(&[]), Some(2.0));
    scene.reports(&last);
    scene.wait_for("correlation_ended", 1);
    scene.daemon.stop();
    let bodies: Vec<Value> = stage.receiver.requests().iter().map(|it| it.json()).collect();
    assert_eq!(bodies, [phase_1(&flow), phase_2(&flow, &last)]);
    let logged = scene.daemon.logged();
    let lines: Vec<&str> = logged.lines().filter(|it| it.contains("unknown status")).collect();
    let [first, rest] = lines.as_slice() else { panic!("{lines:#?}") };
    assert!(first.contains("\"status\":\"TELEPATHY\"") && first.contains("WARN"), "{first}");
    assert!(rest.contains("more delivery reports") && rest.contains("\"count\":1"), "{rest}");
}

#[test]
fn check_shows_settings_of_statuses_that_have_no_effect() {
    let mut stage = Stage::new("statuses-check");
    stage.set("statuses.intermediate", vec!["PENDING_*", "HELD_*"]);
    stage.set("statuses.aliases.8", "SUBMITTED");
    stage.set("correlation.phase2_gather_s", 30);
    let done = stage.command(&["check"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let warning = "warning: statuses.intermediate[#1]: has no effect any more: `PENDING_*` is intermediate without it";
    assert!(done.err.contains(warning), "{done:?}");
    stage.set("statuses.final", vec!["DELIVERED"]);
    stage.set("statuses.aliases.9", "SUBMITED");
    stage.set("correlation.phase2_wait", "each");
    let done = stage.command(&["check"]);
    assert_eq!(done.code, Some(78), "{done:?}");
    for fault in [
        "statuses.final[#1]: has no effect: `DELIVERED` is final without it; remove it",
        "statuses.aliases.9: means `SUBMITED`, which is no known status; write a known one",
        "correlation.phase2_gather_s: has no effect: with phase2_wait = \"each\"",
    ] {
        assert!(done.err.contains(fault), "{fault} is missing: {done:?}");
    }
}

/// Long enough that a busy machine starts the daemon again in time.
const GATHER_S: i64 = 20;

#[test]
fn three_sms_of_a_flow_without_a_list_make_one_webhook_in_spite_of_a_crash() {
    let mut stage = Stage::new("statuses-gather");
    stage.set("correlation.phase2_gather_s", GATHER_S);
    let flow = with(flow("gather", &[]), "sms", Value::Null);
    let reports = [
        report("gather", "s-1", "DELIVERED"),
        report("gather", "s-2", "UNDELIV"),
        report("gather", "s-3", "EXPIRED"),
    ];
    let then = Then::default()
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, &reports))
        .event("correlation_ended");
    let when = |scene: &mut Scene<'_>| {
        scene.flows(std::slice::from_ref(&flow));
        scene.wait_for("delivered", 1);
        scene.reports(&reports[..1]);
        scene.wait_for("report_accepted", 1);
        scene.daemon.kill();
        scene.reports(&reports[1..]);
        scene.daemon = scene.stage.start();
        let state = scene.stage.command(&["trace", "gather", "--json"]);
        assert!(state.out.contains("gathers_until"), "{state:?}");
    };
    check(&stage, when, then);
}

//! Reports before, during and long after their flow; records that change nothing; three SMS in one webhook or in three.

use crate::harness::check::{Then, check};
use crate::harness::samples::{flow, phase_1, phase_2, report, with};
use crate::harness::stage::Stage;
use serde_json::{Value, json};

#[test]
fn a_report_before_its_flow_waits_for_it() {
    let stage = Stage::new("correlation-before");
    let flow = flow("before", &["s-1"]);
    let report = report("before", "s-1", "DELIVERED");
    let then = Then::default()
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, std::slice::from_ref(&report)))
        .event("correlation_ended");
    let outcome = check(
        &stage,
        |scene| {
            scene.reports(&[report]);
            scene.wait_for("report_accepted", 1);
            scene.flows(&[flow]);
        },
        then,
    );
    assert_eq!(outcome.webhooks[0].phase(), 1, "strict: phase 1 first");
}

#[test]
fn a_report_long_after_phase_1_makes_phase_2() {
    let stage = Stage::new("correlation-after");
    let flow = flow("after", &["s-1"]);
    let report = report("after", "s-1", "EXPIRED");
    let then = Then::default()
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, std::slice::from_ref(&report)))
        .event("correlation_ended");
    let when = |scene: &mut crate::harness::check::Scene<'_>| {
        scene.flows(&[flow]);
        scene.wait_for("delivered", 1);
        scene.reports(&[report]);
    };
    check(&stage, when, then);
}

#[test]
fn intermediate_reports_are_replaced_by_the_final_one() {
    let stage = Stage::new("correlation-between");
    let flow = flow("between", &["s-1"]);
    let last = report("between", "s-1", "DELIVERED");
    let then = Then::default()
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, std::slice::from_ref(&last)))
        .event("correlation_ended");
    let when = |scene: &mut crate::harness::check::Scene<'_>| {
        scene.reports(&[report("between", "s-1", "SUBMITTED")]);
        scene.wait_for("report_accepted", 1);
        scene.flows(&[flow]);
        scene.wait_for("flow_accepted", 1);
        scene.reports(&[report("between", "s-1", "ENROUTE"), last]);
    };
    check(&stage, when, then);
}

#[test]
fn an_unknown_status_counts_as_final_and_is_passed_on() {
    let stage = Stage::new("correlation-unknown-status");
    let flow = flow("unknown", &["s-1"]);
    let report = report("unknown", "s-1", "TELEPATHY");
    let then = Then::default()
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, std::slice::from_ref(&report)))
        .event("correlation_ended");
    let when = |scene: &mut crate::harness::check::Scene<'_>| {
        scene.flows(&[flow]);
        scene.reports(&[report]);
    };
    check(&stage, when, then);
}

/// Before the end of a correlation, the content of a record decides why it is ignored.
#[test]
fn records_that_change_nothing_get_their_own_reason_before_the_end() {
    let mut stage = Stage::new("correlation-ignored");
    stage.add_account(29);
    let flow = flow("ignored", &["s-1", "s-2"]);
    let first = report("ignored", "s-1", "DELIVERED");
    let second = report("ignored", "s-2", "FAILED");
    let then = Then::default()
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, &[first.clone(), second.clone()]))
        .event("record_ignored:duplicate")
        .event("record_ignored:duplicate")
        .event("record_ignored:duplicate")
        .event("record_ignored:conflicting")
        .event("record_ignored:conflicting")
        .event("record_ignored:regressed")
        .event("record_ignored:unlisted")
        .event("record_ignored:account_mismatch")
        .event("correlation_ended");
    let when = |scene: &mut crate::harness::check::Scene<'_>| {
        scene.flows(std::slice::from_ref(&flow));
        scene.wait_for("flow_accepted", 1);
        let spaced = serde_json::to_vec_pretty(&first).expect("JSON");
        let spaced = scene.stage.raw("sms-delivery-report", spaced);
        let spaced = crate::harness::kafka::Record { key: Some(b"ignored".to_vec()), ..spaced };
        scene.flows(&[flow.clone(), with(flow.clone(), "keys", json!([]))]);
        scene.reports(&[first.clone(), first.clone()]);
        scene.stage.kafka.produce(&[spaced]);
        scene.reports(&[
            report("ignored", "s-1", "SENT"),
            report("ignored", "s-1", "FAILED"),
            report("ignored", "s-3", "DELIVERED"),
            with(report("ignored", "s-2", "DELIVERED"), "accountID", json!(29)),
        ]);
        scene.wait_for("record_ignored", 8);
        scene.reports(&[second]);
    };
    check(&stage, when, then);
}

#[test]
fn every_record_after_the_end_is_late() {
    let stage = Stage::new("correlation-late");
    let flow = flow("late", &["s-1"]);
    let report_1 = report("late", "s-1", "DELIVERED");
    let then = Then::default()
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, std::slice::from_ref(&report_1)))
        .event("correlation_ended")
        .event("record_ignored:late")
        .event("record_ignored:late")
        .event("record_ignored:late")
        .event("record_ignored:late");
    let when = |scene: &mut crate::harness::check::Scene<'_>| {
        scene.flows(std::slice::from_ref(&flow));
        scene.reports(std::slice::from_ref(&report_1));
        scene.wait_for("correlation_ended", 1);
        scene.flows(&[flow.clone(), with(flow, "keys", json!([]))]);
        scene.reports(&[report_1, report("late", "s-1", "SENT")]);
    };
    check(&stage, when, then);
}

/// After the marker's window has passed, the uuid counts as new.
#[test]
fn a_uuid_is_forgotten_after_the_dedup_window() {
    let mut stage = Stage::new("correlation-forgotten");
    stage.set("correlation.dedup_window_s", 1);
    let flow = flow("forgotten", &[]);
    let then = Then::default()
        .delivered(phase_1(&flow))
        .delivered(phase_1(&flow))
        .event("correlation_ended")
        .event("correlation_ended");
    let when = |scene: &mut crate::harness::check::Scene<'_>| {
        scene.flows(std::slice::from_ref(&flow));
        scene.wait_for("correlation_ended", 1);
        scene.stage.wait_forgotten(crate::harness::PATIENCE);
        scene.flows(&[flow]);
    };
    check(&stage, when, then);
}

fn three_sms(uuid: &str) -> (Value, [Value; 3]) {
    let reports = ["s-1", "s-2", "s-3"].map(|sms| report(uuid, sms, "DELIVERED"));
    (flow(uuid, &["s-1", "s-2", "s-3"]), reports)
}

#[test]
fn three_sms_make_one_phase_2_under_all_in_the_order_of_the_list() {
    let stage = Stage::new("correlation-all");
    let (flow, reports) = three_sms("all");
    let then = Then::default()
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, &reports))
        .event("correlation_ended");
    let when = |scene: &mut crate::harness::check::Scene<'_>| {
        scene.flows(&[flow]);
        let [first, second, third] = reports.clone();
        scene.reports(&[third, first, second]);
    };
    check(&stage, when, then);
}

#[test]
fn three_sms_make_three_phase_2_under_each() {
    let mut stage = Stage::new("correlation-each");
    stage.set("correlation.phase2_wait", "each");
    let (flow, reports) = three_sms("each");
    let then = reports.iter().fold(Then::default().delivered(phase_1(&flow)), |then, report| {
        then.delivered(phase_2(&flow, std::slice::from_ref(report)))
    });
    let when = |scene: &mut crate::harness::check::Scene<'_>| {
        scene.flows(&[flow]);
        scene.reports(&reports);
    };
    let outcome = check(&stage, when, then.event("correlation_ended"));
    let ids: std::collections::BTreeSet<_> = outcome.webhooks.iter().map(|r| r.id()).collect();
    assert_eq!(ids.len(), 4, "each delivery has its own id");
}

/// Runs a flow whose phase 1 fails at first. Returns whether phase 2 was sent before phase 1 was retried.
fn phase_2_precedes_the_retry_of_phase_1(name: &str, order: &str) -> bool {
    use crate::harness::receiver::Answer;
    let mut stage = Stage::new(name);
    stage.set("correlation.phase2_order", order);
    stage.set("delivery.retry.initial_interval_ms", 5000);
    stage.set("delivery.retry.interval_max_ms", 5000);
    stage.receiver.script(|request, nth| {
        Answer::status(if request.phase() == 1 && nth == 1 { 500 } else { 200 })
    });
    let flow = flow("order", &["s-1"]);
    let report = report("order", "s-1", "DELIVERED");
    let then = Then::default()
        .attempted(phase_1(&flow))
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, std::slice::from_ref(&report)))
        .event("correlation_ended");
    let when = |scene: &mut crate::harness::check::Scene<'_>| {
        scene.flows(&[flow]);
        scene.reports(&[report]);
    };
    let outcome = check(&stage, when, then);
    // Phase 2 may even arrive before the first attempt of phase 1.
    outcome.webhooks[2].phase() == 1
}

#[test]
fn phase_2_waits_for_the_end_of_phase_1_under_strict() {
    assert!(!phase_2_precedes_the_retry_of_phase_1("correlation-strict", "strict"));
}

#[test]
fn phase_2_does_not_wait_under_independent() {
    assert!(phase_2_precedes_the_retry_of_phase_1("correlation-independent", "independent"));
}

#[test]
fn without_a_list_reports_that_are_not_in_phase_2_are_late() {
    let stage = Stage::new("correlation-left");
    let mut flow = flow("left", &[]);
    flow.as_object_mut().expect("an object").remove("sms");
    let reports = ["s-1", "s-2", "s-3"].map(|sms| report("left", sms, "DELIVERED"));
    let open = report("left", "s-4", "SUBMITTED");
    let then = Then::default()
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, &reports[..1]))
        .event("record_ignored:late")
        .event("record_ignored:late")
        .event("record_ignored:late")
        .event("correlation_ended");
    let outcome = check(
        &stage,
        |scene| {
            scene.reports(&reports);
            scene.reports(&[open]);
            scene.wait_for("report_accepted", 4);
            scene.flows(&[flow]);
        },
        then,
    );
    let late = outcome.events("record_ignored:late");
    let ids: Vec<&str> = late.iter().filter_map(|event| event["sms_id"].as_str()).collect();
    assert_eq!(ids, ["s-2", "s-3", "s-4"]);
}

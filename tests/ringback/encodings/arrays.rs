//! Arrays of reports in one record: each is a report of its own, in the order of the array, and exactly once.

use super::keyed;
use crate::harness::check::{Scene, Then, check};
use crate::harness::samples::{flow, phase_1, phase_2, report};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker};
use serde_json::{Value, json};

fn array(reports: &[Value]) -> String {
    Value::Array(reports.to_vec()).to_string()
}

#[test]
fn an_array_of_reports_is_taken_apart_in_its_order() {
    // The reports belong to both partitions, so that some of them are forwarded.
    let stage = Stage::new("arrays");
    let uuids: Vec<String> = (0..8).map(|number| format!("run-{number}")).collect();
    let mut items = Vec::new();
    let mut then = Then::default();
    let flows: Vec<Value> = uuids.iter().map(|uuid| flow(uuid, &["s-1", "s-2"])).collect();
    for (uuid, flow) in uuids.iter().zip(&flows) {
        let reports = [report(uuid, "s-1", "DELIVERED"), report(uuid, "s-2", "FAILED")];
        items.push(report(uuid, "s-1", "SENT"));
        items.extend(reports.clone());
        // It comes second, so it conflicts with the first one.
        items.push(report(uuid, "s-1", "EXPIRED"));
        then = then.delivered(phase_1(flow)).delivered(phase_2(flow, &reports));
        then = then.event("correlation_ended").event("record_ignored:conflicting");
    }
    items.push(json!({"id": "no report"}));
    let then = then.dead_letter("undecodable");
    let record = keyed(&stage, "sms-delivery-report", "whatever", array(&items));
    let play = |scene: &mut Scene<'_>| {
        stage.kafka.produce(&[record]);
        scene.wait_for("report_accepted", uuids.len() * 3);
        scene.flows(&flows);
    };
    let outcome = check(&stage, play, then);
    let [letter] = &outcome.dead_letters[..] else { panic!("one dead letter") };
    assert_eq!(letter.value.as_deref(), Some(&br#"{"id":"no report"}"#[..]), "the item alone");
    assert_eq!(letter.header("ringback.source.index"), "32");
    for uuid in &uuids {
        let accepted = outcome.events("report_accepted");
        let of_uuid = accepted.iter().filter(|event| event["phonon_uuid"] == **uuid);
        let statuses: Vec<&str> = of_uuid.filter_map(|event| event["status"].as_str()).collect();
        assert_eq!(statuses, ["SENT", "DELIVERED", "FAILED"]);
    }
}

#[test]
fn an_array_is_decided_once_over_a_kill() {
    let stage = Stage::on(broker::shared(), "arrays-killed", 1);
    let flow = flow("run", &["s-1", "s-2"]);
    let reports = [report("run", "s-1", "DELIVERED"), report("run", "s-2", "FAILED")];
    let then = Then::default()
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, &reports))
        .event("correlation_ended");
    let play = |scene: &mut Scene<'_>| {
        let record = keyed(&stage, "sms-delivery-report", "run", array(&reports));
        stage.kafka.produce(&[record]);
        scene.wait_for("report_accepted", 2);
        scene.daemon.kill();
        scene.daemon = stage.start();
        scene.flows(std::slice::from_ref(&flow));
    };
    let outcome = check(&stage, play, then);
    assert_eq!(outcome.events("report_accepted").len(), 2);
    let indices: Vec<&Value> =
        outcome.events("report_accepted").iter().map(|event| &event["source"]["index"]).collect();
    assert_eq!(indices, [&json!(0), &json!(1)]);
}

#[test]
fn a_report_of_an_array_whose_flow_never_comes_is_a_dead_letter_of_its_own() {
    let mut stage = Stage::on(broker::shared(), "arrays-missing", 1);
    stage.set("correlation.correlation_ttl_s", 1);
    let reports = [report("a", "s-1", "DELIVERED"), report("b", "s-1", "DELIVERED")];
    let record = keyed(&stage, "sms-delivery-report", "a", array(&reports));
    let flow = flow("b", &["s-1"]);
    let then = Then::default()
        .dead_letter("flow_missing")
        .dead_letter("flow_missing")
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, &reports[1..]))
        .event("correlation_ended");
    let play = |scene: &mut Scene<'_>| {
        stage.kafka.produce(&[record]);
        let letters = stage.dead_letters(2, PATIENCE);
        for (report, letter) in reports.iter().zip(&letters) {
            assert_eq!(letter.json(), *report);
        }
        scene.flows(std::slice::from_ref(&flow));
        scene.wait_for("delivered", 1);
        let of_b = format!("{}:{}", letters[1].partition, letters[1].offset);
        let replayed = stage.command(&["dead-letter", "replay", "--yes", &of_b]);
        assert_eq!(replayed.code, Some(0), "{replayed:?}");
    };
    check(&stage, play, then);
}

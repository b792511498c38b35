//! Arrays of reports in one record: each is a report of its own, in the order of the array, and exactly once.

use super::keyed;
use crate::harness::check::{Scene, Then, check};
use crate::harness::samples::{ACCOUNT, flow, phase_1, phase_2, report};
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

/// The largest array with the largest size is decided in one transaction, in bounded memory. A longer one is refused.
#[test]
fn the_longest_array_is_decided_and_a_longer_one_is_a_dead_letter() {
    const ITEMS: usize = 10_000;
    let stage = Stage::on(broker::shared(), "arrays-long", 1);
    let text = "x".repeat(260);
    let item = |number: usize| {
        let uuid = format!("run-{number}");
        json!({"id": "s-1", "phononUuid": uuid, "accountID": ACCOUNT, "deliveryStatus": "SENT",
            "text": text})
    };
    let items: Vec<Value> = (0..ITEMS).map(item).collect();
    let flow = flow("run-9999", &["s-1"]);
    let last = report("run-9999", "s-1", "DELIVERED");
    let then = Then::default()
        .dead_letter("undecodable")
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, std::slice::from_ref(&last)))
        .event("correlation_ended");
    let play = |scene: &mut Scene<'_>| {
        let long = array(&items);
        assert!((3 << 20..4 << 20).contains(&long.len()), "{} bytes", long.len());
        let longer = format!("[{}]", vec!["{}"; 2 * ITEMS].join(","));
        let records = [long, longer].map(|it| keyed(&stage, "sms-delivery-report", "run", it));
        stage.kafka.produce(&records);
        scene.wait_for("report_accepted", ITEMS);
        scene.flows(std::slice::from_ref(&flow));
        scene.reports(std::slice::from_ref(&last));
        scene.wait_for("correlation_ended", 1);
        let mib = scene.daemon.peak_mib();
        assert!(mib < 400, "{mib} MiB");
    };
    let outcome = check(&stage, play, then);
    assert_eq!(outcome.events("report_accepted").len(), ITEMS + 1);
    assert!(outcome.dead_letters[0].header("ringback.detail").contains("more than 10000"));
}

/// The process dies in the middle of an array, or when Kafka has all or a part of its transaction.
#[test]
fn an_array_is_decided_once_over_a_crash_at_any_point_of_its_commit() {
    const ITEMS: usize = 20;
    for point in ["deciding:10", "produced:1", "offered:1", "commit-sent:1", "committed:1"] {
        let name = point.split(':').next().expect("a name");
        let mut stage = Stage::on(broker::shared(), &format!("arrays-crash-{name}"), 1);
        let uuids: Vec<String> = (0..ITEMS).map(|number| format!("run-{number}")).collect();
        let reports: Vec<Value> =
            uuids.iter().map(|uuid| report(uuid, "s-1", "DELIVERED")).collect();
        let record = keyed(&stage, "sms-delivery-report", "whatever", array(&reports));
        stage.commit_first_rows();
        stage.kafka.produce(&[record]);
        stage.set_variable("RINGBACK_FAILPOINT", point);
        stage.spawn(0).wait_abort(name, PATIENCE);
        stage.clear_variables();
        if name == "committed" {
            let events = stage.kafka.read(&stage.topic("events"));
            assert_eq!(events.len(), ITEMS, "the transaction is the array's");
        }
        let flows: Vec<Value> = uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect();
        let mut then = Then::default();
        for (flow, report) in flows.iter().zip(&reports) {
            let reports = std::slice::from_ref(report);
            then = then.delivered(phase_1(flow)).delivered(phase_2(flow, reports));
            then = then.event("correlation_ended");
        }
        let play = |scene: &mut Scene<'_>| {
            scene.wait_for("report_accepted", ITEMS);
            scene.flows(&flows);
        };
        let outcome = check(&stage, play, then);
        let accepted = outcome.events("report_accepted");
        let places: Vec<(&Value, &Value)> = accepted
            .iter()
            .map(|event| (&event["phonon_uuid"], &event["source"]["index"]))
            .collect();
        let numbers: Vec<(Value, Value)> =
            uuids.iter().zip(0..).map(|(uuid, index)| (json!(uuid), json!(index))).collect();
        assert_eq!(places, numbers.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>(), "{point}");
    }
}

/// A replayed record answers its dead letter once, whether some, all or none of its items are skipped.
#[test]
fn a_replayed_record_whose_content_is_skipped_answers_its_dead_letter_once() {
    let mut stage = Stage::on(broker::shared(), "arrays-skipped", 1);
    stage.set("topics.unwrap", ["debezium"].to_vec());
    let gone = json!({"op": "d", "before": {}});
    let reports = ["a", "b", "c"].map(|uuid| report(uuid, "s-1", "SENT"));
    let [a, b, c] = reports;
    let records = [
        ("0:1", gone.clone(), "ignored"),
        ("0:2", json!([gone, gone]), "ignored"),
        ("0:3", json!([gone, a, gone]), "accepted"),
        ("0:4", json!([b, c]), "accepted"),
    ];
    let play = |scene: &mut Scene<'_>| {
        for (letter, record, _) in &records {
            let record = keyed(&stage, "sms-delivery-report", "any", record.to_string());
            stage.kafka.produce_with(&[record], &[("ringback.letter", letter)]);
        }
        scene.wait_for("report_accepted", 3);
        scene.wait_for("record_replayed", records.len());
    };
    let outcome = check(&stage, play, Then::default());
    let answers = outcome.events("record_replayed").into_iter();
    let mut answers: Vec<(&str, &str)> = answers
        .filter_map(|event| Some((event["letter"].as_str()?, event["became"].as_str()?)))
        .collect();
    answers.sort_unstable();
    assert_eq!(answers, records.each_ref().map(|(letter, _, became)| (*letter, *became)));
}

//! Records of another kind, and of another encoding, become dead letters that say what they look like.

use super::keyed;
use crate::harness::check::{Then, check};
use crate::harness::samples::{flow, phase_1, report, with};
use crate::harness::stage::Stage;
use crate::harness::{avro, broker};
use serde_json::{Value, json};

#[test]
fn a_record_of_another_kind_is_a_dead_letter_and_the_true_flow_is_delivered() {
    let mut stage = Stage::on(broker::shared(), "encodings-kinds", 1);
    stage.set("topics.flow_started", stage.topic("flow-started"));
    stage.kafka.create_topics(&[(&stage.topic("flow-started"), 1, &[])]);
    let whole = flow("u", &["s-1"]);
    let status = report("u", "s-1", "DELIVERED");
    let misspelt = json!({"phononUuid": "u", "accountID": 28, "calldetails": whole["callDetails"]});
    let by_name = avro::single_object(&avro::schema_text("flow-complete"), &whole);
    let wrong: [(&str, Vec<u8>, &str); 7] = [
        ("flow-complete", status.to_string().into_bytes(), "looks like a delivery report"),
        ("flow-complete", misspelt.to_string().into_bytes(), "none of callDetails, keys, sms"),
        (
            "sms-delivery-report",
            whole.to_string().into_bytes(),
            "looks like a flow complete record",
        ),
        ("sms-delivery-report", by_name, "the name of the record's schema"),
        ("flow-started", whole.to_string().into_bytes(), "looks like a flow complete record"),
        ("flow-complete", b"\x1f\x8b\x08\x00abc".to_vec(), "gzip"),
        ("flow-complete", whole.to_string().replace('{', " {").into_bytes(), ""),
    ];
    let [rest @ .., (_, spaced, _)] = &wrong;
    let records: Vec<_> = rest
        .iter()
        .map(|(kind, value, _)| keyed(&stage, kind, "u", value.clone()))
        .chain([keyed(&stage, "flow-complete", "u", spaced.clone())])
        .collect();
    let then = rest.iter().fold(Then::default(), |then, _| then.dead_letter("undecodable"));
    let then = then.delivered(phase_1(&whole)).event("report_timed_out");
    stage.set("correlation.report_timeout_s", 1);
    let outcome = check(&stage, |_| stage.kafka.produce(&records), then);
    for (kind, value, word) in rest {
        let topic = stage.topic(kind);
        let letter = outcome.dead_letters.iter().find(|letter| {
            letter.value.as_ref() == Some(value) && letter.header("ringback.source.topic") == topic
        });
        let letter = letter.unwrap_or_else(|| panic!("no letter with the raw bytes of {word}"));
        let detail = letter.header("ringback.detail");
        assert!(detail.contains(word), "{word}: {detail}");
    }
}

#[test]
fn a_flow_with_one_field_of_a_flow_is_accepted() {
    let stage = Stage::on(broker::shared(), "encodings-minimal", 1);
    let minimal = |uuid: &str, field: &str, value: Value| {
        with(json!({"phononUuid": uuid, "accountID": 28, "flowId": 200}), field, value)
    };
    let flows = [
        minimal("a", "callDetails", json!([])),
        minimal("b", "keys", json!([])),
        minimal("c", "sms", json!([])),
        minimal("d", "completedAt", json!("2023-10-19T11:55:21+05:30")),
    ];
    let enabled: Vec<Value> =
        flows.iter().map(|flow| with(flow.clone(), "webhookEnabled", json!(true))).collect();
    let then = flows.iter().fold(Then::default(), |then, flow| then.delivered(phase_1(flow)));
    // Without a list, the reports time out.
    let then = ["a", "b", "d"].iter().fold(then, |then, _| then.event("report_timed_out"));
    let then = then.event("correlation_ended");
    let mut stage = stage;
    stage.set("correlation.report_timeout_s", 1);
    check(&stage, |scene| scene.flows(&enabled), then);
}

//! Records in the envelopes of other programs.

use super::keyed;
use crate::harness::broker;
use crate::harness::check::{Scene, Then, check};
use crate::harness::kafka::Record;
use crate::harness::samples::{flow, phase_1, phase_2, report, with};
use crate::harness::stage::Stage;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const ALL: [&str; 4] = ["connect", "debezium", "mongodb", "cloudevents"];

fn stage(name: &str) -> Stage {
    let mut stage = Stage::on(broker::shared(), name, 1);
    stage.set("topics.unwrap", ALL.to_vec());
    stage
}

fn event(data: Value) -> Value {
    json!({"specversion": "1.0", "id": "1", "source": "/sms", "type": "sms.report", "data": data})
}

#[test]
fn flows_and_reports_are_taken_out_of_every_envelope() {
    let stage = stage("envelopes");
    let uuids = ["connect", "debezium", "both", "events", "base64", "binary", "mongodb"];
    let mut records = Vec::new();
    let mut then = Then::default();
    for uuid in uuids {
        let (flow, report) = (flow(uuid, &["s-1"]), report(uuid, "s-1", "DELIVERED"));
        let wrap = |record: &Value| match uuid {
            "connect" => json!({"schema": {"type": "struct"}, "payload": record}),
            "debezium" => json!({"before": null, "after": record, "source": {}, "op": "c"}),
            "both" => {
                json!({"schema": null, "payload": {"after": record, "op": "r", "source": {}}})
            }
            "events" => event(record.clone()),
            "base64" => {
                let mut event = event(Value::Null);
                event["data_base64"] = json!(STANDARD.encode(record.to_string()));
                event
            }
            "mongodb" => {
                json!({"operationType": "insert", "fullDocument": record, "documentKey": {}})
            }
            _ => record.clone(),
        };
        records.push(keyed(&stage, "flow-complete", uuid, wrap(&flow).to_string()));
        records.push(keyed(&stage, "sms-delivery-report", uuid, wrap(&report).to_string()));
        then = then
            .delivered(phase_1(&flow))
            .delivered(phase_2(&flow, &[report]))
            .event("correlation_ended");
    }
    // In binary mode, the attributes of a CloudEvent are headers, and the value is the record itself.
    let headers =
        [("ce_specversion", "1.0"), ("ce_type", "flow"), ("ce_id", "1"), ("ce_source", "/s")];
    check(&stage, |_| stage.kafka.produce_with(&records, &headers), then);
}

/// The platform's SMS service stores documents, and a connector writes a change event for each change.
#[test]
fn a_status_that_appears_in_a_document_comes_by_change_data_capture() {
    let stage = stage("envelopes-documents");
    let flow = flow("u", &["s-1"]);
    let whole = report("u", "s-1", "DELIVERED");
    let mut document = whole.clone();
    let id = document.as_object_mut().expect("a document").remove("id").expect("an id");
    document["_id"] = id;
    document["accountID"] = json!({"$numberLong": "28"});
    let sent = with(document.clone(), "deliveryStatus", json!("SENT"));
    let fresh = with(document.clone(), "deliveryStatus", Value::Null);
    let change = |kind: &str, document: &Value, fields: &Value| {
        let description = json!({"updatedFields": fields, "removedFields": []});
        json!({"operationType": kind, "documentKey": {"_id": 1}, "fullDocument": document, "updateDescription": description})
    };
    let mut insert = change("insert", &fresh, &Value::Null);
    insert.as_object_mut().expect("an event").remove("updateDescription");
    let answered =
        with(document.clone(), "notify_on_delivery", json!({"response_status": "SUCCESS"}));
    let events = [
        insert,
        change("update", &sent, &json!({"deliveryStatus": "SENT"})),
        change("update", &document, &json!({"deliveryStatus": "DELIVERED"})),
        // The platform stores the endpoint's answer in the document.
        change("update", &answered, &json!({"notify_on_delivery": {}})),
        json!({"operationType": "delete", "documentKey": {"_id": 1}}),
    ];
    let mut records: Vec<Record> = events
        .iter()
        .map(|event| keyed(&stage, "sms-delivery-report", "u", event.to_string()))
        .collect();
    records.push(Record { value: None, ..keyed(&stage, "sms-delivery-report", "u", "") });
    let reordered = with(whole, "id", Value::Null);
    let mut expected = json!({});
    for (name, value) in reordered.as_object().expect("a report") {
        expected[name] = value.clone();
    }
    expected["id"] = json!("s-1");
    let then = Then::default()
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, &[expected]))
        .event("correlation_ended");
    let play = |scene: &mut Scene<'_>| {
        scene.flows(std::slice::from_ref(&flow));
        stage.kafka.produce(&records);
        scene.wait_for("correlation_ended", 1);
        let labels =
            [("topic", stage.topic("sms-delivery-report")), ("result", "skipped".to_owned())];
        let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
        let what = "the last change events are skipped";
        crate::harness::wait_until(what, crate::harness::PATIENCE, || {
            let skipped = scene.daemon.metric("ringback_source_records_total", &labels)?;
            (skipped > 3.5).then_some(())
        });
    };
    let outcome = check(&stage, play, then);
    assert!(outcome.dead_letters.is_empty());
    assert_eq!(outcome.events("report_accepted").len(), 2, "SENT, and DELIVERED");
}

#[test]
fn an_envelope_that_is_not_unwrapped_is_a_dead_letter_that_names_it() {
    let stage = Stage::on(broker::shared(), "envelopes-off", 1);
    let flow = flow("u", &[]);
    let wrapped = [
        ("connect", json!({"schema": {}, "payload": flow})),
        ("debezium", json!({"op": "c", "before": null, "after": flow})),
        ("mongodb", json!({"operationType": "insert", "fullDocument": flow})),
        ("cloudevents", event(flow)),
    ];
    let records: Vec<Record> = wrapped
        .iter()
        .map(|(_, record)| keyed(&stage, "flow-complete", "u", record.to_string()))
        .collect();
    let then = wrapped.iter().fold(Then::default(), |then, _| then.dead_letter("undecodable"));
    let outcome = check(&stage, |_| stage.kafka.produce(&records), then);
    for ((word, record), letter) in wrapped.iter().zip(&outcome.dead_letters) {
        assert_eq!(letter.value.as_deref(), Some(record.to_string().as_bytes()), "{word}");
        let detail = letter.header("ringback.detail");
        assert!(detail.contains(&format!("unwrap = [\"{word}\"]")), "{word}: {detail}");
    }
}

/// A report that waits keeps its envelope, so that its dead letter can be replayed.
#[test]
fn the_dead_letter_of_an_enveloped_report_keeps_the_envelope_and_can_be_replayed() {
    let mut stage = stage("envelopes-raw");
    stage.set("correlation.correlation_ttl_s", 1);
    let (flow, report) = (flow("late", &["s-1"]), report("late", "s-1", "DELIVERED"));
    let wrapped = event(report.clone()).to_string();
    let record = keyed(&stage, "sms-delivery-report", "late", wrapped.clone());
    let then = Then::default()
        .dead_letter("flow_missing")
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, &[report]))
        .event("correlation_ended");
    let play = |scene: &mut Scene<'_>| {
        stage.kafka.produce(&[record]);
        stage.dead_letters(1, crate::harness::PATIENCE);
        scene.flows(std::slice::from_ref(&flow));
        scene.wait_for("delivered", 1);
        let replayed = stage.command(&["dead-letter", "replay", "--yes"]);
        assert_eq!(replayed.code, Some(0), "{replayed:?}");
    };
    let outcome = check(&stage, play, then);
    assert_eq!(outcome.dead_letters[0].value.as_deref(), Some(wrapped.as_bytes()));
}

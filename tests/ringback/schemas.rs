//! Answers of the schema registry: which are final for a record, and which make the partition wait.

use crate::harness::check::{Scene, Then, check};
use crate::harness::desk::{Desk, found, missing};
use crate::harness::kafka::Record;
use crate::harness::samples::{flow, phase_1};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, avro, broker, wait_until};
use serde_json::{Value, json};
use std::time::Duration;

const KIND: &str = "flow-complete";

fn stage(name: &str, desk: &Desk) -> Stage {
    let mut stage = Stage::on(broker::shared(), name, 1);
    stage.set("schema_registry.url", desk.url());
    stage
}

fn framed(stage: &Stage, id: u32, flow: &Value) -> Record {
    let value = avro::confluent(id, &avro::schema_text(KIND), flow);
    Record { key: stage.record(KIND, flow).key, value: Some(value), ..stage.record(KIND, flow) }
}

#[test]
fn a_schema_that_is_registered_after_its_record_is_found_by_the_next_one_and_by_a_replay() {
    let desk = Desk::start(Duration::ZERO);
    let stage = stage("schemas-late", &desk);
    let (first, second) = (flow("first", &[]), flow("second", &[]));
    let then = Then::default()
        .delivered(phase_1(&first))
        .delivered(phase_1(&second))
        .dead_letter("unknown_schema")
        .event("correlation_ended")
        .event("correlation_ended");
    let play = |scene: &mut Scene<'_>| {
        stage.kafka.produce(&[framed(&stage, 7, &first)]);
        stage.dead_letters(1, PATIENCE);
        desk.answer(7, [found(&avro::schema_text(KIND))]);
        let replayed =
            stage.command(&["dead-letter", "replay", "--yes", "--reason", "unknown_schema"]);
        assert_eq!(replayed.code, Some(0), "{replayed:?}");
        scene.wait_for("correlation_ended", 1);
        stage.kafka.produce(&[framed(&stage, 7, &second)]);
    };
    check(&stage, play, then);
}

#[test]
fn a_record_waits_while_the_registry_does_not_answer_about_its_schema() {
    let desk = Desk::start(Duration::ZERO);
    let stage = stage("schemas-outage", &desk);
    let gateway = |status, body: &str| (status, body.to_owned());
    let outages = [
        gateway(404, "<html>no such route</html>"),
        gateway(403, &json!({"error_code": 40301, "message": "denied"}).to_string()),
        gateway(429, ""),
        gateway(200, "<html>please log in</html>"),
    ];
    let schema = avro::schema_text(KIND);
    desk.answer(7, outages.into_iter().chain([found(&schema)]));
    let waits = flow("waits", &[]);
    let then = Then::default().delivered(phase_1(&waits)).event("correlation_ended");
    let play = |scene: &mut Scene<'_>| {
        stage.kafka.produce(&[framed(&stage, 7, &waits)]);
        let says = scene.daemon.wait_answer("/readyz", 503);
        assert!(says.contains("schema registry"), "{says}");
    };
    let outcome = check(&stage, play, then);
    assert!(outcome.dead_letters.is_empty());
    assert_eq!(desk.asked(7), 5);
}

#[test]
fn a_record_whose_schema_the_registry_refuses_is_a_dead_letter_and_delays_no_other() {
    let desk = Desk::start(Duration::ZERO);
    let stage = stage("schemas-refused", &desk);
    let refusal = |code: u32| json!({"error_code": code, "message": "no"}).to_string();
    desk.answer(1, [(400, refusal(400))]);
    desk.answer(2, [(422, refusal(42202))]);
    desk.answer(3, [(422, "<html>unprocessable</html>".to_owned())]);
    desk.answer(4, [found("{\"type\": \"nonsense\"}")]);
    let garbage = |id: u32| [&[0][..], &id.to_be_bytes(), b"garbage"].concat();
    let ids = [1, 2, 3, 4, 0x8000_0000, u32::MAX];
    let records: Vec<Record> = ids.iter().map(|id| stage.raw(KIND, garbage(*id))).collect();
    let behind = flow("behind", &[]);
    let then = Then::default().delivered(phase_1(&behind)).event("correlation_ended");
    let then = ids.iter().fold(then, |then, _| then.dead_letter("unknown_schema"));
    let play = |scene: &mut Scene<'_>| {
        stage.kafka.produce(&records);
        scene.flows(std::slice::from_ref(&behind));
    };
    let outcome = check(&stage, play, then);
    let mut letters: Vec<_> = outcome.dead_letters.iter().map(|it| it.value.clone()).collect();
    letters.sort();
    let mut values: Vec<_> = records.iter().map(|record| record.value.clone()).collect();
    values.sort();
    assert_eq!(letters, values, "each dead letter has its record's raw bytes");
    assert_eq!(
        (desk.asked(0x8000_0000_u32), desk.asked(u32::MAX)),
        (0, 0),
        "no registry gives out ids above i32::MAX"
    );
}

#[test]
fn a_registry_that_refuses_every_request_is_an_outage() {
    let desk = Desk::start(Duration::ZERO);
    let mut stage = stage("schemas-gateway", &desk);
    // This URL is the path of a gateway that answers every request with 400.
    stage.set("schema_registry.url", format!("{}/schemas/ids/gateway", desk.url()));
    let refused = (400, "<html>The plain HTTP request was sent to HTTPS port</html>".to_owned());
    for path in ["gateway/schemas/ids/7", "gateway/subjects"] {
        desk.answer(path, [refused.clone()]);
    }
    let waits = flow("waits", &[]);
    let then = Then::default().delivered(phase_1(&waits)).event("correlation_ended");
    let play = |scene: &mut Scene<'_>| {
        stage.kafka.produce(&[framed(&stage, 7, &waits)]);
        scene.daemon.wait_answer("/readyz", 503);
        desk.answer("gateway/schemas/ids/7", [found(&avro::schema_text(KIND))]);
    };
    check(&stage, play, then);
}

#[test]
fn the_schemas_that_a_schema_refers_to_are_requested_with_their_own_references() {
    let desk = Desk::start(Duration::ZERO);
    let stage = stage("schemas-refer", &desk);
    let mut whole: Value = serde_json::from_str(&avro::schema_text(KIND)).expect("a schema");
    let mut types = Vec::new();
    for field in whole["fields"].as_array_mut().expect("fields") {
        let kind = field["type"][1]["items"].clone();
        if let Some(name) = kind["name"].as_str() {
            field["type"][1]["items"] = json!(format!("ringback.{name}"));
            let mut kind = kind.clone();
            kind["namespace"] = json!("ringback");
            types.push(kind);
        }
    }
    // The first type refers to the others, as if they belonged together.
    let refer = |kind: &Value, version: u32| {
        let subject = format!("types/{}", kind["name"].as_str().expect("a name"));
        json!({"name": kind["name"], "subject": subject, "version": version})
    };
    let of_first: Vec<Value> = types[1..].iter().map(|kind| refer(kind, 2)).collect();
    let answer = |schema: &Value, references: &[Value]| {
        let answer = json!({"schema": schema.to_string(), "references": references});
        [(200, answer.to_string())]
    };
    desk.answer(7, answer(&whole, &[refer(&types[0], 1)]));
    let path = |name: &Value, version| {
        format!("subjects/types%2F{}/versions/{version}", name.as_str().expect("a name"))
    };
    desk.answer(path(&types[0]["name"], 1), answer(&types[0], &of_first));
    for kind in &types[1..] {
        // The last answer is repeated, so that an outage in between does no harm.
        let answers = [(503, String::new())].into_iter().chain(answer(kind, &[]));
        desk.answer(path(&kind["name"], 2), answers);
    }
    let flow = flow("whole", &[]);
    let then = Then::default().delivered(phase_1(&flow)).event("correlation_ended");
    check(&stage, |_| stage.kafka.produce(&[framed(&stage, 7, &flow)]), then);
}

#[test]
fn a_schema_that_refers_to_a_missing_one_is_unknown() {
    let desk = Desk::start(Duration::ZERO);
    let stage = stage("schemas-dangling", &desk);
    let references = json!([{"name": "gone", "subject": "gone", "version": 1}]);
    let answer = json!({"schema": "\"gone\"", "references": references});
    desk.answer(7, [(200, answer.to_string())]);
    let then = Then::default().dead_letter("unknown_schema");
    let record = framed(&stage, 7, &flow("dangling", &[]));
    check(&stage, |_| stage.kafka.produce(&[record]), then);
}

#[test]
fn a_schema_is_found_by_the_guid_in_a_header() {
    let desk = Desk::start(Duration::ZERO);
    let stage = stage("schemas-guid", &desk);
    let guid = 0x290a_4138_5729_475f_95e1_9ff3_0f85_1d67_u128;
    desk.answer(
        "schemas/guids/290a4138-5729-475f-95e1-9ff30f851d67",
        [found(&avro::schema_text(KIND))],
    );
    let flow = flow("by-guid", &[]);
    let value = avro::datum(&avro::schema_text(KIND), &flow);
    let record = Record { value: Some(value), ..stage.record(KIND, &flow) };
    let header = [&[1][..], &guid.to_be_bytes()].concat();
    let then = Then::default().delivered(phase_1(&flow)).event("correlation_ended");
    let play = |_: &mut Scene<'_>| {
        stage.kafka.produce_raw(&[record], &[("__value_schema_id", Some(&header))]);
    };
    check(&stage, play, then);
}

#[test]
fn many_schema_ids_are_requested_concurrently_and_their_records_stay_in_order() {
    const IDS: u32 = 200;
    let desk = Desk::start(Duration::from_millis(50));
    let stage = stage("schemas-many", &desk);
    desk.answer(1000 + IDS, [found(&avro::schema_text(KIND))]);
    let garbage = |id: u32| [&[0][..], &id.to_be_bytes(), b"garbage"].concat();
    let mut records: Vec<Record> =
        (1000..1000 + IDS).map(|id| stage.raw(KIND, garbage(id))).collect();
    let behind = flow("behind", &[]);
    records.push(framed(&stage, 1000 + IDS, &behind));
    let then = Then::default().delivered(phase_1(&behind)).event("correlation_ended");
    let then = (0..IDS).fold(then, |then, _| then.dead_letter("unknown_schema"));
    let outcome = check(&stage, |_| stage.kafka.produce(&records), then);
    assert!(desk.most_open() >= 8, "{} at once", desk.most_open());
    assert!(desk.most_open() <= 32, "{} at once", desk.most_open());
    let asked: Vec<usize> = (1000..=1000 + IDS).map(|id| desk.asked(id)).collect();
    assert_eq!(asked, vec![1; asked.len()]);
    let offset = |header: &str| header.parse::<i64>().expect("an offset");
    let order: Vec<i64> = outcome
        .dead_letters
        .iter()
        .map(|letter| offset(letter.header("ringback.source.offset")))
        .collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn an_instance_that_loses_a_partition_no_longer_waits_for_its_schema() {
    let desk = Desk::start(Duration::ZERO);
    let mut stage = Stage::new("schemas-moved");
    stage.set("schema_registry.url", desk.url());
    desk.answer(7, [(503, String::new())]);
    let mut first = stage.start();
    let waits = flow("waits", &[]);
    // Two instances share two partitions, and the second instance gets partition 1.
    stage.kafka.produce(&[Record { partition: Some(1), ..framed(&stage, 7, &waits) }]);
    first.wait_answer("/readyz", 503);
    let mut second = stage.spawn(1);
    wait_until("the second instance waits for the registry", PATIENCE, || {
        second.get("/readyz").ok().filter(|(_, says)| says.contains("schema registry"))
    });
    first.wait_answer("/readyz", 200);
    desk.answer(7, [missing()]);
    stage.dead_letters(1, PATIENCE);
    second.wait_answer("/readyz", 200);
    first.stop();
    second.stop();
}

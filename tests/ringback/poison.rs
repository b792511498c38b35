//! Records that can't be decoded: each becomes a dead letter with its raw bytes, and the records behind it are
//! delivered.

use crate::harness::check::{Scene, Then, check};
use crate::harness::kafka::Record;
use crate::harness::samples::{Random, flow, phase_1, phase_2, report, with};
use crate::harness::stage::Stage;
use crate::harness::{avro, broker, registry};
use serde_json::{Value, json};

/// A bad value, and the dead letters' reasons that are right for it.
type Poison = (Option<Vec<u8>>, &'static [&'static str]);

const MIB: usize = 1 << 20;

fn poisons(kind: &str, good: &Value) -> Vec<Poison> {
    let schema = avro::schema_text(kind);
    let whole = avro::single_object(&schema, good);
    let truncated = whole[..whole.len() / 2].to_vec();
    let mut stranger = whole;
    stranger[3] ^= 0xff;
    let framed = [&[0][..], &424_242_u32.to_be_bytes(), &avro::datum(&schema, good)].concat();
    let mut random = Random::seeded(7);
    // None of the encodings begins with this byte.
    let mut noise = vec![0xff];
    while noise.len() < 2 * MIB {
        noise.extend(random.next().to_le_bytes());
    }
    let nameless = with(good.clone(), "phononUuid", Value::Null).to_string().into_bytes();
    let undecodable: &[_] = &["undecodable"];
    vec![
        (Some(truncated), undecodable),
        (Some(stranger), &["unknown_schema"]),
        (Some(framed), &["unknown_schema"]),
        (Some(b"[1, 2, 3]".to_vec()), undecodable),
        (Some(br#"{"hello": "world"}"#.to_vec()), &["no_uuid", "undecodable"]),
        (Some(br#"{"phononUuid": "#.to_vec()), undecodable),
        (Some(nameless), &["no_uuid"]),
        (Some(noise), undecodable),
        (Some(long_as_json(kind)), undecodable),
        (Some(Vec::new()), undecodable),
        (None, undecodable),
    ]
}

/// Returns an Avro record of a few MiB whose JSON would be about ten times as long, more than Kafka accepts.
fn long_as_json(kind: &str) -> Vec<u8> {
    let leg: serde_json::Map<String, Value> = [
        "calleeNumber",
        "calleeType",
        "cdrId",
        "connectTime",
        "didNumber",
        "duration",
        "endTime",
        "hangupCause",
        "startTime",
    ]
    .map(|name| (name.to_owned(), Value::from("")))
    .into_iter()
    .collect();
    let legs = vec![Value::from(leg); 190_000];
    let record = with(flow("long", &[]), "callDetails", legs.into());
    let bytes = avro::single_object(&avro::schema_text("flow-complete"), &record);
    assert!(bytes.len() < 4 * MIB, "Kafka accepts a record of this length: {}", bytes.len());
    // The other topic's kind has no such record.
    if kind == "flow-complete" { bytes } else { vec![0xc3, 1] }
}

/// Sends bad records, with and without a key, to one input topic in front of good records.
fn poisoned(stage: &Stage, kind: &str) {
    let flow = flow("good", &["s-1"]);
    let report = report("good", "s-1", "DELIVERED");
    let good = if kind == "flow-complete" { &flow } else { &report };
    let poisons = poisons(kind, good);
    let mut records = Vec::new();
    for key in [None, Some(b"some-key".to_vec())] {
        records.extend(poisons.iter().map(|(value, _)| Record {
            topic: stage.topic(kind),
            partition: Some(0),
            key: key.clone(),
            value: value.clone(),
            ..Record::default()
        }));
    }
    let mut scene = Scene::open(stage);
    stage.kafka.produce(&records);
    stage.send_flows(std::slice::from_ref(&flow));
    stage.send_reports(std::slice::from_ref(&report));
    scene.wait_for("correlation_ended", 1);
    let letters = stage.dead_letters(records.len(), crate::harness::PATIENCE);
    scene.daemon.stop();
    let bodies: Vec<Value> = stage.receiver.requests().iter().map(|r| r.json()).collect();
    assert_eq!(bodies, [phase_1(&flow), phase_2(&flow, std::slice::from_ref(&report))]);
    assert_eq!(stage.kafka.read(&stage.topic("dead-letter")).len(), records.len());
    for (offset, record) in records.iter().enumerate() {
        let of = |letter: &&crate::harness::kafka::Message| {
            letter.header("ringback.source.offset") == offset.to_string()
        };
        let letter =
            letters.iter().find(of).unwrap_or_else(|| panic!("no dead letter of {offset}"));
        let (value, reasons) = &poisons[offset % poisons.len()];
        let reason = letter.header("ringback.reason");
        assert!(reasons.contains(&reason), "record {offset}: {reason} is none of {reasons:?}");
        let same =
            letter.value.as_deref().unwrap_or_default() == value.as_deref().unwrap_or_default();
        assert!(same, "record {offset} ({reason}): other bytes");
        assert_eq!(letter.key, record.key, "record {offset} ({reason})");
        assert_eq!(letter.header("ringback.kind"), "record");
        assert_eq!(letter.header("ringback.source.topic"), stage.topic(kind));
        assert_eq!(letter.header("ringback.source.partition"), "0");
    }
}

#[test]
fn poisoned_flow_complete_records_are_dead_letters() {
    poisoned(&Stage::on(broker::shared(), "poison-flows", 1), "flow-complete");
}

#[test]
fn poisoned_delivery_reports_are_dead_letters() {
    poisoned(&Stage::on(broker::shared(), "poison-reports", 1), "sms-delivery-report");
}

#[test]
fn an_id_that_the_registry_does_not_know_is_an_unknown_schema() {
    let mut stage = Stage::new("poison-registry");
    stage.set("schema_registry.url", registry::shared().url());
    let bad = [&[0][..], &999_999_u32.to_be_bytes(), b"whatever"].concat();
    let good = flow("behind", &[]);
    let then = Then::default()
        .delivered(phase_1(&good))
        .dead_letter("unknown_schema")
        .event("correlation_ended");
    let when = |scene: &mut Scene<'_>| {
        let partition = Some(0);
        let bad = Record { partition, ..scene.stage.raw("flow-complete", bad.clone()) };
        let good = Record { partition, ..scene.stage.record("flow-complete", &good) };
        scene.stage.kafka.produce(&[bad, good]);
    };
    let outcome = check(&stage, when, then);
    assert_eq!(outcome.dead_letters[0].value.as_deref(), Some(bad.as_slice()));
}

/// Under `each` every webhook of phase 2 carries the keys. Together they would make a row that fits into no record.
#[test]
fn a_flow_whose_webhooks_would_not_fit_into_a_row_is_a_dead_letter() {
    let mut stage = Stage::on(broker::shared(), "poison-large-keys", 1);
    stage.set("correlation.phase2_wait", "each");
    let sms: Vec<String> = (0..40).map(|number| format!("s-{number}")).collect();
    let sms: Vec<&str> = sms.iter().map(String::as_str).collect();
    let keys = json!([{"name": "$flow.key.note", "value": "x".repeat(900 << 10)}]);
    let large = with(flow("large", &sms), "keys", keys);
    let good = flow("good", &[]);
    let then = Then::default()
        .delivered(phase_1(&good))
        .dead_letter("undecodable")
        .event("correlation_ended");
    let when = |scene: &mut Scene<'_>| {
        let reports: Vec<Value> = sms.iter().map(|sms| report("large", sms, "DELIVERED")).collect();
        scene.reports(&reports);
        scene.wait_for("report_accepted", sms.len());
        scene.flows(&[large.clone(), good]);
    };
    let outcome = check(&stage, when, then);
    let letter = &outcome.dead_letters[0];
    assert_eq!(letter.value, Some(large.to_string().into_bytes()));
    assert!(letter.header("ringback.detail").contains("replay it"), "{letter:?}");
}

#[test]
fn reports_that_would_not_fit_into_a_row_together_are_dead_letters() {
    const REPORTS: usize = 30;
    const KEPT: usize = 4;
    let stage = Stage::on(broker::shared(), "poison-large-reports", 1);
    let good = flow("good", &[]);
    let then = Then::default().delivered(phase_1(&good)).event("correlation_ended");
    let then = (KEPT..REPORTS).fold(then, |then, _| then.dead_letter("undecodable"));
    let when = |scene: &mut Scene<'_>| {
        let large = |number| {
            let report = report("large", &format!("s-{number}"), "DELIVERED");
            with(report, "text", "x".repeat(900 << 10).into())
        };
        scene.reports(&(0..REPORTS).map(large).collect::<Vec<_>>());
        scene.wait_for("dead_lettered", REPORTS - KEPT);
        scene.flows(&[good]);
    };
    let outcome = check(&stage, when, then);
    assert_eq!(outcome.events("report_accepted").len(), KEPT);
}

//! JSON and both framings of Avro, written with older and newer schemas and mixed in one partition.

mod arrays;
mod envelopes;
mod framings;
mod java;
mod kinds;
mod spellings;

use crate::harness::check::{Scene, Then, check};
use crate::harness::kafka::Record;
use crate::harness::samples::{flow, phase_1, phase_2, report, with};
use crate::harness::stage::Stage;
use crate::harness::{avro, broker, registry};
use serde_json::{Value, json};

/// The schema of one topic in three versions of the gateway, with their ids at the registry.
struct Generations {
    schemas: [(u32, String); 3],
}

impl Generations {
    /// Registers the committed schema without the field `dropped`, as it is, and with the new field `added`.
    fn register(name: &str, dropped: &str, added: &str) -> Self {
        let current = avro::schema_text(name);
        let older = avro::without_field(&current, dropped);
        let newer = avro::with_field(&current, added);
        let register = |schema: String| (registry::shared().register(name, &schema), schema);
        Self { schemas: [older, current, newer].map(register) }
    }

    fn write(&self, generation: usize, record: &Value) -> Vec<u8> {
        let (id, schema) = &self.schemas[generation];
        avro::confluent(*id, schema, record)
    }
}

pub(super) fn keyed(stage: &Stage, kind: &str, uuid: &str, value: impl Into<Vec<u8>>) -> Record {
    Record { key: Some(uuid.into()), ..stage.raw(kind, value) }
}

#[test]
fn every_encoding_is_read_and_they_mix_in_one_partition() {
    let mut stage = Stage::on(broker::shared(), "encodings-mixed", 1);
    stage.set("schema_registry.url", registry::shared().url());
    let flows_by = Generations::register("flow-complete", "recordingUrls", "campaign");
    let reports_by = Generations::register("sms-delivery-report", "errorCode", "operator");
    let single = |name: &str, record: &Value| avro::single_object(&avro::schema_text(name), record);
    let uuids = ["json", "single", "older", "current", "newer"];
    let plain = |uuid: &str| flow(uuid, &["s-1"]);
    let flow_of = |uuid: &str| match uuid {
        "older" => with(plain(uuid), "recordingUrls", Value::Null),
        "newer" => with(plain(uuid), "campaign", json!("spring")),
        _ => plain(uuid),
    };
    let report_of = |uuid: &str| report(uuid, "s-1", "DELIVERED");
    let mut records = Vec::new();
    for uuid in uuids {
        let flow = flow_of(uuid);
        let bytes = match uuid {
            "json" => flow.to_string().into_bytes(),
            "single" => single("flow-complete", &flow),
            "older" => flows_by.write(0, &flow),
            "current" => flows_by.write(1, &flow),
            _ => flows_by.write(2, &flow),
        };
        records.push(keyed(&stage, "flow-complete", uuid, bytes));
    }
    for uuid in uuids {
        let report = report_of(uuid);
        // The assignment differs from the flows' assignment, so that no report has the encoding of its flow.
        let bytes = match uuid {
            "json" => reports_by.write(1, &report),
            "single" => reports_by.write(0, &report),
            "older" => reports_by.write(2, &with(report, "operator", json!("op"))),
            "current" => report.to_string().into_bytes(),
            _ => single("sms-delivery-report", &report),
        };
        records.push(keyed(&stage, "sms-delivery-report", uuid, bytes));
    }
    let then = uuids.iter().fold(Then::default(), |then, uuid| {
        let flow = flow_of(uuid);
        then.delivered(phase_1(&flow))
            .delivered(phase_2(&flow, &[report_of(uuid)]))
            .event("correlation_ended")
    });
    check(&stage, |scene| scene.stage.kafka.produce(&records), then);
}

#[test]
fn without_a_registry_single_object_encoding_and_json_are_read() {
    let stage = Stage::new("encodings-no-registry");
    let flow = flow("embedded", &["s-1"]);
    let report = report("embedded", "s-1", "DELIVERED");
    let schema = avro::schema_text("flow-complete");
    let then = Then::default()
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, std::slice::from_ref(&report)))
        .event("correlation_ended");
    let when = |scene: &mut Scene<'_>| {
        let bytes = avro::single_object(&schema, &flow);
        scene.stage.kafka.produce(&[keyed(scene.stage, "flow-complete", "embedded", bytes)]);
        scene.reports(&[report]);
    };
    check(&stage, when, then);
}

#[test]
fn the_same_content_in_another_encoding_is_a_duplicate() {
    let stage = Stage::new("encodings-duplicate");
    let flow = flow("twice", &["s-1"]);
    let report = report("twice", "s-1", "DELIVERED");
    let then = Then::default()
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, std::slice::from_ref(&report)))
        .event("record_ignored:duplicate")
        .event("correlation_ended");
    let when = |scene: &mut Scene<'_>| {
        scene.flows(std::slice::from_ref(&flow));
        let bytes = avro::single_object(&avro::schema_text("flow-complete"), &flow);
        scene.stage.kafka.produce(&[keyed(scene.stage, "flow-complete", "twice", bytes)]);
        scene.wait_for("record_ignored:duplicate", 1);
        scene.reports(&[report]);
    };
    check(&stage, when, then);
}

/// A report that waits keeps its bytes, so that a replay of its dead letter is decoded in the same way.
#[test]
fn an_avro_report_whose_flow_never_comes_is_kept_as_avro() {
    let mut stage = Stage::new("encodings-raw");
    stage.set("correlation.correlation_ttl_s", 1);
    let report = report("orphan", "s-1", "DELIVERED");
    let bytes = avro::single_object(&avro::schema_text("sms-delivery-report"), &report);
    let record = keyed(&stage, "sms-delivery-report", "orphan", bytes.clone());
    let then = Then::default().dead_letter("flow_missing");
    let outcome = check(&stage, |scene| scene.stage.kafka.produce(&[record]), then);
    assert_eq!(outcome.dead_letters[0].value.as_deref(), Some(bytes.as_slice()));
}

/// Listens on the port of the configuration, at which the registry could not be reached until now, and forwards all
/// bytes to the real registry.
fn forward_to_registry(port: u16) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = registry::shared().connect();
            let (mut from, mut to) =
                (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let (mut from, mut to) = (server, client);
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    });
}

#[test]
fn an_unreachable_registry_holds_back_only_its_partition_until_it_answers() {
    let mut stage = Stage::new("encodings-away");
    let port = crate::harness::child::free_port();
    stage.set("schema_registry.url", registry::shared().url_at(port));
    let schema = avro::schema_text("flow-complete");
    let id = registry::shared().register("encodings-away", &schema);
    let framed = flow("framed", &[]);
    let plain = flow("plain", &[]);
    let at = |partition, record| Record { partition: Some(partition), ..record };
    let bytes = avro::confluent(id, &schema, &framed);
    // Their uuids decide whether they are forwarded. The test only needs them to be read in different partitions.
    stage.kafka.produce(&[
        at(0, keyed(&stage, "flow-complete", "framed", bytes)),
        at(1, keyed(&stage, "flow-complete", "plain", plain.to_string())),
    ]);
    let then = Then::default()
        .delivered(phase_1(&plain))
        .delivered(phase_1(&framed))
        .event("correlation_ended")
        .event("correlation_ended");
    let play = |scene: &mut Scene<'_>| {
        scene.wait_for("correlation_ended", 1);
        assert_eq!(stage.receiver.requests().len(), 1, "one partition waits, the other does not");
        let says = scene.daemon.wait_answer("/readyz", 503);
        assert!(says.contains("schema registry"), "{says}");
        forward_to_registry(port);
    };
    let outcome = check(&stage, play, then);
    assert!(outcome.dead_letters.is_empty(), "an unreachable registry makes no dead letter");
}

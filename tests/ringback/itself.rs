//! Tests of the harness itself: its reports about Kafka, endpoints, signatures and changelogs are true.

use crate::harness::kafka::{Message, Record};
use crate::harness::receiver::{Answer, Received, Receiver};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, avro, broker, changelog, http, registry, samples, signature};
use base64::Engine;
use std::collections::BTreeMap;

#[test]
fn records_come_back_as_they_were_produced() {
    let stage = Stage::new("itself-kafka");
    let flow = samples::flow("u-1", &["s-1"]);
    stage.send_flows(std::slice::from_ref(&flow));
    let record = Record { partition: Some(1), ..stage.raw("flow-complete", "noise") };
    stage.kafka.produce(&[record, Record { value: None, ..stage.raw("flow-complete", "") }]);
    let messages = stage.kafka.read(&stage.topic("flow-complete"));
    assert_eq!(messages.len(), 3);
    let keyed = messages.iter().find(|m| m.key.is_some()).expect("the flow");
    assert_eq!(keyed.key.as_deref(), Some(b"u-1".as_slice()));
    assert_eq!(keyed.json(), flow);
    assert_eq!(keyed.header("from"), "tests");
    assert!(messages.iter().any(|m| m.value.is_none()));
    assert!(messages.iter().any(|m| m.partition == 1 && m.value.as_deref() == Some(b"noise")));
    assert_eq!(stage.kafka.committed(&stage.group(), &stage.topic("inbox")), BTreeMap::new());
    let policy = stage.kafka.topic_setting(&stage.topic("changelog"), "cleanup.policy");
    assert_eq!(policy.as_deref(), Some("compact"));
}

#[test]
fn a_broker_keeps_its_records_over_a_kill() {
    let mut own = broker::Broker::start();
    let stage = Stage::on(own.kafka(), "itself-broker", 1);
    stage.send_flows(&[samples::flow("u-1", &[])]);
    own.kill();
    own.restart();
    assert_eq!(stage.kafka.read(&stage.topic("flow-complete")).len(), 1);
}

#[test]
fn a_receiver_answers_by_its_script_and_records() {
    let receiver = Receiver::start();
    receiver.statuses(&[500, 200]);
    let port: u16 = receiver.url("").rsplit(':').next().expect("a port").parse().expect("a port");
    assert_eq!(http::post(port, "/a", "{}").expect("an answer").0, 500);
    assert_eq!(http::post(port, "/b", "{}").expect("an answer").0, 200);
    receiver.script(|_, nth| Answer::status(418).body(&format!("{nth}")));
    assert_eq!(http::post(port, "/c?d=e", "{}").expect("an answer"), (418, "3".to_owned()));
    let requests = receiver.wait_for(3, PATIENCE);
    assert_eq!((requests[2].method.as_str(), requests[2].path.as_str()), ("POST", "/c?d=e"));
}

/// The specification's test vector is too old for the library's tolerance. The test therefore signs a message by hand,
/// and forges it.
#[test]
fn signatures_are_verified_and_forgeries_found() {
    let key = base64::engine::general_purpose::STANDARD
        .decode(signature::SECRET.trim_start_matches("whsec_"))
        .expect("base64");
    let now = crate::harness::receiver::now_ms() / 1000;
    let (id, body) = ("msg_1", r#"{"a":1}"#);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
    let tag = ring::hmac::sign(&key, format!("{id}.{now}.{body}").as_bytes());
    let tag = base64::engine::general_purpose::STANDARD.encode(tag);
    let headers = BTreeMap::from([
        ("webhook-id".to_owned(), id.to_owned()),
        ("webhook-timestamp".to_owned(), now.to_string()),
        ("webhook-signature".to_owned(), format!("v1,{tag}")),
    ]);
    let good = Received {
        from: 0,
        at_ms: 0,
        method: "POST".into(),
        path: "/".into(),
        headers,
        body: body.into(),
    };
    let forged = Received { body: r#"{"a":2}"#.into(), ..good.clone() };
    signature::verify(signature::SECRET, std::slice::from_ref(&good));
    let complaints = signature::complaints(signature::SECRET, &[good, forged]);
    assert!(complaints[0].is_none() && complaints[1].is_some(), "{complaints:?}");
}

#[test]
fn a_changelog_is_read_as_the_last_value_of_each_key() {
    let row = |partition, offset, key: &str, value: Option<&str>| Message {
        partition,
        offset,
        key: Some(key.into()),
        value: value.map(Into::into),
        raw_headers: Vec::new(),
        timestamp_ms: None,
        headers: BTreeMap::new(),
    };
    let rows = [
        row(0, 0, "su-1", Some("a")),
        row(0, 1, "m", Some("meta")),
        row(1, 0, "su-2", Some("b")),
        row(0, 2, "su-1", None),
        row(1, 1, "su-2", Some("c")),
    ];
    assert_eq!(changelog::uuids(&rows), ["u-2"]);
    assert_eq!(changelog::left(&rows)[&(1, b"su-2".to_vec())], b"c");
}

#[test]
fn a_registry_gives_ids_to_schemas() {
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#;
    let newer = avro::with_field(schema, "b");
    let registry = registry::shared();
    let first = registry.register("itself-value", schema);
    assert_eq!(first, registry.register("itself-value", schema), "{}", registry.url());
    assert_ne!(first, registry.register("itself-value", &newer));
}

/// Avro's own reader reads the sample back from the bytes of the harness's writer, with the current and a newer schema.
#[test]
fn avro_records_read_back_as_the_samples() {
    let flow = samples::flow("avro", &["s-1"]);
    let report = samples::report("avro", "s-1", "DELIVERED");
    for (name, record) in [("flow-complete", flow), ("sms-delivery-report", report)] {
        let schema = avro::schema_text(name);
        let newer = avro::with_field(&schema, "novelty");
        let extended = samples::with(record.clone(), "novelty", "new".into());
        assert_eq!(avro::read(&schema, &avro::datum(&schema, &record)), record);
        assert_eq!(avro::read(&newer, &avro::datum(&newer, &extended)), extended);
        assert_eq!(avro::single_object(&schema, &record)[..2], [0xc3, 0x01]);
        assert_eq!(avro::confluent(7, &schema, &record)[..5], [0, 0, 0, 0, 7]);
    }
}

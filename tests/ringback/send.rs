//! `ringback send` and `ringback topics --create --with-inputs`: records without Kafka's own tools.

use crate::harness::PATIENCE;
use crate::harness::samples::{flow, phase_1, phase_2, report, with};
use crate::harness::stage::Stage;
use crate::harness::{broker, child};
use serde_json::Value;
use std::collections::BTreeMap;

#[test]
fn from_no_topics_to_both_webhooks_of_a_sample_takes_two_commands() {
    let stage = Stage::without_topics(broker::shared(), "send-sample");
    let done = stage.command(&["topics", "--create", "--with-inputs", "6"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let input = stage.topic("flow-complete");
    assert!(done.out.contains(&format!("created {input}\n")), "{done:?}");
    for kind in ["flow-complete", "changelog"] {
        let line = format!("{} (", stage.topic(kind));
        let line = done.out.lines().find(|it| it.starts_with(&line)).expect("the topic");
        assert!(line.ends_with(": 6 partitions"), "{line}");
    }
    let again = stage.command(&["topics", "--create", "--with-inputs", "6"]);
    assert!(again.code == Some(0) && !again.out.contains("created"), "{again:?}");
    let mut daemon = stage.start();
    let sent = stage.command(&["send", "--sample"]);
    assert_eq!(sent.code, Some(0), "{sent:?}");
    assert!(sent.out.contains(&format!("{input}: 1 records written\n")), "{sent:?}");
    let requests = stage.receiver.wait_for(2, PATIENCE);
    let phases: Vec<u8> = requests.iter().map(|request| request.phase()).collect();
    assert_eq!(phases, [1, 2]);
    let uuid = requests[0].uuid();
    assert!(sent.out.contains(&format!("`ringback trace {uuid}`")), "{sent:?}");
    let sent = stage.command(&["send", "--sample", "--count", "20", "--rate", "200"]);
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let requests = stage.receiver.wait_for(42, PATIENCE);
    let mut of_uuid: BTreeMap<String, usize> = BTreeMap::new();
    requests.iter().for_each(|request| *of_uuid.entry(request.uuid()).or_default() += 1);
    assert!(of_uuid.len() == 21 && of_uuid.values().all(|count| *count == 2), "{of_uuid:?}");
    daemon.stop();
    let events = stage.events().wait("all records", PATIENCE, |events| events.len() > 42).to_vec();
    let kinds: Vec<Value> = events.iter().map(|event| event.json()["type"].clone()).collect();
    assert!(!kinds.contains(&"record_forwarded".into()), "each key is in its partition: {kinds:?}");
    stage.verify();
}

#[test]
fn each_line_of_a_file_goes_to_the_input_of_its_kind_with_its_uuid_as_key() {
    let stage = Stage::new("send-file");
    let mut daemon = stage.start();
    let (one, of_one) = (flow("sent", &["s-1"]), report("sent", "s-1", "DELIVERED"));
    let file = stage.instance_dir(0).join("records.jsonl");
    std::fs::write(&file, format!("{one}\n\n{of_one}\n")).expect("a file");
    let path = file.to_str().expect("UTF-8");
    let sent = stage.command(&["send", path]);
    assert_eq!(sent.code, Some(0), "{sent:?}");
    for kind in ["flow-complete", "sms-delivery-report"] {
        let line = format!("{}: 1 records written\n", stage.topic(kind));
        assert!(sent.out.contains(&line), "{sent:?}");
        let records = stage.kafka.read(&stage.topic(kind));
        assert_eq!(records[0].key.as_deref(), Some(b"sent".as_slice()));
    }
    let bodies: Vec<Value> =
        stage.receiver.wait_for(2, PATIENCE).iter().map(|request| request.json()).collect();
    assert_eq!(bodies, [phase_1(&one), phase_2(&one, &[of_one])]);
    daemon.stop();
}

#[test]
fn a_line_that_is_no_record_is_named_and_nothing_of_it_is_sent() {
    let stage = Stage::new("send-faults");
    let file = stage.instance_dir(0).join("records.jsonl");
    std::fs::create_dir_all(stage.instance_dir(0)).expect("a directory");
    let lines = [flow("good", &[]), with(flow("bad", &[]), "phononUuid", Value::Null)];
    std::fs::write(&file, lines.map(|line| line.to_string()).join("\n")).expect("a file");
    let path = file.to_str().expect("UTF-8");
    let sent = stage.command(&["send", path]);
    assert_eq!(sent.code, Some(2), "{sent:?}");
    // The lines before it are written.
    let written = format!("{}: 1 records written\n", stage.topic("flow-complete"));
    assert_eq!(sent.out, written);
    assert_eq!(stage.kafka.read(&stage.topic("flow-complete")).len(), 1);
    assert!(sent.err.contains("records.jsonl: line 2: it is no flow complete record"), "{sent:?}");
    for arguments in [vec!["send"], vec!["send", path, "--sample"], vec!["send", "--count", "2"]] {
        let sent = stage.command(&arguments);
        assert_eq!(sent.code, Some(2), "{arguments:?}: {sent:?}");
    }
    let missing = stage.command(&["send", "/nowhere/records.jsonl"]);
    assert!(
        missing.code == Some(1) && missing.err.contains("/nowhere/records.jsonl"),
        "{missing:?}"
    );
    let unknown = stage.command(&["send", "--sample", "--account", "12345"]);
    assert_eq!(
        unknown.code,
        Some(0),
        "an account that is not configured becomes a dead letter: {unknown:?}"
    );
    let mut stage = Stage::without_topics(broker::shared(), "send-nowhere");
    let sent = stage.command(&["send", "--sample"]);
    assert!(sent.code != Some(0) && sent.err.contains("--with-inputs"), "{sent:?}");
    stage.set("kafka.bootstrap_servers", format!("127.0.0.1:{}", child::free_port()));
    let sent = stage.command(&["send", "--sample"]);
    assert_eq!(sent.code, Some(75), "{sent:?}");
}

//! `ringback sink mongodb`: the answers of endpoints in the documents of SMS, on a real Kafka and a real FerretDB.

mod kills;
mod outages;

use crate::harness::daemon::{Daemon, command};
use crate::harness::database::{self, Documents};
use crate::harness::kafka::Message;
use crate::harness::receiver::Answer;
use crate::harness::samples::{flow, report};
use crate::harness::stage::{Stage, WEBHOOK};
use crate::harness::{PATIENCE, wait_until};
use mongodb::bson::{Bson, Document, doc};
use serde_json::Value;
use std::collections::BTreeMap;

/// The number of the sink's instance. Daemons have smaller ones.
const SINK: u8 = 20;

/// The field that the sink writes.
const FIELD: &str = "notify_on_delivery";

/// Returns the end of each delivery about an SMS, by SMS and webhook-id: the newest event about it.
fn answers_of(messages: &[Message]) -> BTreeMap<(String, String), (&Message, Value)> {
    let mut newest = BTreeMap::new();
    for message in messages {
        let event = message.json();
        let is_end = event["type"] == "delivered"
            || event["type"] == "dead_lettered" && event["kind"] == "delivery";
        if !is_end {
            continue;
        }
        let several = event["sms"].as_array().cloned().unwrap_or_default();
        let about = std::iter::once(event["sms_id"].clone()).chain(several);
        for sms in about.filter_map(|sms| sms.as_str().map(str::to_owned)) {
            let id = event["webhook_id"].as_str().expect("an id").to_owned();
            // All events of a delivery are in one partition, in their order.
            newest.insert((sms, id), (message, event.clone()));
        }
    }
    newest
}

/// Returns the value of an answer as an event has it.
fn json(value: Option<&Bson>) -> Value {
    let Some(value) = value.filter(|it| it.as_null().is_none()) else { return Value::Null };
    let text = value.as_str().map(Value::from);
    let text = text.or_else(|| value.as_bool().map(Value::from));
    let whole = || value.as_i32().map(i64::from).or_else(|| value.as_i64()).map(Value::from);
    let number = || whole().or_else(|| value.as_f64().map(Value::from));
    text.or_else(number).unwrap_or_else(|| panic!("no event has {value}"))
}

/// Compares an answer in a document with its event.
#[track_caller]
fn assert_same(stored: &Document, message: &Message, event: &Value) {
    let at = stored.get_datetime("at").expect("a time").try_to_rfc3339_string().expect("a time");
    let (ours, theirs) = (at.replace('Z', ""), event["at"].as_str().expect("a time"));
    let theirs = theirs.replace('Z', "");
    // A whole second has no fraction in the database's text.
    let with_ms = |text: &str| {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        format!("{seconds}.{fraction:0<3}")
    };
    assert_eq!(with_ms(&ours), with_ms(&theirs), "{event}");
    assert_eq!(stored.get_i64("offset").ok(), Some(message.offset), "{event}");
    assert_eq!(stored.get_i32("partition").ok(), Some(message.partition), "{event}");
    let outcome = if event["type"] == "delivered" { event } else { &event["last_outcome"] };
    let replays = event["replays"].as_i64().unwrap_or(0);
    assert_eq!(stored.get_i64("replays").ok(), Some(replays), "{event}");
    let members = ["type", "webhook", "phase", "attempts", "reason"];
    let of_outcome = [
        "response_status",
        "response_status_code",
        "response_status_type",
        "response_duration",
        "response_raw",
        "response_truncated",
        "response_error",
        "error_detail",
        "error_reason",
    ];
    let wanted = members.map(|name| (name, &event[name]));
    let wanted = wanted.into_iter().chain(of_outcome.map(|name| (name, &outcome[name])));
    for (name, wanted) in wanted {
        assert_eq!(&json(stored.get(name)), wanted, "{name} of {stored} and {event}");
    }
}

/// Checks that the documents have exactly the answers of the events.
#[track_caller]
fn assert_agree(stage: &Stage, documents: &BTreeMap<String, Document>) {
    let messages = stage.kafka.read(&stage.topic("events"));
    let mut wanted = answers_of(&messages);
    for (sms, document) in documents {
        let Ok(answers) = document.get_document(FIELD) else { continue };
        for (id, stored) in answers {
            let of_event = wanted.remove(&(sms.clone(), id.clone()));
            let (message, event) = of_event.unwrap_or_else(|| panic!("{id} of {sms} has no event"));
            assert_same(stored.as_document().expect("a document"), message, &event);
        }
    }
    let left: Vec<_> = wanted.keys().filter(|(sms, _)| documents.contains_key(sms)).collect();
    assert!(left.is_empty(), "the documents lack {left:?}");
}

/// Returns the number of answers in a document.
fn count(document: Option<&Document>) -> usize {
    document.and_then(|it| it.get_document(FIELD).ok()).map_or(0, Document::len)
}

fn only(document: &Document) -> &Document {
    let answers = document.get_document(FIELD).expect("answers");
    assert_eq!(answers.len(), 1, "{document}");
    answers.values().next().and_then(Bson::as_document).expect("an answer")
}

/// A stage with a sink, and a document for each of `sms`.
fn scene(name: &str, sms: &[&str], change: impl FnOnce(&mut Stage)) -> (Stage, Documents<'static>) {
    let mut stage = Stage::new(name);
    let documents = database::shared().of(&stage);
    documents.configure(&mut stage);
    change(&mut stage);
    if !sms.is_empty() {
        documents.insert_sms(sms);
    }
    (stage, documents)
}

/// Waits until the sink has counted `count` answers with this result.
fn wait_counted(sink: &Daemon, result: &str, count: f64) {
    let name = "ringback_sink_documents_total";
    wait_until(&format!("{count} answers are {result}"), PATIENCE, || {
        (sink.metric(name, &[("result", result)]) == Some(count)).then_some(())
    });
}

#[test]
fn the_answer_of_a_webhook_is_in_the_documents_of_all_its_sms() {
    let (stage, documents) = scene("sink-all", &["a-1", "a-2", "a-3"], |_| {});
    stage.receiver.script(|_, _| Answer::status(201).body("{\"ticket\": \"ਸਤਿ 7\"}"));
    let (mut daemon, mut sink) = (stage.start(), stage.start_sink(SINK));
    stage.send_flows(&[flow("several", &["a-1", "a-2"])]);
    stage
        .send_reports(&[report("several", "a-1", "DELIVERED"), report("several", "a-2", "FAILED")]);
    let all = documents.wait("two documents have an answer", PATIENCE, |all| {
        count(all.get("a-1")) == 1 && count(all.get("a-2")) == 1
    });
    let answer = only(&all["a-1"]);
    assert_eq!(answer, only(&all["a-2"]));
    assert_eq!(answer.get_str("type").ok(), Some("delivered"));
    assert_eq!(answer.get_str("webhook").ok(), Some(WEBHOOK));
    assert_eq!(answer.get_i32("phase").ok(), Some(2));
    assert_eq!(answer.get_i32("response_status_code").ok(), Some(201));
    assert_eq!(answer.get_str("response_raw").ok(), Some("{\"ticket\": \"ਸਤਿ 7\"}"));
    assert_eq!(
        all["a-1"].get_str("to").ok(),
        Some("919999999999"),
        "the rest of the document stays"
    );
    assert_eq!(all["a-3"].get(FIELD), None);
    assert_agree(&stage, &all);
    sink.stop();
    daemon.stop();
    stage.verify();
}

#[test]
fn with_a_webhook_for_each_sms_each_document_has_its_own_answer() {
    let (stage, documents) = scene("sink-each", &["e-1", "e-2"], |stage| {
        stage.set("correlation.phase2_wait", "each");
    });
    let (_daemon, mut sink) = (stage.start(), stage.start_sink(SINK));
    stage.send_flows(&[flow("each", &["e-1", "e-2"])]);
    stage.send_reports(&[report("each", "e-1", "DELIVERED"), report("each", "e-2", "FAILED")]);
    let all = documents.wait("both documents have an answer", PATIENCE, |all| {
        count(all.get("e-1")) == 1 && count(all.get("e-2")) == 1
    });
    let ids =
        ["e-1", "e-2"].map(|sms| all[sms].get_document(FIELD).expect("answers").keys().next());
    assert_ne!(ids[0], ids[1]);
    assert_agree(&stage, &all);
    sink.stop();
}

#[test]
fn a_replay_replaces_the_answer_and_reading_old_events_again_changes_nothing() {
    let (mut stage, documents) = scene("sink-replay", &["r-1"], |_| {});
    stage.receiver.script(|received, _| match received.phase() {
        2 => Answer::status(400).body("no"),
        _ => Answer::status(200),
    });
    let (mut daemon, mut sink) = (stage.start(), stage.start_sink(SINK));
    stage.send_flows(&[flow("replayed", &["r-1"])]);
    stage.send_reports(&[report("replayed", "r-1", "DELIVERED")]);
    let all =
        documents.wait("the document has the refusal", PATIENCE, |all| count(all.get("r-1")) == 1);
    let answer = only(&all["r-1"]);
    assert_eq!(answer.get_str("type").ok(), Some("dead_lettered"));
    assert_eq!(answer.get_i64("replays").ok(), Some(0));
    assert_eq!(answer.get_str("reason").ok(), Some("refused"));
    assert_eq!(answer.get_str("response_raw").ok(), Some("no"));
    assert_agree(&stage, &all);
    stage.receiver.script(|_, _| Answer::status(200).body("yes"));
    let done = stage.command(&["dead-letter", "replay", "--yes"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let is_replaced = |all: &BTreeMap<String, Document>| {
        only(&all["r-1"]).get_str("type").ok() == Some("delivered")
    };
    let replaced = documents.wait("the answer is replaced", PATIENCE, is_replaced);
    assert_eq!(only(&replaced["r-1"]).get_str("response_raw").ok(), Some("yes"));
    assert_eq!(only(&replaced["r-1"]).get_i64("replays").ok(), Some(1));
    assert_agree(&stage, &replaced);
    sink.stop();
    // The events are read again from the first one on: the older answer is written first, and then the newer one.
    stage.set("sink.mongodb.batch_documents_max", 1);
    let (group, events) = (format!("{}.sink.mongodb", stage.group()), stage.topic("events"));
    stage.kafka.reset_offsets(&group, &events, 0);
    let again = stage.start_sink(SINK);
    wait_counted(&again, "unchanged", 2.0);
    assert_eq!(again.metric("ringback_sink_documents_total", &[("result", "written")]), Some(0.0));
    assert_eq!(documents.all(), replaced);
    daemon.stop();
    stage.verify();
}

#[test]
fn an_answer_without_a_document_is_counted_or_creates_the_document() {
    for (name, missing) in [("sink-skip", "skip"), ("sink-upsert", "upsert")] {
        let (stage, documents) = scene(name, &["m-1"], |stage| {
            stage.set("sink.mongodb.missing", missing);
        });
        let (_daemon, mut sink) = (stage.start(), stage.start_sink(SINK));
        stage.send_flows(&[flow("missing", &["m-1", "m-2"])]);
        let reports =
            [report("missing", "m-1", "DELIVERED"), report("missing", "m-2", "DELIVERED")];
        stage.send_reports(&reports);
        let all = documents
            .wait("the document has its answer", PATIENCE, |all| count(all.get("m-1")) == 1);
        if missing == "skip" {
            wait_counted(&sink, "missing", 1.0);
            assert_eq!(all.len(), 1);
        } else {
            let all = documents.wait("the document is created", PATIENCE, |all| all.len() == 2);
            wait_counted(&sink, "written", 2.0);
            assert_agree(&stage, &all);
        }
        assert_agree(&stage, &documents.all());
        sink.stop();
    }
}

/// The sink reads the ids from another field, and writes below a path.
#[test]
fn the_field_of_the_id_and_the_written_field_can_be_chosen() {
    let (stage, documents) = scene("sink-fields", &[], |stage| {
        stage.set("sink.mongodb.id_field", "sms.id");
        stage.set("sink.mongodb.field", "answers.webhooks");
    });
    documents.insert(&[doc! { "_id": "own", "sms": { "id": "f-1" }, "answers": { "other": 1 } }]);
    let (_daemon, mut sink) = (stage.start(), stage.start_sink(SINK));
    stage.send_flows(&[flow("fields", &["f-1"])]);
    stage.send_reports(&[report("fields", "f-1", "DELIVERED")]);
    let all = documents.wait("the document has its answer", PATIENCE, |all| {
        let answers = all["own"].get_document("answers").expect("a document");
        answers.get_document("webhooks").is_ok_and(|it| it.len() == 1)
    });
    assert_eq!(
        all["own"].get_document("answers").expect("a document").get_i32("other").ok(),
        Some(1)
    );
    sink.stop();
}

#[test]
fn a_refused_document_is_a_dead_letter_and_the_others_are_written() {
    let (stage, documents) = scene("sink-refused", &["x-1", "x-2"], |_| {});
    documents.insert(&[
        doc! { "_id": "text", FIELD: "the field of another program" },
        doc! { "_id": "null", FIELD: null },
        doc! { "_id": "list", FIELD: [null, "x"] },
    ]);
    let mut daemon = stage.start();
    let all = ["x-1", "text", "null", "list", "x-2"];
    stage.send_flows(&[flow("refused", &all)]);
    let reports = all.map(|sms| report("refused", sms, "DELIVERED"));
    stage.send_reports(&reports);
    let mut sink = stage.start_sink(SINK);
    let written = documents.wait("three documents have an answer", PATIENCE, |documents| {
        ["x-1", "null", "x-2"].iter().all(|sms| count(documents.get(*sms)) == 1)
    });
    assert_eq!(written["text"].get_str(FIELD).ok(), Some("the field of another program"));
    let list = written["list"].get_array(FIELD).expect("the list of another program");
    assert_eq!(list, &vec![Bson::Null, Bson::from("x")]);
    let letters = stage.dead_letters(1, PATIENCE);
    wait_counted(&sink, "refused", 2.0);
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!(letter.header("ringback.kind"), "record");
    assert_eq!(letter.header("ringback.reason"), "sink_refused");
    assert_eq!(letter.header("ringback.source.topic"), stage.topic("events"));
    let detail = letter.header("ringback.detail");
    assert!(detail.starts_with("the document of SMS list: code 28: "), "{detail}");
    assert!(detail.ends_with(" (and 1 more)"), "{detail}");
    let event = letter.json();
    assert_eq!(event["type"], "delivered", "the dead letter is the event: {event}");
    let offset: i64 = letter.header("ringback.source.offset").parse().expect("a number");
    let events = stage.kafka.read(&stage.topic("events"));
    let source = events.iter().find(|it| it.offset == offset && it.value == letter.value);
    assert!(source.is_some(), "the letter names its event");
    // The partition goes on.
    stage.send_flows(&[flow("refused", &[]), flow("after", &["x-2"])]);
    stage.send_reports(&[report("after", "x-2", "DELIVERED")]);
    documents
        .wait("a later answer is written", PATIENCE, |documents| count(documents.get("x-2")) == 2);
    sink.stop();
    // Later events of the partition have written no other letter.
    assert_eq!(stage.dead_letters(1, PATIENCE).len(), 1);
    daemon.stop();
    stage.verify();
    let listed = stage.command(&["dead-letter", "list", "--json"]);
    assert!(listed.out.contains("\"sink_refused\""), "{listed:?}");
    let replayed = stage.command(&["dead-letter", "replay", "--yes", "--json"]);
    let replayed: Value = serde_json::from_str(&replayed.out).expect("JSON");
    assert_eq!((&replayed["not_replayable"], &replayed["replayed"]), (&1.into(), &0.into()));
}

#[test]
fn a_hang_up_does_not_end_the_sink() {
    let (stage, _documents) = scene("sink-hang-up", &[], |_| {});
    let mut sink = stage.start_sink(SINK);
    sink.signal("HUP");
    sink.wait_logged("restart it to apply changes", 0);
    assert_eq!(sink.ended(), None);
    sink.stop();
}

#[test]
fn a_sink_without_its_section_or_with_a_wrong_one_says_what_to_write() {
    let mut stage = Stage::new("sink-config");
    let config = stage.write_config(SINK, 0);
    let path = config.display().to_string();
    let done = command(&["sink", "mongodb", "--config", &path]);
    assert_eq!(done.code, Some(78), "{done:?}");
    let wanted = format!("{path}: sink.mongodb: is missing; set uri = ");
    assert!(done.err.contains(&wanted), "{done:?}");
    stage.set("sink.mongodb.uri", "mongodb://user:hush@");
    stage.write_config(SINK, 0);
    let done = command(&["sink", "mongodb", "--config", &path]);
    assert_eq!(done.code, Some(78), "{done:?}");
    assert!(done.err.contains("sink.mongodb.uri: is not a connection string"), "{done:?}");
    assert!(done.err.contains("sink.mongodb.database: is missing"), "{done:?}");
    assert!(!done.err.contains("hush"), "{done:?}");
}

#[test]
fn two_sinks_share_the_partitions_and_a_second_one_with_the_same_id_takes_over() {
    let (stage, documents) = scene("sink-two", &["t-1", "t-2", "t-3", "t-4"], |_| {});
    let first = stage.start_sink(SINK);
    let second = stage.start_sink(SINK + 1);
    wait_until("each has one of two partitions", PATIENCE, || {
        (first.partitions() == 1 && second.partitions() == 1).then_some(())
    });
    let _daemon = stage.start();
    let uuids = ["one", "two", "three", "four"];
    let sms = ["t-1", "t-2", "t-3", "t-4"];
    let flows: Vec<Value> = uuids.iter().zip(sms).map(|(uuid, sms)| flow(uuid, &[sms])).collect();
    let reports = uuids.iter().zip(sms).map(|(uuid, sms)| report(uuid, sms, "DELIVERED"));
    stage.send_flows(&flows);
    stage.send_reports(&reports.collect::<Vec<_>>());
    let all = documents.wait("all documents have an answer", PATIENCE, |all| {
        all.values().all(|document| count(Some(document)) == 1)
    });
    assert_agree(&stage, &all);
    let mut former = first;
    let _latter = stage.spawn_sink(SINK);
    let log = former.wait_end(78, PATIENCE);
    assert!(log.contains("with the same kafka.instance_id"), "{log}");
}

//! `ringback trace`: the history and the state of one phonon-uuid.

use crate::harness::broker;
use crate::harness::check::Scene;
use crate::harness::child::free_port;
use crate::harness::daemon::Done;
use crate::harness::kafka::Record;
use crate::harness::receiver::Answer;
use crate::harness::samples::{flow, report};
use crate::harness::stage::{Stage, WEBHOOK};
use serde_json::Value;

/// The visitor's number in every flow of the samples.
const PHONE: &str = "919879072567";

/// Returns the lines of `trace --json`: the facts, and the state.
#[track_caller]
fn traced(stage: &Stage, uuid: &str, more: &[&str]) -> (Vec<Value>, Value) {
    let done = stage.command(&[&["trace", uuid, "--json"], more].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    let lines = done.out.lines().map(|line| serde_json::from_str(line).expect("an object a line"));
    let mut lines: Vec<Value> = lines.collect();
    let state = lines.pop().expect("the state");
    assert_eq!(state["from"], "changelog", "{state}");
    for fact in &lines {
        let keyed = &fact["fact"]["phonon_uuid"];
        assert!(keyed.is_null() || keyed == uuid, "a fact of another uuid: {fact}");
    }
    let times: Vec<&str> = lines.iter().map(|fact| fact["at"].as_str().expect("a time")).collect();
    assert!(times.is_sorted(), "the facts are in order of time: {times:?}");
    (lines, state)
}

/// Returns the types of the facts in order, each with its reason if it has one.
fn story(facts: &[Value]) -> Vec<String> {
    let label = |fact: &Value| {
        let kind = match fact["from"].as_str().expect("a fact names its topic") {
            "events" => fact["fact"]["type"].as_str().expect("an event has a type"),
            other => other,
        };
        match fact["fact"]["reason"].as_str() {
            Some(reason) => format!("{kind}:{reason}"),
            None => kind.to_owned(),
        }
    };
    facts.iter().map(label).collect()
}

fn text(stage: &Stage, uuid: &str, more: &[&str]) -> Done {
    let done = stage.command(&[&["trace", uuid], more].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    done
}

/// Returns whether a line has all these words.
fn has_line(text: &str, words: &[&str]) -> bool {
    text.lines().any(|line| words.iter().all(|word| line.split_whitespace().any(|w| w == *word)))
}

#[test]
fn trace_shows_both_phases_a_failure_and_a_dead_letter_in_order() {
    let stage = Stage::new("trace-whole");
    stage.receiver.script(|request, nth| match (request.phase(), nth) {
        (1, 1) => Answer::status(500).body("broken"),
        (1, _) => Answer::status(200),
        (_, _) => Answer::status(400).body("no, thanks"),
    });
    let mut scene = Scene::open(&stage);
    // These flows are in the same partitions, and `trace` must leave them out.
    let others: Vec<Value> = (0..20).map(|n| flow(&format!("other-{n}"), &[])).collect();
    scene.flows(&others);
    scene.flows(&[flow("whole", &["s-1"])]);
    scene.wait_for("delivered", 21);
    scene.reports(&[report("whole", "s-1", "DELIVERED")]);
    scene.wait_for("correlation_ended", 21);
    let (facts, state) = traced(&stage, "whole", &[]);
    assert_eq!(
        story(&facts),
        [
            "flow_accepted",
            "delivery_scheduled",
            "attempt_failed",
            "delivered",
            "report_accepted",
            "delivery_scheduled",
            "attempt_failed",
            "dead_lettered:refused",
            "correlation_ended",
            "dead_letter:refused",
        ]
    );
    assert_eq!(state["state"]["correlation"]["state"], "ended", "{state}");
    assert_eq!(state["state"]["deliveries"], Value::Array(Vec::new()), "{state}");
    let letter = &facts[9]["fact"];
    assert_eq!(letter["request"]["url"], stage.receiver.url("/hooks/phonon"), "{letter}");
    assert_eq!(letter["last_outcome"]["response_status_code"], 400, "{letter}");
    let shown = Value::from(facts).to_string();
    for body in [PHONE, "no, thanks", "smsDetails", "callDetails"] {
        assert!(!shown.contains(body), "{body} is shown without --bodies: {shown}");
    }
    let (facts, _) = traced(&stage, "whole", &["--bodies"]);
    let shown = Value::from(facts).to_string();
    assert!(shown.contains("no, thanks") && shown.contains("smsDetails"), "{shown}");

    let people = text(&stage, "whole", &[]).out;
    assert!(people.starts_with("TIME"), "{people}");
    for words in [
        &["attempt_failed", "1", WEBHOOK, "500", "REFUSED"][..],
        &["delivered", "1", WEBHOOK, "2", "200"],
        &["report_accepted", "DELIVERED"],
        &["dead_letter", "2", WEBHOOK, "1", "400", "refused"],
    ] {
        assert!(has_line(&people, words), "{words:?}: {people}");
    }
    assert!(people.contains("ended; records that come now are late"), "{people}");
    assert!(!people.contains("no, thanks"), "{people}");
    assert!(text(&stage, "whole", &["--bodies"]).out.contains("no, thanks"));
    let everywhere = traced(&stage, "whole", &["--all-partitions"]);
    assert_eq!(everywhere.0.len(), 10, "{everywhere:?}");
}

/// `trace` works while no daemon runs.
#[test]
fn trace_shows_what_a_uuid_waits_for() {
    let mut stage = Stage::new("trace-waits");
    stage.set("delivery.retry.initial_interval_ms", 3_600_000);
    stage.set("delivery.retry.interval_max_ms", 3_600_000);
    stage.receiver.script(|_, _| Answer::status(503).body("busy"));
    let mut scene = Scene::open(&stage);
    scene.flows(&[flow("waits", &["s-1", "s-2"])]);
    scene.wait_for("attempt_failed", 1);
    scene.reports(&[report("waits", "s-1", "DELIVERED"), report("early", "s-9", "QUEUED")]);
    scene.wait_for("report_accepted", 2);
    scene.daemon.stop();
    let (facts, state) = traced(&stage, "waits", &[]);
    assert_eq!(
        story(&facts),
        ["flow_accepted", "delivery_scheduled", "attempt_failed", "report_accepted"]
    );
    let retry_at = facts[2]["fact"]["retry_at"].clone();
    let correlation = &state["state"]["correlation"];
    assert_eq!(correlation["state"], "open", "{state}");
    assert_eq!(correlation["collection"], "open", "{state}");
    assert_eq!(correlation["sms"], serde_json::json!(["s-1", "s-2"]), "{state}");
    assert_eq!(correlation["reports"][0]["sms_id"], "s-1", "{state}");
    assert_eq!(correlation["reports"][0]["final"], true, "{state}");
    let delivery = &state["state"]["deliveries"][0];
    assert_eq!((&delivery["phase"], &delivery["attempts"]), (&1.into(), &1.into()), "{state}");
    assert_eq!(delivery["due_at"], retry_at, "{state}");
    assert_eq!(delivery["last_outcome"]["response_status_code"], 503, "{state}");
    assert!(!state.to_string().contains(PHONE) && !state.to_string().contains("busy"), "{state}");
    let (_, state) = traced(&stage, "waits", &["--bodies"]);
    assert!(state.to_string().contains(PHONE) && state.to_string().contains("busy"), "{state}");
    let people = text(&stage, "waits", &[]).out;
    for sentence in [
        "waits for reports until",
        "SMS s-1: final",
        "SMS s-2: no report yet",
        "attempt 2 is due at",
        "503, REFUSED",
    ] {
        assert!(people.contains(sentence), "{sentence}: {people}");
    }

    let (_, state) = traced(&stage, "early", &[]);
    assert_eq!(state["state"]["correlation"]["state"], "awaiting_flow", "{state}");
    assert!(text(&stage, "early", &[]).out.contains("waits for its flow complete record"));

    // A record that no daemon has read has no event, but is shown.
    scene.flows(&[flow("unread", &[])]);
    let (facts, state) = traced(&stage, "unread", &[]);
    assert_eq!(story(&facts), ["flow_complete"]);
    assert_eq!((&facts[0]["waits"], &state["state"]), (&true.into(), &Value::Null));
    assert!(text(&stage, "unread", &[]).out.contains("not processed yet"));
}

#[test]
fn trace_shows_late_and_misplaced_records() {
    let stage = Stage::new("trace-late");
    let mut scene = Scene::open(&stage);
    let first = flow("late", &["s-1"]);
    // The record is sent to each partition once, so one of the two is forwarded.
    for partition in [0, 1] {
        let record = stage.record("flow-complete", &first);
        stage.kafka.produce(&[Record { partition: Some(partition), ..record }]);
        scene.wait_for("flow_accepted", 1);
    }
    scene.wait_for("record_ignored:duplicate", 1);
    scene.reports(&[report("late", "s-1", "DELIVERED")]);
    scene.wait_for("correlation_ended", 1);
    scene.reports(&[report("late", "s-1", "FAILED")]);
    scene.wait_for("record_ignored:late", 1);
    let (facts, _) = traced(&stage, "late", &[]);
    let story = story(&facts);
    for wanted in ["record_ignored:duplicate", "inbox", "record_ignored:late"] {
        assert_eq!(story.iter().filter(|label| *label == wanted).count(), 1, "{wanted}: {story:?}");
    }
    let forwarded = facts.iter().find(|fact| fact["from"] == "inbox").expect("a forwarded record");
    assert_eq!(forwarded["waits"], false, "{forwarded}");
    assert!(!forwarded.to_string().contains(PHONE), "{forwarded}");
    let people = text(&stage, "late", &[]).out;
    assert!(has_line(&people, &["record_ignored", "late"]), "{people}");
    assert!(has_line(&people, &["forwarded", "flow_complete,"]), "{people}");
}

#[test]
fn trace_exits_with_1_for_an_unknown_uuid_and_with_75_without_kafka() {
    let mut stage = Stage::new("trace-unknown");
    let done = stage.command(&["trace", "nobody"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("nothing is known about nobody"), "{done:?}");
    assert!(done.out.is_empty(), "{done:?}");
    assert_eq!(stage.command(&["trace", ""]).code, Some(2));
    stage.set("kafka.bootstrap_servers", format!("127.0.0.1:{}", free_port()));
    let done = stage.command(&["trace", "nobody"]);
    assert_eq!(done.code, Some(75), "{done:?}");
    let without = Stage::without_topics(broker::shared(), "trace-missing");
    let done = without.command(&["trace", "nobody"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains(&without.topic("events")), "{done:?}");
}

//! `ringback verify` and `ringback check --online` after topics were recreated, and with rows of another group.

use crate::harness::daemon::EX_CONFIG;
use crate::harness::kafka::Message;
use crate::harness::samples::{Random, flow, report};
use crate::harness::stage::Stage;
use crate::harness::verify::report as said;
use crate::harness::{PATIENCE, invariants};
use serde_json::Value;

fn flows(seed: u64, count: usize) -> Vec<Value> {
    Random::seeded(seed).uuids(count).iter().map(|uuid| flow(uuid, &[])).collect()
}

fn notes(stage: &Stage) -> String {
    let done = stage.verified(0, &["--at-rest"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    said(&done)["notes"].to_string()
}

#[test]
fn a_recreated_input_is_verified_against_its_own_records() {
    let stage = Stage::new("identity-recreated");
    let mut daemon = stage.start();
    stage.send_flows(&flows(60, 30));
    invariants::wait_consumed(&stage, PATIENCE);
    stage.receiver.wait_for(30, PATIENCE);
    daemon.stop();
    stage.recreate("flow-complete", 2);
    stage.send_flows(&flows(61, 60));

    // No daemon has read the new topic, and the committed position belongs to the deleted one.
    let done = stage.verified(0, &[]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let report = said(&done);
    let violations = report["violations"].as_array().expect("a list");
    assert!(!violations.is_empty(), "{report:#}");
    for violation in violations {
        assert_eq!(violation["what"], "identity", "{report:#}");
    }

    let mut daemon = stage.start();
    stage.receiver.wait_for(90, PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    let notes = notes(&stage);
    assert!(notes.contains("was deleted and created again"), "{notes}");
    let text = stage.command(&["verify"]);
    assert!(text.out.contains("\nnote: topic "), "{text:?}");
}

#[test]
fn offsets_that_kafkas_tool_moves_back_are_a_note_and_no_violation() {
    let stage = Stage::new("identity-reset");
    let mut daemon = stage.start();
    let uuids = Random::seeded(62).uuids(20);
    stage.send_flows(&uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect::<Vec<_>>());
    let reports: Vec<Value> = uuids.iter().map(|uuid| report(uuid, "s-1", "DELIVERED")).collect();
    stage.send_reports(&reports);
    // A report whose flow has not come.
    stage.send_reports(&[report("early", "s-1", "SENT")]);
    stage.receiver.wait_for(40, PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    for kind in ["flow-complete", "sms-delivery-report"] {
        stage.kafka.reset_offsets(&stage.group(), &stage.topic(kind), 0);
    }
    let mut daemon = stage.start();
    let ignored = |event: &Message| event.json()["type"] == "record_ignored";
    stage.events().wait("all are read again", PATIENCE, |events| {
        events.iter().filter(|event| ignored(event)).count() >= 41
    });
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    assert_eq!(stage.receiver.count(), 40, "nothing was sent twice");
    let notes = notes(&stage);
    assert!(notes.contains("moved the offset") && notes.contains("back to 0"), "{notes}");
}

#[test]
fn records_that_kafka_deleted_unread_are_named() {
    let stage = Stage::new("identity-missed");
    let mut daemon = stage.start();
    stage.send_flows(&flows(63, 10));
    stage.receiver.wait_for(10, PATIENCE);
    daemon.stop();
    let topic = stage.topic("flow-complete");
    stage.send_flows(&flows(64, 20));
    for partition in 0..2 {
        stage.kafka.delete_records(&topic, partition, stage.kafka.end(&topic, partition));
    }
    let mut daemon = stage.start();
    stage.events().wait("the gaps are reported", PATIENCE, |events| {
        events.iter().any(|event| event.json()["type"] == "records_missed")
    });
    daemon.stop();
    let done = stage.verified(0, &["--at-rest"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let report = said(&done);
    for violation in report["violations"].as_array().expect("a list") {
        assert_eq!(violation["what"], "missed", "{report:#}");
        assert_eq!(violation["topic"], topic, "{report:#}");
    }
}

#[test]
fn check_online_names_the_group_that_owns_the_changelog() {
    let mut stage = Stage::new("identity-check");
    let first = stage.group();
    let mut daemon = stage.start();
    stage.send_flows(&flows(65, 5));
    stage.receiver.wait_for(5, PATIENCE);
    let done = stage.command(&["topics", "--mend"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    // The daemon runs and has its store open.
    let done = stage.command(&["check", "--online"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("no rows of another group"), "{done:?}");
    daemon.stop();
    stage.set("kafka.group_id", "identity-check.second");
    let done = stage.command(&["check", "--online"]);
    assert_eq!(done.code, Some(EX_CONFIG), "{done:?}");
    for word in [first.as_str(), "identity-check.second", "run --adopt"] {
        assert!(done.err.contains(word), "{word}: {done:?}");
    }
}

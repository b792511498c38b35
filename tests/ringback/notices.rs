//! The owner of an endpoint gets notices: it fails, is held, is disabled, has dead letters, or works again.

use crate::harness::kafka::Message;
use crate::harness::receiver::{Answer, Received};
use crate::harness::samples::{ACCOUNT, flow};
use crate::harness::stage::{Stage, WEBHOOK};
use crate::harness::{PATIENCE, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// The webhook that gets the notices.
const OPERATIONS: &str = "operations";
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// The path of the endpoint that the notices are about, in the defaults of stages.
const NOTIFIED: &str = "/operations";

/// Returns a stage whose account wants notices. Its endpoint answers with the status that the second value has.
fn stage(name: &str) -> (Stage, Arc<AtomicU16>) {
    let mut stage = Stage::new(name);
    let url = stage.receiver.url(NOTIFIED);
    stage.add_webhook(OPERATIONS, ACCOUNT, &url);
    stage.set_last_webhook("default", false);
    stage.set_last_webhook("signing_secrets", vec![SECRET]);
    stage.set_account("notify", OPERATIONS);
    stage.set_account("notify_after_s", 1);
    stage.set("delivery.attempts_max", 10_000);
    let status = Arc::new(AtomicU16::new(200));
    let answer = status.clone();
    stage.receiver.script(move |request, _| match request.path.as_str() {
        NOTIFIED => Answer::status(204),
        _ => Answer::status(answer.load(Ordering::Relaxed)).header("retry-after", "0"),
    });
    (stage, status)
}

fn flows(prefix: &str, count: usize) -> Vec<Value> {
    (0..count).map(|number| flow(&format!("{prefix}-{number}"), &[])).collect()
}

fn is_notice(request: &Received) -> bool {
    request.path == NOTIFIED
}

/// Returns the notices so far, in the order of their arrival.
fn notices(stage: &Stage) -> Vec<Received> {
    stage.receiver.requests().into_iter().filter(is_notice).collect()
}

/// Returns the kinds of the notices so far. A request that a crash repeats has the same id.
fn kinds(stage: &Stage) -> Vec<String> {
    let kind = |notice: &Received| notice.json()["type"].as_str().expect("a type").to_owned();
    let mut ids = BTreeSet::new();
    let mut notices = notices(stage);
    notices.retain(|notice| ids.insert(notice.id().to_owned()));
    notices.iter().map(kind).collect()
}

fn wait_notices(stage: &Stage, count: usize) -> Vec<Value> {
    let come = || Some(notices(stage)).filter(|notices| notices.len() >= count);
    let come = wait_until(&format!("{count} notices"), PATIENCE, come);
    come.iter().map(Received::json).collect()
}

fn of_type(events: &[Message], kind: &str) -> usize {
    events.iter().filter(|event| event.json()["type"] == kind).count()
}

fn wait_events(stage: &Stage, kind: &str, count: usize) {
    let what = format!("{count} events {kind}");
    stage.events().wait(&what, PATIENCE, |events| of_type(events, kind) >= count);
}

#[test]
fn the_owner_of_a_failing_endpoint_gets_one_notice_whatever_fails_and_one_when_it_works_again() {
    let (stage, status) = stage("notices-failing");
    status.store(500, Ordering::Relaxed);
    let mut daemon = stage.start();
    // They are in both partitions, and each partition finds that the endpoint fails.
    stage.send_flows(&flows("failing", 8));
    let notice = wait_notices(&stage, 1).remove(0);
    assert_eq!(notice["type"], "endpoint.failing");
    let data = &notice["data"];
    assert_eq!((&data["account_id"], &data["webhook"]), (&json!(ACCOUNT), &json!(WEBHOOK)));
    let time = |value: &Value| value.as_str().and_then(|it| it.parse::<jiff::Timestamp>().ok());
    let since = time(&data["since"]).expect("a time");
    let lasted = time(&notice["timestamp"]).expect("a time").duration_since(since);
    assert!(lasted.as_millis() >= 1000, "{notice}");
    let request = notices(&stage).remove(0);
    assert!(request.id().starts_with("msg_"), "{request:?}");
    assert!(request.header("webhook-signature").starts_with("v1,"), "{request:?}");

    // Another instance that takes over after a crash knows what was sent.
    daemon.kill();
    let attempts = stage.receiver.count();
    let mut daemon = stage.start();
    stage.receiver.wait_for(attempts + 30, PATIENCE);
    assert_eq!(kinds(&stage), ["endpoint.failing"]);

    status.store(200, Ordering::Relaxed);
    wait_events(&stage, "delivered", 8 + 2);
    assert_eq!(kinds(&stage), ["endpoint.failing", "endpoint.recovered"]);
    let trace = stage.command(&["trace", "ringback:notices:crm", "--json"]);
    assert!(trace.out.contains("delivered") && trace.out.contains(OPERATIONS), "{trace:?}");
    daemon.stop();
    stage.verify_with(0, &["--at-rest"]);
}

#[test]
fn the_owner_of_a_disabled_endpoint_gets_a_notice_and_one_when_an_operator_enables_it() {
    let (stage, status) = stage("notices-disabled");
    status.store(410, Ordering::Relaxed);
    let mut daemon = stage.start();
    stage.send_flows(&flows("gone", 6));
    let notice = wait_notices(&stage, 1).remove(0);
    assert_eq!(
        (&notice["type"], &notice["data"]["cause"]),
        (&json!("endpoint.disabled"), &json!("gone"))
    );
    stage.dead_letters(6, PATIENCE);
    status.store(200, Ordering::Relaxed);
    let done = stage.command(&["webhook", "enable", WEBHOOK, "--yes"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let all = wait_notices(&stage, 2);
    assert_eq!(all[1]["type"], "endpoint.recovered");
    wait_events(&stage, "endpoint_enabled", 2);
    stage.send_flows(&flows("well", 4));
    wait_events(&stage, "delivered", 4 + 2);
    assert_eq!(kinds(&stage), ["endpoint.disabled", "endpoint.recovered"]);
    daemon.stop();
    stage.verify_with(0, &["--at-rest"]);
}

#[test]
fn dead_letters_of_all_partitions_count_for_one_notice() {
    let (mut stage, status) = stage("notices-letters");
    stage.set_account("notify_dead_letters", 6);
    // Refusals are failures too.
    stage.set_account("notify_after_s", 3600);
    status.store(400, Ordering::Relaxed);
    let mut daemon = stage.start();
    stage.send_flows(&flows("few", 5));
    let partitions: BTreeSet<i32> =
        stage.dead_letters(5, PATIENCE).iter().map(|letter| letter.partition).collect();
    assert_eq!(partitions.len(), 2, "in both partitions");
    stage.send_flows(&flows("more", 5));
    let notice = wait_notices(&stage, 1).remove(0);
    assert_eq!(notice["type"], "endpoint.dead_letters");
    let count = notice["data"]["count"].as_u64().expect("a number");
    assert!((6..=10).contains(&count), "{notice}");
    stage.dead_letters(10, PATIENCE);
    stage.send_flows(&flows("again", 10));
    stage.dead_letters(20, PATIENCE);
    wait_events(&stage, "delivered", 1);
    daemon.stop();
    assert_eq!(kinds(&stage), ["endpoint.dead_letters"]);
    stage.verify_with(0, &["--at-rest"]);
}

#[test]
fn the_owner_of_an_endpoint_that_asks_for_a_long_pause_gets_a_notice() {
    let (stage, _) = stage("notices-held");
    stage.receiver.script(|request, _| match request.path.as_str() {
        NOTIFIED => Answer::status(204),
        _ => Answer::status(503).header("retry-after", "600"),
    });
    let _daemon = stage.start();
    stage.send_flows(&flows("held", 2));
    let notice = wait_notices(&stage, 1).remove(0);
    assert_eq!(notice["type"], "endpoint.held");
    assert!(notice["data"]["until"].as_str() > notice["timestamp"].as_str(), "{notice}");
}

#[test]
fn a_notice_is_retried_over_a_crash_and_causes_no_notices_itself() {
    let (stage, status) = stage("notices-crash");
    let notified = Arc::new(AtomicU16::new(500));
    let (answer, other) = (notified.clone(), status.clone());
    stage.receiver.script(move |request, _| {
        let answer = if is_notice(request) { &answer } else { &other };
        Answer::status(answer.load(Ordering::Relaxed))
    });
    status.store(500, Ordering::Relaxed);
    let mut daemon = stage.start();
    stage.send_flows(&flows("crash", 4));
    wait_notices(&stage, 3);
    daemon.kill();
    let mut daemon = stage.start();
    let before = notices(&stage).len();
    wait_notices(&stage, before + 8);
    notified.store(204, Ordering::Relaxed);
    status.store(200, Ordering::Relaxed);
    wait_events(&stage, "delivered", 4 + 2);
    daemon.stop();
    let ids: BTreeSet<String> =
        notices(&stage).iter().map(|notice| notice.id().to_owned()).collect();
    assert_eq!(ids.len(), 2, "the failure, and its end: {:?}", kinds(&stage));
    assert!(notices(&stage).iter().all(|notice| notice.json()["data"]["webhook"] == WEBHOOK));
    stage.verify_with(0, &["--at-rest"]);
}

#[test]
fn the_configuration_of_the_guide_sends_its_notice() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/ops/guide/notices.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let block = |language: &str| {
        let rest = page.split(&format!("```{language}\n")).nth(1).expect("a block");
        rest.split("```").next().expect("an end").to_owned()
    };
    let written: toml::Table = toml::from_str(&block("toml")).expect("TOML");
    let (mut stage, status) = stage("notices-guide");
    for (key, value) in written["account"][0].as_table().expect("an account").clone() {
        stage.set_account(&key, value);
    }
    for (key, value) in written["webhook"][0].as_table().expect("a webhook").clone() {
        // The address and the file of the guide do not exist here.
        if !["url", "signing_secrets"].contains(&key.as_str()) {
            stage.set_last_webhook(&key, value);
        }
    }
    status.store(410, Ordering::Relaxed);
    let _daemon = stage.start();
    stage.send_flows(&flows("guide", 1));
    let sent = wait_notices(&stage, 1).remove(0);
    let described: Value = serde_json::from_str(&block("json")).expect("JSON");
    let times = [("/timestamp", 24), ("/data/at", 24)];
    let mut sent_then = sent.clone();
    for (place, length) in times {
        let time = sent.pointer(place).and_then(Value::as_str).expect("a time");
        assert_eq!(time.len(), length, "{time}");
        *sent_then.pointer_mut(place).expect("a time") =
            described.pointer(place).expect("a time").clone();
    }
    assert_eq!(sent_then, described);
}

//! Webhooks that come after other webhooks: the outcome that is at hand, rules upon the end of a webhook, and conditions
//! on values of answers. All survive crashes in between.

use super::{events, one, paths};
use crate::definitions::stage;
use crate::harness::check::Scene;
use crate::harness::receiver::Answer;
use crate::harness::samples::{flow, report, with};
use crate::harness::{PATIENCE, wait_until};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// After phase 1, `note` reports its outcome and `sorry` its failure. `then` depends on the answer to `call`.
const AFTER: &str = r#"
    [[webhook]]
    name = "crm"
    account = 28
    default = true
    url = "{url}/crm"

    [[webhook]]
    name = "note"
    account = 28
    url = "{url}/note"
    body = "json"
    template = '{"st": "$flow.key.response_status", "code": $flow.key.response_status_code, "type": "$flow.key.response_status_type", "raw": "$flow.key.response_raw", "error": $flow.key.response_error, "reason": "$flow.key.error_reason"}'
    headers = [{ name = "X-Secs", value = "$flow.key.response_duration" }]

    [[webhook]]
    name = "sorry"
    account = 28
    url = "{url}/sorry"
    body = "json"
    template = '{"uuid": "$flow.syskey.phononUuid", "reason": "$flow.key.error_reason"}'

    [[webhook]]
    name = "fine"
    account = 28
    url = "{url}/fine"

    [[webhook]]
    name = "call"
    account = 28
    url = "{url}/call"
    response = { type = "json", map = [{ save_in = "$flow.key.g", path = "data.g" }] }

    [[webhook]]
    name = "then"
    account = 28
    url = "{url}/then"
    body = "json"
    template = '{"g": $flow.key.g, "raw": "$flow.key.response_raw"}'

    [[webhook]]
    name = "else"
    account = 28
    url = "{url}/else"

    [[rule]]
    account = 28
    on = ["flow_complete"]
    webhook = "note"
    after = "crm"

    [[rule]]
    account = 28
    on = ["webhook:crm:failed"]
    webhook = "sorry"

    [[rule]]
    account = 28
    on = ["webhook:crm:delivered"]
    webhook = "fine"

    [[rule]]
    account = 28
    on = ["flow_complete"]
    webhook = "then"
    when = [{ variable = "$flow.key.g", equals = "yes" }]

    [[rule]]
    account = 28
    on = ["flow_complete"]
    webhook = "else"
    when = [{ variable = "$flow.key.g", equals = "no" }]

    [[rule]]
    account = 28
    on = ["flow_complete"]
    webhook = "call"
"#;

#[test]
fn the_outcome_of_a_webhook_is_at_hand_for_the_next_over_crashes_and_a_replay() {
    let mut stage = stage("rules-after", AFTER);
    stage.set("delivery.attempts_max", 10_000);
    let statuses = [503, 503, 400].map(|status| Arc::new(AtomicU16::new(status)));
    let [crm, call, sorry] = statuses.clone();
    stage.receiver.script(move |request, _| match request.path.as_str() {
        "/crm" => Answer::status(statuses[0].load(Ordering::SeqCst)).body("gone \"away\""),
        "/call" => Answer::status(statuses[1].load(Ordering::SeqCst)).body(r#"{"g":"yes"}"#),
        "/sorry" => Answer::status(statuses[2].load(Ordering::SeqCst)),
        _ => Answer::status(200),
    });
    let mut scene = Scene::open(&stage);
    scene.flows(&[flow("u-1", &[])]);
    scene.wait_for("attempt_failed", 1);
    scene.daemon.kill();
    scene.daemon = stage.start();
    crm.store(404, Ordering::SeqCst);
    scene.wait_for("dead_lettered:refused", 2);
    // The note has left, and the rule on the answer to the call waits.
    scene.wait_for("delivered", 1);
    let is_called = || paths(&stage.receiver.requests()).contains(&"/call");
    wait_until("the call is attempted", PATIENCE, || is_called().then_some(()));
    scene.daemon.kill();
    scene.daemon = stage.start();
    call.store(200, Ordering::SeqCst);
    scene.wait_for("correlation_ended", 1);
    sorry.store(200, Ordering::SeqCst);
    let done = stage.command(&["dead-letter", "replay", "--yes", "--json", "--webhook", "sorry"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    scene.wait_for("delivered", 4);
    scene.daemon.stop();

    let requests = stage.receiver.requests();
    let of = |path: &str| {
        let found: Vec<_> = requests.iter().filter(|it| it.path == path).collect();
        assert!(!found.is_empty(), "{path}: {:?}", paths(&requests));
        assert!(found.iter().all(|it| it.body == found[0].body && it.id() == found[0].id()));
        found[0].json()
    };
    let note = json!({"st": "FAILED", "code": 404, "type": "CLIENT_ERROR", "raw": "gone \"away\"",
        "error": true, "reason": "REFUSED"});
    assert_eq!(of("/note"), note);
    assert_eq!(of("/sorry"), json!({"uuid": "u-1", "reason": "REFUSED"}));
    assert_eq!(of("/then"), json!({"g": "yes", "raw": r#"{"g":"yes"}"#}));
    let note = requests.iter().find(|it| it.path == "/note").expect("a request");
    assert!(note.header("x-secs").parse::<f64>().is_ok(), "{note:?}");
    for path in ["/fine", "/else"] {
        assert!(!paths(&requests).contains(&path), "{path}");
    }
    let events = events(&stage);
    assert!(events.iter().all(|event| event["type"] != "rule_skipped"), "{events:?}");
    assert_eq!(one(&events, "delivered", "note")["response_error"], json!(false));
    stage.verify();
}

/// The record of a flow that does not enable the default webhook triggers rules of any flow only.
#[test]
fn rules_of_any_flow_are_sent_for_flows_that_do_not_enable_the_default_webhook() {
    let text = r#"
        [[webhook]]
        name = "crm"
        account = 28
        default = true
        url = "{url}/crm"
        [[webhook]]
        name = "any"
        account = 28
        url = "{url}/any"
        [[webhook]]
        name = "own"
        account = 28
        url = "{url}/own"
        [[rule]]
        account = 28
        on = ["flow_complete", "sms:FAILED"]
        webhook = "any"
        any_flow = true
        [[rule]]
        account = 28
        on = ["flow_complete", "sms:FAILED"]
        webhook = "own"
    "#;
    let stage = stage("rules-any-flow", text);
    let disabled = |uuid: &str, sms: &[&str]| with(flow(uuid, sms), "webhookEnabled", json!(false));
    let mut scene = Scene::open(&stage);
    scene.flows(&[disabled("u-1", &[]), disabled("u-2", &["s-1"]), flow("u-3", &[])]);
    scene.reports(&[report("u-2", "s-1", "FAILED")]);
    scene.wait_for("correlation_ended", 3);
    scene.daemon.stop();
    let requests = stage.receiver.requests();
    let mut sent: Vec<_> = requests.iter().map(|it| (it.uuid(), it.path.clone())).collect();
    sent.sort();
    let wanted = [
        ("u-1", "/any"),
        ("u-2", "/any"),
        ("u-2", "/any"),
        ("u-3", "/any"),
        ("u-3", "/crm"),
        ("u-3", "/own"),
    ];
    assert_eq!(sent, wanted.map(|(uuid, path)| (uuid.to_owned(), path.to_owned())));
    stage.verify();
}

/// A webhook that was replayed after the end of its run triggers no rule, and an event says so.
#[test]
fn a_replay_after_the_end_of_the_run_says_which_rules_it_does_not_trigger() {
    let stage = stage("rules-after-end", AFTER);
    let status = Arc::new(AtomicU16::new(404));
    let switch = Arc::clone(&status);
    stage.receiver.script(move |request, _| match request.path.as_str() {
        "/crm" => Answer::status(switch.load(Ordering::SeqCst)),
        _ => Answer::status(200).body("{}"),
    });
    let mut scene = Scene::open(&stage);
    scene.flows(&[flow("u-1", &[])]);
    scene.wait_for("correlation_ended", 1);
    assert_eq!(stage.dead_letters(1, PATIENCE).len(), 1);
    status.store(200, Ordering::SeqCst);
    let done = stage.command(&["dead-letter", "replay", "--yes", "--json", "--webhook", "crm"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let skipped = scene.wait_for("rule_skipped:run_ended", 2);
    let mut on: Vec<Value> = skipped.iter().map(|event| event["on"].clone()).collect();
    on.sort_by_key(ToString::to_string);
    assert_eq!(on, [json!("webhook:crm:delivered"), json!("webhook:crm:failed")]);
    scene.daemon.stop();
    assert!(!paths(&stage.receiver.requests()).contains(&"/fine"));
    stage.verify();
}

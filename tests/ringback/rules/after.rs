//! Webhooks that come after other webhooks: the outcome that is at hand, rules upon the end of a webhook, and conditions
//! on values of answers. All survive crashes in between.

use super::{events, one, paths};
use crate::definitions::{rule, stage, webhook};
use crate::harness::check::Scene;
use crate::harness::receiver::Answer;
use crate::harness::samples::{flow, phase_1, report, with};
use crate::harness::{PATIENCE, wait_until};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// The outcome of phase 1 as JSON.
const OUTCOME: &str = r#"body = "json"
    template = '{"st": "$flow.key.response_status", "code": $flow.key.response_status_code, "type": "$flow.key.response_status_type", "raw": "$flow.key.response_raw", "error": $flow.key.response_error, "reason": "$flow.key.error_reason"}'
    headers = [{ name = "X-Secs", value = "$flow.key.response_duration" }]"#;
const SORRY: &str = r#"body = "json"
    template = '{"uuid": "$flow.syskey.phononUuid", "reason": "$flow.key.error_reason"}'"#;
const CALL: &str =
    r#"response = { type = "json", map = [{ save_in = "$flow.key.g", path = "data.g" }] }"#;
const THEN: &str = r#"body = "json"
    template = '{"g": $flow.key.g, "raw": "$flow.key.response_raw"}'"#;

/// After phase 1, `note` reports its outcome and `sorry` its failure. `then` depends on the answer to `call`.
fn after() -> String {
    let g = |value: &str| format!(r#"when = [{{ variable = "$flow.key.g", equals = "{value}" }}]"#);
    let on_flow = &["flow_complete"];
    [
        webhook("crm", ""),
        webhook("note", OUTCOME),
        webhook("sorry", SORRY),
        webhook("fine", ""),
        webhook("call", CALL),
        webhook("then", THEN),
        webhook("else", ""),
        rule(on_flow, "note", "after = \"crm\""),
        rule(&["webhook:crm:failed"], "sorry", ""),
        rule(&["webhook:crm:delivered"], "fine", ""),
        rule(on_flow, "then", &g("yes")),
        rule(on_flow, "else", &g("no")),
        rule(on_flow, "call", ""),
    ]
    .concat()
}

#[test]
fn the_outcome_of_a_webhook_is_at_hand_for_the_next_over_crashes_and_a_replay() {
    let mut stage = stage("rules-after", &after());
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
    let on = &["flow_complete", "sms:FAILED"];
    let webhooks = ["crm", "any", "own"].map(|name| webhook(name, ""));
    let rules = [rule(on, "any", "any_flow = true"), rule(on, "own", "")];
    let stage = stage("rules-any-flow", &[webhooks.concat(), rules.concat()].concat());
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

/// After the end of the run, a rule that needs nothing but the predefined body is sent. One that needs the facts of the
/// run is skipped, if the webhook ends as it says.
#[test]
fn a_replay_after_the_end_of_the_run_triggers_the_rules_whose_facts_are_left() {
    let upon = |end: &str, to: &str| rule(&[&format!("webhook:crm:{end}")], to, "");
    let text = [
        webhook("crm", ""),
        webhook("fine", ""),
        webhook("thanks", SORRY),
        webhook("sorry", SORRY),
        upon("delivered", "fine"),
        upon("delivered", "thanks"),
        upon("failed", "sorry"),
    ];
    let stage = stage("rules-after-end", &text.concat());
    let status = Arc::new(AtomicU16::new(404));
    let switch = Arc::clone(&status);
    stage.receiver.script(move |request, _| match request.path.as_str() {
        "/crm" => Answer::status(switch.load(Ordering::SeqCst)),
        _ => Answer::status(200).body("{}"),
    });
    let mut scene = Scene::open(&stage);
    let flow = flow("u-1", &[]);
    scene.flows(std::slice::from_ref(&flow));
    scene.wait_for("correlation_ended", 1);
    assert_eq!(stage.dead_letters(1, PATIENCE).len(), 1);
    status.store(200, Ordering::SeqCst);
    let done = stage.command(&["dead-letter", "replay", "--yes", "--json", "--webhook", "crm"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let skipped = scene.wait_for("rule_skipped:run_ended", 1);
    // The first run has sent `sorry`, and the replay sends `crm` and `fine`.
    scene.wait_for("delivered", 3);
    scene.daemon.stop();
    assert_eq!(
        (&skipped[0]["on"], &skipped[0]["webhook"]),
        (&json!("webhook:crm:delivered"), &json!("thanks"))
    );
    let requests = stage.receiver.requests();
    let fine: Vec<Value> =
        requests.iter().filter(|it| it.path == "/fine").map(|it| it.json()).collect();
    assert_eq!(fine, [phase_1(&flow)]);
    let events = events(&stage);
    assert_eq!(events.iter().filter(|event| event["type"] == "rule_skipped").count(), 1);
    stage.verify();
}

//! The console and its API on a real Kafka: what they show, what they change, and who did it.

mod browser;

use crate::harness::daemon::Daemon;
use crate::harness::kafka::Message;
use crate::harness::receiver::Answer;
use crate::harness::samples::{flow, report, with};
use crate::harness::stage::{Stage, WEBHOOK};
use crate::harness::{PATIENCE, http, wait_until};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const TOKEN: &str = "t0ken-of-the-console";

/// Text that would run as a script where it is not escaped.
const HOSTILE: &str =
    "\"><script>window.hostile=1</script><img src=x onerror=\"window.hostile=1\">";

/// Returns a stage whose daemon wants the token, and a switch: until it is set, the endpoint refuses everything.
fn stage(name: &str) -> (Stage, Arc<AtomicBool>) {
    let mut stage = Stage::new(name);
    stage.set("http.token", TOKEN);
    let repaired = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&repaired);
    stage.receiver.script(move |_, _| {
        Answer::status(if switch.load(Ordering::SeqCst) { 200 } else { 400 }).body(HOSTILE)
    });
    (stage, repaired)
}

fn headers(operator: &str) -> [(&str, &str); 3] {
    let bearer = "Bearer t0ken-of-the-console";
    [
        ("Authorization", bearer),
        ("x-ringback-operator", operator),
        ("Content-Type", "application/json"),
    ]
}

/// Asks the API, and returns status and answer.
fn ask(daemon: &Daemon, path: &str) -> (u16, Value) {
    let answered = http::get_with(daemon.port(), &format!("/api/v1/{path}"), &headers("asha"));
    let (status, body) = answered.expect("an answer");
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}")))
}

/// Asks the API, and returns the answer of a success.
fn asked(daemon: &Daemon, path: &str) -> Value {
    let (status, answer) = ask(daemon, path);
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// Sends a change to the API, and returns status and answer.
fn change(daemon: &Daemon, path: &str, body: &Value) -> (u16, Value) {
    let (path, body) = (format!("/api/v1/{path}"), body.to_string());
    let answered = http::post_with(daemon.port(), &path, &headers("asha"), body.as_bytes());
    let (status, body) = answered.expect("an answer");
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}")))
}

/// Returns the audit events, once there are `count`.
fn audited(stage: &Stage, count: usize) -> Vec<Value> {
    let is = |event: &&Message| {
        let value = event.value.as_deref();
        value.is_some_and(|value| value.starts_with(b"{\"type\":\"operator_action\""))
    };
    let enough = |events: &[Message]| events.iter().filter(is).count() >= count;
    let mut events = stage.events();
    let seen = events.wait("audit events", PATIENCE, enough);
    seen.iter().filter(is).map(Message::json).collect()
}

fn replay_state(daemon: &Daemon, id: &Value) -> String {
    asked(daemon, &format!("replays/{id}"))["state"].as_str().expect("a state").to_owned()
}

#[test]
fn the_api_shows_a_delivery_its_dead_letter_and_its_webhook() {
    let (stage, _) = stage("console-api");
    let daemon = stage.start();
    let uuid = "console-1";
    stage.send_flows(&[with(flow(uuid, &["s1"]), "sessionId", json!(HOSTILE))]);
    stage.dead_letters(1, PATIENCE);

    // Phone numbers are masked, and bodies are shown on demand.
    let whole = asked(&daemon, &format!("deliveries?uuid={uuid}"));
    let kinds: Vec<&str> = whole["facts"]
        .as_array()
        .expect("facts")
        .iter()
        .filter_map(|it| it["fact"]["type"].as_str())
        .collect();
    let expected = ["flow_accepted", "delivery_scheduled", "attempt_failed", "dead_lettered"];
    assert_eq!(kinds[..4], expected, "{whole}");
    assert!(!whole.to_string().contains("callLegs"), "no body: {whole}");
    let bodies = asked(&daemon, &format!("deliveries?uuid={uuid}&bodies=true"));
    let numbers = asked(&daemon, &format!("deliveries?uuid={uuid}&bodies=true&numbers=true"));
    let digits = |answer: &Value| {
        let text = answer.to_string();
        let runs = text.split(|it: char| !it.is_ascii_digit()).filter(|run| run.len() == 12);
        runs.filter(|run| run.starts_with("91")).count()
    };
    assert_eq!(digits(&bodies), 0, "{bodies}");
    assert!(digits(&numbers) > 0, "{numbers}");
    let (status, unknown) = ask(&daemon, "deliveries?uuid=nobody");
    assert_eq!((status, &unknown["error"]), (404, &json!("nothing is known about nobody")));

    let letters = asked(&daemon, "dead-letters?open=true&reason=refused");
    let letter = &letters["dead_letters"][0];
    assert_eq!((&letter["state"], &letter["phonon_uuid"]), (&json!("open"), &json!(uuid)));
    assert_eq!(letters["is_whole"], true);
    let place = letter["place"].as_str().expect("a place");
    let shown = asked(&daemon, &format!("dead-letters/{place}"));
    assert_eq!((&shown["reason"], &shown["delivery"]), (&json!("refused"), &Value::Null));
    let shown = asked(&daemon, &format!("dead-letters/{place}?bodies=true"));
    assert_eq!(shown["delivery"]["last_outcome"]["response_raw"], HOSTILE);

    let webhooks = asked(&daemon, "webhooks?q=CR");
    let crm = &webhooks["webhooks"][0];
    assert_eq!((&crm["name"], &crm["account_id"]), (&json!(WEBHOOK), &json!(28)));
    assert_eq!(
        (&crm["figures"]["attempts"], &crm["figures"]["success_percent"]),
        (&json!(1), &json!(0.0))
    );
    let failure = crm["figures"]["last_failure"].as_str().expect("a failure");
    assert!(failure.ends_with("REFUSED, status 400"), "{failure}");
    assert_eq!(asked(&daemon, "webhooks?q=nothing")["webhooks"], json!([]));
    let one = asked(&daemon, &format!("webhooks/{WEBHOOK}"));
    assert_eq!(
        (&one["definition"]["name"], &one["definition"]["state"]),
        (&json!(WEBHOOK), &json!("failing"))
    );
}

#[test]
fn a_record_that_is_keyed_by_a_phone_number_is_listed_with_a_masked_key() {
    let (stage, _) = stage("console-key");
    let daemon = stage.start();
    let mut record = stage.raw("flow-complete", "{no");
    record.key = Some(b"919879072567".to_vec());
    stage.kafka.produce(&[record]);
    stage.dead_letters(1, PATIENCE);
    let key = |more: &str| {
        let letters = asked(&daemon, &format!("dead-letters?{more}"));
        letters["dead_letters"][0]["phonon_uuid"].clone()
    };
    assert_eq!((key(""), key("numbers=true")), (json!("9198******67"), json!("919879072567")));
    let bearer = &headers("asha")[..1];
    let (_, page) = http::get_with(daemon.port(), "/dead-letters", bearer).expect("a page");
    assert!(page.contains("9198******67") && !page.contains("919879072567"), "{page}");
}

#[test]
fn a_replay_is_planned_and_started_and_its_event_names_the_operator() {
    let (stage, repaired) = stage("console-replay");
    let daemon = stage.start();
    stage.send_flows(&[flow("console-3", &[])]);
    stage.dead_letters(1, PATIENCE);
    let letters = asked(&daemon, "dead-letters");
    let place = letters["dead_letters"][0]["place"].as_str().expect("a place");

    let order = json!({"webhook": WEBHOOK, "reason": "refused", "rate": 50});
    let mut dry = order.clone();
    dry["dry_run"] = true.into();
    let (status, plan) = change(&daemon, "replays", &dry);
    assert_eq!(
        (status, &plan["replayed"], &plan["by_reason"]),
        (200, &json!(1), &json!({"refused": 1}))
    );
    assert_eq!(stage.receiver.count(), 1);
    repaired.store(true, Ordering::SeqCst);
    let (status, begun) = change(&daemon, "replays", &order);
    assert_eq!(status, 202, "{begun}");
    stage.receiver.wait_for(2, PATIENCE);
    wait_until("the replay is finished", PATIENCE, || {
        (replay_state(&daemon, &begun["id"]) == "finished").then_some(())
    });
    let states = || {
        let letters = asked(&daemon, &format!("dead-letters?target={place}"));
        letters["dead_letters"][0]["state"].clone()
    };
    wait_until("the letter is delivered", PATIENCE, || (states() == "delivered").then_some(()));
    let event = &audited(&stage, 1)[0];
    assert_eq!((&event["action"], &event["operator"]), (&json!("replay_started"), &json!("asha")));
    assert_eq!((&event["address"], &event["webhook"]), (&json!("127.0.0.1"), &json!(WEBHOOK)));
    assert_eq!(event["detail"], format!("webhook = {WEBHOOK}, reason = refused"));
    stage.verify();
}

#[test]
fn an_operator_enables_an_endpoint_and_sends_a_test() {
    let (mut stage, repaired) = stage("console-actions");
    stage.set("delivery.disable_after_s", 1);
    stage.set("delivery.attempts_max", 1000);
    let gone = Arc::clone(&repaired);
    stage
        .receiver
        .script(move |_, _| Answer::status(if gone.load(Ordering::SeqCst) { 200 } else { 410 }));
    let daemon = stage.start();
    stage.send_flows(&[flow("console-2", &[])]);
    stage.dead_letters(1, PATIENCE);
    let state = |daemon: &Daemon| {
        asked(daemon, &format!("webhooks/{WEBHOOK}"))["definition"]["state"].clone()
    };
    wait_until("the endpoint is disabled", PATIENCE, || {
        (state(&daemon) == "disabled").then_some(())
    });
    let (status, enabled) = change(&daemon, &format!("webhooks/{WEBHOOK}/enable"), &json!({}));
    assert_eq!((status, enabled), (200, json!({"webhook": WEBHOOK, "partitions": 2})));
    wait_until("the endpoint is enabled", PATIENCE, || (state(&daemon) == "enabled").then_some(()));

    repaired.store(true, Ordering::SeqCst);
    let before = stage.receiver.count();
    let (status, sent) = change(&daemon, &format!("webhooks/{WEBHOOK}/test"), &json!({"phase": 2}));
    assert_eq!(
        (status, &sent["delivered"], &sent["phase"]),
        (200, &json!(true), &json!(2)),
        "{sent}"
    );
    let request = stage.receiver.wait_for(before + 1, PATIENCE).pop().expect("a request");
    assert!(sent["webhook_id"].as_str().is_some_and(|id| request.header("webhook-id") == id));

    let actions: Vec<Value> = audited(&stage, 2).iter().map(|it| it["action"].clone()).collect();
    assert_eq!(actions, ["endpoint_enabled", "test_sent"]);
    for (path, body, status, problem) in [
        ("webhooks/cmr/enable", json!({}), 404, "no webhook cmr is configured; did you mean crm?"),
        ("webhooks/crm/test", json!({"phase": 3}), 400, "phase: it is neither 1 nor 2"),
        (
            "webhooks/crm/test",
            json!({"fase": 1}),
            400,
            "the parameter fase is unknown; the parameters are phase",
        ),
        ("replays", json!({"reason": "wrong"}), 400, "reason: there is no such reason"),
        ("replays", json!({"max": 0}), 400, "max: it is at least 1"),
        (
            "replays/7/stop",
            json!({}),
            404,
            "this instance knows no replay 7: it keeps the latest 20 since its start",
        ),
    ] {
        let problem = problem.replace("crm", WEBHOOK);
        assert_eq!(change(&daemon, path, &body), (status, json!({"error": problem})), "{path}");
    }
}

#[test]
fn a_replay_is_stopped_and_resumed() {
    let (stage, repaired) = stage("console-stop");
    let daemon = stage.start();
    let flows: Vec<Value> = (0..40).map(|number| flow(&format!("stop-{number}"), &[])).collect();
    stage.send_flows(&flows);
    stage.dead_letters(40, PATIENCE);
    for (limit, count, is_whole) in [(7, 7, false), (40, 40, true)] {
        let letters = asked(&daemon, &format!("dead-letters?limit={limit}"));
        let shown = letters["dead_letters"].as_array().map(Vec::len);
        assert_eq!((shown, &letters["is_whole"]), (Some(count), &json!(is_whole)), "{limit}");
    }
    repaired.store(true, Ordering::SeqCst);
    let order = json!({"reason": "refused", "rate": 10});
    let (_, begun) = change(&daemon, "replays", &order);
    stage.receiver.wait_for(42, PATIENCE);
    let (status, other) = change(&daemon, "replays", &order);
    assert_eq!(
        (status, &other["error"]),
        (409, &json!("replay 1 runs: stop it, or wait until it has ended"))
    );
    let (status, _) = change(&daemon, "replays/1/stop", &json!({}));
    assert_eq!(status, 200);
    wait_until("the replay stops", PATIENCE, || {
        (replay_state(&daemon, &begun["id"]) == "stopped").then_some(())
    });
    let sent = asked(&daemon, "replays/1")["summary"]["replayed"].as_u64().expect("a number");
    assert!((2..40).contains(&sent), "{sent}");

    let (_, resumed) = change(&daemon, "replays", &json!({"reason": "refused"}));
    wait_until("the replay is finished", PATIENCE, || {
        (replay_state(&daemon, &resumed["id"]) == "finished").then_some(())
    });
    let summary = &asked(&daemon, "replays/2")["summary"];
    assert_eq!(
        (&summary["resumed"], &summary["replayed"]),
        (&json!(true), &json!(40)),
        "{summary}"
    );
    stage.receiver.wait_for(80, PATIENCE);
    let actions: Vec<Value> = audited(&stage, 3).iter().map(|it| it["action"].clone()).collect();
    assert_eq!(actions, ["replay_started", "replay_stopped", "replay_started"]);
    let all = asked(&daemon, "replays");
    assert_eq!((&all[0]["id"], &all[1]["id"]), (&json!(2), &json!(1)));
    stage.verify();
}

#[test]
fn every_instance_answers_for_the_group() {
    let (stage, repaired) = stage("console-group");
    repaired.store(true, Ordering::SeqCst);
    let daemons = [stage.spawn(0), stage.spawn(1)];
    let both = |daemon: &Daemon| {
        let (status, view) = ask(daemon, "instances");
        let instances = view["instances"].as_array().cloned().unwrap_or_default();
        let shared =
            instances.iter().all(|it| it["partitions"].as_array().is_some_and(|it| it.len() == 1));
        (status == 200 && instances.len() == 2 && shared).then_some(instances)
    };
    wait_until("both are ready", PATIENCE, || {
        daemons
            .iter()
            .all(|it| it.get("/readyz").is_ok_and(|(status, _)| status == 200))
            .then_some(())
    });
    stage.send_flows(&[flow("group-1", &["s"]), flow("group-2", &["s"])]);
    stage.send_reports(&[report("group-1", "s", "DELIVRD"), report("group-2", "s", "DELIVRD")]);
    stage.receiver.wait_for(4, PATIENCE);
    for (number, daemon) in daemons.iter().enumerate() {
        let instances = wait_until("each has a partition", PATIENCE, || both(daemon));
        for (place, instance) in instances.iter().enumerate() {
            assert_eq!(instance["is_this"], number == place, "{instance}");
            // Only the instance itself knows what its partition does.
            let state = &instance["states"][0]["state"];
            assert_eq!(instance["host"], "127.0.0.1");
            let expected = if number == place { json!("running") } else { Value::Null };
            assert_eq!(*state, expected, "{instance}");
        }
        for uuid in ["group-1", "group-2"] {
            let whole = wait_until("its run has ended", PATIENCE, || {
                let (_, whole) = ask(daemon, &format!("deliveries?uuid={uuid}"));
                whole.to_string().contains("correlation_ended").then_some(whole)
            });
            let delivered = whole["facts"].as_array().expect("facts").iter();
            let delivered = delivered.filter(|it| it["fact"]["type"] == "delivered").count();
            assert_eq!(delivered, 2, "{whole}");
        }
    }
}

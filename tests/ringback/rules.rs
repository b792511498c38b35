//! Webhooks of rules, beside the two phases: which events trigger them, under which conditions, and after which other
//! webhooks.

mod after;

use crate::definitions::{rule, stage, webhook};
use crate::harness::check::Scene;
use crate::harness::kafka::Message;
use crate::harness::receiver::{Answer, Received};
use crate::harness::samples::{Random, flow, phase_1, phase_2, report, with};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, wait_until};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// When an SMS fails, the platform calls the customer, and a second webhook reports this call to the customer's system.
const CHAIN: &str = r#"
    [[webhook]]
    name = "crm"
    account = 28
    default = true
    url = "{url}/crm"

    [[webhook]]
    name = "call"
    account = 28
    url = "{url}/platform"
    body = "internal"
    method_name = "createOutbound"
    parameters = ["flow.key"]
    values = { "$flow.syskey.flowID" = "201", "$flow.syskey.contactNumbers" = "919879072567" }
    optional = ["$flow.syskey.apiVersion", "$flow.syskey.clientID", "$flow.syskey.delayMinutes", "$flow.syskey.securityID"]
    response = { type = "json", map = [{ save_in = "$flow.key.obdReqID", path = "data.reqID", mandatory = true }] }

    [[webhook]]
    name = "note"
    account = 28
    url = "{url}/note"
    body = "json"
    template = '{"uuid": "$flow.syskey.phononUuid", "sms": "$sms.id", "status": "$sms.deliveryStatus", "call": $flow.key.obdReqID}'
    mandatory = ["$flow.key.obdReqID"]

    [[rule]]
    account = 28
    on = ["sms:FAILED"]
    webhook = "call"

    [[rule]]
    account = 28
    on = ["sms:FAILED"]
    webhook = "note"
"#;

/// Answers as the platform does: the id of the call is made from the id of the request.
fn called(request: &Received) -> Answer {
    let id = format!("obd-{}", request.id());
    Answer::status(200).body(&json!({"data": {"reqID": id}}).to_string())
}

fn events(stage: &Stage) -> Vec<Value> {
    stage.kafka.read(&stage.topic("events")).iter().map(Message::json).collect()
}

/// Returns the event `kind` of the webhook. Panics unless there is exactly one.
#[track_caller]
fn one<'a>(events: &'a [Value], kind: &str, webhook: &str) -> &'a Value {
    let is = |event: &&Value| event["type"] == *kind && event["webhook"] == *webhook;
    let found: Vec<_> = events.iter().filter(is).collect();
    let [event] = found.as_slice() else { panic!("{kind} of {webhook}: {found:#?}") };
    event
}

fn paths(requests: &[Received]) -> Vec<&str> {
    requests.iter().map(|request| request.path.as_str()).collect()
}

/// The endpoint of phase 1 and the platform are slow, and the note waits for both.
#[test]
fn a_webhook_that_needs_an_answer_leaves_after_it_and_after_phase_1() {
    let stage = stage("rules-chain", CHAIN);
    let (crm, crm_gate) = watch::channel(false);
    let (platform, platform_gate) = watch::channel(false);
    stage.receiver.script(move |request, _| match request.path.as_str() {
        "/crm" => Answer::status(200).behind(&crm_gate),
        "/platform" => called(request).behind(&platform_gate),
        _ => Answer::status(200),
    });
    let mut scene = Scene::open(&stage);
    let (flow, report) = (flow("u-1", &["s-1"]), report("u-1", "s-1", "FAILED"));
    scene.flows(std::slice::from_ref(&flow));
    scene.reports(std::slice::from_ref(&report));
    scene.wait_for("delivery_scheduled", 4);
    let requests = stage.receiver.wait_for(1, PATIENCE);
    assert_eq!(paths(&requests), ["/crm"], "everything else waits for phase 1");
    crm.send(true).expect("the receiver waits");
    let requests = stage.receiver.wait_for(3, PATIENCE);
    scene.wait_for("delivered", 2);
    assert_eq!(paths(&requests).iter().filter(|path| **path == "/crm").count(), 2);
    assert_eq!(stage.receiver.count(), 3, "the note waits for the platform");
    platform.send(true).expect("the receiver waits");
    scene.wait_for("correlation_ended", 1);
    scene.daemon.stop();

    let requests = stage.receiver.requests();
    assert_eq!((requests.len(), requests[3].path.as_str()), (4, "/note"), "{requests:?}");
    let call = requests.iter().find(|request| request.path == "/platform").expect("a request");
    let keys = r#"{"name":"$flow.syskey.contactNumbers","value":"919879072567"},{"name":"$flow.syskey.flowID","value":"201"},{"name":"$flow.key.isTTSUsed","value":true},{"name":"$flow.key.type","value":"template"}"#;
    assert_eq!(call.text(), format!(r#"{{"method":"createOutbound","keys":[{keys}]}}"#));
    let obd = format!("obd-{}", call.id());
    let note = format!(r#"{{"uuid":"u-1","sms":"s-1","status":"FAILED","call":"{obd}"}}"#);
    assert_eq!(requests[3].text(), note);
    let ids: BTreeSet<&str> = requests.iter().map(Received::id).collect();
    assert_eq!(ids.len(), 4, "each delivery has its own id");
    let promised = requests.iter().filter(|request| request.path == "/crm");
    let promised: Vec<Value> = promised.map(Received::json).collect();
    assert_eq!(promised, [phase_1(&flow), phase_2(&flow, &[report])]);

    let events = events(&stage);
    let scheduled = ["call", "note"].map(|name| one(&events, "delivery_scheduled", name));
    assert!(scheduled.iter().all(|event| event["phase"] == 0 && event["due_at"] == Value::Null));
    assert_eq!(scheduled.map(|event| event["webhook_id"].clone()), [call.id(), requests[3].id()]);
    assert!(scheduled[0].get("after").is_none(), "{}", scheduled[0]);
    let after: Vec<&Value> = scheduled[1]["after"].as_array().expect("a list").iter().collect();
    assert!(after.contains(&&json!(call.id())) && after.contains(&&json!(requests[0].id())));
    let rendered = one(&events, "delivery_rendered", "note");
    assert_eq!(
        (&rendered["phase"], &rendered["webhook_id"]),
        (&json!(0), &json!(requests[3].id()))
    );
    let variables = &one(&events, "delivered", "call")["response_variables"];
    assert_eq!(*variables, json!({"$flow.key.obdReqID": obd}));
    assert_eq!(one(&events, "delivered", "note")["phase"], 0);
    stage.verify();
}

#[test]
fn a_webhook_that_needs_a_refused_answer_is_a_dead_letter_with_its_facts() {
    let stage = stage("rules-refused", CHAIN);
    stage
        .receiver
        .script(|request, _| Answer::status(if request.path == "/platform" { 400 } else { 200 }));
    let mut scene = Scene::open(&stage);
    scene.flows(&[flow("u-1", &["s-1"])]);
    scene.reports(&[report("u-1", "s-1", "FAILED")]);
    scene.wait_for("correlation_ended", 1);
    scene.daemon.stop();
    let letters = stage.kafka.read(&stage.topic("dead-letter"));
    let letters: BTreeMap<&str, Value> =
        letters.iter().map(|letter| (letter.header("ringback.reason"), letter.json())).collect();
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert_eq!(letters["refused"]["webhook"], "call");
    let note = &letters["invalid_flow_var"];
    assert_eq!((&note["webhook"], &note["attempts"]), (&json!("note"), &json!(0)));
    assert_eq!(note["last_outcome"]["error_reason"], "INVALID_FLOW_VAR", "{note}");
    assert_eq!(note["facts"]["reports"][0]["id"], "s-1", "{note}");
    let requests = stage.receiver.requests();
    assert!(!paths(&requests).contains(&"/note"), "{requests:?}");
    stage.verify();
}

/// An account needs no default webhook for its rules.
#[test]
fn conditions_and_the_flow_choose_the_webhooks() {
    let rules = [
        ("sales", "when = [{ variable = '$flow.key.department', equals = 'sales' }]"),
        ("care", "when = [{ variable = '$flow.key.department', one_of = ['support', 'care'] }]"),
        ("vip", "when = [{ variable = '$flow.key.vip', present = true }]"),
        ("plain", "when = [{ variable = '$flow.key.vip', present = false }]"),
        (
            "both",
            "when = [{ variable = '$flow.key.vip', equals = true }, { variable = '$flow.key.size', one_of = [4, 5] }]",
        ),
        ("flow", "flow = 201"),
        ("nobody", "flow = 202"),
    ];
    let text = rules
        .map(|(name, definition)| webhook(name, "") + &rule(&["flow_complete"], name, definition));
    let stage = stage("rules-conditions", &text.concat());
    let keyed = |uuid: &str, id: i64, keys: &[(&str, Value)]| {
        let key = |(name, value): &(&str, Value)| json!({"name": format!("$flow.key.{name}"), "value": value});
        let keys = keys.iter().map(key).collect::<Vec<_>>();
        with(with(flow(uuid, &[]), "keys", keys.into()), "flowId", id.into())
    };
    let flows = [
        keyed(
            "u-1",
            200,
            &[("department", json!("sales")), ("vip", json!(true)), ("size", json!(5))],
        ),
        keyed("u-2", 201, &[("department", json!("care"))]),
        keyed(
            "u-3",
            200,
            &[("department", json!("Sales")), ("vip", json!(true)), ("size", json!(50))],
        ),
    ];
    let wanted = [
        ("u-1", "/both"),
        ("u-1", "/sales"),
        ("u-1", "/vip"),
        ("u-2", "/care"),
        ("u-2", "/flow"),
        ("u-2", "/plain"),
        ("u-3", "/vip"),
    ];
    let mut scene = Scene::open(&stage);
    scene.flows(&flows);
    scene.wait_for("correlation_ended", flows.len());
    scene.daemon.stop();
    let requests = stage.receiver.requests();
    let mut sent: Vec<_> =
        requests.iter().map(|request| (request.uuid(), request.path.clone())).collect();
    sent.sort();
    assert_eq!(sent, wanted.map(|(uuid, path)| (uuid.to_owned(), path.to_owned())));
    stage.verify();
}

#[test]
fn reports_and_report_timeouts_trigger_rules() {
    let text = r#"
        [[webhook]]
        name = "late"
        account = 28
        url = "{url}/late"
        body = "json"
        template = '{"uuid": "$flow.syskey.phononUuid", "sms": "$sms.id", "status": "$sms.deliveryStatus"}'
        [[webhook]]
        name = "notified"
        account = 29
        url = "{url}/notified"
        [[rule]]
        account = 28
        on = ["report_timed_out"]
        webhook = "late"
        [[rule]]
        account = 29
        on = ["sms:delivered", "sms:final", "sms:SENT"]
        webhook = "notified"
        [[rule]]
        account = 29
        on = ["report_timed_out"]
        webhook = "notified"
    "#;
    let mut stage = stage("rules-reports", text);
    stage.set("correlation.report_timeout_s", 3);
    let mut scene = Scene::open(&stage);
    let of_29 = |record: Value| with(record, "accountID", json!(29));
    scene.flows(&[flow("u-late", &["s-1"]), of_29(flow("u-notified", &["s-1", "s-2"]))]);
    let reports = [("s-1", "SENT"), ("s-1", "DELIVERED"), ("s-2", "QUEUED"), ("s-2", "EXPIRED")];
    let reports = reports.map(|(sms, status)| of_29(report("u-notified", sms, status)));
    scene.reports(&reports);
    let timed_out = scene.wait_for("report_timed_out", 1);
    assert_eq!(timed_out[0]["phonon_uuid"], "u-late");
    scene.wait_for("correlation_ended", 1);
    scene.wait_for("delivered", 4);
    scene.daemon.stop();
    let requests = stage.receiver.requests();
    assert_eq!(requests.len(), 4, "{requests:?}");
    let late = requests.iter().find(|request| request.path == "/late").expect("a request");
    assert_eq!(late.text(), r#"{"uuid":"u-late","sms":"s-1","status":"UNKNOWN"}"#);
    let notified = requests.iter().filter(|request| request.path == "/notified");
    // A report causes one webhook, even if several names in a rule match its status.
    let mut details: Vec<Value> =
        notified.map(|request| request.json()["smsDetails"].clone()).collect();
    details.sort_by_key(ToString::to_string);
    let mut wanted = [0, 1, 3].map(|index| json!([reports[index]]));
    wanted.sort_by_key(ToString::to_string);
    assert_eq!(details, wanted);
    let events = events(&stage);
    let timed_out = events.iter().filter(|event| event["type"] == "report_timed_out");
    assert_eq!(timed_out.count(), 1, "{events:?}");
    stage.verify();
}

#[test]
fn the_start_of_a_flow_triggers_its_rule_once() {
    let text = r#"
        [[webhook]]
        name = "crm"
        account = 28
        default = true
        url = "{url}/crm"
        [[webhook]]
        name = "began"
        account = 28
        url = "{url}/began"
        body = "json"
        template = '{"uuid": "$flow.syskey.phononUuid", "from": "%ani%", "campaign": "%campaign_name%"}'
        [[rule]]
        account = 28
        on = ["flow_started"]
        webhook = "began"
    "#;
    let mut stage = stage("rules-started", text);
    let topic = stage.topic("flow-started");
    stage.kafka.create_topics(&[(topic.as_str(), 2, &[])]);
    stage.set("topics.flow_started", topic.clone());
    let mut scene = Scene::open(&stage);
    let start = json!({
        "phononUuid": "u-1", "accountID": 28, "flowId": 200, "webhookEnabled": true, "calleeNumber": "919879072567",
        "keys": [{"name": "$flow.key.campaign_name", "value": "Diwali"}],
    });
    let records = [&start, &start, &with(start.clone(), "flowId", json!(201))];
    stage.kafka.produce(&records.map(|start| stage.record("flow-started", start)));
    let ignored = scene.wait_for("record_ignored:duplicate", 1);
    assert_eq!(ignored[0]["record"], "flow_started", "{}", ignored[0]);
    let ignored = scene.wait_for("record_ignored:conflicting", 1);
    assert_eq!(ignored[0]["record"], "flow_started", "{}", ignored[0]);
    scene.wait_for("delivered", 1);
    scene.flows(&[flow("u-1", &[])]);
    scene.wait_for("correlation_ended", 1);
    scene.daemon.stop();
    let requests = stage.receiver.requests();
    assert_eq!(paths(&requests), ["/began", "/crm"]);
    let began = r#"{"uuid":"u-1","from":"919879072567","campaign":"Diwali"}"#;
    assert_eq!(requests[0].text(), began);
    let events = events(&stage);
    let started = events.iter().filter(|event| event["type"] == "flow_started");
    assert_eq!(started.count(), 1);
    let delivered = one(&events, "delivered", "began");
    assert_eq!(
        (&delivered["phase"], &delivered["webhook_id"]),
        (&json!(0), &json!(requests[0].id()))
    );
    stage.verify();
    stage.kafka.delete_topics(&[topic.as_str()]);
}

#[test]
fn a_rules_delivery_and_its_replay_survive_kills() {
    let mut stage = stage("rules-replay", CHAIN);
    stage.set("delivery.attempts_max", 10_000);
    let status = Arc::new(AtomicU16::new(503));
    let switch = Arc::clone(&status);
    stage.receiver.script(move |request, _| match request.path.as_str() {
        "/platform" => called(request),
        "/note" => Answer::status(switch.load(Ordering::SeqCst)),
        _ => Answer::status(200),
    });
    let notes = || stage.receiver.requests().iter().filter(|it| it.path == "/note").count();
    let more_notes = || {
        let before = notes();
        wait_until("the note is attempted again", PATIENCE, || (notes() > before).then_some(()));
    };
    let mut scene = Scene::open(&stage);
    scene.flows(&[flow("u-1", &["s-1"])]);
    scene.reports(&[report("u-1", "s-1", "FAILED")]);
    scene.wait_for("attempt_failed", 1);
    scene.daemon.kill();
    scene.daemon = stage.start();
    more_notes();
    status.store(400, Ordering::SeqCst);
    let letter = stage.dead_letters(1, PATIENCE).remove(0);
    scene.wait_for("correlation_ended", 1);
    assert_eq!(letter.header("ringback.reason"), "refused");
    assert_eq!(letter.header("ringback.phase"), "0");
    assert_eq!(
        (&letter.json()["webhook"], &letter.json()["content"]),
        (&json!("note"), &json!("json"))
    );

    status.store(503, Ordering::SeqCst);
    let done = stage.command(&["dead-letter", "replay", "--yes", "--json", "--webhook", "note"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let replayed = scene.wait_for("replayed", 1);
    assert_eq!((&replayed[0]["phase"], &replayed[0]["webhook"]), (&json!(0), &json!("note")));
    more_notes();
    scene.daemon.kill();
    scene.daemon = stage.start();
    more_notes();
    status.store(200, Ordering::SeqCst);
    scene.wait_for("delivered", 4);
    scene.daemon.stop();
    let id = letter.json()["webhook_id"].as_str().expect("an id").to_owned();
    let by_id = stage.receiver.by_id();
    let requests = &by_id[&id];
    assert!(requests.iter().all(|request| request.path == "/note"));
    assert!(requests.iter().all(|request| request.body == requests[0].body), "{requests:?}");
    assert!(requests[0].text().contains(r#""call":"obd-msg_"#), "{}", requests[0].text());
    assert_eq!(one(&events(&stage), "delivered", "note")["webhook_id"], id);
    stage.verify();
}

/// A value from an answer survives a crash, whichever of the four deliveries was in flight.
#[test]
fn chains_under_load_survive_kills() {
    const KILLS: u64 = 3;
    const FLOWS: usize = 300;
    let mut random = Random::fresh();
    let mut stage = stage("rules-load", CHAIN);
    stage.set("delivery.in_flight_max", 32);
    stage.set("delivery.uncommitted_max", 100);
    stage.receiver.script(|request, _| {
        let answer = match request.path.as_str() {
            "/platform" => called(request),
            _ => Answer::status(200),
        };
        answer.after(Duration::from_millis(5))
    });
    let uuids = random.uuids(FLOWS);
    let flows: Vec<Value> = uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect();
    let reports: Vec<Value> = uuids.iter().map(|uuid| report(uuid, "s-1", "FAILED")).collect();
    stage.send_flows(&flows);
    stage.send_reports(&reports);
    let mut scene = Scene::open(&stage);
    for kill in 0..KILLS {
        let moment = random.within(50 + kill * 300..350 + kill * 300);
        println!("kill {kill} after {moment} requests");
        stage.receiver.wait_for(usize::try_from(moment).expect("small"), PATIENCE);
        scene.daemon.kill();
        scene.daemon = stage.start();
    }
    let ended = scene.wait_for("correlation_ended", FLOWS);
    scene.daemon.stop();
    assert_eq!(ended.len(), FLOWS);

    let delivered = events(&stage).into_iter().filter(|event| event["type"] == "delivered");
    let text = |event: &Value, field: &str| event[field].as_str().expect("text").to_owned();
    let mut by_webhook: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut count = 0;
    for event in delivered.filter(|event| event["phase"] == 0) {
        let of = by_webhook.entry(text(&event, "webhook")).or_default();
        of.insert(text(&event, "phonon_uuid"), text(&event, "webhook_id"));
        count += 1;
    }
    assert_eq!(count, 2 * FLOWS, "each webhook is delivered once");
    let requests = stage.receiver.by_id();
    for uuid in &uuids {
        let call = &by_webhook["call"][uuid];
        let note =
            json!({"uuid": uuid, "sms": "s-1", "status": "FAILED", "call": format!("obd-{call}")});
        let sent = &requests[&by_webhook["note"][uuid]];
        assert!(sent.iter().all(|request| request.json() == note), "{note}: {sent:?}");
    }
    assert_eq!(requests.len(), 4 * FLOWS, "nothing else was sent");
    assert!(stage.kafka.read(&stage.topic("dead-letter")).is_empty());
    stage.verify();
}

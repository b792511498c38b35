//! The `ringback webhook` commands of operators.

use crate::harness::broker;
use crate::harness::check::Scene;
use crate::harness::child::free_port;
use crate::harness::daemon::Done;
use crate::harness::receiver::Answer;
use crate::harness::samples::{flow, with};
use crate::harness::signature::{self, SECRET};
use crate::harness::stage::Stage;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use toml::Table;

const PASSWORD: &str = "hunter2-and-3";
const TOKEN: &str = "t0ken-of-the-query";

/// Creates a stage without Kafka, which test messages do not need, and with a webhook that has every kind of secret.
fn stage(name: &str) -> Stage {
    let mut stage = Stage::without_topics(broker::shared(), name);
    stage.set("kafka.bootstrap_servers", format!("127.0.0.1:{}", free_port()));
    stage.set_webhook("url", stage.receiver.url(&format!("/hooks?key={TOKEN}&v=2")));
    stage.set_webhook("signing_secrets", vec![SECRET]);
    let mut auth = Table::new();
    for (key, value) in [("type", "basic"), ("username", "phonon"), ("password", PASSWORD)] {
        auth.insert(key.to_owned(), value.into());
    }
    stage.set_webhook("auth", auth);
    stage
}

/// Sends a test message and returns the output of `--json`. `taken` says whether the endpoint should accept the
/// message.
#[track_caller]
fn tried(stage: &Stage, taken: bool, more: &[&str]) -> Value {
    let done = stage.command(&[&["webhook", "test", "crm", "--json"], more].concat());
    assert_eq!(done.code, Some(i32::from(!taken)), "{done:?}");
    keeps_secrets(&done);
    let shown: Value = serde_json::from_str(&done.out).expect("one JSON object");
    assert_eq!(shown["delivered"], taken, "{shown}");
    shown
}

#[track_caller]
fn keeps_secrets(done: &Done) {
    // The user's name is no secret, and `v=2` is none either.
    let credentials = "cGhvbm9uOmh1bnRlcjItYW5kLTM=";
    for secret in [SECRET, SECRET.trim_start_matches("whsec_"), PASSWORD, TOKEN, credentials] {
        assert!(!done.out.contains(secret) && !done.err.contains(secret), "{secret}: {done:?}");
    }
}

#[test]
fn a_test_message_is_signed_and_marked_as_a_test() {
    let stage = stage("webhooks-test");
    stage.receiver.script(|_, _| {
        Answer::status(202)
            .body("taken")
            .header("x-request", "r-1")
            .header("set-cookie", "session=s3cret")
    });
    let first = tried(&stage, true, &[]);
    let second = tried(&stage, true, &["--phase", "2"]);
    let requests = stage.receiver.requests();
    signature::verify(SECRET, &requests);
    for (request, shown) in requests.iter().zip([&first, &second]) {
        assert_eq!(request.path, format!("/hooks?key={TOKEN}&v=2"));
        assert_eq!(request.header("authorization"), "Basic cGhvbm9uOmh1bnRlcjItYW5kLTM=");
        assert!(request.id().starts_with("test_"), "the id of a delivery: {}", request.id());
        assert_eq!(request.uuid(), "00000000-0000-0000-0000-000000000000");
        assert!(request.text().contains("A test message"), "{}", request.text());
        assert_eq!(shown["webhook_id"], request.id());
        assert_eq!(shown["request"]["method"], "POST");
        assert_eq!(shown["request"]["url"], stage.receiver.url("/hooks?***"));
        assert_eq!(shown["request"]["body"], request.text());
        let headers = &shown["request"]["headers"];
        assert_eq!(headers["authorization"], "***");
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature", "traceparent"] {
            assert_eq!(headers[name], request.header(name), "{name}");
        }
        assert_eq!(shown["outcome"]["response_status"], "SUCCESS");
        assert_eq!(shown["outcome"]["response_status_code"], 202);
        assert_eq!(shown["outcome"]["response_raw"], "taken");
        assert_eq!(shown["outcome"]["response_truncated"], false);
        assert_eq!(shown["answer"]["headers"]["x-request"], "r-1");
        assert_eq!(shown["answer"]["headers"]["set-cookie"], "***");
        assert_eq!(shown["answer"]["address"], format!("127.0.0.1:{}", stage.receiver.port()));
        assert!(shown["timings"]["whole_seconds"].is_f64(), "{shown}");
    }
    assert_eq!((requests[0].phase(), requests[1].phase()), (1, 2));
    assert!(requests[1].json().get("keys").is_some(), "the account attaches the keys");
    assert_ne!(requests[0].id(), requests[1].id(), "a receiver must not drop the second message");
}

/// Without a terminal the command asks no question.
#[test]
fn webhook_test_shows_the_exchange_and_what_it_means() {
    let stage = stage("webhooks-people");
    stage.receiver.script(|_, _| Answer::status(503).body("busy \u{1b}[2J"));
    let done = stage.command(&["webhook", "test", "crm"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    keeps_secrets(&done);
    for line in [
        "> authorization: ***",
        "> content-type: application/json",
        "< HTTP/1.1 503",
        "busy \\u001b[2J",
        "FAILED: a delivery would be retried",
        "REFUSED",
    ] {
        assert!(done.out.contains(line), "{line}: {}", done.out);
    }
}

#[test]
fn webhook_test_asks_first_on_a_terminal() {
    let stage = stage("webhooks-asks");
    let arguments = ["webhook", "test", "crm"];
    let done = stage.command_on_terminal(&arguments, "n\n");
    assert_eq!(done.code, Some(1), "{done:?}");
    keeps_secrets(&done);
    let question =
        format!("Send a test message of phase 1 to {}?", stage.receiver.url("/hooks?***"));
    assert!(done.out.contains(&question), "{done:?}");
    assert!(stage.receiver.requests().is_empty());
    let done = stage.command_on_terminal(&arguments, "y\n");
    assert_eq!(done.code, Some(0), "{done:?}");
    let done = stage.command_on_terminal(&[&arguments[..], &["--yes"]].concat(), "");
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(!done.out.contains("[y/N]"), "{done:?}");
    assert_eq!(stage.receiver.requests().len(), 2);
}

/// Many endpoints for tests repeat the request in their answer.
#[test]
fn an_answer_that_echoes_the_request_shows_no_secrets() {
    let stage = stage("webhooks-echo");
    stage.receiver.script(|request, _| {
        let echo = json!({"path": request.path, "headers": request.headers, "password": PASSWORD});
        Answer::status(400).body(&echo.to_string())
    });
    let shown = tried(&stage, false, &[]);
    assert_eq!(shown["outcome"]["error_reason"], "REFUSED", "{shown}");
    let raw = shown["outcome"]["response_raw"].as_str().expect("the answer");
    assert!(raw.contains("Basic ***") && raw.contains("/hooks?***"), "{raw}");
}

/// The echo is mapped to a variable, which must not show the secret.
#[test]
fn a_value_mapped_from_an_echo_shows_no_secrets() {
    let mut stage = stage("webhooks-echo-mapped");
    let mut entry = toml::Table::new();
    entry.insert("save_in".into(), "$flow.key.echo".into());
    entry.insert("path".into(), "password".into());
    let mut response = toml::Table::new();
    response.insert("type".into(), "json".into());
    response.insert("map".into(), toml::Value::Array(vec![entry.into()]));
    stage.set_webhook("response", response);
    stage
        .receiver
        .script(|_, _| Answer::status(200).body(&json!({"password": PASSWORD}).to_string()));
    let shown = tried(&stage, true, &[]);
    assert_eq!(shown["outcome"]["response_variables"]["$flow.key.echo"], "***", "{shown}");
}

#[test]
fn a_redirect_is_shown_and_not_followed() {
    let stage = stage("webhooks-redirect");
    let elsewhere: &'static str = stage.receiver.url("/elsewhere").leak();
    stage.receiver.script(move |_, _| Answer::status(307).header("location", elsewhere));
    let shown = tried(&stage, false, &[]);
    assert_eq!(shown["answer"]["headers"]["location"], elsewhere);
    assert_eq!(stage.receiver.requests().len(), 1);
}

/// The receiver plays the proxy.
#[test]
fn a_proxy_is_shown_without_its_password() {
    let mut stage = stage("webhooks-proxy");
    let port = stage.receiver.port();
    stage.set("delivery.proxy", format!("http://u:{PASSWORD}@127.0.0.1:{port}"));
    stage.set_webhook("url", format!("http://hooks.invalid/hooks?key={TOKEN}"));
    let shown = tried(&stage, true, &[]);
    assert_eq!(shown["request"]["proxy"], format!("http://127.0.0.1:{port}"), "{shown}");
    assert_eq!(
        stage.receiver.requests()[0].path,
        format!("http://hooks.invalid/hooks?key={TOKEN}")
    );
}

#[test]
fn a_long_answer_is_truncated_and_marked_as_such() {
    let stage = stage("webhooks-long");
    stage.receiver.script(|_, _| Answer::status(200).body(&"x".repeat(100_000)));
    let shown = tried(&stage, true, &[]);
    assert_eq!(shown["outcome"]["response_truncated"], true);
    assert_eq!(shown["outcome"]["response_raw"].as_str().expect("text").len(), 64 << 10);
}

#[test]
fn a_test_of_an_endpoint_that_hangs_ends_with_the_timeout() {
    let mut stage = stage("webhooks-hang");
    stage.set_webhook("request_timeout_ms", 400);
    stage.receiver.script(|_, _| Answer::never());
    let started = Instant::now();
    let shown = tried(&stage, false, &[]);
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert_eq!(shown["outcome"]["error_reason"], "TIMEOUT", "{shown}");
    assert_eq!(shown["answer"], Value::Null, "{shown}");
    assert!(shown["timings"]["whole_seconds"].as_f64() >= Some(0.4), "{shown}");
}

#[test]
fn an_address_that_the_policy_forbids_is_not_called() {
    for host in ["127.0.0.1", "localhost"] {
        let mut stage = stage("webhooks-blocked");
        stage.set("delivery.allow_addresses", Vec::<String>::new());
        let url = format!("http://{host}:{}/?key={TOKEN}", stage.receiver.port());
        stage.set_webhook("url", url);
        let shown = tried(&stage, false, &[]);
        assert_eq!(shown["outcome"]["error_reason"], "BLOCKED_ADDRESS", "{shown}");
        let looked_up = shown["timings"]["look_up_seconds"].is_f64();
        assert_eq!(looked_up, host == "localhost", "{shown}");
        assert!(stage.receiver.requests().is_empty());
    }
}

#[test]
fn an_endpoint_that_refuses_connections_is_unreachable() {
    let mut stage = stage("webhooks-unreachable");
    stage.set_webhook("url", format!("http://127.0.0.1:{}/?key={TOKEN}", free_port()));
    let shown = tried(&stage, false, &[]);
    assert_eq!(shown["outcome"]["error_reason"], "UNREACHABLE", "{shown}");
}

#[test]
fn an_unknown_webhook_exits_with_2_and_a_bad_configuration_with_78() {
    let mut stage = stage("webhooks-unknown");
    let done = stage.command(&["webhook", "test", "cmr"]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.err.contains("did you mean `crm`?"), "{done:?}");
    assert_eq!(stage.command(&["webhook", "test", "crm", "--phase", "3"]).code, Some(2));
    stage.set_webhook("url", "ftp://127.0.0.1/");
    let done = stage.command(&["webhook", "test", "crm"]);
    assert_eq!(done.code, Some(78), "{done:?}");
    assert!(stage.receiver.requests().is_empty());
}

/// Returns the output of `list --json` by webhook.
#[track_caller]
fn listed(stage: &Stage) -> BTreeMap<String, Value> {
    let done = stage.command(&["webhook", "list", "--json"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let lines = done.out.lines().map(|line| serde_json::from_str(line).expect("an object a line"));
    lines.map(|shown: Value| (shown["name"].as_str().expect("a name").to_owned(), shown)).collect()
}

/// The samples' account has the webhook `crm`. Each other account has its own webhook, and a flow that triggers it.
fn endpoints(name: &str) -> (Stage, Vec<Value>) {
    let mut stage = Stage::new(name);
    stage.set("delivery.retry.initial_interval_ms", 3_600_000);
    stage.set("delivery.retry.interval_max_ms", 3_600_000);
    let mut flows = vec![flow("to-crm", &[])];
    for (account, name) in [(29, "busy"), (30, "broken"), (31, "healthy")] {
        stage.add_account(account);
        let url = stage.receiver.url(&format!("/{name}?key={TOKEN}"));
        stage.add_webhook(name, account, &url);
        flows.push(with(flow(&format!("to-{name}"), &[]), "accountID", account.into()));
    }
    stage.receiver.script(|request, _| match request.path.split('?').next() {
        Some("/busy") => Answer::status(429).header("retry-after", "3000"),
        Some("/broken") => Answer::status(500),
        Some("/healthy") => Answer::status(200),
        _ => Answer::status(410),
    });
    (stage, flows)
}

#[test]
fn webhook_list_shows_the_state_of_each_endpoint_and_enable_resumes_one() {
    let (stage, flows) = endpoints("webhooks-list");
    let mut scene = Scene::open(&stage);
    scene.flows(&flows);
    scene.wait_for("endpoint_disabled", 1);
    scene.wait_for("attempt_failed", 3);
    scene.wait_for("delivered", 1);
    // The commands need no running daemon.
    scene.daemon.stop();
    let list = listed(&stage);
    let states = list.values().map(|shown| shown["state"].as_str().expect("a state"));
    assert_eq!(states.collect::<Vec<_>>(), ["failing", "held", "disabled", "enabled"], "{list:?}");
    assert_eq!(list["crm"]["disabled_cause"], "gone", "{list:?}");
    for (name, time) in
        [("crm", "disabled_at"), ("busy", "held_until"), ("broken", "failing_since")]
    {
        let shown = list[name][time].as_str().expect("a time");
        assert!(shown.parse::<jiff::Timestamp>().is_ok(), "{name}: {shown}");
        assert_eq!(list["healthy"][time], Value::Null, "{list:?}");
    }
    assert_eq!(list["busy"]["url"], stage.receiver.url("/busy?***"));
    assert_eq!((&list["busy"]["default"], &list["busy"]["account_id"]), (&true.into(), &29.into()));
    let people = stage.command(&["webhook", "list"]);
    keeps_secrets(&people);
    for words in ["disabled since", "(gone)", "held until", "failing since", "enabled"] {
        assert!(people.out.contains(words), "{words}: {}", people.out);
    }
    // `trace` shows the state of the delivery's endpoint too.
    let traced = stage.command(&["trace", "to-busy"]);
    assert!(traced.out.contains("webhook busy: asked for a pause until"), "{traced:?}");

    let enabled = stage.command(&["webhook", "enable", "crm", "--json"]);
    assert_eq!(
        (enabled.code, enabled.out.as_str()),
        (Some(0), "{\"partitions\":2,\"webhook\":\"crm\"}\n")
    );
    assert_eq!(listed(&stage)["crm"]["state"], "disabled", "no daemon has read the command yet");
    stage.receiver.script(|_, _| Answer::status(200));
    scene.daemon = stage.start();
    scene.wait_for("endpoint_enabled", 1);
    // The endpoint is enabled in both partitions.
    let again: Vec<Value> = (0..10).map(|n| flow(&format!("again-{n}"), &[])).collect();
    scene.flows(&again);
    scene.wait_for("delivered", 11);
    assert_eq!(listed(&stage)["crm"]["state"], "enabled");
}

#[test]
fn webhook_enable_writes_a_command_to_every_partition_of_the_inbox() {
    let mut stage = Stage::new("webhooks-enable");
    assert_eq!(stage.command(&["webhook", "enable", "cmr"]).code, Some(2));
    let done = stage.command(&["webhook", "enable", "crm"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let inbox = stage.kafka.read(&stage.topic("inbox"));
    let partitions: Vec<i32> = inbox.iter().map(|message| message.partition).collect();
    assert_eq!(partitions, [0, 1], "{inbox:?}");
    for message in &inbox {
        assert_eq!(message.header("ringback.command"), "enable_endpoint");
        assert_eq!(message.key.as_deref(), Some(b"crm".as_slice()));
        assert_eq!(message.json(), json!({"webhook": "crm"}));
    }
    stage.set("kafka.bootstrap_servers", format!("127.0.0.1:{}", free_port()));
    for command in ["list", "enable"] {
        let arguments = [&["webhook", command][..], &["crm"][..usize::from(command == "enable")]];
        let done = stage.command(&arguments.concat());
        assert_eq!(done.code, Some(75), "{done:?}");
    }
    let without = Stage::without_topics(broker::shared(), "webhooks-no-inbox");
    let done = without.command(&["webhook", "enable", "crm"]);
    assert_eq!(done.code, Some(78), "{done:?}");
    assert!(done.err.contains("ringback topics --create"), "{done:?}");
}

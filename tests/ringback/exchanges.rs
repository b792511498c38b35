//! The events of exchanges with endpoints that misbehave or answer in unusual ways.

use crate::harness::check::{Scene, Then, check};
use crate::harness::child::run_dir;
use crate::harness::rude::{self, Words};
use crate::harness::samples::{ACCOUNT, flow, phase_1, with};
use crate::harness::stage::Stage;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// The number of bytes that are kept of an answer.
const KEPT: usize = 65_536;

/// Sends a flow to each webhook with one attempt, and returns the event of each attempt by flow. The first webhook is
/// the stage's own, which the caller may have changed.
fn events(stage: &mut Stage, urls: &[(&str, String)]) -> BTreeMap<String, Value> {
    stage.set("delivery.attempts_max", 1);
    stage.set("delivery.request_timeout_ms", 2000);
    let flows = (ACCOUNT..).zip(urls).map(|(account, (name, url))| {
        if account == ACCOUNT {
            stage.set_webhook("url", url.as_str());
        } else {
            stage.add_account(account);
            stage.add_webhook(name, account, url);
        }
        with(flow(name, &[]), "accountID", json!(account))
    });
    let flows: Vec<Value> = flows.collect();
    let mut scene = Scene::open(stage);
    scene.flows(&flows);
    scene.wait_for("correlation_ended", urls.len());
    scene.daemon.stop();
    let all = stage.kafka.read(&stage.topic("events")).into_iter().map(|event| event.json());
    let attempts =
        all.filter(|event| event["type"] == "delivered" || event["type"] == "attempt_failed");
    let by_name =
        attempts.map(|event| (event["phonon_uuid"].as_str().expect("text").to_owned(), event));
    let by_name: BTreeMap<_, _> = by_name.collect();
    assert_eq!(by_name.len(), urls.len(), "each flow has one attempt: {by_name:#?}");
    by_name
}

/// Panics unless the event has these members, and a plausible duration. A null in `members` means that the event lacks
/// the member.
#[track_caller]
fn assert_members(event: &Value, members: &Value) {
    for (name, value) in members.as_object().expect("an object") {
        assert_eq!(&event[name], value, "{name}: {event}");
    }
    let took = event["response_duration"].as_f64().expect("seconds");
    assert!((0.0..10.0).contains(&took), "{event}");
}

fn plain(words: Words) -> String {
    format!("http://127.0.0.1:{}/", rude::start(words))
}

/// Sends `head` once, and then `bytes` repeatedly.
fn repeatedly(head: &str, bytes: &[u8], pause: Duration) -> Words {
    Words { first: head.into(), then: Some((bytes.to_vec(), pause)) }
}

fn bomb() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b'x'; 64 << 20]).expect("memory");
    let packed = encoder.finish().expect("memory");
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        packed.len()
    );
    [head.as_bytes(), &packed].concat()
}

const PAUSE: Duration = Duration::from_millis(50);

#[test]
fn a_delivered_event_contains_the_answer() {
    let mut stage = Stage::new("exchanges-taken");
    let ok = "HTTP/1.1 200 OK\r\n\r\n";
    let (port, authority) = rude::start_tls(Words::only(ok.to_owned() + "ok"));
    let directory = tempfile::tempdir_in(run_dir()).expect("a directory");
    let ca_file = directory.path().join("ca.pem");
    std::fs::write(&ca_file, authority).expect("a file");
    stage.set_webhook("ca_file", ca_file.to_str().expect("a plain path"));
    let urls = [
        ("own-authority", format!("https://127.0.0.1:{port}/")),
        ("hints", plain(Words::only(format!("HTTP/1.1 103 X\r\n\r\n{ok}ok")))),
        ("nothing", plain(Words::only("HTTP/1.1 204 No Content\r\n\r\n"))),
        ("dripping", plain(repeatedly(ok, b"x", PAUSE))),
        ("endless", plain(repeatedly(ok, &[b'x'; 10_000], Duration::ZERO))),
        ("bomb", plain(Words::only(bomb()))),
    ];
    let events = events(&mut stage, &urls);
    for (name, code, raw) in
        [("own-authority", 200, Some("ok")), ("hints", 200, Some("ok")), ("nothing", 204, None)]
    {
        let members = json!({"type": "delivered", "response_status": "SUCCESS",
            "response_status_code": code, "response_status_type": "SUCCESSFUL",
            "response_raw": raw, "response_truncated": false, "response_error": false,
            "error_detail": null, "error_reason": null});
        assert_members(&events[name], &members);
    }
    for name in ["dripping", "endless", "bomb"] {
        let members = json!({"type": "delivered", "response_status": "SUCCESS",
            "response_status_code": 200, "response_truncated": true, "error_reason": null});
        assert_members(&events[name], &members);
        let kept = events[name]["response_raw"].as_str().map(str::len);
        assert!(kept == Some(KEPT) || name == "dripping", "{name}: {kept:?}");
    }
    assert_took_the_timeout(&events["dripping"]);
}

#[test]
fn an_attempt_failed_event_contains_the_reason() {
    let mut stage = Stage::new("exchanges-failed");
    let (port, _) = rude::start_tls(Words::only("HTTP/1.1 200 OK\r\n\r\n"));
    let redirect = format!("HTTP/1.1 302 X\r\nlocation: {}\r\n\r\n", stage.receiver.url("/"));
    let urls = [
        ("slow", plain(repeatedly("", b"", PAUSE))),
        ("unknown-authority", format!("https://127.0.0.1:{port}/")),
        ("garbage", plain(Words::only("hello\r\n\r\n"))),
        ("gone", plain(Words::only(""))),
        ("redirect", plain(Words::only(redirect))),
        ("forbidden", plain(Words::only("HTTP/1.1 401 X\r\n\r\nwho are you?"))),
        ("failing", plain(Words::only("HTTP/1.1 503 X\r\nretry-after: 9\r\n\r\n"))),
    ];
    let events = events(&mut stage, &urls);
    assert!(stage.receiver.requests().is_empty(), "the daemon does not follow a redirect");
    for (name, reason) in [
        ("slow", "TIMEOUT"),
        ("unknown-authority", "UNREACHABLE"),
        ("garbage", "INVALID_RESPONSE"),
        ("gone", "UNREACHABLE"),
    ] {
        let members = json!({"type": "attempt_failed", "response_status": "FAILED",
            "response_status_code": null, "response_status_type": null, "response_raw": null,
            "response_error": true, "error_reason": reason});
        assert_members(&events[name], &members);
        assert!(events[name].as_object().expect("an object").contains_key("response_raw"));
        assert!(events[name]["error_detail"].is_string(), "{}", events[name]);
    }
    for (name, code, kind, reason, raw) in [
        ("redirect", 302, "REDIRECTION", "REFUSED", None),
        ("forbidden", 401, "CLIENT_ERROR", "AUTHENTICATION_FAILURE", Some("who are you?")),
        ("failing", 503, "SERVER_ERROR", "REFUSED", None),
    ] {
        let members = json!({"type": "attempt_failed", "response_status": "FAILED",
            "response_status_code": code, "response_status_type": kind, "response_raw": raw,
            "response_truncated": false, "response_error": true, "error_reason": reason});
        assert_members(&events[name], &members);
    }
    assert_took_the_timeout(&events["slow"]);
}

/// The head has invalid lines or can't be read to its end. The status decides, so that the webhook is sent only once.
#[test]
fn a_status_decides_whatever_else_is_wrong_with_its_head() {
    let mut stage = Stage::new("exchanges-heads");
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\nok", "x".repeat(1 << 20));
    let head = |line: &str| {
        plain(Words::only(format!("HTTP/1.1 200 OK\r\n{line}\r\ncontent-length: 2\r\n\r\nok")))
    };
    let urls = [
        ("blank", head("x-powered-by : PHP")),
        ("folded", head("x-a: b\r\n c")),
        ("warning", head("PHP Warning:  Undefined variable $a in /srv/a.php on line 3")),
        ("markup", head("<br />")),
        ("control", head("x-a: \u{1}")),
        ("large", plain(Words::only(large))),
        ("two-lengths", head("content-length: 1")),
        ("broken", plain(Words::only("HTTP/1.1 202 Accepted\r\nconte"))),
        ("refused", plain(Words::only("HTTP/1.1 400 Bad\r\nx: \0\r\n\r\n"))),
    ];
    let events = events(&mut stage, &urls);
    for name in ["blank", "folded", "warning", "markup", "control"] {
        let members = json!({"type": "delivered", "response_status_code": 200, "response_raw": "ok",
            "response_truncated": false, "response_error": false, "error_detail": null,
            "error_reason": null});
        assert_members(&events[name], &members);
    }
    for (name, code) in [("large", 200), ("two-lengths", 200), ("broken", 202)] {
        let members = json!({"type": "delivered", "response_status": "SUCCESS",
            "response_status_code": code, "response_truncated": true, "error_reason": null});
        assert_members(&events[name], &members);
        assert_eq!(events[name]["response_error"], false);
        let error = events[name]["error_detail"].as_str().unwrap_or_default();
        let says = format!("the status is {code}, but the head of the answer ");
        assert!(error.starts_with(&says), "{error}");
    }
    let members = json!({"type": "attempt_failed", "response_status": "FAILED",
        "response_status_code": 400, "response_truncated": true, "error_reason": "REFUSED"});
    assert_members(&events["refused"], &members);
}

/// Every second request is lost with its connection, although each delivery has only one attempt.
#[test]
fn connections_that_end_cost_no_attempt() {
    const FLOWS: usize = 20;
    let mut stage = Stage::new("exchanges-forgetful");
    let port = rude::start_forgetful(Words::only("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
    stage.set("delivery.attempts_max", 1);
    stage.set_webhook("url", format!("http://127.0.0.1:{port}/"));
    stage.set_webhook("in_flight_max", 1);
    let flows: Vec<Value> = (0..FLOWS).map(|number| flow(&format!("f{number}"), &[])).collect();
    let mut scene = Scene::open(&stage);
    scene.flows(&flows);
    scene.wait_for("correlation_ended", FLOWS);
    let delivered = stage.kafka.read(&stage.topic("events"));
    let delivered = delivered.into_iter().filter(|event| event.json()["type"] == "delivered");
    assert_eq!(delivered.count(), FLOWS);
    let repeated = scene.daemon.metric("ringback_exchanges_repeated_total", &[]);
    assert!(repeated.is_some_and(|repeated| repeated >= 5.0), "{repeated:?}");
    let failed = scene.daemon.metric("ringback_attempts_total", &[("outcome", "unreachable")]);
    assert_eq!(failed, Some(0.0));
    scene.daemon.stop();
}

#[track_caller]
fn assert_took_the_timeout(event: &Value) {
    let took = event["response_duration"].as_f64();
    assert!(took.is_some_and(|took| (2.0..9.0).contains(&took)), "{event}");
}

/// The receiver acts as the proxy. Only a proxy could resolve the webhook's host name.
#[test]
fn a_configured_proxy_is_used_and_its_password_stays_hidden() {
    let mut stage = Stage::new("exchanges-proxy");
    stage.set("delivery.proxy", toml::from_str::<toml::Table>("env = 'PROXY'").expect("TOML"));
    stage
        .set_variable("PROXY", &format!("http://u:opensesame@127.0.0.1:{}", stage.receiver.port()));
    // The operator chose the proxy, so that its own address needs no entry in the list.
    stage.set("delivery.allow_addresses", Vec::<String>::new());
    stage.set_webhook("url", "http://hooks.invalid/hooks/phonon");
    stage.receiver.statuses(&[407, 200]);
    stage.add_account(29);
    stage.add_webhook("forbidden", 29, "http://127.0.0.1/hooks");
    let ours = flow("proxy", &[]);
    let forbidden = with(flow("forbidden", &[]), "accountID", json!(29));
    let then = Then::default()
        .attempted(phase_1(&ours))
        .delivered(phase_1(&ours))
        .event("correlation_ended")
        .dead_letter("blocked_address")
        .event("correlation_ended");
    let outcome = check(&stage, |scene| scene.flows(&[ours, forbidden]), then);
    for request in &outcome.webhooks {
        assert_eq!(request.path, "http://hooks.invalid/hooks/phonon");
        assert_eq!(request.header("proxy-authorization"), "Basic dTpvcGVuc2VzYW1l");
    }
    let log = std::fs::read_to_string(stage.instance_dir(0).join("stderr.log")).expect("a log");
    assert!(!log.contains("opensesame") && !log.contains("dTpvcGVuc2VzYW1l"), "{log}");
}

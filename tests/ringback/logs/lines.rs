//! The lines of the log: each is JSON, and lines about the same fact are limited per minute.

use crate::definitions;
use crate::harness::broker;
use crate::harness::check::Scene;
use crate::harness::child;
use crate::harness::daemon::{Daemon, EX_CONFIG};
use crate::harness::kafka::Record;
use crate::harness::receiver::Answer;
use crate::harness::samples::{flow, report, with};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, wait_until};
use serde_json::{Value, json};
use std::io::Read as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Parses all lines, and panics unless each is a JSON object.
fn objects(logged: &str) -> Vec<Value> {
    let object = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(value) if value.is_object() => value,
        other => panic!("{other:?}: {line:?}"),
    };
    logged.lines().map(object).collect()
}

/// Returns the lines, except those of the level DEBUG, whose message begins with `message`.
fn lines<'a>(all: &'a [Value], message: &str) -> Vec<&'a Value> {
    let is = |line: &&Value| {
        line["level"] != "DEBUG"
            && line["message"].as_str().is_some_and(|it| it.starts_with(message))
    };
    all.iter().filter(is).collect()
}

/// Waits until the log has a line with this message, waits for `more`, and returns all lines.
fn logged_after(daemon: &Daemon, message: &str, more: Duration) -> Vec<Value> {
    wait_until(&format!("a line `{message}`"), PATIENCE, || {
        (!lines(&objects(&daemon.logged()), message).is_empty()).then_some(())
    });
    let until = Instant::now() + more;
    wait_until("time has passed", PATIENCE, || (Instant::now() >= until).then_some(()));
    objects(&daemon.logged())
}

/// Answers every connection with HTTP, which clients of TLS and of Kafka can't parse. Returns the port.
fn nonsense() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let mut connection = connection;
            let _ = connection.read(&mut [0; 64]);
            let _ = std::io::Write::write_all(&mut connection, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    port
}

/// Starts the daemon without a usable Kafka. Panics unless exactly one line says so, with the broker and the cause.
#[track_caller]
fn unreachable(name: &str, broker: &str, properties: &[(&str, &str)], reason: &str, cause: &str) {
    let mut stage = Stage::without_topics(broker::shared(), name);
    stage.set("kafka.bootstrap_servers", broker);
    let mut client = toml::Table::new();
    for (property, value) in properties {
        client.insert((*property).to_owned(), (*value).into());
    }
    stage.set("kafka.client", client);
    let mut daemon = stage.spawn(0);
    let all = logged_after(&daemon, "waiting for Kafka", Duration::from_secs(12));
    let said = lines(&all, "waiting for Kafka");
    let [line] = said.as_slice() else { panic!("{said:#?}") };
    assert_eq!((&line["reason"], &line["broker"]), (&json!(reason), &json!(broker)), "{line}");
    assert!(line["cause"].as_str().is_some_and(|it| it.contains(cause)), "{line}");
    let warned = all.iter().filter(|it| it["level"] == "WARN" || it["level"] == "ERROR");
    assert_eq!(warned.count(), 1, "there is no other warning: {all:#?}");
    daemon.stop();
}

#[test]
fn an_unreachable_kafka_is_one_line_with_broker_and_cause() {
    let refused = format!("127.0.0.1:{}", child::free_port());
    unreachable("logs-refused", &refused, &[], "refused", "Connection refused");
    unreachable("logs-unknown", "none.invalid:9092", &[], "unknown_host", "resolve");
    let nonsense = format!("127.0.0.1:{}", nonsense());
    unreachable("logs-tls", &nonsense, &[("security.protocol", "SSL")], "tls", "SSL");
}

/// A thousand bad records and some hundred dead deliveries are a few lines, and the first of each reason is logged.
#[test]
fn many_similar_failures_are_few_lines() {
    let mut stage = Stage::new("logs-bursts");
    stage.receiver.script(|_, _| Answer::status(400));
    stage.set_webhook("in_flight_max", 64);
    let bad = |value: &[u8]| Record {
        topic: stage.topic("flow-complete"),
        value: Some(value.to_vec()),
        ..Record::default()
    };
    let mut records = vec![bad(b"{\"no"); 1000];
    let nameless = with(flow("x", &[]), "phononUuid", Value::Null).to_string();
    records.extend(vec![bad(nameless.as_bytes()); 10]);
    records.extend(vec![bad(&[0, 0, 0, 0, 7, 1]); 10]);
    let mut daemon = stage.start();
    stage.kafka.produce(&records);
    let flows: Vec<Value> = (0..300).map(|n| flow(&format!("u-{n}"), &[])).collect();
    let strange: Vec<Value> =
        flows.iter().take(20).map(|it| with(it.clone(), "accountID", json!(99))).collect();
    stage.send_flows(&flows);
    stage.send_flows(&strange);
    stage.dead_letters(records.len() + flows.len() + strange.len(), PATIENCE);
    daemon.stop();
    let all = objects(&daemon.logged());
    let dead_letters = lines(&all, "a record became a dead letter");
    let of = |reason: &str| dead_letters.iter().filter(|line| line["reason"] == reason).count();
    for reason in ["undecodable", "no_uuid", "unknown_schema", "unknown_account"] {
        assert_eq!(of(reason), 1, "{reason}: {dead_letters:#?}");
        let more = lines(&all, "more records became dead letters");
        assert!(more.iter().any(|line| line["reason"] == reason), "{reason}: {more:#?}");
    }
    assert!(
        dead_letters.iter().all(|line| line["topic"].is_string() && line["detail"].is_string())
    );
    let deliveries = lines(&all, "a delivery became a dead letter").len();
    assert!((1..=5).contains(&deliveries), "{deliveries}");
    let more = lines(&all, "more deliveries became dead letters");
    let counted: u64 = more.iter().filter_map(|line| line["count"].as_u64()).sum();
    assert_eq!(counted + deliveries as u64, flows.len() as u64, "all are counted: {more:#?}");
}

/// No array is written as text, directives of `RUST_LOG` cause no coloured warning, and a rejected configuration is
/// JSON too.
#[test]
fn every_log_line_is_json() {
    for rust_log in ["trace", "ringback", "ringback=trace,h2"] {
        let mut stage = Stage::new(&format!("logs-json-{}", rust_log.len()));
        stage.set_variable("RUST_LOG", rust_log);
        let mut daemon = stage.start();
        stage.send_flows(&[flow("json", &[])]);
        stage.receiver.wait_for(1, PATIENCE);
        daemon.stop();
        let all = objects(&daemon.logged());
        assert!(!daemon.logged().contains('\u{1b}'), "no colours");
        for value in all.iter().filter_map(Value::as_object).flat_map(|line| line.values()) {
            let text = value.as_str().unwrap_or_default();
            assert!(!text.starts_with('['), "an array is written as text: {text}");
            assert!(!text.contains("/registry/src/"), "the line has a path of the build: {text}");
        }
    }
    let mut stage = Stage::new("logs-json-refused");
    stage.set("delivery.attempts_max", -1);
    stage.set("delivery.age_max_s", -1);
    let said = objects(&stage.ends_with(EX_CONFIG));
    assert_eq!(said.len(), 2, "a line for each fault: {said:#?}");
    assert!(said.iter().all(|line| line["level"] == "ERROR" && line["timestamp"].is_string()));
}

/// A rejected certificate is logged with the outcome of its delivery, and not by the verifier.
#[test]
fn a_rejected_certificate_is_logged_only_by_its_delivery() {
    let mut stage = Stage::new("logs-certificate");
    let port = nonsense_tls();
    stage.set("delivery.attempts_max", 1);
    stage.set("delivery.allow_addresses", vec!["127.0.0.0/8"]);
    stage.set_webhook("url", format!("https://127.0.0.1:{port}/"));
    let mut daemon = stage.start();
    stage.send_flows(&[flow("certificate", &[])]);
    stage.dead_letters(1, PATIENCE);
    daemon.stop();
    let all = objects(&daemon.logged());
    // The test's topics have a finite retention, and the daemon warns of it.
    let is_about_topics =
        |it: &Value| it["message"].as_str().unwrap_or_default().contains("retention.ms");
    let is_loud =
        |it: &&Value| (it["level"] == "WARN" || it["level"] == "ERROR") && !is_about_topics(it);
    let loud: Vec<_> = all.iter().filter(is_loud).collect();
    let [line] = loud.as_slice() else { panic!("{loud:#?}") };
    assert_eq!(line["webhook"], "crm");
    assert!(line["error"].as_str().is_some_and(|it| it.contains("certificate")), "{line}");
}

/// Starts a server with a certificate that no client trusts, and returns its port.
fn nonsense_tls() -> u16 {
    let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![key.cert.der().clone()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()).into(),
        );
    let config = std::sync::Arc::new(config.expect("a configuration"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let Ok(mut tls) = rustls::ServerConnection::new(config.clone()) else { continue };
            while tls.is_handshaking() && tls.complete_io(&mut connection).is_ok() {}
        }
    });
    port
}

/// Returns a default webhook, and a rule that triggers another webhook.
fn ruled(rule: &str) -> String {
    let webhook = |name: &str, more: &str| {
        format!("[[webhook]]\nname = '{name}'\naccount = 28\nurl = '{{url}}/{name}'\n{more}\n")
    };
    let (own, other) = (webhook("crm", "default = true"), webhook("other", ""));
    format!("{own}{other}[[rule]]\naccount = 28\nwebhook = 'other'\n{rule}\n")
}

/// A rule that can't be evaluated is an event, a metric, and one line.
#[test]
fn a_rule_that_can_not_be_evaluated_is_an_event_a_metric_and_a_line() {
    let rule = "on = ['flow_complete']\nwhen = [{ variable = '$flow.key.nowhere', equals = 'x' }]";
    let stage = definitions::stage("logs-rule", &ruled(rule));
    let mut scene = Scene::open(&stage);
    let uuids = ["u-1", "u-2", "u-3"];
    scene.flows(&uuids.map(|uuid| flow(uuid, &[])));
    scene.wait_for("rule_skipped", 3);
    let counted = || scene.daemon.metric("ringback_rules_skipped_total", &[("reason", "no_value")]);
    wait_until("the skips are counted", PATIENCE, || (counted() == Some(3.0)).then_some(()));
    scene.wait_for("correlation_ended", 3);
    scene.daemon.stop();
    let events = stage.kafka.read(&stage.topic("events"));
    let skipped = events.iter().map(|event| event.json()).find(|it| it["type"] == "rule_skipped");
    let skipped = skipped.expect("the event");
    assert_eq!(skipped["webhook"], "other");
    assert_eq!(skipped["on"], "flow_complete");
    assert_eq!(
        (&skipped["reason"], &skipped["variable"]),
        (&json!("no_value"), &json!("$flow.key.nowhere"))
    );
    let all = objects(&scene.daemon.logged());
    assert_eq!(lines(&all, "a rule was skipped").len(), 1);
    assert_eq!(lines(&all, "more rules were skipped")[0]["count"], 2);
    stage.verify();
}

/// A newer report replaces one that waits for its flow, so that a rule on the older report is never evaluated.
#[test]
fn a_rule_on_a_replaced_report_is_an_event() {
    let stage = definitions::stage("logs-replaced", &ruled("on = ['sms:QUEUED']"));
    let mut scene = Scene::open(&stage);
    scene.reports(&[report("u-1", "s-1", "QUEUED")]);
    scene.wait_for("report_accepted", 1);
    scene.reports(&[report("u-1", "s-1", "DELIVERED")]);
    scene.wait_for("rule_skipped", 1);
    scene.flows(&[flow("u-1", &["s-1"])]);
    scene.wait_for("correlation_ended", 1);
    scene.daemon.stop();
    stage.verify();
}

/// A refused reload is an event, a metric, and one line. The metrics show an applied reload too.
#[test]
fn a_refused_reload_is_an_event_a_metric_and_a_line() {
    let mut stage = Stage::new("logs-reload");
    let mut daemon = stage.start();
    let successful = || daemon.metric("ringback_config_last_reload_successful", &[]);
    let at = || daemon.metric("ringback_config_last_reload_success_timestamp_seconds", &[]);
    let began = at().expect("the start counts as a reload");
    assert_eq!(successful(), Some(1.0));
    stage.set_webhook("url", "ftp://nowhere/");
    stage.write_accounts(0);
    for count in [1.0, 2.0] {
        daemon.signal("HUP");
        wait_until("it is refused", PATIENCE, || {
            let refused = daemon.metric("ringback_config_reloads_total", &[("result", "refused")]);
            (refused == Some(count)).then_some(())
        });
    }
    assert_eq!((successful(), at()), (Some(0.0), Some(began)));
    let refused = "{\"type\":\"reload_refused\"";
    let mut tail = stage.events();
    let found = tail.wait("two events", PATIENCE, |events| {
        let is = |event: &&crate::harness::kafka::Message| {
            event.value.as_deref().is_some_and(|it| it.starts_with(refused.as_bytes()))
        };
        events.iter().filter(is).count() == 2
    });
    let event = found.iter().map(|event| event.json()).find(|it| it["type"] == "reload_refused");
    let event = event.expect("it is there");
    assert!(event["detail"].as_str().is_some_and(|it| it.contains("https://")), "{event}");
    assert!(event["instance"].is_string(), "{event}");
    stage.set_webhook("url", stage.receiver.url("/again"));
    stage.write_accounts(0);
    daemon.signal("HUP");
    wait_until("it is applied", PATIENCE, || (successful() == Some(1.0)).then_some(()));
    assert!(at().is_some_and(|at| at > began));
    daemon.stop();
    let all = objects(&daemon.logged());
    assert_eq!(lines(&all, "the configuration is not applied").len(), 1, "at most once a minute");
}

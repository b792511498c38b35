//! A real Prometheus scrapes a daemon under mixed load, and evaluates every query of the dashboards and rules.

use super::path;
use super::prometheus::Prometheus;
use super::queries::{self, Query};
use crate::harness::child::{free_port, run_dir};
use crate::harness::daemon::Daemon;
use crate::harness::receiver::Answer;
use crate::harness::samples::{ACCOUNT, Random, flow, report, with};
use crate::harness::stage::{Stage, WEBHOOK};
use crate::harness::{PATIENCE, wait_until};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The accounts with one webhook each, beside that of the stage, which accepts everything.
const ENDPOINTS: [(&str, i64); 7] = [
    ("slow", 101),
    ("dead", 102),
    ("refusing", 103),
    ("forbidding", 104),
    ("failing", 105),
    ("pausing", 106),
    ("gone", 107),
];

/// An account that is not configured.
const UNKNOWN: i64 = 999;

/// The webhooks that an operator chooses on the dashboard of one webhook.
const CHOSEN: [&str; 2] = [WEBHOOK, "refusing"];

/// Returns a stage whose endpoints answer well, slowly, with refusals, with failures, or not at all.
fn stage() -> Stage {
    let mut stage = Stage::new("monitoring");
    stage.receiver.script(|request, _| match request.path.as_str() {
        "/slow" => Answer::status(200).after(Duration::from_millis(400)),
        "/refusing" => Answer::status(400),
        "/forbidding" => Answer::status(403),
        "/failing" => Answer::status(500),
        "/pausing" => Answer::status(429).header("retry-after", "3600"),
        "/gone" => Answer::status(410),
        _ => Answer::status(200),
    });
    let dead = free_port();
    for (name, account) in ENDPOINTS {
        let url = stage.receiver.url(&format!("/{name}"));
        let url = if name == "dead" { format!("http://127.0.0.1:{dead}/") } else { url };
        stage.add_account(account);
        stage.add_webhook(name, account, &url);
        match name {
            "slow" => stage.set_last_webhook("rate_per_second", 1),
            "failing" => {
                let retry = toml::toml! { attempts_max = 2 };
                stage.set_last_webhook("retry", retry);
            }
            _ => {}
        }
    }
    let certificate = rcgen::generate_simple_self_signed(["crm.example".to_owned()]);
    let file = run_dir().join("monitoring-ca.pem");
    std::fs::write(&file, certificate.expect("a certificate").cert.pem()).expect("a file");
    stage.set_last_webhook("ca_file", file.to_str().expect("a plain path"));
    stage.set("delivery.breaker.attempts_min", 5);
    stage.set("correlation.report_timeout_s", 5);
    stage
}

/// The flows of each account in a round, more than the rate limit of the slow endpoint allows.
const FLOWS: usize = 5;

/// Sends the records of one round: flows of all accounts and of an unknown one, some of which get their reports, and a
/// broken report. About all other flows, the gateway is silent.
fn send(stage: &Stage, random: &mut Random) {
    let of = |account: i64, uuid: &str| {
        let flow = with(flow(uuid, &["s-1"]), "accountID", json!(account));
        stage.record("flow-complete", &flow)
    };
    let mut records = vec![stage.raw("sms-delivery-report", "{\"phononUuid\": \"bad\"")];
    for (_, account) in ENDPOINTS.into_iter().chain([("", ACCOUNT), ("", UNKNOWN)]) {
        records.extend(random.uuids(FLOWS).iter().map(|uuid| of(account, uuid)));
    }
    for uuid in random.uuids(FLOWS) {
        let report = report(&uuid, "s-1", "DELIVERED");
        records.push(of(ACCOUNT, &uuid));
        records.push(stage.record("sms-delivery-report", &report));
    }
    stage.kafka.produce(&records);
}

/// Sends a round twice a second until `stop` is set.
fn keep_sending(stage: &Stage, stop: &AtomicBool) {
    let mut random = Random::fresh();
    while !stop.load(Ordering::Relaxed) {
        send(stage, &mut random);
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Waits until each query has returned data, and panics with the list of those that have not.
fn wait_for_data(prometheus: &Prometheus, queries: Vec<Query>) {
    let left = RefCell::new(queries);
    let deadline = std::time::Instant::now() + PATIENCE;
    while !left.borrow().is_empty() && std::time::Instant::now() < deadline {
        left.borrow_mut().retain(|query| !queries::has_data(prometheus, query));
        std::thread::sleep(Duration::from_millis(200));
    }
    let lines = left.into_inner();
    let lines = lines.iter().map(|query| format!("{}:\n    {}\n", query.place, query.forms[0]));
    let lines: Vec<String> = lines.collect();
    assert!(lines.is_empty(), "{} queries return no data:\n{}", lines.len(), lines.concat());
}

fn wait_healthy(prometheus: &Prometheus) {
    wait_until("all rules are evaluated", PATIENCE, || {
        let rules = prometheus.rules();
        let bad: Vec<&Value> = rules.iter().filter(|rule| rule["health"] == "err").collect();
        assert!(bad.is_empty(), "{bad:?}");
        (!rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok")).then_some(())
    });
}

/// An alert that waits for an absent series never fires, and a panel without data answers no question.
#[test]
fn every_query_returns_data_from_a_daemon_under_mixed_load() {
    let stage = stage();
    let mut daemon: Daemon = stage.start();
    let dir = run_dir().join("monitoring-prometheus");
    let prometheus = Prometheus::start(&dir, daemon.port(), &path("rules/alerts.yaml"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| keep_sending(&stage, &stop));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_healthy(&prometheus);
            wait_for_data(&prometheus, queries::all(&prometheus, &CHOSEN));
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
    daemon.stop();
}

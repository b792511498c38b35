//! Endpoints that hold their slots for a long time do not delay healthy ones.

use super::{Answer, Stage, flows, wait_events};
use crate::harness::daemon::Daemon;
use crate::harness::receiver::now_ms;
use crate::harness::rude::{self, Words};
use crate::harness::samples::{flow, with};
use crate::harness::{PATIENCE, wait_until};
use std::time::Duration;

const SLOW: i64 = 40;
/// The number of deliveries for each slow endpoint.
const EACH: usize = 25;
/// Much shorter than a slow endpoint holds a slot, and much longer than a healthy delivery takes on a busy machine.
const SOON_MS: u128 = 2500;

/// Creates a stage whose own endpoint is healthy, and adds slow endpoints, each with the URL that `url` returns.
fn stage(name: &str, url: impl Fn(&Stage) -> String) -> Stage {
    let mut stage = Stage::new(name);
    stage.set("delivery.in_flight_max", 64);
    stage.set("delivery.request_timeout_ms", 8000);
    for account in 100..100 + SLOW {
        stage.add_account(account);
        let url = url(&stage);
        stage.add_webhook(&format!("ill-{account}"), account, &url);
    }
    stage
}

fn send_to_the_slow(stage: &Stage) {
    let (_, many) = flows("ill", EACH * usize::try_from(SLOW).expect("some"));
    let accounts = (100..100 + SLOW).cycle();
    let theirs = many.into_iter().zip(accounts);
    let theirs = theirs.map(|(flow, account)| with(flow, "accountID", account.into()));
    stage.send_flows(&theirs.collect::<Vec<_>>());
}

/// Sends webhooks to the healthy endpoint one after the other while the slow endpoints have attempts in flight, and
/// panics if one is late.
fn assert_quick(stage: &Stage, daemon: &Daemon) {
    wait_until("the slow endpoints are called", PATIENCE, || {
        let called = daemon.metric("ringback_outbox_rows", &[("state", "in_flight")]);
        called.filter(|count| *count >= 40.0)
    });
    for n in 0..60 {
        let uuid = format!("well-{n}");
        let from = now_ms();
        stage.send_flows(&[flow(&uuid, &[])]);
        let requests = stage.receiver.wait(&uuid, PATIENCE, |requests| {
            requests.iter().any(|request| request.path == "/hooks/phonon" && request.uuid() == uuid)
        });
        let ours = requests
            .iter()
            .find(|request| request.path == "/hooks/phonon" && request.uuid() == uuid);
        let took = ours.map(|request| request.at_ms.saturating_sub(from)).expect("it came");
        assert!(took < SOON_MS, "{uuid} took {took} ms");
    }
}

#[test]
fn endpoints_with_endless_answers_delay_no_others_and_get_their_deliveries() {
    let port = rude::start(Words {
        first: b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        then: Some((b"x".to_vec(), Duration::from_millis(100))),
    });
    let stage = stage("lanes-endless", |_| format!("http://127.0.0.1:{port}/"));
    let daemon = stage.start();
    send_to_the_slow(&stage);
    assert_quick(&stage, &daemon);
    wait_events(&stage, "delivered", 100);
}

#[test]
fn endpoints_that_answer_just_before_the_timeout_delay_no_others_and_get_their_deliveries() {
    let stage = stage("lanes-late", |stage| stage.receiver.url("/late"));
    stage.receiver.script(|request, _| match request.path.as_str() {
        "/late" => Answer::status(200).after(Duration::from_millis(7200)),
        _ => Answer::status(200),
    });
    let daemon = stage.start();
    send_to_the_slow(&stage);
    assert_quick(&stage, &daemon);
    wait_events(&stage, "delivered", 100);
}

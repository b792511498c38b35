//! The address policy: public addresses may be called, and the addresses that the operator allows.

use crate::harness::check::{Outcome, Scene, Then, check};
use crate::harness::receiver::Receiver;
use crate::harness::samples::{ACCOUNT, flow, phase_1, with};
use crate::harness::stage::Stage;
use serde_json::{Value, json};
use std::net::TcpListener;

/// Adds a webhook for each URL, each of its own account, and returns a flow for each.
fn webhooks(stage: &mut Stage, urls: &[String]) -> Vec<Value> {
    stage.no_webhooks();
    let flow_to = |(account, url): (i64, &String)| {
        if account > ACCOUNT {
            stage.add_account(account);
        }
        stage.add_webhook(&format!("w-{account}"), account, url);
        with(flow(&format!("to-{account}"), &[]), "accountID", json!(account))
    };
    (ACCOUNT..).zip(urls).map(flow_to).collect()
}

/// Panics unless the address policy makes every delivery to `urls` a dead letter.
fn all_blocked(mut stage: Stage, urls: &[String]) -> Outcome {
    let flows = webhooks(&mut stage, urls);
    let then = flows.iter().fold(Then::default(), |then, _| {
        then.dead_letter("blocked_address").event("correlation_ended")
    });
    let outcome = check(&stage, |scene| scene.flows(&flows), then);
    for letter in &outcome.dead_letters {
        let whole = letter.json();
        assert_eq!(whole["attempts"], 1, "{whole}");
        assert_eq!(whole["last_outcome"]["error_reason"], "BLOCKED_ADDRESS", "{whole}");
        assert!(whole["last_outcome"]["response_status_code"].is_null(), "{whole}");
    }
    outcome
}

#[test]
fn an_address_that_is_not_allowed_is_never_called() {
    let mut stage = Stage::new("addresses-refused");
    stage.set("delivery.allow_addresses", Vec::<String>::new());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let hosts = [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0177.0.0.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "0.0.0.0",
        "169.254.169.254",
        "10.0.0.1",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::127.0.0.1]",
        "[2002:7f00:1::1]",
        "[2001::7f00:1]",
    ];
    let secret = "/hooks/t0ken?key=t0ken";
    let outcome = all_blocked(stage, &hosts.map(|host| format!("http://{host}:{port}{secret}")));
    listener.set_nonblocking(true).expect("a socket that does not wait");
    let connection = listener.accept().map(|(_, from)| from);
    let error = connection.expect_err("the daemon calls none of them");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
    for letter in &outcome.dead_letters {
        let error = letter.json()["last_outcome"]["error_detail"].to_string();
        assert!(error.contains("the address policy forbids"), "{error}");
        assert!(!error.contains("t0ken") && !error.contains("http"), "{error}");
    }
}

#[test]
fn an_address_that_the_operator_allows_is_called_in_every_spelling() {
    let mut stage = Stage::new("addresses-opened");
    stage.set("delivery.allow_addresses", vec!["127.0.0.1/32"]);
    let port = stage.receiver.port();
    let hosts = ["127.0.0.1", "localhost", "2130706433", "0177.0.0.1", "127.1"];
    let flows = webhooks(&mut stage, &hosts.map(|host| format!("http://{host}:{port}/")));
    let then = flows.iter().fold(Then::default(), |then, flow| {
        then.delivered(phase_1(flow)).event("correlation_ended")
    });
    check(&stage, |scene: &mut Scene<'_>| scene.flows(&flows), then);
}

/// A proxy would connect to any address, and the policy could not check it.
#[test]
fn a_proxy_of_the_environment_is_not_used() {
    let mut stage = Stage::new("addresses-proxy");
    let proxy = Receiver::start();
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    {
        stage.set_variable(name, &proxy.url(""));
    }
    // The variables of the shell that runs the tests must not count.
    for name in ["no_proxy", "NO_PROXY"] {
        stage.set_variable(name, "");
    }
    let flow = flow("proxy", &[]);
    let then = Then::default().delivered(phase_1(&flow)).event("correlation_ended");
    check(&stage, |scene| scene.flows(&[flow]), then);
    assert!(proxy.requests().is_empty(), "{:?}", proxy.requests());
}

//! Endpoints over a reload: those that did not change keep their connections and tokens, the others are built anew.

use super::reload;
use crate::harness::PATIENCE;
use crate::harness::daemon::Daemon;
use crate::harness::receiver::Received;
use crate::harness::samples;
use crate::harness::stage::Stage;
use crate::harness::tokens::Tokens;
use std::time::Duration;

/// Rounds in which a connection may be too old before its next request, as on a machine that is busy.
const ROUNDS: usize = 10;

fn table(text: &str) -> toml::Table {
    toml::from_str(text).expect("TOML")
}

/// Sends a flow and returns the request that it becomes.
fn deliver(stage: &Stage, count: usize) -> Received {
    stage.send_flows(&[samples::flow(&format!("flow-{count}"), &[])]);
    let mut requests = stage.receiver.wait_for(count, PATIENCE);
    assert_eq!(requests.len(), count, "a flow is one request");
    requests.pop().expect("a request")
}

/// How many endpoints each reload has kept and built.
fn kept_and_built(daemon: &Daemon) -> Vec<(u64, u64)> {
    let lines = daemon.logged();
    let lines = lines.lines().filter_map(|it| serde_json::from_str::<serde_json::Value>(it).ok());
    let number = |line: &serde_json::Value, key: &str| {
        line.pointer(&format!("/fields/{key}")).or_else(|| line.get(key))?.as_u64()
    };
    lines
        .filter_map(|line| {
            Some((number(&line, "endpoints_kept")?, number(&line, "endpoints_built")?))
        })
        .collect()
}

#[test]
fn connections_of_an_endpoint_that_did_not_change_stay_open() {
    let mut stage = Stage::new("reloads-connections");
    let daemon = stage.start();
    let mut rounds = 0..ROUNDS;
    let same = rounds.any(|round| {
        let before = deliver(&stage, 2 * round + 1);
        // One endpoint more each time, and a setting that has nothing to do with connections.
        let more = i64::try_from(round + 1).expect("a small number");
        stage.add_account(1000 + more);
        let url = stage.receiver.url("/other");
        stage.add_webhook(&format!("other-{more}"), 1000 + more, &url);
        stage.set("correlation.report_timeout_s", 1000 + more);
        reload(&stage, &daemon, "applied", (round + 1) as f64);
        deliver(&stage, 2 * round + 2).from == before.from
    });
    assert!(same, "a connection survives a reload");
    let found = kept_and_built(&daemon);
    let wanted: Vec<_> = (1..=found.len() as u64).map(|kept| (kept, 1)).collect();
    assert_eq!(found, wanted, "only the endpoint that is new is built");
}

#[test]
fn a_token_of_an_endpoint_that_did_not_change_is_not_fetched_again() {
    let mut stage = Stage::new("reloads-tokens");
    let tokens = Tokens::start("ringback", Duration::from_secs(3600));
    let auth = format!(
        "type = 'oauth2'\ntoken_url = '{}'\nclient_id = 'c'\nclient_secret = {{ file = 'secret' }}",
        tokens.url()
    );
    let secret = stage.instance_dir(0).join("secret");
    std::fs::create_dir_all(stage.instance_dir(0)).expect("a directory");
    std::fs::write(&secret, "hush").expect("a file");
    stage.set_webhook("auth", table(&auth));
    let daemon = stage.start();
    let first = deliver(&stage, 1);
    stage.set_webhook("notes", "no part of the endpoint");
    reload(&stage, &daemon, "applied", 1.0);
    let second = deliver(&stage, 2);
    assert_eq!(first.header("authorization"), second.header("authorization"));
    assert_eq!(tokens.given(), 1, "the token stays");

    std::fs::write(&secret, "another").expect("a file");
    reload(&stage, &daemon, "applied", 2.0);
    deliver(&stage, 3);
    assert_eq!(tokens.given(), 2, "another secret needs another token");
    assert_eq!(kept_and_built(&daemon), [(1, 0), (0, 1)]);
}

#[test]
fn an_endpoint_whose_definition_or_files_changed_is_built_anew() {
    let mut stage = Stage::new("reloads-rebuilt");
    let secret = stage.instance_dir(0).join("bearer");
    std::fs::create_dir_all(stage.instance_dir(0)).expect("a directory");
    std::fs::write(&secret, "one").expect("a file");
    stage.set_webhook("auth", table("type = 'bearer'\ntoken = { file = 'bearer' }"));
    let daemon = stage.start();
    let mut requests = vec![deliver(&stage, 1)];

    std::fs::write(&secret, "two").expect("a file");
    reload(&stage, &daemon, "applied", 1.0);
    requests.push(deliver(&stage, 2));

    stage.set_webhook("url", stage.receiver.url("/moved"));
    reload(&stage, &daemon, "applied", 2.0);
    requests.push(deliver(&stage, 3));

    stage.set("delivery.connect_timeout_ms", 4000);
    reload(&stage, &daemon, "applied", 3.0);
    requests.push(deliver(&stage, 4));

    stage.set("delivery.allow_addresses", vec!["127.0.0.0/8"]);
    reload(&stage, &daemon, "applied", 4.0);
    requests.push(deliver(&stage, 5));

    let authorized: Vec<_> = requests.iter().map(|it| it.header("authorization")).collect();
    assert_eq!(authorized, ["Bearer one", "Bearer two", "Bearer two", "Bearer two", "Bearer two"]);
    assert!(requests[1].path != "/moved" && requests[2].path == "/moved");
    assert_eq!(kept_and_built(&daemon), [(0, 1); 4]);
    for pair in requests.windows(2) {
        assert_ne!(
            pair[0].from, pair[1].from,
            "an endpoint that is built anew has new connections"
        );
    }
}

//! Logins at a real broker by every kind of client, with passwords and with tokens that expire soon.

use crate::harness::PATIENCE;
use crate::harness::door::secured;
use crate::harness::samples::flow;
use crate::harness::stage::Stage;
use crate::harness::tokens::Tokens;
use crate::harness::wait_until;
use std::time::Duration;

/// Creates a stage with the input topics only: the daemon creates its own topics.
fn stage(name: &str) -> Stage {
    let stage = Stage::without_topics(secured().kafka(), name);
    let inputs = ["flow-complete", "sms-delivery-report"].map(|kind| stage.topic(kind));
    stage.kafka.create_topics(&inputs.each_ref().map(|name| (name.as_str(), 1, &[][..])));
    stage
}

/// Panics unless a flow is delivered and each command that uses Kafka succeeds.
fn everything_works(stage: &Stage, uuid: &str) {
    let before = stage.receiver.count();
    stage.send_flows(&[flow(uuid, &[])]);
    stage.receiver.wait_for(before + 1, PATIENCE);
    for arguments in [
        &["check", "--online"][..],
        &["verify"],
        &["trace", uuid],
        &["webhook", "list"],
        &["webhook", "enable", "crm", "--yes"],
        &["dead-letter", "list"],
        &["dead-letter", "replay", "--yes"],
    ] {
        let done = stage.command(arguments);
        assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
    }
}

#[test]
fn every_client_logs_in_with_a_password() {
    for (mechanism, user) in [("PLAIN", "plain"), ("SCRAM-SHA-256", "scram")] {
        let mut stage = stage(&format!("logins-{user}"));
        stage.log_in(mechanism, user);
        let mut daemon = stage.start();
        everything_works(&stage, "u-1");
        daemon.stop();
        assert!(!daemon.logged().contains("hush"), "{}", daemon.logged());
    }
}

#[test]
fn every_client_logs_in_with_tokens_and_renews_them() {
    let tokens = Tokens::start("token", Duration::from_secs(8));
    let mut stage = stage("logins-token");
    stage.log_in_by(&[
        ("sasl.mechanism", "OAUTHBEARER"),
        ("sasl.oauthbearer.method", "oidc"),
        ("sasl.oauthbearer.client.id", "ringback"),
        ("sasl.oauthbearer.client.secret", "hush"),
        ("sasl.oauthbearer.token.endpoint.url", &tokens.url()),
    ]);
    let mut daemon = stage.start();
    everything_works(&stage, "u-1");
    // A broker disconnects a client that does not renew its token. The daemon has a consumer and a producer, and each
    // renews its token twice.
    let given = tokens.given();
    wait_until("tokens are renewed", PATIENCE, || (tokens.given() >= given + 4).then_some(()));
    everything_works(&stage, "u-2");
    daemon.stop();
    // Neither a command beside the daemon nor a renewal makes a transaction fail.
    assert!(!daemon.logged().contains("the transaction failed"), "{}", daemon.logged());
    assert!(!daemon.logged().contains("hush"), "{}", daemon.logged());
}

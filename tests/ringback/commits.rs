//! Transactions that fail until their cause is removed. Meanwhile the daemon is not ready, names the cause, logs it
//! rarely, and loses and repeats nothing. Afterwards it continues by itself.

use crate::harness::PATIENCE;
use crate::harness::clock::Clock;
use crate::harness::daemon::Daemon;
use crate::harness::door::{Grant, grant, nobody, revoke, secured};
use crate::harness::samples::{flow, phase_1, phase_2, report};
use crate::harness::stage::Stage;
use crate::harness::wait_until;
use crate::rights;
use std::time::{Duration, Instant};

const UNCOMMITTED: &str = "no transaction can be committed";

/// Delivers one flow; then calls `begin`, which makes all transactions fail. `/readyz` and the log must contain all
/// `parts`. Then calls `end`, which removes the cause, and the daemon must continue.
fn fails_between(
    stage: &Stage,
    name: &str,
    parts: &[&str],
    begin: impl FnOnce(),
    end: impl FnOnce(),
) {
    let mut daemon = stage.start();
    let [first, second] = ["first", "second"].map(|uuid| flow(&format!("{name}-{uuid}"), &["s"]));
    stage.send_flows(std::slice::from_ref(&first));
    stage.events().wait("the first flow's webhook", PATIENCE, |events| {
        events.iter().any(|event| event.json()["type"] == "delivered")
    });
    begin();
    let began = Instant::now();
    let delivered = report(&format!("{name}-second"), "s", "DELIVERED");
    stage.send_flows(std::slice::from_ref(&second));
    stage.send_reports(std::slice::from_ref(&delivered));
    let names_it = |text: &str| parts.iter().all(|part| text.contains(part));
    wait_until(&format!("/readyz names the cause of {name}"), PATIENCE, || {
        daemon
            .get("/readyz")
            .is_ok_and(|(status, says)| status == 503 && names_it(&says))
            .then_some(())
    });
    assert_eq!(daemon.get("/livez").expect("it answers").0, 200, "a restart would not help");
    // Long enough for two more of the longest pauses.
    wait_until("the daemon retries", PATIENCE, || {
        (began.elapsed() > Duration::from_secs(20)).then_some(())
    });
    let warnings = warnings(&daemon);
    // One warning is about commits. The others come from the Kafka clients, each of which logs once and not at
    // every attempt.
    assert!((1..=8).contains(&warnings.len()), "{warnings:#?}");
    let said = warnings.iter().filter(|line| line.contains(UNCOMMITTED)).count();
    assert!(said <= 1, "{warnings:#?}");
    assert!(warnings.iter().any(|line| names_it(line)), "{warnings:#?}");
    assert_eq!(stage.receiver.count(), 1, "nothing is sent before it is committed");
    let tried = ["abortable", "fatal"].map(|kind| {
        let tried = daemon.metric("ringback_transaction_errors_total", &[("kind", kind)]);
        tried.expect("the metric")
    });
    assert!(tried.iter().sum::<f64>() <= 15.0, "{tried:?} tries");

    end();
    daemon.wait_ready();
    // A reader whose right is revoked before it fetches the flow has no transaction that fails.
    wait_until("the log says that the cause is removed", PATIENCE, || {
        let logged = daemon.logged();
        let ends = ["transactions are committed again", "Kafka grants the missing rights again"];
        ends.iter().any(|end| logged.contains(end)).then_some(())
    });
    stage.receiver.wait_for(3, PATIENCE);
    daemon.stop();
    let bodies: Vec<String> =
        stage.receiver.requests().iter().map(|request| request.json().to_string()).collect();
    let all = [phase_1(&first), phase_1(&second), phase_2(&second, &[delivered])];
    assert_eq!(bodies, all.map(|body| body.to_string()));
}

fn warnings(daemon: &Daemon) -> Vec<String> {
    let logged = daemon.logged();
    // The test's topics have a finite retention, and the daemon warns of it once.
    let counts = |line: &&str| line.contains("\"WARN\"") && !line.contains("retention.ms");
    logged.lines().filter(counts).map(str::to_owned).collect()
}

#[test]
fn records_above_a_topics_size_limit_make_the_daemon_unready_until_the_limit_is_raised() {
    let stage = Stage::new("commits-size");
    let topic = stage.topic("events");
    let set = |bytes| stage.kafka.alter_topic(&topic, "max.message.bytes", bytes);
    let parts = [UNCOMMITTED, topic.as_str(), "a record of ", "max.message.bytes"];
    fails_between(&stage, "commits-size", &parts, || set("100"), || set("1048588"));
    stage.verify();
}

/// A broker rejects records with a timestamp more than an hour ahead of its clock, unless the topic allows more.
#[test]
fn a_clock_that_is_hours_ahead_makes_the_daemon_unready_until_it_is_corrected() {
    let mut stage = Stage::new("commits-clock");
    let clock = Clock::of(&mut stage);
    clock.set(3 * 3600);
    let set = |kind: &str, ms: &str| {
        stage.kafka.alter_topic(&stage.topic(kind), "message.timestamp.after.max.ms", ms);
    };
    for kind in ["changelog", "events"] {
        set(kind, "86400000");
    }
    let topic = stage.topic("events");
    let parts =
        [UNCOMMITTED, topic.as_str(), "refuses the record's timestamp", "machine's clock right"];
    fails_between(&stage, "commits-clock", &parts, || set("events", "3600000"), || clock.set(0));
    stage.verify();
}

/// Revokes one right that `run` needs from a running daemon, and grants it again.
fn revoked(name: &str, operation: &str, kind: &'static str, on: impl FnOnce(&Stage) -> String) {
    let mut stage = Stage::on(secured().kafka(), name, 1);
    let user = nobody();
    stage.log_in("PLAIN", &user);
    let all = rights::listed(&stage, 0).remove("run").expect("the guide knows it");
    grant(all.iter().map(|grant| (user.as_str(), grant)));
    let resource = on(&stage);
    let is_it = |grant: &&Grant| {
        grant.operation == operation && grant.kind == kind && grant.name == resource
    };
    let right = all.iter().find(is_it).expect("run needs it");
    let named = format!("{operation} on {} {resource}", kind.to_lowercase().replace('_', " "));
    fails_between(
        &stage,
        name,
        &[&named],
        || revoke([(user.as_str(), right)]),
        || grant([(user.as_str(), right)]),
    );
    // `verify` logs in as another user, because the restricted user's rights are not under test here.
    stage.log_in("PLAIN", "plain");
    stage.verify();
}

#[test]
fn a_revoked_right_makes_the_daemon_unready_until_it_is_granted_again() {
    std::thread::scope(|scope| {
        scope.spawn(|| revoked("revoked-events", "Write", "TOPIC", |it| it.topic("events")));
        scope.spawn(|| revoked("revoked-changelog", "Write", "TOPIC", |it| it.topic("changelog")));
        scope.spawn(|| revoked("revoked-group", "Read", "GROUP", Stage::group));
        scope.spawn(|| revoked("revoked-input", "Read", "TOPIC", |it| it.topic("flow-complete")));
        scope.spawn(|| {
            revoked("revoked-transactions", "Write", "TRANSACTIONAL_ID", |it| {
                format!("{}.revoked-transactions-0", it.group())
            })
        });
    });
}

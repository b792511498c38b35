//! Transactions that fail for as long as their cause is there: the daemon is not ready and names the cause, says so rarely,
//! loses and doubles nothing, and goes on by itself once the cause is gone.

use crate::harness::PATIENCE;
use crate::harness::daemon::Daemon;
use crate::harness::samples::{flow, phase_1, phase_2, report};
use crate::harness::stage::Stage;
use crate::harness::wait_until;
use std::time::{Duration, Instant};

/// One flow goes through; then `topic` gets a setting by which it refuses what is written, which `/readyz` and the log must
/// explain by all of `parts`; then the setting is taken back.
fn refuses(name: &str, topic: &str, (setting, value): (&str, &str), parts: &[&str]) {
    let stage = Stage::new(name);
    let mut daemon = stage.start();
    let [first, second] = ["first", "second"].map(|uuid| flow(&format!("{name}-{uuid}"), &["s"]));
    stage.send_flows(std::slice::from_ref(&first));
    stage.receiver.wait_for(1, PATIENCE);
    let topic = stage.topic(topic);
    stage.kafka.alter_topic(&topic, setting, Some(value));
    let began = Instant::now();
    let delivered = report(&format!("{name}-second"), "s", "DELIVERED");
    stage.send_flows(std::slice::from_ref(&second));
    stage.send_reports(std::slice::from_ref(&delivered));
    let says = daemon.wait_answer("/readyz", 503);
    for part in [&["no transaction can be committed", topic.as_str()][..], parts].concat() {
        assert!(says.contains(part), "{part}: {says}");
    }
    assert_eq!(daemon.get("/livez").expect("it answers").0, 200, "a restart would change nothing");
    // Two more of the longest pauses.
    wait_until("it goes on trying", PATIENCE, || {
        (began.elapsed() > Duration::from_secs(20)).then_some(())
    });
    let warnings = warnings(&daemon);
    assert!((1..=6).contains(&warnings.len()), "{warnings:#?}");
    assert!(warnings.iter().any(|line| parts.iter().all(|p| line.contains(p))), "{warnings:#?}");
    assert_eq!(stage.receiver.count(), 1, "nothing leaves that is not committed");
    let tried = daemon.metric("ringback_transaction_errors_total", &[("kind", "abortable")]);
    assert!(tried.expect("the metric") <= 15.0, "{tried:?} tries");

    stage.kafka.alter_topic(&topic, setting, None);
    daemon.wait_ready();
    daemon.wait_logged("transactions are committed again", 0);
    stage.receiver.wait_for(3, PATIENCE);
    daemon.stop();
    let bodies: Vec<String> =
        stage.receiver.requests().iter().map(|request| request.json().to_string()).collect();
    let all = [phase_1(&first), phase_1(&second), phase_2(&second, &[delivered])];
    assert_eq!(bodies, all.map(|body| body.to_string()));
    stage.verify();
}

fn warnings(daemon: &Daemon) -> Vec<String> {
    let logged = daemon.logged();
    let is_warning = |line: &&str| line.contains("WARN") || line.contains("ERROR");
    logged.lines().filter(is_warning).map(str::to_owned).collect()
}

#[test]
fn records_that_are_larger_than_a_topic_takes_make_the_daemon_unready_until_it_takes_them() {
    let setting = ("max.message.bytes", "100");
    refuses("commits-size", "events", setting, &["a record of ", "max.message.bytes"]);
}

#[test]
fn timestamps_that_a_topic_refuses_make_the_daemon_unready_until_the_clock_is_right() {
    // To the topic, every clock is late.
    let setting = ("message.timestamp.before.max.ms", "0");
    refuses("commits-clock", "changelog", setting, &["refuses the record's timestamp", "clock"]);
}

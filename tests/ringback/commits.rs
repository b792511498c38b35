//! Transactions that fail for as long as their cause is there: the daemon is not ready and names the cause, says so rarely,
//! loses and doubles nothing, and goes on by itself once the cause is gone.

use crate::harness::PATIENCE;
use crate::harness::daemon::Daemon;
use crate::harness::samples::{flow, phase_1, phase_2, report};
use crate::harness::stage::Stage;
use crate::harness::wait_until;
use std::time::{Duration, Instant};

/// A topic's setting by which it refuses what the daemon writes, and the value by which it takes it.
struct Setting {
    topic: &'static str,
    name: &'static str,
    refuses: &'static str,
    takes: &'static str,
}

/// One flow goes through; then a topic refuses what is written, which `/readyz` and the log must explain by all of `parts`;
/// then it takes it again.
fn refuses(stage: &Stage, name: &str, setting: &Setting, parts: &[&str]) {
    let topic = stage.topic(setting.topic);
    let alter = |value| stage.kafka.alter_topic(&topic, setting.name, value);
    alter(setting.takes);
    let mut daemon = stage.start();
    let [first, second] = ["first", "second"].map(|uuid| flow(&format!("{name}-{uuid}"), &["s"]));
    stage.send_flows(std::slice::from_ref(&first));
    stage.events().wait("the first flow's webhook", PATIENCE, |events| {
        events.iter().any(|event| event.json()["type"] == "delivered")
    });
    alter(setting.refuses);
    let began = Instant::now();
    let delivered = report(&format!("{name}-second"), "s", "DELIVERED");
    stage.send_flows(std::slice::from_ref(&second));
    stage.send_reports(std::slice::from_ref(&delivered));
    let parts = [&["no transaction can be committed", topic.as_str()][..], parts].concat();
    let names_it = |text: &str| parts.iter().all(|part| text.contains(part));
    wait_until("/readyz names the cause", PATIENCE, || {
        daemon
            .get("/readyz")
            .is_ok_and(|(status, says)| status == 503 && names_it(&says))
            .then_some(())
    });
    assert_eq!(daemon.get("/livez").expect("it answers").0, 200, "a restart would change nothing");
    // Two more of the longest pauses.
    wait_until("it goes on trying", PATIENCE, || {
        (began.elapsed() > Duration::from_secs(20)).then_some(())
    });
    let warnings = warnings(&daemon);
    assert!((1..=6).contains(&warnings.len()), "{warnings:#?}");
    assert!(warnings.iter().any(|line| names_it(line)), "{warnings:#?}");
    assert_eq!(stage.receiver.count(), 1, "nothing leaves that is not committed");
    let tried = daemon.metric("ringback_transaction_errors_total", &[("kind", "abortable")]);
    assert!(tried.expect("the metric") <= 15.0, "{tried:?} tries");

    alter(setting.takes);
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
    // The topics of tests are not kept for ever, which is said once.
    let counts = |line: &&str| line.contains("\"WARN\"") && !line.contains("retention.ms");
    logged.lines().filter(counts).map(str::to_owned).collect()
}

#[test]
fn records_that_are_larger_than_a_topic_takes_make_the_daemon_unready_until_it_takes_them() {
    let stage = Stage::new("commits-size");
    let setting =
        Setting { topic: "events", name: "max.message.bytes", refuses: "100", takes: "1048588" };
    refuses(&stage, "commits-size", &setting, &["a record of ", "max.message.bytes"]);
}

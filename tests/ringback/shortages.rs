//! The daemon itself lacks files: no endpoint is affected, health is still answered, and nothing is lost or repeated.

use crate::harness::child::{free_port, mortal};
use crate::harness::daemon::{Daemon, EX_CONFIG, binary};
use crate::harness::invariants;
use crate::harness::receiver::Answer;
use crate::harness::samples::{Random, flow, report, with};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, wait_until};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

/// More endpoints than there are files left.
const WEBHOOKS: i64 = 60;
pub(crate) const FLOWS: usize = 600;
const FIRST_ACCOUNT: i64 = 1000;

/// Creates a stage with many slow endpoints, each with its own account, whose breakers open after few failures.
pub(crate) fn stage(name: &str) -> Stage {
    let mut stage = Stage::new(name);
    for account in FIRST_ACCOUNT..FIRST_ACCOUNT + WEBHOOKS {
        stage.add_account(account);
        stage.add_webhook(&format!("w-{account}"), account, &stage.receiver.url("/hooks"));
    }
    stage.set("delivery.breaker.attempts_min", 4);
    stage.set("delivery.attempts_max", 4);
    stage.receiver.script(|_, _| Answer::status(200).after(Duration::from_millis(50)));
    stage
}

/// Sends a flow and its report for each uuid, spread over the endpoints.
pub(crate) fn send(stage: &Stage, uuids: &[String]) {
    let account = |index: usize| FIRST_ACCOUNT + i64::try_from(index).expect("small") % WEBHOOKS;
    let of = |make: fn(&str) -> Value| {
        let records = uuids.iter().enumerate();
        let records =
            records.map(|(index, uuid)| with(make(uuid), "accountID", account(index).into()));
        records.collect::<Vec<Value>>()
    };
    stage.send_flows(&of(|uuid| flow(uuid, &["s-1"])));
    stage.send_reports(&of(|uuid| report(uuid, "s-1", "DELIVERED")));
}

/// Sets the soft limit of open files of a running daemon.
pub(crate) fn limit(daemon: &Daemon, files: usize) {
    let mut command = Command::new("prlimit");
    command.args([&format!("--nofile={files}:"), "--pid", &daemon.pid().to_string()]);
    assert!(command.status().expect("prlimit runs").success());
}

/// Returns the hard limit of open files of the test process.
pub(crate) fn hard_limit() -> String {
    let output = Command::new("sh").args(["-c", "ulimit -Hn"]).output().expect("a shell");
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

pub(crate) fn open_files(daemon: &Daemon) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("a process").count()
}

/// Returns the soft and the hard limit of open files of a running daemon.
fn limits(daemon: &Daemon) -> [String; 2] {
    let text = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).expect("a file");
    let line = text.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    let mut words = line.split_whitespace().skip(3).map(str::to_owned);
    [words.next().expect("a limit"), words.next().expect("a limit")]
}

/// Panics unless everything is delivered once at the first attempt and `ringback verify` finds no violation.
pub(crate) fn all_is_well(stage: &Stage, uuids: &[String], mut daemon: Daemon) {
    invariants::wait_delivered(stage, uuids, Duration::from_secs(120));
    let opened = [("state", "open")];
    assert_eq!(daemon.metric("ringback_endpoint_changes_total", &opened), Some(0.0));
    daemon.stop();
    assert_eq!(invariants::assert_delivered(stage, uuids, 0), 0);
    invariants::assert_attempts_counted(stage, 0);
    for event in stage.kafka.read(&stage.topic("events")).iter().map(|event| event.json()) {
        assert_ne!(event["type"], "attempt_failed", "{event}");
    }
    stage.verify_with(0, &["--at-rest", "--repeats-max", "0"]);
}

#[test]
fn a_shortage_of_files_costs_no_attempt_and_health_is_answered() {
    let stage = stage("shortages-files");
    let daemon = stage.start();
    let before = daemon.logged();
    println!("{} files are open at rest", open_files(&daemon));
    // The endpoints need many more connections than this.
    limit(&daemon, open_files(&daemon) + 10);
    let uuids = Random::seeded(140).uuids(FLOWS);
    send(&stage, &uuids);
    let put_back = || daemon.metric("ringback_own_shortages_total", &[("kind", "files")]);
    wait_until("attempts are put back", PATIENCE, || put_back().filter(|count| *count >= 20.0));
    for _ in 0..20 {
        assert_eq!(daemon.get("/livez").expect("the daemon answers").0, 200);
        assert_eq!(daemon.get("/readyz").expect("the daemon answers").0, 200);
        assert!(
            daemon.metric("ringback_attempts_total", &[("outcome", "unreachable")]) == Some(0.0)
        );
    }
    let many = put_back().expect("a metric");
    wait_until("attempts go on", PATIENCE, || put_back().filter(|count| *count >= many + 5.0));
    let said = daemon.logged()[before.len()..].to_owned();
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("deliveries wait")).collect();
    assert_eq!(lines.len(), 1, "the shortage is logged once: {lines:?}");
    for words in ["WARN", "soft limit", "RLIMIT_NOFILE", "LimitNOFILE=", "in_flight_max"] {
        assert!(lines[0].contains(words), "{words:?} is missing: {}", lines[0]);
    }
    assert!(!said.contains("delete"), "{said}");
    limit(&daemon, 4096);
    daemon.wait_logged("the shortage is over", 0);
    all_is_well(&stage, &uuids, daemon);
}

#[test]
fn limits_are_reduced_to_the_available_files_and_everything_is_delivered() {
    let mut stage = stage("shortages-limit");
    stage.set_shell("ulimit -n 256");
    let daemon = stage.start();
    assert_eq!(limits(&daemon), ["256", "256"]);
    let said = daemon.logged();
    let words =
        ["WARN", "the hard limit is 256 (RLIMIT_NOFILE)", "1024 for [delivery] in_flight_max"];
    let line = said.lines().find(|line| line.contains("this configuration needs"));
    let line = line.unwrap_or_else(|| panic!("no warning: {said}"));
    assert!(words.iter().all(|words| line.contains(words)), "{line}");
    // `check` warns in the same way, and reports no fault.
    let config = stage.write_config(0, free_port());
    let mut check = mortal("prlimit");
    check.args(["--nofile=256:256"]).arg(binary()).arg("check").arg("--config").arg(config);
    let checked = check.output().expect("prlimit runs");
    let warned = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(0), "{warned}");
    assert!(warned.contains("warning: open files: the hard limit is 256"), "{warned}");
    let uuids = Random::seeded(141).uuids(FLOWS);
    send(&stage, &uuids);
    invariants::wait_delivered(&stage, &uuids, Duration::from_secs(120));
    println!("{} files are open", open_files(&daemon));
    assert_eq!(daemon.metric("ringback_own_shortages_total", &[]), Some(0.0));
    all_is_well(&stage, &uuids, daemon);
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_one() {
    let mut stage = Stage::new("shortages-soft");
    stage.set_shell("ulimit -Sn 64; ulimit -Hn 8192");
    let mut daemon = stage.start();
    assert_eq!(limits(&daemon), ["8192", "8192"]);
    assert!(!daemon.logged().contains("this configuration needs"), "{}", daemon.logged());
    daemon.stop();
}

#[test]
fn a_file_limit_below_the_minimum_is_refused_by_run_and_check() {
    let mut stage = Stage::new("shortages-refused");
    stage.set_shell("ulimit -n 96");
    let said = stage.refused();
    let config = stage.write_config(0, free_port());
    let mut check = mortal("prlimit");
    check.args(["--nofile=96:96"]).arg(binary()).arg("check").arg("--config").arg(config);
    let checked = check.output().expect("prlimit runs");
    assert_eq!(checked.status.code(), Some(EX_CONFIG));
    for said in [said, String::from_utf8_lossy(&checked.stderr).into_owned()] {
        for words in ["the hard limit is 96 (RLIMIT_NOFILE)", "at least", "LimitNOFILE="] {
            assert!(said.contains(words), "{words:?} is missing: {said}");
        }
    }
}

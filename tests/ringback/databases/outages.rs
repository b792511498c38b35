//! A database that is down, slow, read-only, without a table or with another password; and starts without it.

use super::{applied, deliver, stage_on, wait_applied};
use crate::harness::child::run_dir;
use crate::harness::daemon::Daemon;
use crate::harness::mariadb::{MariaDb, TABLES};
use crate::harness::samples::{self, ACCOUNT};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, wait_until};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;

/// Returns why the accounts in force may be outdated.
fn reason(daemon: &Daemon) -> Option<String> {
    let (_, page) = daemon.get("/api/v1/status").expect("an answer");
    let page: Value = serde_json::from_str(&page).expect("JSON");
    page["accounts_outdated"].as_str().map(str::to_owned)
}

/// Waits until the accounts may be outdated, and checks that the daemon is ready and delivers nevertheless.
fn outdated(stage: &Stage, daemon: &Daemon, count: usize, why: &str) {
    let reason = wait_until(&format!("a reason with {why:?}"), PATIENCE, || {
        reason(daemon).filter(|reason| reason.contains(why))
    });
    assert!(!reason.contains("hush"), "{reason}");
    let age = || daemon.metric("ringback_accounts_age_seconds", &[]).expect("a metric");
    let before = age();
    wait_until("the age grows", PATIENCE, || (age() > before + 0.5).then_some(()));
    deliver(stage, count);
    assert_eq!(daemon.get("/readyz").expect("an answer").0, 200);
}

fn recovered(daemon: &Daemon) {
    wait_until("the accounts are up to date", PATIENCE, || reason(daemon).is_none().then_some(()));
}

#[test]
fn deliveries_go_on_and_changes_apply_again_whatever_happens_to_the_database() {
    let mut server = MariaDb::start(&[]);
    let name = "databases-outages";
    let (mut stage, _) = stage_on(&server, name);
    stage.set("accounts.mysql.unknown_account_wait_s", 600);
    let daemon = stage.start();
    deliver(&stage, 1);

    server.kill();
    outdated(&stage, &daemon, 2, "127.0.0.1");
    // The record of an account that the daemon can't know yet waits, and is not a dead letter. The other partition's
    // records do not wait for it.
    let mut flow = samples::flow("unknown", &[]);
    flow["accountID"] = 2901.into();
    stage.send_flows(&[flow]);
    server.restart();
    let user = name.replace('-', "_");
    server.execute(&format!(
        "USE {user}; INSERT INTO Accountconfig (id, http_enabled) VALUES (2901, TRUE);
         INSERT INTO ringback_webhook (name, account, `default`, url) VALUES ('late', 2901, TRUE, '{}')",
        stage.receiver.url("/late")
    ));
    recovered(&daemon);
    let found = stage.receiver.wait_for(3, PATIENCE);
    assert_eq!(found[2].path, "/late");
    assert_eq!(daemon.metric("ringback_dead_letters_total", &[]), Some(0.0));

    server.execute("SET GLOBAL read_only = ON");
    let before = daemon.metric("ringback_account_readings_total", &[("result", "unchanged")]);
    wait_until("another reading", PATIENCE, || {
        let now = daemon.metric("ringback_account_readings_total", &[("result", "unchanged")]);
        (now > before).then_some(())
    });
    assert_eq!(reason(&daemon), None, "only reading is needed");
    server.execute("SET GLOBAL read_only = OFF");

    server.signal("STOP");
    outdated(&stage, &daemon, 4, "no whole answer within 2 s");
    server.signal("CONT");
    recovered(&daemon);

    // A table is dropped and restored. Meanwhile it exists without rows for a while.
    let saved = format!("USE {user}; CREATE TABLE saved AS SELECT * FROM ringback_webhook");
    server.execute(&format!("{saved}; DROP TABLE ringback_webhook"));
    outdated(&stage, &daemon, 5, "ringback_webhook' doesn't exist");
    server.execute(&format!("USE {user}; {TABLES}"));
    let is_empty = || reason(&daemon).filter(|why| why.contains("and returns none now"));
    wait_until("the table without rows is noticed", PATIENCE, is_empty);
    deliver(&stage, 6);
    server.execute(&format!(
        "USE {user}; INSERT INTO ringback_webhook SELECT * FROM saved; DROP TABLE saved"
    ));
    recovered(&daemon);

    server.execute(&format!("ALTER USER {user}@'%' IDENTIFIED BY 'another'; KILL USER {user}"));
    outdated(&stage, &daemon, 7, "Access denied");
    server.execute(&format!("ALTER USER {user}@'%' IDENTIFIED BY 'hush-hush'"));
    recovered(&daemon);

    let before = applied(&daemon).expect("a metric");
    let moved = stage.receiver.url("/moved");
    server.execute(&format!(
        "USE {user}; UPDATE ringback_webhook SET url = '{moved}' WHERE name = 'crm'"
    ));
    wait_applied(&daemon, before);
    assert_eq!(deliver(&stage, 8).path, "/moved", "changes apply again");
    assert_eq!(daemon.metric("ringback_dead_letters_total", &[]), Some(0.0));
}

#[test]
fn a_daemon_starts_from_its_snapshot_while_the_database_is_down_and_keeps_last_good_rows() {
    let mut server = MariaDb::start(&[]);
    let (mut stage, schema) = stage_on(&server, "databases-snapshot");
    stage.set_variable("CRM_TOKEN", "hush-of-a-variable");
    schema.execute(
        r#"UPDATE ringback_webhook SET auth = '{"type": "bearer", "token": {"env": "CRM_TOKEN"}}'"#,
    );
    let file = stage.instance_dir(0).join("data/accounts.snapshot");
    let mut daemon = stage.start();
    deliver(&stage, 1);
    wait_until("the snapshot is written", PATIENCE, || file.exists().then_some(()));
    let mode = std::fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).expect("UTF-8");
    assert!(text.contains("CRM_TOKEN") && !text.contains("hush"), "secrets stay references");
    // The row is wrong at the next start.
    schema.execute("UPDATE ringback_webhook SET url = 'htps://wrong'");
    let faults = |daemon: &Daemon| daemon.metric("ringback_account_faults", &[]);
    wait_until("a fault", PATIENCE, || (faults(&daemon) == Some(1.0)).then_some(()));
    daemon.stop();
    let mut daemon = stage.start();
    assert_eq!(faults(&daemon), Some(1.0));
    assert_eq!(deliver(&stage, 2).path, "/crm", "the last good definition survives a restart");
    daemon.stop();

    server.kill();
    let daemon = stage.start();
    let request = deliver(&stage, 3);
    assert_eq!(
        (request.path.as_str(), request.header("authorization")),
        ("/crm", "Bearer hush-of-a-variable")
    );
    let age = daemon.metric("ringback_accounts_age_seconds", &[]).expect("a metric");
    assert!(age > 0.0, "the age is that of the snapshot");
    let shown = stage.command(&["account", "show", &ACCOUNT.to_string()]);
    assert!(shown.err.contains("the accounts are those of the snapshot"), "{shown:?}");
    assert_eq!(shown.code, Some(0));
    assert_eq!(stage.command(&["check", "--online"]).code, Some(75));
    server.restart();
    wait_until("the accounts are up to date", PATIENCE, || reason(&daemon).is_none().then_some(()));
}

#[test]
fn a_daemon_without_a_snapshot_waits_for_the_database_and_says_so() {
    let mut server = MariaDb::start(&[]);
    let (stage, _) = stage_on(&server, "databases-waits");
    server.kill();
    let mut daemon = stage.spawn(0);
    let said = daemon.wait_answer("/readyz", 503);
    let said = wait_until("the daemon names the database", PATIENCE, || {
        let said = daemon.get("/readyz").map_or(said.clone(), |(_, said)| said);
        said.contains("waiting for the accounts: the accounts' database at 127.0.0.1")
            .then_some(said)
    });
    assert!(!said.contains("hush"), "{said}");
    let done = stage.command(&["account", "list"]);
    assert_eq!(done.code, Some(75), "{done:?}");
    server.restart();
    daemon.wait_ready();
    assert_eq!(deliver(&stage, 1).path, "/crm");
}

#[test]
fn a_record_of_an_unknown_account_waits_no_longer_than_allowed() {
    let mut server = MariaDb::start(&[]);
    let (mut stage, schema) = stage_on(&server, "databases-bounded");
    stage.set("accounts.mysql.unknown_account_wait_s", 3);
    schema.execute(TABLES);
    let daemon = stage.start();
    server.kill();
    wait_until("the database is missed", PATIENCE, || reason(&daemon));
    let mut flow = samples::flow("unknown", &[]);
    flow["accountID"] = 2901.into();
    stage.send_flows(&[flow]);
    let letters = stage.dead_letters(1, PATIENCE);
    assert_eq!(letters[0].header("ringback.reason"), "unknown_account");
    deliver(&stage, 1);
}

#[test]
fn a_password_that_was_changed_is_read_again_from_its_file() {
    let server = MariaDb::start(&[]);
    let (mut stage, schema) = stage_on(&server, "databases-password");
    let file = run_dir().join("databases-password-url");
    std::fs::write(&file, format!("{}\n", schema.url())).expect("a file");
    let reference =
        toml::Table::from_iter([("file".to_owned(), file.display().to_string().into())]);
    stage.set("accounts.mysql.url", reference);
    let daemon = stage.start();
    deliver(&stage, 1);
    let user = schema.name();
    server
        .execute(&format!("ALTER USER {user}@'%' IDENTIFIED BY 'another-hush'; KILL USER {user}"));
    outdated(&stage, &daemon, 2, "Access denied");
    let url = schema.url().replace("hush-hush", "another-hush");
    std::fs::write(&file, format!("{url}\n")).expect("a file");
    recovered(&daemon);
    assert!(!daemon.logged().contains("hush"));
}

#[test]
fn deliveries_go_on_while_a_query_takes_minutes_and_its_result_is_not_awaited() {
    let server = MariaDb::start(&[]);
    let (mut stage, schema) = stage_on(&server, "databases-slow");
    schema.execute("CREATE TABLE pace (rounds BIGINT); INSERT INTO pace VALUES (0)");
    // MariaDB ends a SLEEP whose client has gone, but only its time limit ends this function.
    stage.set(
        "accounts.mysql.webhooks_query",
        "SELECT w.* FROM ringback_webhook w WHERE BENCHMARK((SELECT rounds FROM pace), MD5('ringback')) = 0",
    );
    let daemon = stage.start();
    deliver(&stage, 1);
    schema.execute("UPDATE pace SET rounds = 500000000");
    outdated(&stage, &daemon, 2, "no whole answer within 2 s");
    let running = "SELECT COUNT(*) FROM information_schema.processlist \
                   WHERE info LIKE '%BENCHMARK%' AND id <> CONNECTION_ID()";
    let running = || server.execute(running).trim().parse::<u32>().expect("a number");
    let failed = || daemon.metric("ringback_account_readings_total", &[("result", "failed")]);
    let before = failed().expect("a metric");
    let are_more = || failed().filter(|count| *count >= before + 3.0);
    wait_until("three more readings have failed", PATIENCE, are_more);
    let ends_them = || (running() <= 2).then_some(());
    wait_until("the server ends queries whose results nobody awaits", PATIENCE, ends_them);
    deliver(&stage, 3);
    schema.execute("UPDATE pace SET rounds = 0");
    recovered(&daemon);
}

#[test]
fn an_account_is_looked_up_while_all_rows_are_being_read_and_that_reading_does_not_remove_it() {
    let server = MariaDb::start(&[]);
    let (mut stage, schema) = stage_on(&server, "databases-beside");
    schema.execute("CREATE TABLE pace (seconds INT); INSERT INTO pace VALUES (0)");
    stage.set("accounts.mysql.version_query", "SELECT SLEEP((SELECT seconds FROM pace)), NOW(6)");
    stage.set("accounts.mysql.read_timeout_s", 60);
    let daemon = stage.start();
    deliver(&stage, 1);
    schema.execute("UPDATE pace SET seconds = 8");
    let running = "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User sleep'";
    let running = || server.execute(running).trim().parse::<u32>().expect("a number");
    wait_until("a slow reading", PATIENCE, || (running() == 1).then_some(()));
    // The reading sees the tables as they were when it began.
    schema.add_account(2901, "young", &stage.receiver.url("/young"));
    let young = |uuid: &str| {
        let mut flow = samples::flow(uuid, &[]);
        flow["accountID"] = 2901.into();
        stage.send_flows(&[flow]);
    };
    young("young");
    assert_eq!(stage.receiver.wait_for(2, PATIENCE)[1].path, "/young");
    assert_eq!(running(), 1, "the reading has not ended yet");
    schema.execute("UPDATE pace SET seconds = 0");
    let readings = || daemon.metric("ringback_account_readings_total", &[("result", "unchanged")]);
    let before = readings();
    wait_until("the reading ends", PATIENCE, || (readings() > before).then_some(()));
    let lines = daemon.logged();
    assert!(!lines.contains("\"endpoints_removed\":1"), "the account stays: {lines}");
    young("again");
    assert_eq!(stage.receiver.wait_for(3, PATIENCE)[2].path, "/young");
}

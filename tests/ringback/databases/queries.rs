//! Queries of an existing database, whose tables and columns have other names than the ready ones.

use super::{applied, deliver, serve, stage, wait_applied, wait_setting};
use crate::harness::daemon::Daemon;
use crate::harness::mariadb::MariaDb;
use crate::harness::samples::{self, ACCOUNT};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, wait_until};
use std::time::Duration;

const TABLES: &str = "
    CREATE TABLE customer (number BIGINT PRIMARY KEY, notify BIT(1) NOT NULL, attach_keys ENUM('yes', 'no') NOT NULL, plain_http BIT(1));
    CREATE TABLE hook (hook_no INT PRIMARY KEY, title VARCHAR(64), owner BIGINT, is_main BIT(1), target TEXT, rest JSON);
    CREATE TABLE flow_switch (owner BIGINT, flow_no BIGINT, is_on BIT(1));
    CREATE TABLE reaction (owner BIGINT, occasion VARCHAR(64), hook VARCHAR(64));
    CREATE TABLE changes (count BIGINT NOT NULL);
    INSERT INTO changes VALUES (1);";

const QUERIES: [(&str, &str); 5] = [
    (
        "accounts_query",
        "SELECT number AS account_id, notify AS `account.sms.notifyOnDelivery`, plain_http AS http_enabled,
             attach_keys AS `account.sms.notifyOnDelivery.attachflowkeys` FROM customer;",
    ),
    (
        "webhooks_query",
        "SELECT hook_no AS row_id, title AS name, owner AS account, is_main AS `default`, target AS url,
             rest AS definition FROM hook",
    ),
    (
        "flows_query",
        "SELECT owner AS account, flow_no AS id, is_on AS webhook_enabled FROM flow_switch",
    ),
    (
        "rules_query",
        "SELECT owner AS account, JSON_ARRAY(occasion) AS `on`, hook AS webhook FROM reaction",
    ),
    ("version_query", "SELECT count FROM changes"),
];

/// Waits until the daemon has asked for the version twice more.
fn wait_unchanged(daemon: &Daemon) {
    let unchanged = || {
        let name = "ringback_account_readings_total";
        daemon.metric(name, &[("result", "unchanged")]).expect("a metric")
    };
    let before = unchanged();
    wait_until("two more readings", PATIENCE, || (unchanged() >= before + 2.0).then_some(()));
}

#[test]
fn queries_read_existing_tables_and_their_version_says_when() {
    let mut stage = Stage::new("databases-queries");
    let schema = MariaDb::shared().create("databases-queries");
    schema.execute(TABLES);
    let (main, second) = (stage.receiver.url("/main"), stage.receiver.url("/second"));
    schema.execute(&format!(
        r#"INSERT INTO customer VALUES ({ACCOUNT}, b'1', 'yes', b'1');
        INSERT INTO hook VALUES (7, 'main', {ACCOUNT}, b'1', '{main}', '{{"method": "PUT"}}'),
            (8, 'second', {ACCOUNT}, b'0', '{second}', NULL);
        INSERT INTO flow_switch VALUES ({ACCOUNT}, 1, b'0');
        INSERT INTO reaction VALUES ({ACCOUNT}, 'sms:DELIVERED', 'second')"#
    ));
    serve(&schema, &mut stage);
    for (key, query) in QUERIES {
        stage.set(&format!("accounts.mysql.{key}"), query);
    }
    let daemon = stage.start();
    stage.send_flows(&[samples::flow("first", &["sms"])]);
    stage.send_reports(&[samples::report("first", "sms", "DELIVERED")]);
    let found = stage.receiver.wait_for(3, PATIENCE);
    let paths: Vec<&str> = found.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths.iter().filter(|path| **path == "/main").count(), 2, "both phases: {paths:?}");
    assert!(paths.contains(&"/second"), "the rule: {paths:?}");
    let main = found.iter().filter(|it| it.path == "/main");
    assert!(main.into_iter().all(|it| it.method == "PUT"), "the definition counts");
    wait_setting(&daemon, "flow[1].webhook_enabled", false.into());

    // The rows are read again when their version changes, and not before.
    let before = applied(&daemon).expect("a metric");
    let moved = stage.receiver.url("/moved");
    schema.execute(&format!("UPDATE hook SET target = '{moved}' WHERE hook_no = 7"));
    wait_unchanged(&daemon);
    assert_eq!(applied(&daemon), Some(before));
    schema.execute("UPDATE changes SET count = count + 1");
    wait_applied(&daemon, before);
    assert_eq!(deliver(&stage, 4).path, "/moved");

    // An account that is younger than the version is looked up by the same queries.
    let young = stage.receiver.url("/young");
    schema.execute(&format!(
        "INSERT INTO customer VALUES (2901, b'0', 'no', b'1');
         INSERT INTO hook VALUES (9, 'young', 2901, b'1', '{young}', NULL)"
    ));
    let mut flow = samples::flow("young", &[]);
    flow["accountID"] = 2901.into();
    stage.send_flows(&[flow]);
    assert_eq!(stage.receiver.wait_for(5, PATIENCE)[4].path, "/young");

    // A fault names the table behind the query, its row, and the column of the query.
    schema.execute(
        "UPDATE hook SET target = 'htps://x' WHERE hook_no = 8; UPDATE changes SET count = count + 1",
    );
    wait_until("a fault", PATIENCE, || {
        (daemon.metric("ringback_account_faults", &[]) == Some(1.0)).then_some(())
    });
    let checked = stage.command(&["check", "--online"]);
    assert!(checked.err.contains("table hook, row 8, column url"), "{checked:?}");
}

#[test]
fn a_query_that_can_not_be_a_subquery_is_reported_and_no_record_waits_for_it() {
    let (mut stage, schema) = stage("databases-subquery");
    // Both tables have a column id, which a subquery may not return twice.
    stage.set(
        "accounts.mysql.webhooks_query",
        "SELECT w.*, a.id FROM ringback_webhook w JOIN Accountconfig a ON a.id = w.account",
    );
    let checked = stage.command(&["check", "--online"]);
    assert_eq!(checked.code, Some(78), "{checked:?}");
    let wanted = ["accounts.mysql.webhooks_query", "Duplicate column name 'id'", "as a subquery"];
    assert!(wanted.iter().all(|part| checked.err.contains(part)), "{checked:?}");
    let daemon = stage.start();
    assert!(daemon.logged().contains("single accounts can't be looked up"));
    // The readings of all rows answer for the unknown account long before its record has waited for a minute.
    let mut flow = samples::flow("unknown", &[]);
    flow["accountID"] = 2901.into();
    stage.send_flows(&[flow]);
    let letters = stage.dead_letters(1, Duration::from_secs(40));
    assert_eq!(letters[0].header("ringback.reason"), "unknown_account");
    schema.add_account(2902, "late", &stage.receiver.url("/late"));
    let mut flow = samples::flow("late", &[]);
    flow["accountID"] = 2902.into();
    stage.send_flows(&[flow]);
    assert_eq!(stage.receiver.wait_for(1, PATIENCE)[0].path, "/late");
}

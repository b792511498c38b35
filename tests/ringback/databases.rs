//! Accounts in a real MariaDB: both shapes of Accountconfig, changes while flows run, and accounts that are seconds old.

mod outages;
mod queries;
mod rows;
mod tls;

use crate::harness::daemon::Daemon;
use crate::harness::mariadb::{MariaDb, SETTINGS, Schema, TABLES};
use crate::harness::receiver::Received;
use crate::harness::samples::{self, ACCOUNT};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, wait_until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Returns a stage whose accounts are in the ready tables of a database, with the account of the samples.
fn stage(name: &str) -> (Stage, Schema<'static>) {
    stage_on(MariaDb::shared(), name)
}

fn stage_on<'a>(server: &'a MariaDb, name: &str) -> (Stage, Schema<'a>) {
    let mut stage = Stage::new(name);
    let schema = server.create(name);
    schema.execute(TABLES);
    schema.add_account(ACCOUNT, "crm", &stage.receiver.url("/crm"));
    serve(&schema, &mut stage);
    (stage, schema)
}

/// Has the stage's daemons read this database every second.
fn serve(schema: &Schema<'_>, stage: &mut Stage) {
    stage.set("accounts.source", "mysql");
    stage.set("accounts.mysql.url", schema.url());
    stage.set("accounts.mysql.tls", "off");
    stage.set("accounts.mysql.poll_interval_s", 1);
    stage.set("accounts.mysql.read_timeout_s", 2);
}

/// Waits until a daemon has applied changes of the database since `before`.
fn wait_applied(daemon: &Daemon, before: f64) -> f64 {
    wait_until("changes of the database are applied", PATIENCE, || {
        applied(daemon).filter(|count| *count > before)
    })
}

/// Returns how many readings of the database had changes.
fn applied(daemon: &Daemon) -> Option<f64> {
    daemon.metric("ringback_account_readings_total", &[("result", "changed")])
}

/// Sends a flow, and returns the request that it becomes.
fn deliver(stage: &Stage, count: usize) -> Received {
    stage.send_flows(&[samples::flow(&format!("flow-{count}"), &[])]);
    let mut requests = stage.receiver.wait_for(count, PATIENCE);
    assert_eq!(requests.len(), count, "a flow is one request");
    requests.pop().expect("a request")
}

/// Waits until the effective settings of the samples' account have this value.
fn wait_setting(daemon: &Daemon, key: &str, value: Value) {
    wait_until(&format!("{key} is {value}"), PATIENCE, || {
        let (status, page) = daemon.get(&format!("/api/v1/accounts/{ACCOUNT}")).ok()?;
        let page: Value = (status == 200).then(|| serde_json::from_str(&page).expect("JSON"))?;
        let all = page["settings"].as_array().expect("a list");
        all.iter().any(|it| it["key"] == key && it["value"] == value).then_some(())
    });
}

/// Plays flows while phase 2 and its keys are turned on and off. `set` sets one of the two settings.
fn play(stage: &Stage, daemon: &Daemon, set: impl Fn(&str, bool)) {
    const NOTIFY: &str = "account.sms.notifyOnDelivery";
    const KEYS: &str = "account.sms.notifyOnDelivery.attachflowkeys";
    let (mut requests, mut sent) = (0, 0);
    for (notify, keys) in [(true, true), (true, false), (false, true), (true, true)] {
        set(NOTIFY, notify);
        set(KEYS, keys);
        let changed = Instant::now();
        wait_setting(daemon, &format!("account[{ACCOUNT}].{NOTIFY}"), notify.into());
        wait_setting(daemon, &format!("account[{ACCOUNT}].{KEYS}"), keys.into());
        // Two intervals of polling, and the time of a busy machine.
        assert!(changed.elapsed() < Duration::from_secs(2) + PATIENCE / 4);
        sent += 1;
        let uuid = format!("flow-{sent}");
        stage.send_flows(&[samples::flow(&uuid, &["sms"])]);
        stage.send_reports(&[samples::report(&uuid, "sms", "DELIVERED")]);
        requests += if notify { 2 } else { 1 };
        let found = stage.receiver.wait_for(requests, PATIENCE);
        let last = found.last().expect("a request");
        assert_eq!((last.uuid(), last.phase()), (uuid, if notify { 2 } else { 1 }));
        if notify {
            assert_eq!(last.json().get("keys").is_some(), keys);
        }
    }
    // One more flow shows that nothing was sent twice meanwhile.
    stage.send_flows(&[samples::flow("flow-last", &[])]);
    let found = stage.receiver.wait_for(requests + 1, PATIENCE);
    let mut ids: Vec<&str> = found.iter().map(Received::id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), requests + 1, "nothing is sent twice");
}

#[test]
fn settings_with_a_column_each_are_applied_while_flows_run() {
    let (stage, schema) = stage("databases-columns");
    let daemon = stage.start();
    play(&stage, &daemon, |name, is| {
        schema.execute(&format!("UPDATE Accountconfig SET `{name}` = {is} WHERE id = {ACCOUNT}"));
    });
}

#[test]
fn settings_with_a_row_each_are_applied_in_every_spelling_of_a_truth_value() {
    let mut stage = Stage::new("databases-settings");
    let schema = MariaDb::shared().create("databases-settings");
    schema.execute(SETTINGS);
    schema.execute(TABLES);
    let url = stage.receiver.url("/crm");
    schema.execute(&format!(
        "INSERT INTO Accountconfig (account_id, name, value) VALUES
             ({ACCOUNT}, 'http_enabled', 'yes'), ({ACCOUNT}, 'account.voice.limit', 'not ours');
         INSERT INTO ringback_webhook (name, account, `default`, url) VALUES ('crm', {ACCOUNT}, b'1', '{url}')"
    ));
    serve(&schema, &mut stage);
    let daemon = stage.start();
    let words = std::cell::RefCell::new(
        [("TRUE", "FALSE"), ("1", "0"), ("b'1'", "b'0'"), ("yes", "no")].into_iter().cycle(),
    );
    play(&stage, &daemon, |name, is| {
        let (yes, no) = words.borrow_mut().next().expect("a spelling");
        let value = if is { yes } else { no }.replace('\'', "''");
        schema.execute(&format!("REPLACE INTO Accountconfig (account_id, name, value) VALUES ({ACCOUNT}, '{name}', '{value}')"));
    });
}

#[test]
fn webhooks_are_added_changed_made_default_and_removed_and_other_lanes_stay_open() {
    let (stage, schema) = stage("databases-webhooks");
    let daemon = stage.start();
    let mut before = applied(&daemon).expect("a metric");
    let first = deliver(&stage, 1);
    assert_eq!(first.path, "/crm");

    let (other, third) = (stage.receiver.url("/other"), stage.receiver.url("/third"));
    schema.add_account(2900, "elsewhere", &third);
    schema.execute(&format!(
        "INSERT INTO ringback_webhook (name, account, url) VALUES ('other', {ACCOUNT}, '{other}')"
    ));
    let time = || daemon.metric("ringback_accounts_applied_timestamp_seconds", &[]);
    let started = time();
    before = wait_applied(&daemon, before);
    assert!(time() > started, "a metric shows when a change was applied");
    let logged = daemon.logged();
    let wanted = ["\"accounts_changed\":2", "\"endpoints_kept\":1", "\"endpoints_built\":2"];
    let is_line = |line: &str| wanted.iter().all(|part| line.contains(part));
    assert!(logged.lines().any(is_line), "the log says what was applied: {logged}");
    let second = deliver(&stage, 2);
    assert_eq!(
        (second.path.as_str(), second.from),
        ("/crm", first.from),
        "its connection stays open"
    );

    schema.execute(
        "START TRANSACTION; UPDATE ringback_webhook SET `default` = FALSE WHERE name = 'crm';
        UPDATE ringback_webhook SET `default` = TRUE WHERE name = 'other'; COMMIT",
    );
    before = wait_applied(&daemon, before);
    assert_eq!(deliver(&stage, 3).path, "/other");

    schema.execute(r#"UPDATE ringback_webhook SET definition = '{"body": "json", "template": "{\\"flow\\": \\"$flow.key.type\\"}", "method": "PUT"}' WHERE name = 'other'"#);
    before = wait_applied(&daemon, before);
    let request = deliver(&stage, 4);
    assert_eq!(request.method, "PUT");
    assert!(request.json().get("flow").is_some(), "{}", request.text());

    schema.execute(r#"UPDATE ringback_webhook SET definition = NULL, auth = '{"type": "bearer", "token": "one"}' WHERE name = 'other'"#);
    before = wait_applied(&daemon, before);
    assert_eq!(deliver(&stage, 5).header("authorization"), "Bearer one");
    schema.execute(r#"UPDATE ringback_webhook SET auth = '{"type": "bearer", "token": "two"}' WHERE name = 'other'"#);
    before = wait_applied(&daemon, before);
    assert_eq!(deliver(&stage, 6).header("authorization"), "Bearer two", "another secret");

    schema.execute("DELETE FROM ringback_webhook WHERE name = 'other'");
    wait_applied(&daemon, before);
    stage.send_flows(&[samples::flow("flow-7", &[])]);
    let mut events = stage.events();
    let is = |message: &crate::harness::kafka::Message| {
        let event = message.json();
        event["type"] == "record_ignored" && event["reason"] == "no_default_webhook"
    };
    events.wait("the flow has no webhook", PATIENCE, |events| events.iter().any(is));
}

#[test]
fn a_delivery_that_is_scheduled_keeps_its_body_and_new_ones_have_the_new_definition() {
    let (stage, schema) = stage("databases-scheduled");
    stage.receiver.statuses(&[503]);
    let daemon = stage.start();
    stage.send_flows(&[samples::flow("scheduled", &[])]);
    let first = stage.receiver.wait_for(1, PATIENCE).remove(0);
    let before = applied(&daemon).expect("a metric");
    schema.execute(r#"UPDATE ringback_webhook SET definition = '{"body": "json", "template": "{\\"flow\\": \\"$flow.key.type\\"}"}'"#);
    wait_applied(&daemon, before);
    let tried = stage.receiver.wait_for(1, PATIENCE).len();
    let again = stage.receiver.wait_for(tried + 2, PATIENCE);
    stage.receiver.statuses(&[200]);
    let last = again.last().expect("a request");
    assert_eq!((last.id(), last.text()), (first.id(), first.text()), "the body is kept");
    stage.send_flows(&[samples::flow("new", &[])]);
    let is_new = || {
        let all = stage.receiver.wait_for(tried + 3, PATIENCE);
        all.into_iter().find(|request| request.id() != first.id())
    };
    let new = wait_until("the new delivery", PATIENCE, is_new);
    assert_eq!(new.json(), json!({"flow": new.json()["flow"]}), "the new definition counts");
}

#[test]
fn an_account_that_is_stored_a_second_after_its_first_record_is_delivered() {
    let (mut stage, schema) = stage("databases-young");
    // Only a look-up finds the account in time.
    stage.set("accounts.mysql.poll_interval_s", 3600);
    let daemon = stage.start();
    let mut flow = samples::flow("young", &[]);
    flow["accountID"] = 2901.into();
    stage.send_flows(&[flow]);
    wait_until("the account is looked up", PATIENCE, || {
        daemon
            .metric("ringback_account_look_ups_total", &[("result", "missing")])
            .filter(|it| *it > 0.0)
    });
    schema.add_account(2901, "young", &stage.receiver.url("/young"));
    let found = stage.receiver.wait_for(1, PATIENCE);
    assert_eq!((found[0].path.as_str(), found[0].uuid().as_str()), ("/young", "young"));
    assert_eq!(daemon.metric("ringback_dead_letters_total", &[]), Some(0.0));

    // One that never comes is a dead letter.
    let mut flow = samples::flow("never", &[]);
    flow["accountID"] = 2902.into();
    stage.send_flows(&[flow]);
    let letters = stage.dead_letters(1, PATIENCE);
    assert_eq!(letters[0].header("ringback.reason"), "unknown_account");
}

#[test]
fn operators_see_each_value_with_its_table_row_and_column() {
    let (stage, schema) = stage("databases-shown");
    schema.execute(&format!(
        r#"UPDATE ringback_webhook SET auth = '{{"type": "bearer", "token": "hush"}}', definition = '{{"retry": {{"attempts_max": 3}}}}';
        INSERT INTO ringback_flow (account, id, webhook_enabled) VALUES ({ACCOUNT}, 200, FALSE);
        INSERT INTO ringback_webhook (name, account, url) VALUES ('rule', {ACCOUNT}, 'https://rule.invalid/');
        INSERT INTO ringback_rule (account, `on`, webhook) VALUES ({ACCOUNT}, '["flow_complete"]', 'rule')"#
    ));
    let daemon = stage.start();
    let (_, page) = daemon.get(&format!("/api/v1/accounts/{ACCOUNT}")).expect("an answer");
    let done = stage.command(&["account", "show", &ACCOUNT.to_string(), "--json"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let (of_daemon, of_command): (Value, Value) = (
        serde_json::from_str(&page).expect("JSON"),
        serde_json::from_str(&done.out).expect("JSON"),
    );
    assert_eq!(of_daemon, of_command, "the daemon and the command agree");
    let find = |key: &str| {
        let all = of_daemon["settings"].as_array().expect("a list");
        all.iter().find(|it| it["key"] == key).unwrap_or_else(|| panic!("no {key}: {page}")).clone()
    };
    let key = format!("account[{ACCOUNT}].account.sms.notifyOnDelivery");
    let wanted = json!({
        "key": key,
        "value": true,
        "source": "database",
        "table": "Accountconfig",
        "row": ACCOUNT.to_string(),
        "column": "account.sms.notifyOnDelivery",
    });
    assert_eq!(find(&key), wanted);
    assert_eq!(find("webhook[crm].retry.attempts_max")["column"], "definition");
    assert_eq!(
        find("webhook[crm].retry.interval_max_ms")["inherited_from"],
        "delivery.retry.interval_max_ms"
    );
    assert_eq!(find("flow[200].webhook_enabled")["value"], false);
    assert_eq!(find("rule[#1].webhook")["table"], "ringback_rule");
    let text = stage.command(&["account", "show", &ACCOUNT.to_string()]).out;
    assert!(text.contains("table ringback_webhook, row 1, column url"), "{text}");
    let list = stage.command(&["account", "list"]).out;
    assert!(list.contains("crm"), "{list}");
    for shown in [&page, &done.out, &text, &list, &daemon.logged()] {
        assert!(!shown.contains("hush"), "{shown}");
    }
    let checked = stage.command(&["check", "--online"]);
    assert!(
        checked.out.contains("the accounts' database: 1 accounts and 2 webhooks, no faults"),
        "{checked:?}"
    );
    assert_eq!(stage.command(&["account", "show", "1"]).code, Some(1));
}

/// Returns the blocks of databases.md in this language.
fn blocks(language: &str) -> Vec<String> {
    let page = include_str!("../../ops/guide/databases.md");
    let begin = format!("```{language}\n");
    let parts = page.split(begin.as_str()).skip(1);
    parts.map(|rest| rest.split("```").next().expect("a block").to_owned()).collect()
}

#[test]
fn the_statements_and_commands_of_the_guide_work() {
    let server = MariaDb::start(&[]);
    server.execute(&format!("CREATE DATABASE platform; USE platform; {TABLES}"));
    for statements in blocks("sql") {
        server.execute(&format!("USE platform; {statements}"));
    }
    let mut stage = Stage::new("databases-guide");
    for block in blocks("toml") {
        let table: toml::Table = toml::from_str(&block).expect("TOML");
        assert_eq!(table["accounts"]["source"].as_str(), Some("mysql"));
    }
    stage.set("accounts.source", "mysql");
    stage.set(
        "accounts.mysql.url",
        format!("mysql://ringback:a%20long%20password@127.0.0.1:{}/platform", server.port()),
    );
    stage.set("accounts.mysql.tls", "off");
    let page = include_str!("../../ops/guide/databases.md");
    assert!(page.contains("`{\"env\": \"NAME\"}`"), "references of secrets are described");
    let commands: Vec<String> = blocks("sh")
        .iter()
        .flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(commands.len(), 2);
    for command in commands {
        let arguments: Vec<&str> = command.split(' ').skip(1).collect();
        let done = stage.command(&arguments);
        assert_eq!(done.code, Some(0), "{command}: {done:?}");
        assert!(done.out.contains("crm"), "{command}: {}", done.out);
    }
}

//! Rows that are wrong: only the webhook or the account of the row keeps its last good definition.

use super::{applied, deliver, serve, stage, wait_applied};
use crate::harness::mariadb::{MariaDb, SETTINGS, TABLES};
use crate::harness::samples::ACCOUNT;
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, wait_until};

const NOTIFY: &str = "account.sms.notifyOnDelivery";

/// A mistake in a row of the webhook `other`, its correction, and what its fault names.
struct Mistake {
    makes: &'static str,
    corrects: &'static str,
    column: &'static str,
    problem: &'static str,
}

const MISTAKES: [Mistake; 9] = [
    Mistake {
        makes: "url = 'htps://x'",
        corrects: "url = 'https://other.invalid/'",
        column: "url",
        problem: "is not an https:// URL",
    },
    Mistake {
        makes: "definition = '{\"method\": '",
        corrects: "definition = NULL",
        column: "definition",
        problem: "is not a JSON object",
    },
    Mistake {
        makes: "definition = '{\"body\": \"json\", \"template\": \"{\\\\\"a\\\\\": %nothing%}\"}'",
        corrects: "definition = NULL",
        column: "definition",
        problem: "the token `%nothing%` does not exist",
    },
    Mistake {
        makes: "definition = '{\"metod\": \"PUT\"}'",
        corrects: "definition = NULL",
        column: "definition",
        problem: "unknown key",
    },
    Mistake {
        makes: "name = 'crm2'",
        corrects: "name = 'other'",
        column: "name",
        problem: "account 2900 has a webhook of this name already",
    },
    Mistake {
        makes: "name = 'a b'",
        corrects: "name = 'other'",
        column: "name",
        problem: "is not a webhook's name",
    },
    Mistake {
        makes: "`default` = 7",
        corrects: "`default` = FALSE",
        column: "default",
        problem: "is text",
    },
    Mistake {
        makes: "url = NULL",
        corrects: "url = 'https://other.invalid/'",
        column: "",
        problem: "is missing",
    },
    Mistake {
        makes: "account = NULL",
        corrects: "account = 28",
        column: "account",
        problem: "is no account's id",
    },
];

#[test]
fn a_wrong_row_leaves_its_last_good_definition_in_force_and_all_others_apply() {
    let (stage, schema) = stage("databases-rows");
    // A table that refuses nothing.
    schema.execute(
        "ALTER TABLE ringback_webhook MODIFY url TEXT NULL, MODIFY account BIGINT NULL, DROP INDEX name",
    );
    schema.add_account(2900, "crm2", "https://crm2.invalid/");
    schema.execute(&format!(
        "INSERT INTO ringback_webhook (name, account, url) VALUES ('other', {ACCOUNT}, 'https://other.invalid/')"
    ));
    let id = schema.execute("SELECT id FROM ringback_webhook WHERE name = 'other'");
    let id = id.trim();
    let daemon = stage.start();
    let faults = || daemon.metric("ringback_account_faults", &[]).expect("a metric");
    let webhook = || {
        let (_, page) = daemon.get(&format!("/api/v1/accounts/{ACCOUNT}")).expect("an answer");
        let page: serde_json::Value = serde_json::from_str(&page).expect("JSON");
        let all = page["settings"].as_array().expect("a list").clone();
        all.into_iter()
            .filter(|it| it["key"].as_str().expect("a key").starts_with("webhook[other]"))
            .collect::<Vec<_>>()
    };
    let good = webhook();
    assert!(!good.is_empty());
    for (number, Mistake { makes, corrects, column, problem }) in MISTAKES.iter().enumerate() {
        let before = applied(&daemon).expect("a metric");
        // Another change in the same transaction applies.
        let path = stage.receiver.url(&format!("/crm-{number}"));
        schema.execute(&format!(
            "START TRANSACTION; UPDATE ringback_webhook SET {makes} WHERE id = {id};
             UPDATE ringback_webhook SET url = '{path}' WHERE name = 'crm'; COMMIT"
        ));
        wait_until(&format!("a fault after {makes}"), PATIENCE, || (faults() >= 1.0).then_some(()));
        wait_applied(&daemon, before);
        assert_eq!(deliver(&stage, number + 1).path, format!("/crm-{number}"), "{makes}");
        assert_eq!(webhook(), good, "{makes}: the last good definition is in force");

        let checked = stage.command(&["check", "--online"]);
        let place = format!("table ringback_webhook, row {id}");
        let place = if column.is_empty() { place } else { format!("{place}, column {column}") };
        let is_told =
            |text: &str| text.lines().any(|line| line.contains(&place) && line.contains(problem));
        assert!(is_told(&checked.err), "{makes}: {}", checked.err);
        assert_eq!(checked.code, Some(78));
        let (_, list) = daemon.get("/api/v1/accounts").expect("an answer");
        assert!(list.contains(&format!("\"row\":\"{id}\"")) && list.contains("\"fix\""), "{list}");
        let logged = daemon.logged();
        let is_logged = |line: &str| {
            line.contains("a row of the accounts' database is wrong")
                && line.contains("ringback_webhook")
        };
        assert!(
            logged.lines().filter(|line| is_logged(line)).count() > number,
            "{makes}: {logged}"
        );

        schema.execute(&format!("UPDATE ringback_webhook SET {corrects} WHERE id = {id}"));
        wait_until(&format!("no fault after {corrects}"), PATIENCE, || {
            (faults() == 0.0).then_some(())
        });
        assert_eq!(webhook(), good, "{corrects}");
    }
}

#[test]
fn a_wrong_setting_leaves_its_account_as_it_was_and_other_accounts_change() {
    let mut stage = Stage::new("databases-account-rows");
    let schema = MariaDb::shared().create("databases-account-rows");
    schema.execute(SETTINGS);
    schema.execute(TABLES);
    let set = |account: i64, value: &str| {
        schema.execute(&format!(
            "REPLACE INTO Accountconfig (account_id, name, value) VALUES ({account}, '{NOTIFY}', '{value}')"
        ));
    };
    set(ACCOUNT, "true");
    set(2900, "true");
    serve(&schema, &mut stage);
    let daemon = stage.start();
    let faults = || daemon.metric("ringback_account_faults", &[]);
    let is_on = |account: i64| {
        let (_, page) = daemon.get(&format!("/api/v1/accounts/{account}")).expect("an answer");
        let page: serde_json::Value = serde_json::from_str(&page).expect("JSON");
        let all = page["settings"].as_array().expect("a list").clone();
        let setting =
            all.into_iter().find(|it| it["key"] == format!("account[{account}].{NOTIFY}"));
        setting.unwrap_or_else(|| panic!("{page}"))["value"].clone()
    };
    set(ACCOUNT, "perhaps");
    set(2900, "false");
    wait_until("the other account changes", PATIENCE, || {
        (is_on(2900) == false && faults() == Some(1.0)).then_some(())
    });
    assert_eq!(is_on(ACCOUNT), true, "the last good value is in force");
    let checked = stage.command(&["check", "--online"]);
    let is_told = |line: &str| {
        line.contains("table Accountconfig, row ")
            && line.contains("column value")
            && line.contains(NOTIFY)
    };
    assert!(checked.err.lines().any(is_told), "{checked:?}");
    set(ACCOUNT, "false");
    wait_until("the corrected value is in force", PATIENCE, || {
        (is_on(ACCOUNT) == false && faults() == Some(0.0)).then_some(())
    });
}

#[test]
fn a_new_webhook_that_is_wrong_is_left_out_and_works_once_it_is_corrected() {
    let (stage, schema) = stage("databases-new");
    let url = stage.receiver.url("/new");
    schema.execute(&format!(
        "INSERT INTO ringback_webhook (name, account, url, method) VALUES ('new', {ACCOUNT}, '{url}', 'FETCH');
         INSERT INTO ringback_rule (account, `on`, webhook) VALUES ({ACCOUNT}, '[\"flow_complete\"]', 'new')"
    ));
    let daemon = stage.start();
    let faults = || daemon.metric("ringback_account_faults", &[]);
    assert_eq!(faults(), Some(2.0), "the webhook, and the rule that names it");
    assert_eq!(deliver(&stage, 1).path, "/crm", "the account works without it");
    schema.execute("UPDATE ringback_webhook SET method = 'PUT' WHERE name = 'new'");
    wait_until("no faults", PATIENCE, || (faults() == Some(0.0)).then_some(()));
    stage.send_flows(&[crate::harness::samples::flow("flow-2", &[])]);
    let found = stage.receiver.wait_for(3, PATIENCE);
    assert!(found.iter().any(|it| it.path == "/new"), "{found:?}");
}

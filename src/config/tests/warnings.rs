//! Warnings and explanations of valid accounts, and the order of rules' webhooks.

use super::{Folder, check};
use crate::config::Loaded;
use crate::domain::AccountId;

/// Returns the warnings and notes as users read them, without the folder's name.
fn said(accounts: &str) -> (Vec<String>, Vec<String>) {
    let folder =
        Folder::new("[topics]\nflow_started = \"s\"\n[statuses]\nfinal = [\"OK\"]\n", accounts);
    let loaded = Loaded::load_with(&folder.path("ringback.toml"), &folder.variables).unwrap();
    let again = Loaded::again_with(&loaded.settings, &loaded.effective, &folder.variables);
    assert_eq!(again.unwrap().warnings, loaded.warnings, "a reload has the same warnings");
    let name = format!("{}/", folder.directory.path().display());
    let shown = |text: String| text.replace(&name, "");
    (
        loaded.warnings.iter().map(|it| shown(it.to_string())).collect(),
        loaded.notes.iter().map(|it| shown(it.to_string())).collect(),
    )
}

const ACCOUNT: &str = "[[account]]\nid = 1\n\"account.sms.notifyOnDelivery\" = true\n";

fn webhook(name: &str, more: &str) -> String {
    format!("[[webhook]]\nname = \"{name}\"\naccount = 1\nurl = \"https://a.b/\"\n{more}")
}

fn rule(webhook: &str, on: &str, more: &str) -> String {
    format!("[[rule]]\naccount = 1\nwebhook = \"{webhook}\"\non = [{on}]\n{more}")
}

#[test]
fn a_usual_configuration_has_no_warnings() {
    let text = [
        ACCOUNT.to_owned(),
        webhook("crm", "default = true\n"),
        webhook(
            "call",
            "response = { type = \"json\", map = [{ save_in = \"$flow.key.x\", path = \"data.x\" }] }\n",
        ),
        rule(
            "call",
            "\"sms:delivered\", \"sms:OK\", \"sms:final\", \"flow_started\"",
            "any_flow = false\n",
        ),
        "[[flow]]\nid = 2\naccount = 1\nwebhook_enabled = true\n".to_owned(),
        rule("call", "\"flow_complete\"", "flow = 2\n"),
    ];
    assert_eq!(said(&text.concat()), (vec![], vec![]));
}

#[test]
fn rules_that_do_not_say_whether_they_hold_for_any_flow_are_explained_once() {
    let text = [
        ACCOUNT.to_owned(),
        webhook("call", ""),
        rule("call", "\"flow_complete\"", ""),
        rule("call", "\"sms:final\"", ""),
    ];
    let (warnings, notes) = said(&text.concat());
    assert_eq!((warnings.len(), notes.len()), (0, 1), "{warnings:?} {notes:?}");
    assert!(
        notes[0].starts_with("accounts.toml:8: note: rule[#1].any_flow: not given: "),
        "{notes:?}"
    );
    assert!(notes[0].contains("write any_flow = true"), "{notes:?}");
}

#[test]
fn webhooks_that_come_after_each_other_are_a_fault() {
    let base = [ACCOUNT.to_owned(), webhook("a", ""), webhook("b", ""), webhook("c", "")].concat();
    let cycle = |line: usize, key: &str, of: &str, path: &str| {
        format!(
            "accounts.toml:{line}: {key}: makes a cycle: `{of}` would come after itself ({path}); remove it, or what makes \
             the other webhook come after this one"
        )
    };
    let after = |name: &str| format!("after = \"{name}\"\n");
    let itself = [base.clone(), rule("a", "\"flow_complete\"", &after("a"))].concat();
    check("", &itself, &[&cycle(20, "rule[#1].after", "a", "a, a")]);
    let three = [
        base.clone(),
        rule("b", "\"flow_complete\"", &after("a")),
        rule("c", "\"webhook:b:failed\"", ""),
        rule("a", "\"webhook:c:delivered\"", ""),
    ];
    check("", &three.concat(), &[&cycle(28, "rule[#3].on[#1]", "a", "a, b, c, a")]);
    // A value of an answer makes a webhook come after another one too.
    let by_value = [
        ACCOUNT.to_owned(),
        webhook("a", "body = \"json\"\ntemplate = '{\"x\": $flow.key.x}'\n"),
        webhook(
            "b",
            "response = { type = \"json\", map = [{ save_in = \"$flow.key.x\", path = \"data.x\" }] }\n",
        ),
        rule("a", "\"flow_complete\"", ""),
        rule("b", "\"flow_complete\"", &after("a")),
    ];
    check("", &by_value.concat(), &[&cycle(23, "rule[#2].after", "b", "b, a, b")]);
}

#[test]
fn a_rule_names_webhooks_of_its_own_account() {
    let text = [
        ACCOUNT.to_owned(),
        webhook("call", ""),
        rule("call", "\"webhook:cal:failed\", \"webhook:call\"", "after = \"crm\"\n"),
    ];
    check(
        "",
        &text.concat(),
        &[
            "accounts.toml:11: rule[#1].on[#2]: is not an event that can trigger a rule; write flow_started, flow_complete, \
             sms:STATUS, sms:final, report_timed_out, webhook:NAME:delivered or webhook:NAME:failed",
            "accounts.toml:11: rule[#1].on[#1]: account 1 has no webhook `cal`; write `call`",
            "accounts.toml:12: rule[#1].after: account 1 has no webhook `crm`; add a [[webhook]] of account 1, and name \
             it here",
        ],
    );
}

#[test]
fn rules_stand_behind_those_that_they_come_after() {
    let text = [
        ACCOUNT.to_owned(),
        webhook("a", ""),
        webhook("b", ""),
        webhook(
            "c",
            "response = { type = \"json\", map = [{ save_in = \"$flow.key.x\", path = \"data.x\" }] }\n",
        ),
        rule("a", "\"flow_complete\"", "after = \"b\"\n"),
        rule("b", "\"flow_complete\"", "when = [{ variable = \"$flow.key.x\", present = true }]\n"),
        rule("c", "\"flow_complete\"", ""),
    ];
    let (_, accounts) = Folder::new("", &text.concat()).loaded();
    let rules = &accounts.accounts[&AccountId(1)].rules;
    let order: Vec<&str> = rules.iter().map(|(_, rule)| rule.webhook.as_str()).collect();
    assert_eq!(order, ["c", "b", "a"]);
}

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

/// Returns the webhooks of the rules in their order.
fn order(accounts: &str) -> Vec<String> {
    let (_, accounts) = Folder::new("", accounts).loaded();
    let rules = &accounts.accounts[&AccountId(1)].rules;
    rules.iter().map(|(_, rule)| rule.webhook.to_string()).collect()
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
fn rules_of_different_flows_make_no_cycle() {
    let base = [ACCOUNT.to_owned(), webhook("a", ""), webhook("b", "")].concat();
    let after = |name: &str, flow: &str| format!("after = \"{name}\"\n{flow}any_flow = true\n");
    let rules = |one: &str, other: &str| {
        let first = rule("a", "\"flow_complete\"", &after("b", one));
        [base.clone(), first, rule("b", "\"flow_complete\"", &after("a", other))].concat()
    };
    assert_eq!(said(&rules("flow = 1\n", "flow = 2\n")), (vec![], vec![]));
    for (one, other) in [("flow = 1\n", "flow = 1\n"), ("flow = 1\n", ""), ("", "flow = 1\n")] {
        let faults = Folder::new("", &rules(one, other)).faults();
        assert!(faults.len() == 1 && faults[0].contains("makes a cycle"), "{faults:?}");
        assert!(faults[0].contains("rule[#2].after"), "{faults:?}");
    }
}

#[test]
fn each_group_of_rules_that_come_after_each_other_is_a_fault() {
    let names = ["a", "b", "c", "d"];
    let webhooks: String = names.iter().map(|name| webhook(name, "")).collect();
    let after = |name: &str| format!("after = \"{name}\"\n");
    let text = [
        ACCOUNT.to_owned(),
        webhooks,
        rule("a", "\"flow_complete\"", &after("b")),
        rule("b", "\"flow_complete\", \"webhook:a:failed\"", &after("a")),
        rule("c", "\"flow_complete\"", &after("a")),
        rule("d", "\"flow_complete\"", &after("d")),
    ];
    let faults = Folder::new("", &text.concat()).faults();
    let wanted = ["rule[#2].after", "rule[#2].on[#2]", "rule[#4].after"];
    assert_eq!(faults.len(), wanted.len(), "{faults:?}");
    for wanted in wanted {
        assert!(faults.iter().any(|fault| fault.contains(wanted)), "{wanted}: {faults:?}");
    }
}

#[test]
fn rules_of_a_call_stand_behind_those_whose_answers_it_carries() {
    let answers = "response = { type = \"json\", map = [{ save_in = \"$flow.key.x\", path = \"data.x\" }] }\n";
    let text = [
        ACCOUNT.to_owned(),
        webhook("call", "body = \"internal\"\nmethod_name = \"f\"\nparameters = [\"flow.key\"]\n"),
        webhook("gives", answers),
        rule("call", "\"flow_complete\"", ""),
        rule("gives", "\"flow_complete\"", ""),
    ];
    assert_eq!(order(&text.concat()), ["gives", "call"]);
}

#[test]
fn a_rule_stands_behind_all_rules_of_the_other_webhook_and_not_behind_itself() {
    let own = "body = \"json\"\ntemplate = '{\"x\": $flow.key.x}'\n\
        response = { type = \"json\", map = [{ save_in = \"$flow.key.x\", path = \"data.x\" }] }\n";
    let text = [
        ACCOUNT.to_owned(),
        webhook("own", own),
        webhook("a", ""),
        webhook("b", ""),
        rule("own", "\"flow_complete\"", ""),
        rule("a", "\"flow_complete\"", "after = \"b\"\n"),
        rule("b", "\"flow_complete\"", ""),
        rule("b", "\"sms:final\"", ""),
    ];
    assert_eq!(order(&text.concat()), ["own", "b", "b", "a"]);
}

#[test]
fn a_rule_applies_to_any_flow_only_if_it_says_so() {
    for (written, wanted) in
        [("", false), ("any_flow = false\n", false), ("any_flow = true\n", true)]
    {
        let text = [ACCOUNT.to_owned(), webhook("a", ""), rule("a", "\"flow_complete\"", written)];
        let (_, accounts) = Folder::new("", &text.concat()).loaded();
        let (_, rule) = &accounts.accounts[&AccountId(1)].rules[0];
        assert_eq!(rule.any_flow, wanted, "{written}");
    }
}

#[test]
fn a_short_secret_is_a_warning() {
    let text = |secret: &str| {
        let lines = format!(
            "default = true\nauth = {{ type = \"basic\", username = \"u\", password = \"{secret}\" }}\n\
             headers = [{{ name = \"x-key\", value = {{ env = \"KEY\" }} }}, {{ name = \"x\", value = \"abc\" }}]\n"
        );
        [ACCOUNT.to_owned(), webhook("w", &lines)].concat()
    };
    let warnings = |secret: &str| Folder::new("", &text(secret)).variable("KEY", secret).warnings();
    let warning = |line: usize, key: &str| {
        format!(
            "accounts.toml:{line}: warning: webhook[w].{key}: has fewer than 4 characters, so that it is not hidden where an \
             answer repeats it; choose a longer secret"
        )
    };
    assert_eq!(
        warnings("é😀é"),
        [warning(9, "auth.password"), warning(10, "headers[x-key].value")]
    );
    assert_eq!(warnings("é😀éé"), Vec::<String>::new());
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
    assert_eq!(order(&text.concat()), ["c", "b", "a"]);
}

//! Random configurations: accounts with and without a default webhook, and rules that come after other webhooks.

use super::super::said::{Said, Says};
use super::super::{FLOW, OTHER, OURS, policy};
use super::Dice;
use crate::domain::{
    AccountPolicy, Computed, Condition, FlowId, OnReportTimeout, Phase2Order, Phase2Wait, Policy,
    Rule, Test, Trigger, WebhookEnd, WebhookName,
};
use std::collections::BTreeMap;

/// The variable to which answers of the webhook `beside` give a value.
pub(super) const GIVEN: &str = "$flow.key.given";

fn name(text: &str) -> WebhookName {
    WebhookName::new(text).unwrap()
}

/// Returns webhooks beside the two phases that some reports trigger and others do not.
fn random_webhooks(dice: &mut Dice) -> Vec<(Option<FlowId>, Rule)> {
    let upon = [
        Trigger::ReportTimedOut,
        Trigger::SmsFinal,
        Trigger::Sms("SENT".into()),
        Trigger::Sms("FAILED".into()),
        Trigger::FlowComplete,
    ];
    let chosen = usize::try_from(dice.below(9)).unwrap();
    let Some(on) = upon.get(chosen) else { return Vec::new() };
    let rule = |webhook: &str, on: Trigger| Rule {
        on: vec![on],
        when: Vec::new(),
        webhook: name(webhook),
        after: None,
        any_flow: false,
    };
    let mut rules = vec![rule("beside", on.clone())];
    // Webhooks that follow: by name, by the end of another one, or because of a condition.
    let end = dice.pick(&WebhookEnd::ALL);
    let before = dice.pick(&["crm", "beside"]);
    match dice.below(5) {
        0 => rules.push(Rule { after: Some(name(before)), ..rule("then", on.clone()) }),
        1 => rules.push(rule("then", Trigger::Webhook(name(before), end))),
        2 => {
            let test = Test::OneOf(vec!["1".into()]);
            let given = Condition { variable: GIVEN.into(), test };
            rules.push(Rule { when: vec![given], ..rule("then", on.clone()) });
        }
        3 => {
            let test = Test::OneOf(vec!["FAILED".into()]);
            let status = Condition { variable: "$flow.key.response_status".into(), test };
            let after = Some(name(before));
            rules.push(Rule { when: vec![status], after, ..rule("then", on.clone()) });
        }
        _ => {}
    }
    if dice.one_in(2) {
        rules.push(rule("last", Trigger::Webhook(name("then"), dice.pick(&WebhookEnd::ALL))));
        rules.push(Rule { after: Some(name("then")), ..rule("last", on.clone()) });
    }
    for rule in &mut rules {
        rule.any_flow = dice.one_in(2);
    }
    let flows = [None, None, Some(FLOW), Some(FlowId(FLOW.0 + 1))];
    rules.into_iter().map(|rule| (dice.pick(&flows), rule)).collect()
}

pub(super) fn random_account(dice: &mut Dice) -> AccountPolicy {
    AccountPolicy {
        rules: random_webhooks(dice),
        uses_variables: dice.one_in(2),
        notify_on_delivery: !dice.one_in(6),
        attach_flow_keys: dice.one_in(2),
        webhook_enabled: dice.pick(&[Some(true), Some(true), Some(true), Some(false), None]),
        default_webhook: WebhookName::new("crm").filter(|_| !dice.one_in(8)),
        flows: BTreeMap::new(),
        notices: None,
        relations: Computed::default(),
    }
}

pub(super) fn random_rules(dice: &mut Dice) -> Policy {
    let mut policy = policy();
    policy.accounts = [OURS, OTHER].map(|id| (id, random_account(dice))).into_iter().collect();
    policy.correlation.phase2_wait = dice.pick(&[Phase2Wait::All, Phase2Wait::Each]);
    policy.correlation.phase2_order =
        dice.pick(&[Phase2Order::Strict, Phase2Order::Strict, Phase2Order::Independent]);
    policy.correlation.on_report_timeout =
        dice.pick(&[OnReportTimeout::End, OnReportTimeout::Notify]);
    policy.correlation.phase2_gather_ms = dice.pick(&[0, 0, 10, 300, 5000]);
    policy.webhook_defaults.age_max_ms = dice.pick(&[15, 10_000]);
    let mut said = Said::default();
    said.insert(name("beside"), Says::Values(&[]), &[GIVEN]);
    said.insert(name("crm"), Says::Predefined, &[]);
    // A webhook may use the variable to which its own answer gives a value.
    let both = dice.one_in(2);
    let (says, saves) =
        if both { (Says::Values(&[GIVEN]), &[GIVEN][..]) } else { (Says::Predefined, &[][..]) };
    said.insert(name("last"), says, saves);
    // A webhook that needs what the answer gives becomes a dead letter without it.
    let needs = dice.one_in(2);
    said.insert(name("then"), if needs { Says::Values(&[GIVEN]) } else { Says::Predefined }, &[]);
    said.apply(&mut policy);
    policy
}

//! Rules whose conditions can't be judged: they send no webhook, and an event reports it.

use super::{Play, beside, failed_sms, name, rule};
use crate::domain::tests::OURS;
use crate::domain::{Condition, Event, SkipReason, SkippedRule, Test, Trigger};

fn skipped(events: &[Event]) -> Vec<(&str, SkipReason, Option<&str>)> {
    let mut found = Vec::new();
    for event in events {
        if let Event::RuleSkipped(skipped) = event {
            found.push(&**skipped);
        }
    }
    let skipped = found.into_iter();
    skipped
        .map(|SkippedRule { webhook, reason, variable, .. }| {
            (webhook.as_str(), *reason, variable.as_deref())
        })
        .collect()
}

#[test]
fn a_rule_is_skipped_if_a_condition_has_no_value() {
    let mut policy = beside(&[
        ("giver", &[], &["$flow.key.given"], Trigger::FlowComplete),
        ("nowhere", &[], &[], Trigger::FlowComplete),
        ("surely-not", &[], &[], Trigger::FlowComplete),
        ("absent", &[], &[], Trigger::FlowComplete),
    ]);
    let is = |variable: &str, value: &str| Condition {
        variable: variable.into(),
        test: Test::OneOf(vec![value.into()]),
    };
    let present = |variable: &str, wanted| Condition {
        variable: variable.into(),
        test: Test::Present(wanted),
    };
    let account = policy.accounts.get_mut(&OURS).unwrap();
    account.rules[1].1.when = vec![is("$flow.key.nowhere", "x")];
    account.rules[2].1.when = vec![is("$flow.key.nowhere", "x"), is("$flow.key.record", "none")];
    account.rules[3].1.when = vec![present("$flow.key.nowhere", false)];
    let mut play = Play::new(policy);
    let events = play.flow();
    assert_eq!(skipped(&events), [("nowhere", SkipReason::NoValue, Some("$flow.key.nowhere"))]);
    let sent: Vec<_> = play.state.deliveries.iter().map(|row| row.webhook.clone()).collect();
    assert_eq!(sent, ["crm", "giver", "absent"].map(name));
}

#[test]
fn rules_on_a_report_that_is_replaced_before_its_flow_comes_are_skipped() {
    let mut policy = beside(&[("queued", &[], &[], Trigger::Sms("SENT".into()))]);
    let account = policy.accounts.get_mut(&OURS).unwrap();
    account.rules.push((None, rule("failed", &failed_sms())));
    let mut play = Play::new(policy);
    assert_eq!(skipped(&play.report("SENT")), []);
    assert_eq!(skipped(&play.report("FAILED")), [("queued", SkipReason::Replaced, None)]);
    let events = play.flow();
    assert_eq!(skipped(&events), []);
    assert!(play.state.deliveries.iter().any(|row| row.webhook == name("failed")));
}

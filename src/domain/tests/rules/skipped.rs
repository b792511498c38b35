//! Rules whose conditions can't be judged: they send no webhook, and an event reports it.

use super::after::{ends, refused, ruled};
use super::*;
use crate::domain::{SkipReason, SkippedRule, WebhookEnd};

pub(super) fn skipped(events: &[Event]) -> Vec<(&str, SkipReason, Option<&str>)> {
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

/// The answer to the giver does not contain the value, or does not come.
#[test]
fn a_rule_that_waited_for_a_value_in_vain_is_skipped_as_unanswered() {
    let mut policy = beside(&[
        ("giver", &[], &["$flow.key.given"], Trigger::FlowComplete),
        ("waits", &[], &[], Trigger::FlowComplete),
        ("reason", &[], &[], Trigger::FlowComplete),
    ]);
    let is = |variable: &str| {
        vec![Condition { variable: variable.into(), test: Test::OneOf(vec!["x".into()]) }]
    };
    let account = policy.accounts.get_mut(&OURS).unwrap();
    account.rules[1].1.when = is("$flow.key.given");
    account.rules[2].1.when = is("$flow.key.error_reason");
    account.rules[2].1.after = Some(name("giver"));
    let unanswered = ("waits", SkipReason::Unanswered, Some("$flow.key.given"));
    let success = ("reason", SkipReason::NoValue, Some("$flow.key.error_reason"));
    for (command, wanted) in [
        (delivered as fn(DeliveryId) -> Command, vec![unanswered, success]),
        (refused, vec![unanswered]),
    ] {
        let mut play = Play::new(policy.clone());
        play.flow();
        play.step(&delivered(phase_1()));
        let events = play.step(&command(id(&play.state, "giver")));
        assert_eq!(skipped(&events), wanted);
    }
}

/// The row has room for the delivery, but not for its two rules with the same body.
#[test]
fn a_rule_without_room_is_skipped_once_and_only_if_the_webhook_ends_as_it_says() {
    let on = WebhookEnd::ALL.map(|end| ends("crm", end));
    let [good, bad] = on;
    let policy = beside(&[("good", &[], &[], good), ("bad", &[], &[], bad)]);
    for (command, to) in [(delivered as fn(DeliveryId) -> Command, "good"), (refused, "bad")] {
        let mut play = Play::new(policy.clone());
        let body = Bytes::from(vec![b'a'; STATE_BYTES_MAX / 5 * 3]);
        let flow = FlowComplete { body, keys: 0..0, ..flow_of("") };
        let events = play.step(&Command::AcceptFlow(Box::new(flow), source(0)));
        assert_eq!(skipped(&events), []);
        let events = play.step(&command(phase_1()));
        assert_eq!(skipped(&events), [(to, SkipReason::NoRoom, None)]);
        assert!(play.state.deferred.is_empty());
    }
}

/// Each webhook has a rule upon the failure of each one before it, and none can be rendered: without a limit, one
/// decision would judge a rule for each of the 2^15 ways through them.
#[test]
fn rules_beyond_the_limit_of_one_decision_are_skipped_and_none_is_lost() {
    let names: Vec<String> = (0..15).map(|number| format!("w{number}")).collect();
    let webhooks: Vec<Beside<'_>> = names
        .iter()
        .map(|to| (&**to, &["$flow.key.none"][..], &[][..], ends("crm", WebhookEnd::Failed)))
        .collect();
    let policy = ruled(&webhooks, |rules| {
        for (number, (_, rule)) in rules.iter_mut().enumerate() {
            rule.on.extend(names[..number].iter().map(|before| ends(before, WebhookEnd::Failed)));
        }
    });
    let mut play = Play::new(policy);
    play.flow();
    let events = decide(&play.state, &refused(phase_1()), &play.policy, Timestamp::from_ms(1));
    let too_many = |event: &&Event| matches!(event, Event::RuleSkipped(it) if it.reason == SkipReason::TooMany);
    let last = events.iter().position(|event| too_many(&event)).expect("there is a limit");
    let deferred = |event: &&Event| matches!(event, Event::RuleDeferred(_));
    let judged = |event: &&Event| matches!(event, Event::RuleJudged(_));
    assert!(!events[last..].iter().any(|event| deferred(&event)), "nothing begins to wait");
    let sent = events.iter().filter(|event| event.begun().is_some()).count();
    let skipped = events.iter().filter(too_many).count();
    let judged = events.iter().filter(judged).count();
    assert_eq!(judged, sent + skipped, "{sent} are sent, and {skipped} skipped");
    let waited = play.state.deferred.len() + events.iter().filter(deferred).count();
    assert_eq!(judged, waited);
}

/// No version writes such rows. Rules that wait for each other would wait for ever.
#[test]
fn a_run_ends_after_its_last_rule_even_if_the_rule_waits_for_nothing() {
    let mut policy = beside(&[
        ("giver", &[], &["$flow.key.g"], Trigger::FlowComplete),
        ("waits", &[], &[], Trigger::FlowComplete),
    ]);
    let test = Test::Present(true);
    let when = vec![Condition { variable: "$flow.key.g".into(), test }];
    policy.accounts.get_mut(&OURS).unwrap().rules[1].1.when = when;
    for waits_for_itself in [false, true] {
        let mut play = Play::new(policy.clone());
        play.flow();
        if waits_for_itself {
            let rule = &mut play.state.deferred[0];
            let Rendering::Pending(pending) = &mut rule.delivery.rendering else { panic!() };
            pending.after.push(rule.delivery.id);
        }
        play.state.deliveries.clear();
        play.at = 2000;
        let events = play.step(&timer());
        let at = |which: &dyn Fn(&Event) -> bool| events.iter().position(which).unwrap();
        let judged = at(&|event| matches!(event, Event::RuleJudged(_)));
        assert!(judged < at(&|event| matches!(event, Event::MarkerKept { .. })), "{events:?}");
        assert!(play.state.deferred.is_empty());
    }
}

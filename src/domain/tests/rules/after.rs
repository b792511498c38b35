//! Webhooks that come after other webhooks: the order, the outcome that is at hand, and rules upon the end of a webhook.

use super::*;
use crate::domain::{Due, ErrorReason, WebhookEnd};

pub(super) const STATUS: &str = "$flow.key.response_status";

pub(super) fn ends(webhook: &str, end: WebhookEnd) -> Trigger {
    Trigger::Webhook(name(webhook), end)
}

/// Returns the usual configuration with these webhooks and a change of our account's rules.
pub(super) fn ruled(
    webhooks: &[Beside<'_>],
    change: impl FnOnce(&mut [(Option<FlowId>, Rule)]),
) -> Policy {
    let mut policy = beside(webhooks);
    change(&mut policy.accounts.get_mut(&OURS).unwrap().rules);
    policy
}

pub(super) fn bodies(events: &[Event], to: &str) -> Vec<String> {
    let scheduled = events.iter().filter_map(Event::begun).filter(|it| it.webhook == name(to));
    scheduled.map(|it| String::from_utf8_lossy(&it.body).into_owned()).collect()
}

fn body(play: &Play, to: &str) -> String {
    let row = play.state.delivery(id(&play.state, to)).unwrap();
    assert!(matches!(row.due, Due::At(_)), "{row:?}");
    String::from_utf8_lossy(&row.body).into_owned()
}

pub(super) fn refused(delivery: DeliveryId) -> Command {
    final_failure(delivery, 1, ErrorReason::Refused)
}

#[test]
fn a_webhook_that_comes_after_another_one_has_its_outcome() {
    let webhooks: [Beside<'_>; 2] = [
        ("tell", &[STATUS], &[], Trigger::FlowComplete),
        ("call", &[], &[], Trigger::FlowComplete),
    ];
    // `tell` stands before `call`, and the outcome of `call` is at hand all the same.
    let policy = ruled(&webhooks, |rules| {
        rules[0].1.after = Some(name("call"));
        rules.reverse();
    });
    for (end, status) in [(true, "SUCCESS"), (false, "FAILED")] {
        let mut play = Play::new(policy.clone());
        play.flow();
        play.step(&delivered(phase_1()));
        assert_eq!(play.state.delivery(id(&play.state, "tell")).unwrap().due, Due::Waiting);
        let call = id(&play.state, "call");
        play.step(&if end { delivered(call) } else { refused(call) });
        assert_eq!(body(&play, "tell"), format!("flow K {status}"));
    }
}

#[test]
fn the_outcome_of_phase_1_is_kept_for_a_rule_that_is_triggered_later() {
    let webhooks: [Beside<'_>; 1] =
        [("tell", &[STATUS, "$flow.key.error_reason"], &[], Trigger::Sms("SENT".into()))];
    let policy = ruled(&webhooks, |rules| rules[0].1.after = Some(name("crm")));
    let mut play = Play::new(policy);
    play.flow();
    play.step(&refused(phase_1()));
    assert_eq!(play.state.outcomes.len(), 1);
    let events = play.report("SENT");
    assert_eq!(bodies(&events, "tell"), ["u [a SENT] FAILED REFUSED"]);
}

#[test]
fn a_webhook_that_uses_a_value_of_an_answer_has_the_outcome_of_that_webhook() {
    let policy = beside(&[
        ("call", &[], &["$flow.key.req"], Trigger::FlowComplete),
        ("other", &[], &[], Trigger::FlowComplete),
        ("tell", &["$flow.key.req", STATUS], &[], failed_sms()),
        // The outcome of the other webhook is kept too.
        ("note", &[], &[], ends("other", WebhookEnd::Delivered)),
    ]);
    let mut play = Play::new(policy);
    play.flow();
    play.step(&delivered(phase_1()));
    play.step(&gives(id(&play.state, "call"), "$flow.key.req", "7"));
    // The webhook that gives no value ends last, and in another way.
    play.step(&refused(id(&play.state, "other")));
    assert_eq!(play.state.outcomes.len(), 2);
    let events = play.report("FAILED");
    assert_eq!(bodies(&events, "tell"), ["u [a FAILED] 7 SUCCESS"]);
}

#[test]
fn a_webhook_with_the_predefined_body_waits_too() {
    let mut policy = ruled(
        &[("call", &[], &[], Trigger::FlowComplete), ("next", &[], &[], Trigger::FlowComplete)],
        |rules| rules[1].1.after = Some(name("call")),
    );
    let mut said = Said::default();
    said.insert(name("call"), Says::Values(&[]), &[]);
    said.insert(name("next"), Says::Predefined, &[]);
    said.apply(&mut policy);
    policy.correlation.phase2_order = Phase2Order::Independent;
    let mut play = Play::new(policy);
    play.flow();
    assert_eq!(play.state.delivery(id(&play.state, "next")).unwrap().due, Due::Waiting);
    play.step(&delivered(id(&play.state, "call")));
    assert_eq!(body(&play, "next"), "flow K");
    assert_eq!(play.state.delivery(id(&play.state, "next")).unwrap().rendering, Rendering::Fixed);
}

#[test]
fn the_end_of_a_webhook_triggers_the_rules_upon_it_with_the_facts_of_its_occasion() {
    let policy = beside(&[
        ("call", &[], &["$flow.key.req"], failed_sms()),
        (
            "good",
            &["$sms.report", STATUS, "$flow.key.req"],
            &[],
            ends("call", WebhookEnd::Delivered),
        ),
        ("bad", &["$sms.report", STATUS], &[], ends("call", WebhookEnd::Failed)),
        ("backup", &["$flow.key.record"], &[], ends("crm", WebhookEnd::Failed)),
    ]);
    for (answered, to, wanted) in [
        (true, "good", "u [a FAILED] a FAILED SUCCESS 7"),
        (false, "bad", "u [a FAILED] a FAILED FAILED"),
    ] {
        let mut play = Play::new(policy.clone());
        play.flow();
        let events = play.step(&refused(phase_1()));
        assert_eq!(bodies(&events, "backup"), ["flow K R"]);
        play.step(&delivered(id(&play.state, "backup")));
        let events = play.report("FAILED");
        // Phase 2 goes to `crm` too.
        assert_eq!(events.iter().filter(|it| matches!(it, Event::RuleDeferred(_))).count(), 3);
        play.step(&delivered(phase_2("a")));
        let call = id(&play.state, "call");
        let command = if answered { gives(call, "$flow.key.req", "7") } else { refused(call) };
        let events = play.step(&command);
        assert_eq!(bodies(&events, to), [wanted]);
        assert_eq!(events.iter().filter_map(Event::begun).count(), 1);
        assert!(play.state.deferred.is_empty());
        let events = play.step(&delivered(id(&play.state, to)));
        assert!(events.contains(&Event::CorrelationEnded), "{events:?}");
        assert!(play.state.outcomes.is_empty());
    }
}

#[test]
fn a_webhook_that_can_not_be_rendered_has_failed_at_once() {
    let policy = beside(&[
        ("call", &["$sms.none"], &[], Trigger::FlowComplete),
        ("tell", &[STATUS, "$flow.key.error_reason"], &[], ends("call", WebhookEnd::Failed)),
        ("last", &[STATUS], &[], ends("tell", WebhookEnd::Delivered)),
    ]);
    let mut play = Play::new(policy);
    let events = play.flow();
    assert_eq!(bodies(&events, "tell"), ["flow K FAILED INVALID_FLOW_VAR"]);
    play.step(&delivered(phase_1()));
    let events = play.step(&delivered(id(&play.state, "tell")));
    assert_eq!(bodies(&events, "last"), ["flow K SUCCESS"]);
}

#[test]
fn conditions_on_a_value_of_an_answer_are_judged_when_it_has_come() {
    let webhooks: [Beside<'_>; 4] = [
        ("giver", &[], &["$flow.key.g"], Trigger::FlowComplete),
        ("yes", &[], &[], Trigger::FlowComplete),
        ("no", &[], &[], Trigger::FlowComplete),
        ("absent", &[], &[], Trigger::FlowComplete),
    ];
    let policy = ruled(&webhooks, |rules| {
        let is = |test| vec![Condition { variable: "$flow.key.g".into(), test }];
        rules[1].1.when = is(Test::OneOf(vec!["yes".into()]));
        rules[2].1.when = is(Test::OneOf(vec!["no".into()]));
        rules[3].1.when = is(Test::Present(false));
    });
    let judged = |command: &dyn Fn(DeliveryId) -> Command| {
        let mut play = Play::new(policy.clone());
        let events = play.flow();
        assert_eq!(events.iter().filter_map(Event::begun).count(), 2, "phase 1 and the giver");
        play.step(&delivered(phase_1()));
        let events = play.step(&command(id(&play.state, "giver")));
        let skipped = events.iter().filter(|it| matches!(it, Event::RuleSkipped(_))).count();
        assert!(play.state.deferred.is_empty());
        let sent = play.state.deliveries.iter().map(|row| row.webhook.to_string());
        (sent.collect::<Vec<_>>(), skipped)
    };
    assert_eq!(judged(&|giver| gives(giver, "$flow.key.g", "yes")), (vec!["yes".to_owned()], 0));
    assert_eq!(judged(&|giver| gives(giver, "$flow.key.g", "maybe")), (vec![], 0));
    assert_eq!(judged(&refused), (vec!["absent".to_owned()], 2));
}

#[test]
fn conditions_on_an_outcome_are_judged_when_the_webhook_has_ended() {
    let webhooks: [Beside<'_>; 2] =
        [("call", &[], &[], Trigger::FlowComplete), ("sorry", &[], &[], Trigger::FlowComplete)];
    let policy = ruled(&webhooks, |rules| {
        rules[1].1.after = Some(name("call"));
        let test = Test::OneOf(vec!["FAILED".into()]);
        rules[1].1.when = vec![Condition { variable: STATUS.into(), test }];
    });
    for (command, count) in [(delivered as fn(DeliveryId) -> Command, 0), (refused, 1)] {
        let mut play = Play::new(policy.clone());
        play.flow();
        play.step(&delivered(phase_1()));
        let events = play.step(&command(id(&play.state, "call")));
        assert_eq!(bodies(&events, "sorry").len(), count);
    }
}

#[test]
fn a_report_whose_rule_waits_ends_when_the_rule_is_judged() {
    let webhooks: [Beside<'_>; 2] =
        [("giver", &[], &["$flow.key.g"], Trigger::FlowComplete), ("call", &[], &[], failed_sms())];
    let mut policy = ruled(&webhooks, |rules| {
        let test = Test::OneOf(vec!["yes".into()]);
        rules[1].1.when = vec![Condition { variable: "$flow.key.g".into(), test }];
    });
    policy.accounts.get_mut(&OURS).unwrap().default_webhook = None;
    let played = |value: &str| {
        let mut play = Play::new(policy.clone());
        play.flow();
        let events = play.report("FAILED");
        let ignored = |it: &Event| matches!(it, Event::RecordIgnored(_));
        assert!(!events.iter().any(ignored), "the rule may still carry the report: {events:?}");
        let events = play.step(&gives(id(&play.state, "giver"), "$flow.key.g", value));
        (bodies(&events, "call").len(), events.iter().filter(|it| ignored(it)).count())
    };
    assert_eq!(played("yes"), (1, 0));
    assert_eq!(played("no"), (0, 1));
}

#[test]
fn a_dead_letter_keeps_the_outcome_for_its_replay() {
    let webhooks: [Beside<'_>; 2] = [
        ("call", &[], &[], Trigger::FlowComplete),
        ("tell", &[STATUS, "$sms.none"], &[], Trigger::FlowComplete),
    ];
    let policy = ruled(&webhooks, |rules| rules[1].1.after = Some(name("call")));
    let mut play = Play::new(policy);
    play.flow();
    play.step(&delivered(phase_1()));
    let events = play.step(&refused(id(&play.state, "call")));
    let letter = events.iter().filter_map(Event::ended).find(|it| it.webhook == name("tell"));
    let letter = Box::new(letter.unwrap().clone());
    let Rendering::Pending(pending) = &letter.rendering else { panic!("{letter:?}") };
    assert_eq!(pending.outcome_of, [name("call")]);
    // The definition is corrected long after the run has ended.
    let mut corrected = Said::default();
    corrected.insert(name("tell"), Says::Values(&[STATUS]), &[]);
    corrected.apply(&mut play.policy);
    play.state = State::default();
    play.step(&Command::Replay(letter));
    assert_eq!(body(&play, "tell"), "flow K FAILED");
}

#[test]
fn rules_of_any_flow_apply_to_flows_that_do_not_enable_their_webhooks() {
    let webhooks: [Beside<'_>; 4] = [
        ("any", &[], &[], Trigger::FlowComplete),
        ("own", &[], &[], Trigger::FlowComplete),
        ("begun", &[], &[], Trigger::FlowStarted),
        ("failed", &[], &[], failed_sms()),
    ];
    let mut policy = ruled(&webhooks, |rules| {
        for rule in [0, 2, 3] {
            rules[rule].1.any_flow = true;
        }
    });
    policy.accounts.get_mut(&OURS).unwrap().webhook_enabled = Some(false);
    let mut play = Play::new(policy.clone());
    assert_eq!(bodies(&play.step(&started(1)), "begun").len(), 1);
    let events = play.flow();
    let to: Vec<_> = events.iter().filter_map(Event::begun).map(|it| it.webhook.as_str()).collect();
    assert_eq!(to, ["any"], "neither phase 1 nor a rule of flows that enable it");
    let events = play.report("FAILED");
    let to: Vec<_> = events.iter().filter_map(Event::begun).map(|it| it.webhook.as_str()).collect();
    assert_eq!(to, ["failed"], "no phase 2");
    // Without such rules nothing is sent, for the same reason as before.
    policy.accounts.get_mut(&OURS).unwrap().rules.remove(0);
    policy.accounts.get_mut(&OURS).unwrap().rules.truncate(1);
    let events = Play::new(policy).flow();
    assert!(matches!(
        events.as_slice(),
        [Event::FlowSilenced { reason: crate::domain::IgnoreReason::WebhookDisabled, .. }]
    ));
}

#[test]
fn webhooks_that_use_and_give_the_same_value_do_not_wait_for_each_other() {
    let q: &[&str] = &["$flow.key.q"];
    let policy = beside(&[("again", q, q, ends("crm", WebhookEnd::Delivered))]);
    let mut play = Play::new(policy);
    play.report("FAILED");
    play.flow();
    // Each step delivers what is due, until nothing is.
    while let Some(id) = due(&play.state) {
        play.step(&delivered(id));
    }
    assert!(play.state.deliveries.is_empty(), "{:?}", play.state.deliveries);
    assert!(play.state.deferred.is_empty(), "{:?}", play.state.deferred);
}

fn due(state: &State) -> Option<DeliveryId> {
    let mut due = state.deliveries.iter().filter(|row| matches!(row.due, Due::At(_)));
    due.next().map(|row| row.id)
}

#[test]
fn a_rule_upon_an_end_keeps_that_outcome_while_it_waits_for_another_answer() {
    let on = ends("crm", WebhookEnd::Failed);
    let policy = ruled(
        &[("call", &[], &["$flow.key.req"], Trigger::FlowComplete), ("tell", &[STATUS], &[], on)],
        |rules| {
            let rule = rules.iter_mut().find(|(_, rule)| rule.webhook == name("tell")).unwrap();
            let test = Test::OneOf(vec!["7".into()]);
            rule.1.when = vec![Condition { variable: "$flow.key.req".into(), test }];
        },
    );
    let mut play = Play::new(policy);
    play.flow();
    play.step(&refused(phase_1()));
    let call = id(&play.state, "call");
    let events = play.step(&gives(call, "$flow.key.req", "7"));
    assert_eq!(bodies(&events, "tell"), ["flow K FAILED"]);
}

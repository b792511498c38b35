//! Values that answers give to later webhooks, and the order of webhooks that results.

use super::*;

#[test]
fn a_value_from_an_answer_at_the_start_is_available_when_the_flow_is_complete() {
    let policy = beside(&[
        ("begun", &[], &["$flow.key.crm"], Trigger::FlowStarted),
        ("call", &["$flow.key.crm"], &[], Trigger::FlowComplete),
    ]);
    let mut play = Play::new(policy);
    play.step(&started(1));
    let begun = id(&play.state, "begun");
    play.step(&gives(begun, "$flow.key.crm", "7"));
    play.flow();
    assert_eq!(play.state.delivery(id(&play.state, "call")).unwrap().body, "flow K 7");
    let begun_and_over = play.step(&delivered(phase_1()));
    assert!(!begun_and_over.is_empty() && !play.state.mapped.is_empty());
    play.at = 1000;
    play.step(&timer());
    assert!(!play.state.mapped.is_empty(), "the flow is still open");
}

#[test]
fn phase_2_of_an_early_report_waits_for_the_value_that_it_uses() {
    let webhooks: [Beside<'_>; 1] = [("link", &[], &["$flow.key.link"], Trigger::FlowComplete)];
    let mut policy = beside_but(&webhooks, |said| {
        said.insert(name("desk"), Says::Values(&["$flow.key.link"]), &[]);
    });
    policy.accounts.get_mut(&OURS).unwrap().default_webhook = Some(name("desk"));
    let mut play = Play::new(policy);
    play.report("DELIVERED");
    let events = play.flow();
    let reasons: Vec<_> =
        events.iter().filter_map(|event| event.ended().map(|delivery| delivery.phase)).collect();
    assert_eq!(reasons, [Phase::One], "phase 1 is rendered before any answer gives it a value");
    let link = id(&play.state, "link");
    play.step(&gives(link, "$flow.key.link", "L"));
    assert_eq!(play.state.deliveries[0].body, "u [a DELIVERED] L");
}

#[test]
fn a_replay_never_waits_for_a_delivery_that_waits_for_it() {
    // Each delivery uses the value that the one before gave.
    let policy = beside(&[("chain", &["$flow.key.token"], &["$flow.key.token"], failed_sms())]);
    let mut play = Play::new(policy);
    play.policy.correlation.phase2_wait = Phase2Wait::Each;
    let flow = FlowComplete { record: Bytes::from_static(b"R"), sms: None, ..flow() };
    play.step(&Command::AcceptFlow(Box::new(flow), source(0)));
    play.step(&delivered(phase_1()));
    let sent = |play: &mut Play, sms: &str| {
        let report = Command::AcceptReport(Box::new(report(sms, "FAILED")), source(1));
        let events = play.step(&report);
        let rule = events.iter().filter_map(Event::begun).find(|it| it.phase == Phase::Rule);
        rule.cloned().unwrap()
    };
    let given = Mapped { save_in: "$flow.key.token".into(), value: "t".into() };
    play.state.mapped = vec![given];
    let first = sent(&mut play, "a");
    let (second, third) = (sent(&mut play, "b"), sent(&mut play, "c"));
    assert!(matches!(second.rendering, Rendering::Pending(_)));
    // The second delivery is lost in between, and replayed while the third waits for it.
    let lost = play.state.deliveries.iter().position(|it| it.id == second.id).unwrap();
    let lost = play.state.deliveries.remove(lost);
    play.step(&Command::Replay(Box::new(lost)));
    play.step(&delivered(first.id));
    for id in [second.id, third.id] {
        let due = play.state.delivery(id).unwrap().due;
        assert!(matches!(due, crate::domain::Due::At(_)), "{due:?}");
        play.step(&delivered(id));
    }
}

#[test]
fn two_equal_rules_schedule_one_delivery() {
    let mut policy = beside(&[
        ("call", &["$sms.none"], &[], Trigger::FlowComplete),
        ("call", &["$sms.none"], &[], Trigger::FlowComplete),
    ]);
    let mut play = Play::new(policy.clone());
    let letters = play.flow().iter().filter(|it| it.ended().is_some()).count();
    assert_eq!(letters, 1);
    // The dead letter of a webhook that is no longer configured keeps its facts.
    policy.accounts.get_mut(&OURS).unwrap().rules.remove(1);
    let mut play = Play::new(policy);
    let events = play.flow();
    let letter = events.iter().find_map(Event::ended).unwrap().clone();
    Said::default().apply(&mut play.policy);
    let again = play.step(&Command::Replay(Box::new(letter)));
    let letter = again.iter().find_map(Event::ended).unwrap();
    assert!(matches!(letter.rendering, Rendering::Pending(_)));
}

#[test]
fn reports_of_a_flow_that_only_rules_opened_are_ignored_as_no_default_webhook() {
    let mut policy = beside(&[("call", &[], &[], Trigger::FlowComplete)]);
    policy.accounts.get_mut(&OURS).unwrap().default_webhook = None;
    let mut play = Play::new(policy);
    play.report("SENT");
    play.flow();
    play.report("DELIVERED");
    play.end(
        "0: report ~a SENT until 1000
        1: flow, phase 1 only
        1: ignored a of 28 after waiting: no_default_webhook
        1: R(call) to call at 1, by #0: flow K
        2: ignored a of 28: no_default_webhook
        = phase 1 only; R(call) at 1",
    );
}

#[test]
fn answers_to_one_accounts_webhooks_are_not_used_for_another_account() {
    let both = || {
        let mut policy = beside(&[
            ("theirs", &[], &["$flow.key.x"], Trigger::FlowStarted),
            ("call", &["$flow.key.x"], &[], Trigger::FlowComplete),
            ("later", &["$flow.key.x"], &[], failed_sms()),
        ]);
        let theirs =
            policy.accounts[&OURS].rules.iter().filter(|it| it.1.webhook == name("theirs"));
        let theirs = theirs.cloned().collect();
        policy.accounts.get_mut(&OTHER).unwrap().rules = theirs;
        policy
    };
    let begin = |play: &mut Play| {
        let Command::AcceptStart(start, from) = started(1) else { panic!() };
        let start = FlowStarted { account: OTHER, ..*start };
        play.step(&Command::AcceptStart(Box::new(start), from));
        id(&play.state, "theirs")
    };
    // A delivery of one account does not wait for the answer to another account's delivery.
    let mut play = Play::new(both());
    begin(&mut play);
    let events = play.flow();
    assert!(events.iter().filter_map(Event::ended).any(|it| it.webhook == name("call")));
    // Nor does it use a value that such an answer gave,
    let mut play = Play::new(both());
    let theirs = begin(&mut play);
    play.step(&gives(theirs, "$flow.key.x", "secret"));
    let events = play.flow();
    assert!(events.iter().filter_map(Event::ended).any(|it| it.webhook == name("call")));
    // even after the account that started the call is forgotten.
    play.at = 1000;
    play.step(&timer());
    assert_eq!(play.state.started, None);
    let events = play.report("FAILED");
    assert!(events.iter().filter_map(Event::ended).any(|it| it.webhook == name("later")));
}

#[test]
fn a_delivery_that_waits_for_two_others_leaves_after_both() {
    let policy = beside(&[
        ("call", &[], &["$flow.key.req"], Trigger::FlowComplete),
        ("tell", &["$flow.key.req"], &[], Trigger::FlowComplete),
    ]);
    let mut play = Play::new(policy);
    play.flow();
    play.step(&delivered(phase_1()));
    let (call, tell) = (id(&play.state, "call"), id(&play.state, "tell"));
    assert_eq!(play.state.delivery(tell).unwrap().due, crate::domain::Due::Waiting);
    play.step(&gives(call, "$flow.key.req", "1"));
    assert_eq!(play.state.delivery(tell).unwrap().body, "flow K 1");
}

#[test]
fn a_report_that_triggered_a_rule_is_still_sent_in_phase_2() {
    let mut policy = beside(&[("call", &[], &[], Trigger::Sms("SENT".into()))]);
    policy.correlation.on_report_timeout = OnReportTimeout::Notify;
    let mut play = Play::new(policy);
    play.flow();
    play.step(&delivered(phase_1()));
    play.report("SENT");
    play.at = 2000;
    play.step(&timer());
    assert_eq!(play.state.delivery(phase_2("a")).unwrap().body, "u [a SENT]");
}

#[test]
fn a_call_begin_record_without_a_rule_leaves_no_state() {
    let policy = beside(&[("call", &[], &[], Trigger::FlowComplete)]);
    let mut play = Play::new(policy);
    let events = play.step(&started(1));
    assert!(matches!(events.as_slice(), [Event::RecordIgnored(_)]), "{events:?}");
    assert!(play.state.is_empty());
}

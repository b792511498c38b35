//! Every accepted report ends: in a webhook, in a newer report of its SMS, in an event, or in a dead letter.

use super::{
    OURS, account, check, correlation, delivered, each, flow, phase_1, phase_2, policy, report,
    source, steps, timer, uuid,
};
use crate::domain::{
    Collected, Collection, Command, Correlation, Event, Flow, Phase2Wait, Policy, Rule, State,
    Timestamp, Trigger, WebhookName, decide, evolve,
};

#[test]
fn without_a_list_all_waiting_reports_except_the_first_final_one_are_late() {
    check(
        &policy(),
        steps![0 => report("a", "DELIVERED"), 1 => report("b", "FAILED"), 2 => report("c", "SENT"),
               3 => report("c", "QUEUED"), 5 => flow(), 6 => report("b", "FAILED"),
               7 => delivered(phase_1()), 8 => delivered(phase_2("a"))],
        "0: report a DELIVERED until 1000
         1: report b FAILED until 1001
         2: report ~c SENT until 1002
         3: report ~c QUEUED until 1003
         5: flow, collecting until 2005
         5: P1 to crm at 5, by #4: flow K
         5: adopted a
         5: adopted b
         5: adopted c
         5: P2(a) to crm after P1, by #0: u [a DELIVERED]
         5: complete
         5: ignored b of 28 after waiting: late
         5: ignored c of 28 after waiting: late
         6: ignored b of 28: late
         7: P1 delivered by attempt 1
         8: P2(a) delivered by attempt 1
         8: ended
         8: marker of 28 until 508
         = marker of 28 until 508",
    );
}

#[test]
fn each_without_a_list_ignores_intermediate_reports_as_late_at_its_regular_end() {
    check(
        &each(),
        steps![0 => flow(), 1 => delivered(phase_1()), 2 => report("a", "DELIVERED"),
               3 => delivered(phase_2("a")), 4 => report("b", "SENT"), 2000 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 delivered by attempt 1
         2: report a DELIVERED
         2: P2(a) to crm at 2, by #2: u [a DELIVERED]
         3: P2(a) delivered by attempt 1
         4: report ~b SENT
         2000: complete
         2000: ignored b of 28 after waiting: late
         2000: ended
         2000: marker of 28 until 2500
         = marker of 28 until 2500",
    );
}

#[test]
fn reports_of_an_account_that_stopped_notifying_are_ignored_as_notify_off_at_the_regular_end() {
    let mut off = each();
    off.accounts.get_mut(&OURS).unwrap().notify_on_delivery = false;
    check(
        &each(),
        steps![0 => flow(), 1 => delivered(phase_1()), 2 => report("a", "DELIVERED"),
               3 => delivered(phase_2("a")), 4 => report("b", "SENT"), 5 => off, 2000 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 delivered by attempt 1
         2: report a DELIVERED
         2: P2(a) to crm at 2, by #2: u [a DELIVERED]
         3: P2(a) delivered by attempt 1
         4: report ~b SENT
         2000: complete
         2000: ignored b of 28 after waiting: notify_off
         2000: ended
         2000: marker of 28 until 2500
         = marker of 28 until 2500",
    );
}

/// Returns a configuration without a default webhook, in which reports of failed SMS trigger the webhook `beside`.
fn upon_failures(wait: Phase2Wait) -> Policy {
    let mut policy = correlation(|c| c.phase2_wait = wait);
    let rule = Rule {
        on: vec![Trigger::Sms("FAILED".into())],
        when: Vec::new(),
        webhook: WebhookName::new("beside").unwrap(),
        after: None,
        any_flow: false,
    };
    let ours = policy.accounts.get_mut(&OURS).unwrap();
    ours.default_webhook = None;
    ours.rules.push((None, rule));
    policy
}

#[test]
fn without_a_default_webhook_reports_that_trigger_no_rule_are_ignored() {
    check(
        &upon_failures(Phase2Wait::All),
        steps![0 => super::flow_of("a b"), 1 => report("a", "FAILED"), 2 => report("b", "DELIVERED")],
        "0: flow, collecting until 2000
         1: report a FAILED
         1: R(beside) to beside at 1, by #1: u [a FAILED]
         2: report b DELIVERED
         2: complete
         2: ignored b of 28 after waiting: no_default_webhook
         = complete: a sent; R(beside) at 1",
    );
    check(
        &upon_failures(Phase2Wait::All),
        steps![0 => report("a", "DELIVERED"), 1 => report("b", "FAILED"), 2 => flow()],
        "0: report a DELIVERED until 1000
         1: report b FAILED until 1001
         2: flow, collecting until 2002
         2: adopted a
         2: adopted b
         2: complete
         2: R(beside) to beside at 2, by #1: u [b FAILED]
         2: ignored a of 28 after waiting: no_default_webhook
         = complete: b sent; R(beside) at 2",
    );
}

#[test]
fn a_report_that_a_rules_webhook_carries_is_not_ignored_when_phase_2_leaves_it_out() {
    let mut given = account(|_| {});
    let beside = upon_failures(Phase2Wait::All).accounts[&OURS].rules.clone();
    given.accounts.get_mut(&OURS).unwrap().rules = beside;
    check(
        &given,
        steps![0 => report("a", "DELIVERED"), 1 => report("b", "FAILED"), 2 => flow()],
        "0: report a DELIVERED until 1000
         1: report b FAILED until 1001
         2: flow, collecting until 2002
         2: P1 to crm at 2, by #2: flow K
         2: adopted a
         2: adopted b
         2: P2(a) to crm after P1, by #0: u [a DELIVERED]
         2: complete
         2: R(beside) to beside after P1, by #1: u [b FAILED]
         = complete: a sent, b sent; P1 at 2, P2(a) after P1, R(beside) after P1",
    );
}

/// Earlier versions kept such reports without an event.
#[test]
fn reports_that_an_earlier_version_left_end_with_the_correlation() {
    let now = Timestamp::default();
    let mut state = State::default();
    for command in [
        Command::AcceptReport(Box::new(report("a", "DELIVERED")), source(0)),
        Command::AcceptReport(Box::new(report("b", "DELIVERED")), source(1)),
        Command::AcceptFlow(Box::new(flow()), source(2)),
        delivered(phase_1()),
    ] {
        state = decide(&state, &command, &policy(), now).iter().fold(state, evolve);
    }
    let Correlation::Open(Flow { reports, collection, .. }) = &mut state.correlation else {
        panic!("the correlation is open")
    };
    assert_eq!(*collection, Collection::Complete);
    let known = reports[0].clone();
    reports.push(Collected { sms: super::sms("b"), sent: false, source: source(1), ..known });
    let events = decide(&state, &delivered(phase_2("a")), &policy(), now);
    let [Event::Delivered { .. }, Event::RecordIgnored(ignored), Event::CorrelationEnded, ..] =
        events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!((ignored.source.offset, ignored.waited), (1, true));
    assert_eq!(uuid(), report("a", "SENT").uuid);
}

//! Rule 1 and the settings of accounts and flows.

use super::{
    FLOW, STRANGER, account, check, delivered, flow, flow_of, phase_1, policy, report, steps, timer,
};
use crate::domain::{
    Command, Event, FlowComplete, Policy, Source, State, Timestamp, decide, evolve,
};

#[test]
fn a_flow_schedules_phase_1_at_once_and_to_the_accounts_default_webhook() {
    check(
        &policy(),
        steps![0 => flow_of("a")],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         = collecting until 2000; P1 at 0",
    );
}

#[test]
fn an_account_that_does_not_notify_gets_phase_1_only_and_the_correlation_ends_with_it() {
    check(
        &account(|a| a.notify_on_delivery = false),
        steps![0 => flow_of("a"), 1 => report("a", "DELIVERED"), 2 => delivered(phase_1()),
               501 => timer(), 502 => timer()],
        "0: flow, phase 1 only
         0: P1 to crm at 0, by #0: flow K
         1: ignored a of 28: notify_off
         2: P1 delivered by attempt 1
         2: ended
         2: marker of 28 until 502
         501: nothing
         502: forgotten
         = unknown",
    );
}

#[test]
fn waiting_reports_are_ignored_if_the_account_no_longer_notifies() {
    check(
        &policy(),
        steps![0 => report("a", "SENT"), 1 => account(|a| a.notify_on_delivery = false),
               2 => flow_of("a")],
        "0: report ~a SENT until 1000
         2: flow, phase 1 only
         2: P1 to crm at 2, by #2: flow K
         2: ignored a of 28 after waiting: notify_off
         = phase 1 only; P1 at 2",
    );
}

#[test]
fn without_a_default_webhook_nothing_is_sent_and_reports_are_ignored_for_this_reason() {
    check(
        &account(|a| a.default_webhook = None),
        steps![0 => report("a", "SENT"), 1 => flow_of("a"), 2 => report("a", "DELIVERED"),
               3 => flow_of("a"), 2500 => timer(), 2501 => timer()],
        "0: report ~a SENT until 1000
         1: silent flow: no_default_webhook until 2501
         1: ignored a of 28 after waiting: no_default_webhook
         2: ignored a of 28: no_default_webhook
         3: ignored flow of 28: duplicate
         2500: nothing
         2501: forgotten
         = unknown",
    );
}

#[test]
fn a_flow_that_does_not_enable_its_webhook_sends_nothing() {
    check(
        &account(|a| {
            a.webhook_enabled = None;
            a.notify_on_delivery = false;
        }),
        steps![1 => flow(), 2 => report("a", "DELIVERED"),
               3 => FlowComplete { content: 2, ..flow() }],
        "1: silent flow: webhook_disabled until 2501
         2: ignored a of 28: webhook_disabled
         3: ignored flow of 28: conflicting
         = silent webhook_disabled until 2501",
    );
}

/// The flow's entry decides whether its webhook is enabled, else the record, else the account. Without any of them it
/// is disabled.
#[test]
fn the_flow_entry_decides_before_the_record_and_the_account_whether_webhooks_are_enabled() {
    let given = |entry: Option<bool>, account_word: Option<bool>| -> Policy {
        account(|a| {
            a.flows = entry.map(|enabled| (FLOW, enabled)).into_iter().collect();
            a.webhook_enabled = account_word;
        })
    };
    let (yes, no) = (Some(true), Some(false));
    for (entry, record, account_word, enabled) in [
        (yes, no, no, true),
        (no, yes, yes, false),
        (None, yes, no, true),
        (None, no, yes, false),
        (None, None, yes, true),
        (None, None, no, false),
        (None, None, None, false),
    ] {
        let flow = FlowComplete { webhook_enabled: record, ..flow_of("") };
        let then = if enabled {
            "0: flow, phase 1 only
             0: P1 to crm at 0, by #0: flow K
             = phase 1 only; P1 at 0"
        } else {
            "0: silent flow: webhook_disabled until 2500
             = silent webhook_disabled until 2500"
        };
        check(&given(entry, account_word), steps![0 => flow], then);
    }
}

#[test]
fn an_entry_for_another_flow_has_no_effect() {
    check(
        &account(|a| a.flows = [(FLOW, false)].into()),
        steps![0 => FlowComplete { flow: None, ..flow_of("") }],
        "0: flow, phase 1 only
         0: P1 to crm at 0, by #0: flow K
         = phase 1 only; P1 at 0",
    );
}

#[test]
fn records_of_an_account_that_is_not_configured_become_dead_letters_and_change_nothing() {
    check(
        &policy(),
        steps![0 => FlowComplete { account: STRANGER, ..flow() },
               1 => super::report_of(STRANGER, "a", "DELIVERED")],
        "0: dead letter of flow_complete: unknown_account
         1: dead letter of delivery_report a DELIVERED: unknown_account
         = unknown",
    );
    // The dead letters can be found and replayed once the account is configured.
    let flow = FlowComplete { account: STRANGER, ..flow() };
    let command = Command::AcceptFlow(Box::new(flow), super::source(0));
    let events = decide(&State::default(), &command, &policy(), Timestamp::default());
    let [Event::RecordDeadLettered { record, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(record.account, Some(STRANGER));
}

#[test]
fn without_a_phase_2_no_keys_are_kept_for_it() {
    check(
        &account(|a| a.attach_flow_keys = true),
        steps![0 => flow_of("")],
        "0: flow, phase 1 only
         0: P1 to crm at 0, by #0: flow K
         = phase 1 only; P1 at 0",
    );
}

/// A record may be days old when it is read. A delivery's age counts from the decision.
#[test]
fn times_are_those_of_the_decision_and_not_of_the_record() {
    let written = Source { timestamp: Timestamp::from_ms(1), ..super::source(0) };
    let at = Timestamp::from_ms(700);
    let flow = Command::AcceptFlow(Box::new(flow_of("a")), written.clone());
    let events = decide(&State::default(), &flow, &policy(), at);
    let [Event::FlowAccepted(accepted), Event::DeliveryScheduled { delivery, .. }] =
        events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!((accepted.accepted_at, delivery.scheduled_at), (at, at));
    let state = events.iter().fold(State::default(), evolve);
    let report = Command::AcceptReport(Box::new(report("a", "DELIVERED")), written);
    let later = Timestamp::from_ms(900);
    let events = decide(&state, &report, &policy(), later);
    let is_later = |event: &Event| matches!(event, Event::DeliveryScheduled { delivery, .. } if delivery.scheduled_at == later);
    assert!(events.iter().any(is_later), "{events:?}");
}

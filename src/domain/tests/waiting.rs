//! Rule 4: reports that come before their flow.

use super::{
    OTHER, check, delivered, each, flow, flow_of, phase_1, phase_2, policy, report, report_of,
    source, steps, timer,
};
use crate::domain::{Command, Correlation, DeliveryReport, State, Timestamp, decide, evolve};
use bytes::Bytes;

#[test]
fn a_report_waits_for_its_flow_and_phase_2_still_comes_second() {
    check(
        &policy(),
        steps![0 => report("a", "DELIVERED"), 5 => flow_of("a"), 6 => delivered(phase_1()),
               7 => delivered(phase_2("a"))],
        "0: report a DELIVERED until 1000
         5: flow, collecting until 2005
         5: P1 to crm at 5, by #1: flow K
         5: adopted a
         5: P2(a) to crm after P1, by #0: u [a DELIVERED]
         5: complete
         6: P1 delivered by attempt 1
         7: P2(a) delivered by attempt 1
         7: ended
         7: marker of 28 until 507
         = marker of 28 until 507",
    );
}

#[test]
fn reports_before_and_after_the_flow_are_joined() {
    check(
        &policy(),
        steps![0 => report("b", "DELIVERED"), 1 => report("a", "SENT"), 5 => flow_of("a b"),
               6 => report("a", "FAILED")],
        "0: report b DELIVERED until 1000
         1: report ~a SENT until 1001
         5: flow, collecting until 2005
         5: P1 to crm at 5, by #2: flow K
         5: adopted b
         5: adopted a
         6: report a FAILED
         6: P2(a b) to crm after P1, by #3: u [a FAILED, b DELIVERED]
         6: complete
         = complete: b sent, a sent; P1 at 5, P2(a b) after P1",
    );
}

#[test]
fn without_a_list_all_takes_the_first_final_report_that_waited() {
    check(
        &policy(),
        steps![0 => report("a", "SENT"), 1 => report("b", "DELIVERED"), 2 => report("a", "FAILED"),
               5 => flow()],
        "0: report ~a SENT until 1000
         1: report b DELIVERED until 1001
         2: report a FAILED until 1002
         5: flow, collecting until 2005
         5: P1 to crm at 5, by #3: flow K
         5: adopted b
         5: adopted a
         5: P2(b) to crm after P1, by #1: u [b DELIVERED]
         5: complete
         5: ignored a of 28 after waiting: late
         = complete: b sent; P1 at 5, P2(b) after P1",
    );
}

#[test]
fn each_sends_every_final_report_that_waited() {
    check(
        &each(),
        steps![0 => report("a", "DELIVERED"), 1 => report("b", "SENT"), 2 => report("c", "FAILED"),
               5 => flow()],
        "0: report a DELIVERED until 1000
         1: report ~b SENT until 1001
         2: report c FAILED until 1002
         5: flow, collecting until 2005
         5: P1 to crm at 5, by #3: flow K
         5: adopted a
         5: adopted b
         5: adopted c
         5: P2(a) to crm after P1, by #0: u [a DELIVERED]
         5: P2(c) to crm after P1, by #2: u [c FAILED]
         = collecting until 2005: a sent, ~b SENT, c sent; P1 at 5, P2(a) after P1, P2(c) after P1",
    );
}

#[test]
fn each_report_expires_by_its_own_arrival_and_becomes_a_raw_dead_letter() {
    let raw =
        DeliveryReport { raw: Some(Bytes::from_static(b"raw bytes")), ..report("a", "DELIVERED") };
    check(
        &policy(),
        steps![0 => raw, 400 => report("b", "SENT"), 999 => timer(), 1000 => timer(),
               1399 => timer(), 1400 => timer(), 1401 => report("a", "DELIVERED")],
        "0: report a DELIVERED until 1000
         400: report ~b SENT until 1400
         999: nothing
         1000: dead letter of delivery_report raw bytes: flow_missing
         1399: nothing
         1400: dead letter of delivery_report b SENT: flow_missing
         1401: report a DELIVERED until 2401
         = waiting: a DELIVERED until 2401",
    );
}

#[test]
fn reports_that_expire_together_all_become_dead_letters() {
    check(
        &policy(),
        steps![0 => report("a", "SENT"), 1 => report_of(OTHER, "a", "SENT"), 1001 => timer()],
        "0: report ~a SENT until 1000
         1: report 29/~a SENT until 1001
         1001: dead letter of delivery_report a SENT: flow_missing
         1001: dead letter of delivery_report a SENT: flow_missing
         = unknown",
    );
}

#[test]
fn a_report_that_expires_does_not_remove_another_accounts_report() {
    check(
        &policy(),
        steps![0 => report("a", "SENT"), 400 => report_of(OTHER, "a", "SENT"), 1000 => timer()],
        "0: report ~a SENT until 1000
         400: report 29/~a SENT until 1400
         1000: dead letter of delivery_report a SENT: flow_missing
         = waiting: 29/~a SENT until 1400",
    );
}

/// Only a dead letter needs the raw record, and a report with a known flow becomes none.
#[test]
fn the_raw_record_is_kept_only_while_the_report_waits() {
    let raw = DeliveryReport { raw: Some(Bytes::from_static(b"raw")), ..report("a", "SENT") };
    let mut state = State::default();
    for command in [
        Command::AcceptReport(Box::new(raw), source(0)),
        Command::AcceptFlow(Box::new(flow_of("a")), source(1)),
    ] {
        let events = decide(&state, &command, &policy(), Timestamp::default());
        state = events.iter().fold(state, evolve);
    }
    let Correlation::Open(flow) = &state.correlation else { panic!("{state:?}") };
    let kept = flow.reports.iter().map(|report| (report.raw.clone(), report.body.is_some()));
    assert_eq!(kept.collect::<Vec<_>>(), [(None, true)]);
}

#[test]
fn a_newer_report_of_an_sms_waits_from_its_own_arrival_on() {
    check(
        &policy(),
        steps![0 => report("a", "SENT"), 600 => report("a", "DELIVERED"), 1000 => timer(),
               1600 => timer()],
        "0: report ~a SENT until 1000
         600: report a DELIVERED until 1600
         1000: nothing
         1600: dead letter of delivery_report a DELIVERED: flow_missing
         = unknown",
    );
}

#[test]
fn a_flow_adopts_the_reports_that_have_not_expired() {
    check(
        &policy(),
        steps![0 => report("a", "DELIVERED"), 400 => report("b", "DELIVERED"), 1000 => timer(),
               1100 => flow_of("a b")],
        "0: report a DELIVERED until 1000
         400: report b DELIVERED until 1400
         1000: dead letter of delivery_report a DELIVERED: flow_missing
         1100: flow, collecting until 3100
         1100: P1 to crm at 1100, by #3: flow K
         1100: adopted b
         = collecting until 3100: b DELIVERED; P1 at 1100",
    );
}

#[test]
fn a_report_under_another_account_never_shadows_the_genuine_one() {
    check(
        &policy(),
        steps![0 => report_of(OTHER, "a", "FAILED"), 1 => report("a", "DELIVERED"),
               5 => flow_of("a")],
        "0: report 29/a FAILED until 1000
         1: report a DELIVERED until 1001
         5: flow, collecting until 2005
         5: P1 to crm at 5, by #2: flow K
         5: ignored a of 29 after waiting: account_mismatch
         5: adopted a
         5: P2(a) to crm after P1, by #1: u [a DELIVERED]
         5: complete
         = complete: a sent; P1 at 5, P2(a) after P1",
    );
}

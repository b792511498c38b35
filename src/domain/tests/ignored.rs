//! Rules 6 and 7: the first record counts, and records that change nothing get a reason.

use super::{
    OTHER, check, delivered, each, flow, flow_of, phase_1, phase_2, policy, report, report_of,
    steps, timer,
};
use crate::domain::{FlowComplete, FlowId};

#[test]
fn a_repeated_report_is_a_duplicate_before_during_and_after_the_flow() {
    check(
        &policy(),
        steps![0 => report("a", "SENT"), 1 => report("a", "SENT"), 2 => flow_of("a"),
               3 => report("a", "SENT"), 4 => report("a", "DELIVERED"), 5 => report("a", "SENT"),
               6 => report("a", "DELIVERED")],
        "0: report ~a SENT until 1000
         1: ignored a of 28: duplicate
         2: flow, collecting until 2002
         2: P1 to crm at 2, by #2: flow K
         2: adopted a
         3: ignored a of 28: duplicate
         4: report a DELIVERED
         4: P2(a) to crm after P1, by #4: u [a DELIVERED]
         4: complete
         5: ignored a of 28: duplicate
         6: ignored a of 28: duplicate
         = complete: a sent; P1 at 2, P2(a) after P1",
    );
}

#[test]
fn an_intermediate_status_after_a_final_one_is_regressed_before_and_after_the_flow() {
    check(
        &policy(),
        steps![0 => report("a", "DELIVERED"), 1 => report("a", "SENT"), 2 => flow_of("a b"),
               3 => report("a", "SENT"), 4 => report("b", "FAILED"), 5 => report("b", "SENT")],
        "0: report a DELIVERED until 1000
         1: ignored a of 28: regressed
         2: flow, collecting until 2002
         2: P1 to crm at 2, by #2: flow K
         2: adopted a
         3: ignored a of 28: regressed
         4: report b FAILED
         4: P2(a b) to crm after P1, by #4: u [a DELIVERED, b FAILED]
         4: complete
         5: ignored b of 28: regressed
         = complete: a sent, b sent; P1 at 2, P2(a b) after P1",
    );
}

#[test]
fn another_final_status_of_the_same_sms_is_conflicting_and_the_first_one_is_sent() {
    check(
        &policy(),
        steps![0 => report("a", "DELIVERED"), 1 => report("a", "FAILED"), 2 => flow_of("a b"),
               3 => report("a", "EXPIRED"), 4 => report("b", "FAILED"), 5 => report("a", "FAILED")],
        "0: report a DELIVERED until 1000
         1: ignored a of 28: conflicting
         2: flow, collecting until 2002
         2: P1 to crm at 2, by #2: flow K
         2: adopted a
         3: ignored a of 28: conflicting
         4: report b FAILED
         4: P2(a b) to crm after P1, by #4: u [a DELIVERED, b FAILED]
         4: complete
         5: ignored a of 28: conflicting
         = complete: a sent, b sent; P1 at 2, P2(a b) after P1",
    );
}

#[test]
fn an_unknown_status_after_a_final_one_is_conflicting_because_it_counts_as_final() {
    check(
        &policy(),
        steps![0 => report("a", "DELIVERED"), 1 => report("a", "VANISHED"),
               2 => report("b", "VANISHED"), 3 => report("b", "SENT")],
        "0: report a DELIVERED until 1000
         1: ignored a of 28: conflicting
         2: report b VANISHED until 1002, unknown word
         3: ignored b of 28: regressed
         = waiting: a DELIVERED until 1000, b VANISHED until 1002",
    );
}

#[test]
fn a_report_that_each_has_sent_already_is_not_replaced() {
    check(
        &each(),
        steps![0 => flow_of("a b"), 1 => report("a", "DELIVERED"), 2 => report("a", "FAILED"),
               3 => report("a", "SENT"), 4 => report("a", "DELIVERED")],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: P2(a) to crm after P1, by #1: u [a DELIVERED]
         2: ignored a of 28: conflicting
         3: ignored a of 28: regressed
         4: ignored a of 28: duplicate
         = collecting until 2000: a sent; P1 at 0, P2(a) after P1",
    );
}

#[test]
fn a_newer_intermediate_status_replaces_an_older_one() {
    check(
        &policy(),
        steps![0 => report("a", "QUEUED"), 1 => report("a", "SENT"), 2 => flow_of("a"),
               3 => report("a", "ENROUTE"), 4 => report("a", "QUEUED")],
        "0: report ~a QUEUED until 1000
         1: report ~a SENT until 1001
         2: flow, collecting until 2002
         2: P1 to crm at 2, by #2: flow K
         2: adopted a
         3: report ~a ENROUTE
         4: ignored a of 28: duplicate
         = collecting until 2002: ~a ENROUTE; P1 at 2",
    );
}

#[test]
fn a_repeated_flow_is_a_duplicate_and_a_different_one_is_conflicting() {
    let richer = || FlowComplete { content: 2, ..flow_of("a") };
    let moved = || FlowComplete { flow: Some(FlowId(201)), ..flow_of("a") };
    let foreign = || FlowComplete { account: OTHER, ..flow_of("a") };
    check(
        &policy(),
        steps![0 => flow_of("a"), 1 => flow_of("a"), 2 => richer(), 3 => moved(), 4 => foreign()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: ignored flow of 28: duplicate
         2: ignored flow of 28: conflicting
         3: ignored flow of 28: conflicting
         4: ignored flow of 29: conflicting
         = collecting until 2000; P1 at 0",
    );
}

#[test]
fn a_report_of_another_account_is_a_mismatch_in_every_state_that_knows_the_flow() {
    check(
        &policy(),
        steps![0 => flow_of("a"), 1 => report_of(OTHER, "a", "DELIVERED"),
               2 => report("a", "DELIVERED"), 3 => delivered(phase_1()),
               4 => delivered(phase_2("a")), 5 => report_of(OTHER, "a", "DELIVERED")],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: ignored a of 29: account_mismatch
         2: report a DELIVERED
         2: P2(a) to crm after P1, by #2: u [a DELIVERED]
         2: complete
         3: P1 delivered by attempt 1
         4: P2(a) delivered by attempt 1
         4: ended
         4: marker of 28 until 504
         5: ignored a of 29: account_mismatch
         = marker of 28 until 504",
    );
}

#[test]
fn a_flow_that_sends_nothing_also_detects_reports_of_another_account() {
    check(
        &policy(),
        steps![0 => report_of(OTHER, "a", "SENT"), 1 => report("a", "SENT"),
               2 => FlowComplete { webhook_enabled: Some(false), ..flow() },
               3 => report_of(OTHER, "a", "DELIVERED"), 4 => report("a", "DELIVERED")],
        "0: report 29/~a SENT until 1000
         1: report ~a SENT until 1001
         2: silent flow: webhook_disabled until 2502
         2: ignored a of 29 after waiting: account_mismatch
         2: ignored a of 28 after waiting: webhook_disabled
         3: ignored a of 29: account_mismatch
         4: ignored a of 28: webhook_disabled
         = silent webhook_disabled until 2502",
    );
}

#[test]
fn a_report_of_an_sms_outside_the_list_is_unlisted_in_every_phase() {
    check(
        &policy(),
        steps![0 => report("x", "DELIVERED"), 1 => flow_of("a"), 2 => report("x", "DELIVERED"),
               3 => report("a", "DELIVERED"), 4 => report("y", "DELIVERED")],
        "0: report x DELIVERED until 1000
         1: flow, collecting until 2001
         1: P1 to crm at 1, by #1: flow K
         1: ignored x of 28 after waiting: unlisted
         2: ignored x of 28: unlisted
         3: report a DELIVERED
         3: P2(a) to crm after P1, by #3: u [a DELIVERED]
         3: complete
         4: ignored y of 28: unlisted
         = complete: a sent; P1 at 1, P2(a) after P1",
    );
}

#[test]
fn records_after_the_end_are_late_until_the_marker_expires_and_then_new() {
    check(
        &policy(),
        steps![0 => flow_of("a"), 1 => report("a", "DELIVERED"), 2 => delivered(phase_1()),
               3 => delivered(phase_2("a")), 4 => report("a", "DELIVERED"), 5 => flow_of("a"),
               6 => FlowComplete { content: 2, ..flow_of("b") }, 7 => report("z", "SENT"),
               502 => timer(), 503 => timer(), 504 => report("a", "DELIVERED"), 505 => flow_of("a")],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: P2(a) to crm after P1, by #1: u [a DELIVERED]
         1: complete
         2: P1 delivered by attempt 1
         3: P2(a) delivered by attempt 1
         3: ended
         3: marker of 28 until 503
         4: ignored a of 28: late
         5: ignored flow of 28: late
         6: ignored flow of 28: late
         7: ignored z of 28: late
         502: nothing
         503: forgotten
         504: report a DELIVERED until 1504
         505: flow, collecting until 2505
         505: P1 to crm at 505, by #11: flow K
         505: adopted a
         505: P2(a) to crm after P1, by #10: u [a DELIVERED]
         505: complete
         = complete: a sent; P1 at 505, P2(a) after P1",
    );
}

/// An unlimited number would let the row grow for ever. The newest contents are the ones that are likely to be
/// repeated.
#[test]
fn a_limited_number_of_the_newest_contents_of_an_sms_is_remembered() {
    use crate::domain::{Event, State, decide, evolve};
    let mut state = State::default();
    let mut contents = Vec::new();
    for content in 0..40 {
        let mut sent = report("a", "SENT");
        sent.content = content;
        contents.push(sent.clone());
        let command = crate::domain::Command::AcceptReport(Box::new(sent), super::source(0));
        let now = crate::domain::Timestamp::default();
        state = decide(&state, &command, &policy(), now).iter().fold(state, evolve);
    }
    let known = contents.into_iter().map(|sent| {
        let command = crate::domain::Command::AcceptReport(Box::new(sent), super::source(0));
        let events = decide(&state, &command, &policy(), crate::domain::Timestamp::default());
        matches!(events.as_slice(), [Event::RecordIgnored(_)])
    });
    let known: Vec<bool> = known.collect();
    assert_eq!(known.iter().filter(|known| **known).count(), crate::domain::state::SEEN_MAX);
    assert!(known[40 - crate::domain::state::SEEN_MAX..].iter().all(|known| *known));
}

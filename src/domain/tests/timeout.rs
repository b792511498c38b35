//! Rule 5: reports that never come.

use super::{
    check, correlation, delivered, each, failed, flow, flow_of, notify_at_the_timeout, phase_1,
    phase_2, policy, report, steps, timer,
};
use crate::domain::{OnReportTimeout, Phase2Order, Phase2Wait};

#[test]
fn the_correlation_ends_at_the_time_out_if_reports_are_missing() {
    check(
        &policy(),
        steps![0 => report("a", "SENT"), 10 => flow_of("a b c"), 11 => delivered(phase_1()),
               12 => report("b", "DELIVERED"), 2009 => timer(), 2010 => timer(),
               2011 => report("a", "DELIVERED"), 2510 => timer()],
        "0: report ~a SENT until 1000
         10: flow, collecting until 2010
         10: P1 to crm at 10, by #1: flow K
         10: adopted a
         11: P1 delivered by attempt 1
         12: report b DELIVERED
         2009: nothing
         2010: over
         2010: timed out, missing [a c]
         2010: marker of 28 until 2510
         2011: ignored a of 28: late
         2510: forgotten
         = unknown",
    );
}

#[test]
fn a_time_out_does_not_end_phase_1_and_the_marker_follows_it() {
    check(
        &policy(),
        steps![0 => flow_of("a"), 2000 => timer(), 2001 => report("a", "DELIVERED"),
               2002 => report("b", "DELIVERED"), 2003 => timer(), 2004 => failed(phase_1(), 1),
               2014 => super::delivered_at_attempt(phase_1(), 2)],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         2000: over
         2000: timed out, missing [a]
         2001: ignored a of 28: late
         2002: ignored b of 28: late
         2003: nothing
         2004: P1 attempt 1 failed, next at 2014
         2014: P1 delivered by attempt 2
         2014: marker of 28 until 2514
         = marker of 28 until 2514",
    );
}

#[test]
fn notify_sends_one_webhook_with_the_known_reports() {
    check(
        &notify_at_the_timeout(Phase2Wait::All),
        steps![0 => flow_of("a b c"), 1 => report("c", "DELIVERED"), 2 => report("a", "QUEUED"),
               3 => report("a", "SENT"), 4 => delivered(phase_1()), 2000 => timer(),
               2001 => delivered(phase_2("a b c"))],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report c DELIVERED
         2: report ~a QUEUED
         3: report ~a SENT
         4: P1 delivered by attempt 1
         2000: P2(a b c) to crm at 2000, by #3: u [a SENT, b UNKNOWN, c DELIVERED]
         2000: over
         2000: timed out, missing [a b]
         2001: P2(a b c) delivered by attempt 1
         2001: marker of 28 until 2501
         = marker of 28 until 2501",
    );
}

#[test]
fn notify_without_a_report_names_the_flow_as_the_source_and_still_waits_for_phase_1() {
    check(
        &notify_at_the_timeout(Phase2Wait::All),
        steps![0 => flow_of("a"), 2000 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         2000: P2(a) to crm after P1, by #0: u [a UNKNOWN]
         2000: over
         2000: timed out, missing [a]
         = over; P1 at 0, P2(a) after P1",
    );
}

#[test]
fn notify_does_not_wait_for_phase_1_if_the_order_is_independent() {
    let mut given = notify_at_the_timeout(Phase2Wait::All);
    given.correlation.phase2_order = Phase2Order::Independent;
    check(
        &given,
        steps![0 => flow_of("a"), 2000 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         2000: P2(a) to crm at 2000, by #0: u [a UNKNOWN]
         2000: over
         2000: timed out, missing [a]
         = over; P1 at 0, P2(a) at 2000",
    );
}

#[test]
fn notify_without_a_list_sends_the_intermediate_reports_and_nothing_when_there_are_none() {
    let given = notify_at_the_timeout(Phase2Wait::All);
    check(
        &given,
        steps![0 => flow(), 1 => delivered(phase_1()), 2 => report("a", "QUEUED"),
               3 => report("b", "SENT"), 2000 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 delivered by attempt 1
         2: report ~a QUEUED
         3: report ~b SENT
         2000: P2(a b) to crm at 2000, by #3: u [a QUEUED, b SENT]
         2000: over
         2000: timed out, missing []
         = over: ~a sent, ~b sent; P2(a b) at 2000",
    );
    check(
        &given,
        steps![0 => flow(), 1 => delivered(phase_1()), 2000 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 delivered by attempt 1
         2000: over
         2000: timed out, missing []
         2000: marker of 28 until 2500
         = marker of 28 until 2500",
    );
}

#[test]
fn notify_under_each_sends_one_webhook_per_sms_still_missing() {
    check(
        &notify_at_the_timeout(Phase2Wait::Each),
        steps![0 => flow_of("a b c"), 1 => delivered(phase_1()), 2 => report("b", "DELIVERED"),
               3 => report("c", "SENT"), 2000 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 delivered by attempt 1
         2: report b DELIVERED
         2: P2(b) to crm at 2, by #2: u [b DELIVERED]
         3: report ~c SENT
         2000: P2(a) to crm at 2000, by #0: u [a UNKNOWN]
         2000: P2(c) to crm at 2000, by #3: u [c SENT]
         2000: over
         2000: timed out, missing [a c]
         = over: b sent, ~c sent; P2(b) at 2, P2(a) at 2000, P2(c) at 2000",
    );
}

#[test]
fn each_without_a_list_ends_regularly_when_any_reported_and_times_out_when_none_did() {
    check(
        &each(),
        steps![0 => flow(), 1 => delivered(phase_1()), 2 => report("a", "DELIVERED"),
               3 => delivered(phase_2("a")), 2000 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 delivered by attempt 1
         2: report a DELIVERED
         2: P2(a) to crm at 2, by #2: u [a DELIVERED]
         3: P2(a) delivered by attempt 1
         2000: complete
         2000: ended
         2000: marker of 28 until 2500
         = marker of 28 until 2500",
    );
    check(
        &each(),
        steps![0 => flow(), 1 => delivered(phase_1()), 2000 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 delivered by attempt 1
         2000: over
         2000: timed out, missing []
         2000: marker of 28 until 2500
         = marker of 28 until 2500",
    );
}

#[test]
fn each_without_a_list_times_out_when_nothing_final_was_reported() {
    check(
        &each(),
        steps![0 => flow(), 1 => delivered(phase_1()), 2 => report("a", "SENT"), 2000 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 delivered by attempt 1
         2: report ~a SENT
         2000: over
         2000: timed out, missing []
         2000: marker of 28 until 2500
         = marker of 28 until 2500",
    );
}

#[test]
fn notify_under_each_without_a_list_sends_the_intermediate_reports() {
    check(
        &notify_at_the_timeout(Phase2Wait::Each),
        steps![0 => flow(), 1 => delivered(phase_1()), 2 => report("a", "DELIVERED"),
               3 => report("b", "SENT"), 4 => delivered(phase_2("a")), 2000 => timer(),
               2001 => delivered(phase_2("b"))],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 delivered by attempt 1
         2: report a DELIVERED
         2: P2(a) to crm at 2, by #2: u [a DELIVERED]
         3: report ~b SENT
         4: P2(a) delivered by attempt 1
         2000: P2(b) to crm at 2000, by #3: u [b SENT]
         2000: complete
         2001: P2(b) delivered by attempt 1
         2001: ended
         2001: marker of 28 until 2501
         = marker of 28 until 2501",
    );
}

#[test]
fn a_phase_2_sent_at_the_time_out_carries_the_keys() {
    let mut given = super::account(|a| a.attach_flow_keys = true);
    given.correlation.on_report_timeout = OnReportTimeout::Notify;
    check(
        &given,
        steps![0 => flow_of("a"), 1 => delivered(phase_1()), 2000 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 delivered by attempt 1
         2000: P2(a) to crm at 2000, by #0: u [a UNKNOWN] keys K
         2000: over
         2000: timed out, missing [a]
         = over; P2(a) at 2000",
    );
}

#[test]
fn the_time_out_counts_from_the_flow_and_not_from_the_reports() {
    check(
        &correlation(|c| c.report_timeout_ms = 100),
        steps![0 => report("a", "SENT"), 900 => flow_of("a"), 990 => report("a", "QUEUED"),
               999 => timer(), 1000 => timer()],
        "0: report ~a SENT until 1000
         900: flow, collecting until 1000
         900: P1 to crm at 900, by #1: flow K
         900: adopted a
         990: report ~a QUEUED
         999: nothing
         1000: over
         1000: timed out, missing [a]
         = over: ~a; P1 at 900",
    );
}

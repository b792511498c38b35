//! Rule 2: a webhook of phase 2 gathers the reports of a flow that does not list its SMS.

use super::{
    OURS, check, correlation, delivered, each, flow, flow_of, phase_1, phase_2, report, steps,
    timer,
};
use crate::domain::{OnReportTimeout, Phase2Wait, Policy};

/// Returns the usual configuration with 100 ms for gathering.
fn gathering() -> Policy {
    correlation(|c| c.phase2_gather_ms = 100)
}

#[test]
fn three_sms_of_a_flow_without_a_list_make_one_webhook() {
    check(
        &gathering(),
        steps![0 => flow(), 1 => delivered(phase_1()), 2 => report("a", "SENT"), 3 => report("b", "DELIVERED"),
               4 => report("a", "FAILED"), 5 => report("b", "FAILED"), 99 => report("c", "DELIVERED"),
               102 => timer(), 103 => timer(), 104 => report("d", "DELIVERED"),
               105 => delivered(phase_2("b a c"))],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 delivered by attempt 1
         2: report ~a SENT
         3: report b DELIVERED
         3: gathering until 103
         4: report a FAILED
         5: ignored b of 28: conflicting
         99: report c DELIVERED
         102: nothing
         103: P2(b a c) to crm at 103, by #6: u [b DELIVERED, a FAILED, c DELIVERED]
         103: complete
         104: ignored d of 28: late
         105: P2(b a c) delivered by attempt 1
         105: ended
         105: marker of 28 until 605
         = marker of 28 until 605",
    );
}

#[test]
fn an_sms_without_a_final_report_is_left_out_as_late() {
    check(
        &gathering(),
        steps![0 => flow(), 1 => report("a", "DELIVERED"), 2 => report("b", "SENT"), 101 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: gathering until 101
         2: report ~b SENT
         101: P2(a) to crm after P1, by #1: u [a DELIVERED]
         101: complete
         101: ignored b of 28 after waiting: late
         = complete: a sent; P1 at 0, P2(a) after P1",
    );
}

#[test]
fn reports_that_waited_for_their_flow_start_the_time_when_it_comes() {
    check(
        &gathering(),
        steps![0 => report("a", "DELIVERED"), 1 => report("b", "FAILED"), 50 => flow(),
               60 => report("c", "DELIVERED"), 150 => timer()],
        "0: report a DELIVERED until 1000
         1: report b FAILED until 1001
         50: flow, collecting until 2050
         50: P1 to crm at 50, by #2: flow K
         50: adopted a
         50: adopted b
         50: gathering until 150
         60: report c DELIVERED
         150: P2(a b c) to crm after P1, by #3: u [a DELIVERED, b FAILED, c DELIVERED]
         150: complete
         = complete: a sent, b sent, c sent; P1 at 50, P2(a b c) after P1",
    );
}

#[test]
fn a_list_and_webhooks_per_sms_gather_nothing() {
    check(
        &gathering(),
        steps![0 => flow_of("a"), 1 => report("a", "DELIVERED")],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: P2(a) to crm after P1, by #1: u [a DELIVERED]
         1: complete
         = complete: a sent; P1 at 0, P2(a) after P1",
    );
    let mut each = each();
    each.correlation.phase2_gather_ms = 100;
    check(
        &each,
        steps![0 => flow(), 1 => report("a", "DELIVERED")],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: P2(a) to crm after P1, by #1: u [a DELIVERED]
         = collecting until 2000: a sent; P1 at 0, P2(a) after P1",
    );
}

#[test]
fn the_report_time_out_ends_the_gathering_with_what_came() {
    let mut long = correlation(|c| c.phase2_gather_ms = 5000);
    for on_report_timeout in [OnReportTimeout::End, OnReportTimeout::Notify] {
        long.correlation.on_report_timeout = on_report_timeout;
        check(
            &long,
            steps![0 => flow(), 1 => report("a", "DELIVERED"), 2 => report("b", "FAILED"), 2000 => timer()],
            "0: flow, collecting until 2000
             0: P1 to crm at 0, by #0: flow K
             1: report a DELIVERED
             1: gathering until 2000
             2: report b FAILED
             2000: P2(a b) to crm after P1, by #2: u [a DELIVERED, b FAILED]
             2000: complete
             = complete: a sent, b sent; P1 at 0, P2(a b) after P1",
        );
    }
}

#[test]
fn a_reload_neither_shortens_a_running_time_nor_loses_its_reports() {
    let mut short = gathering();
    short.correlation.phase2_gather_ms = 0;
    check(
        &gathering(),
        steps![0 => flow(), 1 => report("a", "DELIVERED"), 2 => short, 3 => report("b", "FAILED"),
               101 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: gathering until 101
         3: report b FAILED
         101: P2(a b) to crm after P1, by #3: u [a DELIVERED, b FAILED]
         101: complete
         = complete: a sent, b sent; P1 at 0, P2(a b) after P1",
    );
    check(
        &gathering(),
        steps![0 => flow(), 1 => report("a", "DELIVERED"), 2 => each(), 101 => timer(),
               102 => report("b", "FAILED"), 2000 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: gathering until 101
         101: P2(a) to crm after P1, by #1: u [a DELIVERED]
         101: gathering no longer
         102: report b FAILED
         102: P2(b) to crm after P1, by #4: u [b FAILED]
         2000: complete
         = complete: a sent, b sent; P1 at 0, P2(a) after P1, P2(b) after P1",
    );
}

#[test]
fn a_late_timer_under_each_sends_what_was_gathered_and_ends() {
    check(
        &gathering(),
        steps![0 => flow(), 1 => report("a", "DELIVERED"), 2 => each(), 3000 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: gathering until 101
         3000: P2(a) to crm after P1, by #1: u [a DELIVERED]
         3000: complete
         = complete: a sent; P1 at 0, P2(a) after P1",
    );
}

#[test]
fn reports_that_a_webhook_per_sms_sent_meanwhile_are_not_sent_again() {
    let mut back = gathering();
    back.correlation.phase2_wait = Phase2Wait::All;
    check(
        &gathering(),
        steps![0 => flow(), 1 => report("a", "DELIVERED"), 2 => each(), 3 => report("b", "FAILED"), 4 => back,
               101 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: gathering until 101
         3: report b FAILED
         3: P2(a) to crm after P1, by #1: u [a DELIVERED]
         3: P2(b) to crm after P1, by #3: u [b FAILED]
         101: complete
         = complete: a sent, b sent; P1 at 0, P2(a) after P1, P2(b) after P1",
    );
}

#[test]
fn an_account_that_stopped_notifying_gets_no_gathered_webhook() {
    let mut off = gathering();
    off.accounts.get_mut(&OURS).unwrap().notify_on_delivery = false;
    check(
        &gathering(),
        steps![0 => flow(), 1 => report("a", "DELIVERED"), 2 => off, 101 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: gathering until 101
         101: complete
         101: ignored a of 28 after waiting: notify_off
         = complete; P1 at 0",
    );
}

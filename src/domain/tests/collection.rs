//! Rules 2 and 3: which reports are collected, when phase 2 is due, and when it leaves.

use super::{
    account, check, correlation, delivered, each, final_failure, flow, flow_of, phase_1, phase_2,
    policy, report, steps, timer,
};
use crate::domain::{ErrorReason, Phase2Order};

#[test]
fn all_waits_for_the_final_status_of_each_listed_sms_and_sends_one_webhook_in_the_lists_order() {
    check(
        &policy(),
        steps![0 => flow_of("a b"), 1 => delivered(phase_1()), 2 => report("b", "DELIVERED"),
               3 => report("a", "SENT"), 4 => report("a", "FAILED"), 5 => delivered(phase_2("a b")),
               505 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 delivered by attempt 1
         2: report b DELIVERED
         3: report ~a SENT
         4: report a FAILED
         4: P2(a b) to crm at 4, by #4: u [a FAILED, b DELIVERED]
         4: complete
         5: P2(a b) delivered by attempt 1
         5: ended
         5: marker of 28 until 505
         505: forgotten
         = unknown",
    );
}

#[test]
fn all_without_a_list_takes_the_first_final_report_and_ends() {
    check(
        &policy(),
        steps![0 => flow(), 1 => report("a", "SENT"), 2 => report("b", "DELIVERED"),
               3 => report("a", "DELIVERED"), 4 => report("c", "DELIVERED")],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report ~a SENT
         2: report b DELIVERED
         2: P2(b) to crm after P1, by #2: u [b DELIVERED]
         2: complete
         2: ignored a of 28 after waiting: late
         3: ignored a of 28: late
         4: ignored c of 28: late
         = complete: b sent; P1 at 0, P2(b) after P1",
    );
}

#[test]
fn each_sends_a_webhook_per_listed_sms_and_ends_with_the_last() {
    check(
        &each(),
        steps![0 => flow_of("a b"), 1 => delivered(phase_1()), 2 => report("b", "DELIVERED"),
               3 => delivered(phase_2("b")), 4 => report("a", "SENT"), 5 => report("a", "EXPIRED"),
               6 => delivered(phase_2("a"))],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 delivered by attempt 1
         2: report b DELIVERED
         2: P2(b) to crm at 2, by #2: u [b DELIVERED]
         3: P2(b) delivered by attempt 1
         4: report ~a SENT
         5: report a EXPIRED
         5: P2(a) to crm at 5, by #5: u [a EXPIRED]
         5: complete
         6: P2(a) delivered by attempt 1
         6: ended
         6: marker of 28 until 506
         = marker of 28 until 506",
    );
}

#[test]
fn each_without_a_list_sends_until_the_time_out_which_is_its_regular_end() {
    check(
        &each(),
        steps![0 => flow(), 1 => delivered(phase_1()), 2 => report("a", "DELIVERED"),
               3 => delivered(phase_2("a")), 1999 => report("b", "DELIVERED"), 2000 => timer(),
               2001 => report("c", "DELIVERED"), 2002 => delivered(phase_2("b"))],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 delivered by attempt 1
         2: report a DELIVERED
         2: P2(a) to crm at 2, by #2: u [a DELIVERED]
         3: P2(a) delivered by attempt 1
         1999: report b DELIVERED
         1999: P2(b) to crm at 1999, by #4: u [b DELIVERED]
         2000: complete
         2001: ignored c of 28: late
         2002: P2(b) delivered by attempt 1
         2002: ended
         2002: marker of 28 until 2502
         = marker of 28 until 2502",
    );
}

#[test]
fn an_empty_list_means_phase_1_only() {
    for policy in [policy(), each()] {
        check(
            &policy,
            steps![0 => report("a", "DELIVERED"), 1 => flow_of(""), 2 => report("b", "DELIVERED"),
                   3 => delivered(phase_1())],
            "0: report a DELIVERED until 1000
             1: flow, phase 1 only
             1: P1 to crm at 1, by #1: flow K
             1: ignored a of 28 after waiting: unlisted
             2: ignored b of 28: unlisted
             3: P1 delivered by attempt 1
             3: ended
             3: marker of 28 until 503
             = marker of 28 until 503",
        );
    }
}

#[test]
fn strict_phase_2_leaves_when_phase_1_was_delivered() {
    check(
        &policy(),
        steps![0 => flow_of("a"), 1 => report("a", "DELIVERED"), 7 => delivered(phase_1())],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: P2(a) to crm after P1, by #1: u [a DELIVERED]
         1: complete
         7: P1 delivered by attempt 1
         = complete: a sent; P2(a) at 7",
    );
}

#[test]
fn strict_phase_2_leaves_when_phase_1_became_a_dead_letter() {
    check(
        &policy(),
        steps![0 => flow_of("a"), 1 => report("a", "DELIVERED"),
               7 => final_failure(phase_1(), 1, ErrorReason::Refused), 8 => delivered(phase_2("a"))],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: P2(a) to crm after P1, by #1: u [a DELIVERED]
         1: complete
         7: P1 attempt 1 failed, the last
         7: dead letter of P1: refused after 1
         8: P2(a) delivered by attempt 1
         8: ended
         8: marker of 28 until 508
         = marker of 28 until 508",
    );
}

#[test]
fn a_phase_2_that_ends_frees_no_other_one() {
    check(
        &each(),
        steps![0 => flow_of("a b"), 1 => report("a", "DELIVERED"), 2 => report("b", "FAILED"),
               3 => final_failure(phase_2("a"), 1, ErrorReason::Refused)],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: P2(a) to crm after P1, by #1: u [a DELIVERED]
         2: report b FAILED
         2: P2(b) to crm after P1, by #2: u [b FAILED]
         2: complete
         3: P2(a) attempt 1 failed, the last
         3: dead letter of P2(a): refused after 1
         = complete: a sent, b sent; P1 at 0, P2(b) after P1",
    );
}

#[test]
fn independent_phase_2_does_not_wait_and_either_may_end_last() {
    check(
        &correlation(|c| c.phase2_order = Phase2Order::Independent),
        steps![0 => flow_of("a"), 1 => report("a", "DELIVERED"), 2 => delivered(phase_2("a")),
               3 => delivered(phase_1())],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: P2(a) to crm at 1, by #1: u [a DELIVERED]
         1: complete
         2: P2(a) delivered by attempt 1
         3: P1 delivered by attempt 1
         3: ended
         3: marker of 28 until 503
         = marker of 28 until 503",
    );
}

#[test]
fn keys_are_attached_if_the_account_says_so_and_kept_no_longer_than_needed() {
    let given = account(|a| a.attach_flow_keys = true);
    check(
        &given,
        steps![0 => flow_of("a b"), 1 => report("a", "DELIVERED")],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         = collecting until 2000, keys: a DELIVERED; P1 at 0",
    );
    check(
        &given,
        steps![0 => flow_of("a"), 1 => report("a", "DELIVERED")],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: P2(a) to crm after P1, by #1: u [a DELIVERED] keys K
         1: complete
         = complete: a sent; P1 at 0, P2(a) after P1",
    );
}

#[test]
fn an_unknown_status_counts_as_final_and_is_reported_as_unknown() {
    check(
        &policy(),
        steps![0 => flow_of("a"), 1 => report("a", "VANISHED")],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a VANISHED, unknown word
         1: P2(a) to crm after P1, by #1: u [a VANISHED]
         1: complete
         = complete: a sent; P1 at 0, P2(a) after P1",
    );
}

//! The effects of a reloaded configuration on a correlation that is open.

use super::{
    OURS, account, check, delivered, each, flow, flow_of, notify_at_the_timeout, phase_1, phase_2,
    policy, report, steps, timer,
};
use crate::domain::{OnReportTimeout, Phase2Order, Phase2Wait, Policy, WebhookName};

fn without_the_account() -> Policy {
    let mut policy = policy();
    policy.accounts.remove(&OURS);
    policy
}

#[test]
fn keys_that_are_switched_off_before_phase_2_are_not_sent() {
    check(
        &account(|a| a.attach_flow_keys = true),
        steps![0 => flow_of("a"), 1 => policy(), 2 => report("a", "DELIVERED")],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         2: report a DELIVERED
         2: P2(a) to crm after P1, by #2: u [a DELIVERED]
         2: complete
         = complete: a sent; P1 at 0, P2(a) after P1",
    );
}

#[test]
fn keys_that_are_switched_on_after_the_flow_came_were_not_kept() {
    check(
        &policy(),
        steps![0 => flow_of("a"), 1 => account(|a| a.attach_flow_keys = true),
               2 => report("a", "DELIVERED")],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         2: report a DELIVERED
         2: P2(a) to crm after P1, by #2: u [a DELIVERED]
         2: complete
         = complete: a sent; P1 at 0, P2(a) after P1",
    );
}

#[test]
fn phase_2_goes_to_the_new_default_webhook_and_to_the_old_one_if_there_is_none() {
    check(
        &policy(),
        steps![0 => flow_of("a"), 1 => account(|a| a.default_webhook = WebhookName::new("new")),
               2 => report("a", "DELIVERED")],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         2: report a DELIVERED
         2: P2(a) to new after P1, by #2: u [a DELIVERED]
         2: complete
         = complete: a sent; P1 at 0, P2(a) after P1",
    );
    check(
        &policy(),
        steps![0 => flow_of("a"), 1 => account(|a| a.default_webhook = None),
               2 => report("a", "DELIVERED")],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         2: report a DELIVERED
         2: P2(a) to crm after P1, by #2: u [a DELIVERED]
         2: complete
         = complete: a sent; P1 at 0, P2(a) after P1",
    );
}

#[test]
fn reports_of_a_removed_account_become_dead_letters_and_scheduled_webhooks_are_still_sent() {
    let mut gone = without_the_account();
    gone.correlation.on_report_timeout = OnReportTimeout::Notify;
    check(
        &account(|a| a.attach_flow_keys = true),
        steps![0 => flow_of("a"), 1 => gone, 2 => report("a", "DELIVERED"), 3 => flow_of("a"),
               4 => delivered(phase_1()), 2000 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         2: dead letter of delivery_report a DELIVERED: unknown_account
         3: dead letter of flow_complete: unknown_account
         4: P1 delivered by attempt 1
         2000: P2(a) to crm at 2000, by #0: u [a UNKNOWN] keys K
         2000: over
         2000: timed out, missing [a]
         = over; P2(a) at 2000",
    );
}

#[test]
fn a_report_that_waits_while_its_account_is_removed_expires_like_any_other() {
    check(
        &policy(),
        steps![0 => report("a", "DELIVERED"), 1 => without_the_account(), 2 => flow_of("a"),
               1000 => timer()],
        "0: report a DELIVERED until 1000
         2: dead letter of flow_complete: unknown_account
         1000: dead letter of delivery_report a DELIVERED: flow_missing
         = unknown",
    );
}

#[test]
fn an_account_that_stops_notifying_gets_no_phase_2_at_the_time_out() {
    let mut off = notify_at_the_timeout(Phase2Wait::All);
    off.accounts.get_mut(&OURS).unwrap().notify_on_delivery = false;
    check(
        &notify_at_the_timeout(Phase2Wait::All),
        steps![0 => flow_of("a"), 1 => delivered(phase_1()), 2 => off,
               3 => report("a", "DELIVERED"), 2000 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 delivered by attempt 1
         3: ignored a of 28: notify_off
         2000: over
         2000: timed out, missing [a]
         2000: marker of 28 until 2500
         = marker of 28 until 2500",
    );
}

#[test]
fn an_account_that_starts_notifying_does_so_from_the_next_flow_on() {
    check(
        &account(|a| a.notify_on_delivery = false),
        steps![0 => flow(), 1 => policy(), 2 => report("a", "DELIVERED")],
        "0: flow, phase 1 only
         0: P1 to crm at 0, by #0: flow K
         2: ignored a of 28: notify_off
         = phase 1 only; P1 at 0",
    );
}

#[test]
fn from_each_to_all_without_a_list_no_webhook_is_empty_and_none_is_lost() {
    check(
        &each(),
        steps![0 => flow(), 1 => report("a", "DELIVERED"), 2 => policy(),
               3 => report("b", "SENT"), 4 => report("b", "DELIVERED")],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: P2(a) to crm after P1, by #1: u [a DELIVERED]
         3: report ~b SENT
         4: report b DELIVERED
         4: P2(b) to crm after P1, by #4: u [b DELIVERED]
         4: complete
         = complete: a sent, b sent; P1 at 0, P2(a) after P1, P2(b) after P1",
    );
}

#[test]
fn from_each_to_all_without_a_list_a_report_that_was_sent_is_enough_for_a_regular_end() {
    check(
        &each(),
        steps![0 => flow(), 1 => report("a", "DELIVERED"), 2 => policy(), 3 => delivered(phase_1()),
               4 => delivered(phase_2("a")), 2000 => timer()],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: P2(a) to crm after P1, by #1: u [a DELIVERED]
         3: P1 delivered by attempt 1
         4: P2(a) delivered by attempt 1
         2000: complete
         2000: ended
         2000: marker of 28 until 2500
         = marker of 28 until 2500",
    );
}

#[test]
fn from_each_to_all_with_a_list_only_the_rest_is_sent() {
    check(
        &each(),
        steps![0 => flow_of("a b"), 1 => report("a", "DELIVERED"), 2 => policy(),
               3 => report("b", "FAILED")],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: P2(a) to crm after P1, by #1: u [a DELIVERED]
         3: report b FAILED
         3: P2(b) to crm after P1, by #3: u [b FAILED]
         3: complete
         = complete: a sent, b sent; P1 at 0, P2(a) after P1, P2(b) after P1",
    );
}

#[test]
fn from_all_to_each_the_next_report_schedules_all_waiting_ones() {
    check(
        &policy(),
        steps![0 => flow_of("a b c"), 1 => report("a", "DELIVERED"), 2 => each(),
               3 => report("b", "FAILED"), 4 => delivered(phase_1()), 5 => delivered(phase_2("a"))],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         3: report b FAILED
         3: P2(a) to crm after P1, by #1: u [a DELIVERED]
         3: P2(b) to crm after P1, by #3: u [b FAILED]
         4: P1 delivered by attempt 1
         5: P2(a) delivered by attempt 1
         = collecting until 2000: a sent, b sent; P2(b) at 4",
    );
}

#[test]
fn deliveries_that_were_scheduled_in_strict_order_keep_it() {
    let mut independent = each();
    independent.correlation.phase2_order = Phase2Order::Independent;
    check(
        &each(),
        steps![0 => flow_of("a b"), 1 => report("a", "DELIVERED"), 2 => independent,
               3 => report("b", "DELIVERED"), 4 => delivered(phase_1())],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: P2(a) to crm after P1, by #1: u [a DELIVERED]
         3: report b DELIVERED
         3: P2(b) to crm at 3, by #3: u [b DELIVERED]
         3: complete
         4: P1 delivered by attempt 1
         = complete: a sent, b sent; P2(a) at 4, P2(b) at 3",
    );
}

//! Outcomes of deliveries: delivered, retried, or dead letter.

use super::{
    HistoryStep, check, delivered, delivered_at_attempt, failed, final_failure, flow, flow_of,
    outcome, phase_1, phase_2, policy, report, steps, timer, uuid,
};
use crate::domain::{
    Class, Command, DeadLetterReason, Delivery, DeliveryId, Due, ErrorReason, Event, Outcome,
    Policy, State, Timestamp, Verdict, WebhookName, WebhookPolicy, decide, evolve,
};
use bytes::Bytes;

#[test]
fn a_failed_attempt_is_retried_by_the_schedule_until_attempts_max() {
    check(
        &policy(),
        steps![0 => flow_of(""), 1 => failed(phase_1(), 1), 11 => failed(phase_1(), 2),
               31 => failed(phase_1(), 3)],
        "0: flow, phase 1 only
         0: P1 to crm at 0, by #0: flow K
         1: P1 attempt 1 failed, next at 11
         11: P1 attempt 2 failed, next at 31
         31: P1 attempt 3 failed, the last
         31: dead letter of P1: attempts_exhausted after 3
         31: ended
         31: marker of 28 until 531
         = marker of 28 until 531",
    );
}

fn age_max(ms: u64) -> Policy {
    let mut policy = policy();
    policy.webhook_defaults.age_max_ms = ms;
    policy
}

#[test]
fn a_delivery_whose_next_attempt_would_exceed_the_age_becomes_a_dead_letter() {
    check(
        &age_max(100),
        steps![0 => flow_of(""), 90 => failed(phase_1(), 1), 100 => failed(phase_1(), 2)],
        "0: flow, phase 1 only
         0: P1 to crm at 0, by #0: flow K
         90: P1 attempt 1 failed, next at 100
         100: P1 attempt 2 failed, the last
         100: dead letter of P1: age_exceeded after 2
         100: ended
         100: marker of 28 until 600
         = marker of 28 until 600",
    );
}

#[test]
fn the_last_attempt_may_still_succeed() {
    check(
        &policy(),
        steps![0 => flow_of(""), 1 => failed(phase_1(), 1), 11 => failed(phase_1(), 2),
               31 => delivered_at_attempt(phase_1(), 3)],
        "0: flow, phase 1 only
         0: P1 to crm at 0, by #0: flow K
         1: P1 attempt 1 failed, next at 11
         11: P1 attempt 2 failed, next at 31
         31: P1 delivered by attempt 3
         31: ended
         31: marker of 28 until 531
         = marker of 28 until 531",
    );
}

#[test]
fn a_configured_webhook_has_its_own_limits_and_a_removed_one_the_defaults() {
    let mut once = policy();
    let own = WebhookPolicy { attempts_max: 1, ..once.webhook_defaults.clone() };
    once.webhooks.insert(WebhookName::new("crm").unwrap(), own);
    check(
        &once,
        steps![0 => flow(), 1 => failed(phase_1(), 1)],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 attempt 1 failed, the last
         1: dead letter of P1: attempts_exhausted after 1
         = collecting until 2000",
    );
}

#[test]
fn a_final_outcome_makes_a_dead_letter_at_once_with_its_reason() {
    for (reason, word) in [
        (ErrorReason::Refused, "refused"),
        (ErrorReason::AuthenticationFailure, "refused"),
        (ErrorReason::Timeout, "refused"),
        (ErrorReason::Unreachable, "refused"),
        (ErrorReason::BlockedAddress, "blocked_address"),
        (ErrorReason::InvalidRequest, "invalid_request"),
        (ErrorReason::InvalidFlowVar, "invalid_flow_var"),
        (ErrorReason::InvalidResponse, "invalid_response"),
        (ErrorReason::InvalidResponseMap, "invalid_response_map"),
    ] {
        let then = format!(
            "0: flow, collecting until 2000
             0: P1 to crm at 0, by #0: flow K
             1: P1 attempt 1 failed, the last
             1: dead letter of P1: {word} after 1
             = collecting until 2000"
        );
        check(&policy(), steps![0 => flow(), 1 => final_failure(phase_1(), 1, reason)], &then);
    }
}

#[test]
fn a_dead_letter_without_an_attempt_ends_the_correlation_like_any_other() {
    let disabled =
        || Command::GiveUp { delivery: phase_1(), reason: DeadLetterReason::EndpointDisabled };
    check(
        &policy(),
        steps![0 => flow_of(""), 1 => failed(phase_1(), 1), 5 => disabled(), 6 => disabled()],
        "0: flow, phase 1 only
         0: P1 to crm at 0, by #0: flow K
         1: P1 attempt 1 failed, next at 11
         5: dead letter of P1: endpoint_disabled after 1
         5: ended
         5: marker of 28 until 505
         6: nothing
         = marker of 28 until 505",
    );
}

#[test]
fn an_outcome_is_stale_if_it_is_known_or_skips_an_attempt_or_has_no_delivery() {
    check(
        &policy(),
        steps![0 => flow_of("a"), 1 => failed(phase_1(), 1), 2 => failed(phase_1(), 1),
               3 => failed(phase_1(), 3), 4 => delivered(phase_1()), 5 => failed(phase_1(), 0),
               6 => delivered(DeliveryId::from_bytes([7; 16])), 7 => delivered(phase_2("a")),
               11 => delivered_at_attempt(phase_1(), 2), 12 => delivered_at_attempt(phase_1(), 2),
               13 => delivered_at_attempt(phase_1(), 3)],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 attempt 1 failed, next at 11
         2: nothing
         3: nothing
         4: nothing
         5: nothing
         6: nothing
         7: nothing
         11: P1 delivered by attempt 2
         12: nothing
         13: nothing
         = collecting until 2000",
    );
}

#[test]
fn a_retry_of_phase_1_does_not_free_phase_2() {
    check(
        &policy(),
        steps![0 => flow_of("a"), 1 => report("a", "DELIVERED"), 2 => failed(phase_1(), 1),
               12 => delivered_at_attempt(phase_1(), 2), 13 => failed(phase_2("a"), 1)],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: P2(a) to crm after P1, by #1: u [a DELIVERED]
         1: complete
         2: P1 attempt 1 failed, next at 12
         12: P1 delivered by attempt 2
         13: P2(a) attempt 1 failed, next at 23
         = complete: a sent; P2(a) at 23 after 1",
    );
}

#[test]
fn a_timer_that_fires_when_nothing_is_due_does_nothing() {
    check(&policy(), steps![0 => timer()], "0: nothing\n= unknown");
    let waits_for_deliveries: [(i64, HistoryStep); 3] =
        [(0, flow_of("a").into()), (1, report("a", "DELIVERED").into()), (9000, timer().into())];
    check(
        &policy(),
        waits_for_deliveries,
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: report a DELIVERED
         1: P2(a) to crm after P1, by #1: u [a DELIVERED]
         1: complete
         9000: nothing
         = complete: a sent; P1 at 0, P2(a) after P1",
    );
}

#[test]
fn the_row_and_the_dead_letter_record_the_attempts_and_the_row_keeps_only_the_start_of_an_answer() {
    let given = policy();
    let long = Bytes::from(vec![b'x'; 5000]);
    let mut state = State::default();
    let mut play = |at: i64, command: Command| -> (Vec<Event>, State) {
        let events = decide(&state, &command, &given, Timestamp::from_ms(at));
        state = events.iter().fold(state.clone(), evolve);
        (events, state.clone())
    };
    let answer = |attempt, verdict| Command::RecordOutcome {
        delivery: phase_1(),
        attempt,
        outcome: crate::domain::Outcome { response: long.clone(), ..outcome(verdict, None) },
    };
    play(0, Command::AcceptFlow(Box::new(flow()), super::source(0)));
    play(5, answer(1, Verdict::Retry));
    let (_, state) = play(15, answer(2, Verdict::Retry));
    let row = state.delivery(phase_1()).unwrap();
    assert_eq!((row.attempts, row.due), (2, Due::At(Timestamp::from_ms(35))));
    assert_eq!(row.first_attempt_at, Some(Timestamp::from_ms(5)));
    assert_eq!(row.last_attempt_at, Some(Timestamp::from_ms(15)));
    let kept = row.last_outcome.as_ref().unwrap();
    assert_eq!((kept.response.len(), kept.response_truncated), (1024, true));
    let (events, _) = play(35, answer(3, Verdict::GiveUp));
    let [Event::AttemptFailed { .. }, Event::DeadLettered { delivery, .. }] = events.as_slice()
    else {
        panic!("{events:?} for {}", uuid());
    };
    assert_eq!(delivery.attempts, 3);
    assert_eq!(delivery.first_attempt_at, Some(Timestamp::from_ms(5)));
    assert_eq!(delivery.last_attempt_at, Some(Timestamp::from_ms(35)));
    assert_eq!(delivery.last_outcome.as_ref().map(|o| o.response.len()), Some(5000));
}

#[test]
fn a_delivery_is_a_retry_from_its_first_failure_on() {
    let mut state = State::default();
    let accept = Command::AcceptFlow(Box::new(flow_of("")), super::source(0));
    let mut classes = Vec::new();
    for (at, command) in [accept, failed(phase_1(), 1), failed(phase_1(), 2)].iter().enumerate() {
        let at = Timestamp::from_ms(i64::try_from(at).unwrap());
        let events = decide(&state, command, &policy(), at);
        state = events.iter().fold(state, evolve);
        classes.extend(state.deliveries.iter().map(Delivery::class));
    }
    assert_eq!(classes, [Class::First, Class::Retry, Class::Retry]);
}

#[test]
fn a_pause_is_not_stored_because_the_due_time_contains_it() {
    let asks = Outcome { retry_after_ms: Some(5), ..outcome(Verdict::Retry, None) };
    assert_eq!(asks.stored(), outcome(Verdict::Retry, None));
}

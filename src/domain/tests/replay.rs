//! Replays: the delivery of a dead letter is sent again.

use super::{
    HistoryStep, check, correlation, delivered, failed, final_failure, flow, flow_of, phase_1,
    phase_2, policy, report, source, steps, timer,
};
use crate::domain::{
    Command, Delivery, DeliveryId, Due, ErrorReason, Event, Phase, Phase2Order, State, Timestamp,
    Verdict, WebhookName, decide,
};
use bytes::Bytes;

/// Returns the dead letter of a delivery that was replayed `replays` times.
fn letter(id: DeliveryId, phase: Phase, replays: u32) -> Delivery {
    Delivery {
        rendering: crate::domain::Rendering::Fixed,
        sms: Default::default(),
        id,
        phase,
        account: super::OURS,
        webhook: WebhookName::new("crm").unwrap(),
        body: Bytes::from_static(b"as it was"),
        source: source(0),
        scheduled_at: Timestamp::from_ms(0),
        due: Due::At(Timestamp::from_ms(0)),
        attempts: 3,
        replays,
        first_attempt_at: Some(Timestamp::from_ms(1)),
        last_attempt_at: Some(Timestamp::from_ms(2)),
        last_outcome: None,
    }
}

fn replay(id: DeliveryId, phase: Phase, replays: u32) -> HistoryStep {
    HistoryStep::Do(Command::Replay(Box::new(letter(id, phase, replays))))
}

fn replay_1(replays: u32) -> HistoryStep {
    replay(phase_1(), Phase::One, replays)
}

#[test]
fn a_replay_has_all_attempts_and_the_full_age_again() {
    check(
        &policy(),
        steps![0 => flow_of(""), 1 => final_failure(phase_1(), 1, ErrorReason::Refused),
               20_000 => replay_1(0), 20_001 => failed(phase_1(), 1),
               20_011 => failed(phase_1(), 2), 20_031 => failed(phase_1(), 3),
               30_000 => replay_1(1), 30_001 => delivered(phase_1())],
        "0: flow, phase 1 only
         0: P1 to crm at 0, by #0: flow K
         1: P1 attempt 1 failed, the last
         1: dead letter of P1: refused after 1
         1: ended
         1: marker of 28 until 501
         20000: P1 replayed, at 20000, life 2
         20001: P1 attempt 1 failed, next at 20011
         20011: P1 attempt 2 failed, next at 20031
         20031: P1 attempt 3 failed, the last
         20031: dead letter of P1: attempts_exhausted after 3
         30000: P1 replayed, at 30000, life 3
         30001: P1 delivered by attempt 1
         = marker of 28 until 501",
    );
}

#[test]
fn a_replay_of_a_delivery_in_the_outbox_changes_nothing() {
    check(
        &policy(),
        steps![0 => flow_of(""), 1 => replay_1(0), 2 => failed(phase_1(), 1), 3 => replay_1(0),
               12 => final_failure(phase_1(), 2, ErrorReason::Refused), 13 => replay_1(0),
               14 => replay_1(0)],
        "0: flow, phase 1 only
         0: P1 to crm at 0, by #0: flow K
         1: nothing
         2: P1 attempt 1 failed, next at 12
         3: nothing
         12: P1 attempt 2 failed, the last
         12: dead letter of P1: refused after 2
         12: ended
         12: marker of 28 until 512
         13: P1 replayed, at 13, life 2
         14: nothing
         = marker of 28 until 512; P1 at 13",
    );
}

#[test]
fn a_replayed_phase_2_waits_for_a_replayed_phase_1() {
    check(
        &policy(),
        steps![0 => flow_of("a"), 1 => final_failure(phase_1(), 1, ErrorReason::Refused),
               2 => report("a", "DELIVERED"), 3 => final_failure(phase_2("a"), 1, ErrorReason::Refused),
               10 => replay_1(0), 11 => replay(phase_2("a"), Phase::Two, 0),
               12 => delivered(phase_1()), 13 => delivered(phase_2("a"))],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 attempt 1 failed, the last
         1: dead letter of P1: refused after 1
         2: report a DELIVERED
         2: P2(a) to crm at 2, by #2: u [a DELIVERED]
         2: complete
         3: P2(a) attempt 1 failed, the last
         3: dead letter of P2(a): refused after 1
         3: ended
         3: marker of 28 until 503
         10: P1 replayed, at 10, life 2
         11: P2(a) replayed, after P1, life 2
         12: P1 delivered by attempt 1
         13: P2(a) delivered by attempt 1
         = marker of 28 until 503",
    );
}

#[test]
fn a_later_phase_2_waits_for_a_replayed_phase_1_and_the_end_waits_for_both() {
    check(
        &policy(),
        steps![0 => flow_of("a"), 1 => final_failure(phase_1(), 1, ErrorReason::Refused),
               2 => replay_1(0), 3 => report("a", "DELIVERED"), 4 => delivered(phase_1()),
               5 => delivered(phase_2("a"))],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         1: P1 attempt 1 failed, the last
         1: dead letter of P1: refused after 1
         2: P1 replayed, at 2, life 2
         3: report a DELIVERED
         3: P2(a) to crm after P1, by #3: u [a DELIVERED]
         3: complete
         4: P1 delivered by attempt 1
         5: P2(a) delivered by attempt 1
         5: ended
         5: marker of 28 until 505
         = marker of 28 until 505",
    );
}

/// The uuid is forgotten, and its flow comes again while the replay is in flight. One webhook is sent, not two.
#[test]
fn a_flow_that_comes_again_after_its_marker_expired_does_not_repeat_its_replay() {
    check(
        &policy(),
        steps![0 => flow_of(""), 1 => final_failure(phase_1(), 1, ErrorReason::Refused),
               501 => timer(), 600 => replay_1(0), 601 => flow(), 602 => delivered(phase_1())],
        "0: flow, phase 1 only
         0: P1 to crm at 0, by #0: flow K
         1: P1 attempt 1 failed, the last
         1: dead letter of P1: refused after 1
         1: ended
         1: marker of 28 until 501
         501: forgotten
         600: P1 replayed, at 600, life 2
         601: flow, collecting until 2601
         602: P1 delivered by attempt 1
         = collecting until 2601",
    );
}

#[test]
fn a_replayed_phase_2_does_not_wait_if_the_order_is_independent() {
    check(
        &correlation(|c| c.phase2_order = Phase2Order::Independent),
        steps![0 => flow_of("a"), 2 => report("a", "DELIVERED"),
               3 => final_failure(phase_2("a"), 1, ErrorReason::Refused),
               11 => replay(phase_2("a"), Phase::Two, 0)],
        "0: flow, collecting until 2000
         0: P1 to crm at 0, by #0: flow K
         2: report a DELIVERED
         2: P2(a) to crm at 2, by #1: u [a DELIVERED]
         2: complete
         3: P2(a) attempt 1 failed, the last
         3: dead letter of P2(a): refused after 1
         11: P2(a) replayed, at 11, life 2
         = complete: a sent; P1 at 0, P2(a) at 11",
    );
}

#[test]
fn a_replay_contains_nothing_from_earlier_attempts() {
    let last_outcome = Some(super::outcome(Verdict::GiveUp, Some(ErrorReason::Refused)).into());
    let former = Delivery { last_outcome, ..letter(phase_1(), Phase::One, 0) };
    let command = Command::Replay(Box::new(former.clone()));
    let at = Timestamp::from_ms(20_000);
    let fresh = Delivery {
        scheduled_at: at,
        due: Due::At(at),
        attempts: 0,
        replays: 1,
        first_attempt_at: None,
        last_attempt_at: None,
        last_outcome: None,
        ..former
    };
    let events = decide(&State::default(), &command, &policy(), at);
    assert_eq!(events, [Event::Replayed { delivery: Box::new(fresh) }]);
}

//! The state of an endpoint: failures, pauses, and whether it is disabled.

use super::{outcome, policy};
use crate::domain::{
    DeliveryId, DisableCause, Disabled, EndpointCommand, EndpointEvent, EndpointState, ErrorReason,
    Outcome, RetrySchedule, Timestamp, Verdict, apply_command, decide_endpoint, evolve_endpoint,
    hold_ms, merge_endpoints,
};

fn failed(status: u16) -> Outcome {
    let verdict = if status == 410 { Verdict::GiveUp } else { Verdict::Retry };
    Outcome { status: Some(status), ..outcome(verdict, Some(ErrorReason::Refused)) }
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn delivered() -> Outcome {
    outcome(Verdict::Delivered, None)
}

/// An endpoint and the outcomes of its attempts.
#[derive(Default)]
struct Scene {
    state: EndpointState,
    delivered_at: Option<Timestamp>,
}

impl Scene {
    fn handle(&mut self, command: EndpointCommand<'_>, now: i64) -> Vec<EndpointEvent> {
        let policy = policy();
        let events =
            decide_endpoint(&self.state, command, &policy.webhook_defaults, || None, at(now));
        self.state = events.iter().fold(self.state, evolve_endpoint);
        events
    }

    fn ends(&mut self, outcome: &Outcome, now: i64) -> Vec<EndpointEvent> {
        let delivered_at = self.delivered_at;
        let (delivery, attempt) = (DeliveryId::from_bytes([7; 16]), 1);
        self.handle(
            EndpointCommand::RecordOutcome { delivery, attempt, outcome, delivered_at },
            now,
        )
    }
}

#[test]
fn a_success_resets_the_state_of_a_failing_endpoint() {
    let mut scene = Scene::default();
    assert_eq!(scene.ends(&delivered(), 1), []);
    assert_eq!(scene.ends(&failed(500), 2), [EndpointEvent::Failing { since: at(2) }]);
    assert_eq!(scene.ends(&failed(500), 3), []);
    assert_eq!(scene.ends(&delivered(), 4), [EndpointEvent::Recovered { held_until: None }]);
    assert_eq!(scene.state, EndpointState::default());
}

#[test]
fn failures_without_a_success_for_disable_after_disable_an_endpoint() {
    let mut scene = Scene::default();
    let _ = scene.ends(&failed(500), 1000);
    assert_eq!(scene.ends(&failed(500), 5999), []);
    let disabled = Disabled { at: at(6000), cause: DisableCause::Failing };
    let event = EndpointEvent::Disabled { disabled, failing_since: Some(at(1000)) };
    assert_eq!(scene.ends(&failed(500), 6000), [event]);
    assert_eq!(scene.ends(&failed(500), 7000), [], "the event is written once");
    assert_eq!(scene.ends(&delivered(), 7001), [], "only an operator enables the endpoint");
    assert_eq!(scene.state.disabled, Some(disabled));
    assert_eq!(scene.handle(EndpointCommand::Enable, 8000), [EndpointEvent::Enabled]);
    assert_eq!(scene.state, EndpointState::default());
    assert_eq!(scene.handle(EndpointCommand::Enable, 8001), []);
}

#[test]
fn a_success_in_another_partition_counts() {
    let mut scene = Scene::default();
    let _ = scene.ends(&failed(500), 1000);
    scene.delivered_at = Some(at(4000));
    assert_eq!(scene.ends(&failed(500), 6000), [EndpointEvent::Failing { since: at(6000) }]);
    assert_eq!(scene.state.disabled, None);
    scene.delivered_at = Some(at(6000));
    assert_eq!(
        scene.ends(&failed(500), 6001),
        [],
        "the last success is not later than the first failure"
    );
}

#[test]
fn a_410_disables_an_endpoint_at_once_and_other_partitions_once() {
    let mut scene = Scene::default();
    let events = scene.ends(&failed(410), 10);
    let disabled = Disabled { at: at(10), cause: DisableCause::Gone };
    assert_eq!(
        events,
        [
            EndpointEvent::Failing { since: at(10) },
            EndpointEvent::Disabled { disabled, failing_since: Some(at(10)) },
        ]
    );
    let mut other = Scene::default();
    let disable = EndpointCommand::Disable(disabled);
    assert_eq!(other.handle(disable, 11), [EndpointEvent::DisabledElsewhere(disabled)]);
    assert_eq!(other.handle(disable, 12), []);
    assert_eq!(other.state.disabled, Some(disabled));
}

#[test]
fn a_requested_pause_is_limited_and_never_shortened() {
    let mut scene = Scene::default();
    let asks = |ms| Outcome { retry_after_ms: Some(ms), ..failed(429) };
    assert!(scene.ends(&asks(600), 0).contains(&EndpointEvent::Held { until: at(600) }));
    assert_eq!(scene.ends(&asks(100), 1), []);
    assert_eq!(scene.ends(&asks(9_999_999), 2), [EndpointEvent::Held { until: at(1002) }]);
    assert_eq!(scene.ends(&Outcome { retry_after_ms: Some(9000), ..failed(500) }, 3), []);
    // The endpoint may still accept a request that left before it asked for the pause.
    let held_until = Some(at(1002));
    assert_eq!(scene.ends(&delivered(), 4), [EndpointEvent::Recovered { held_until }]);
    assert_eq!(scene.state.held_until, Some(at(1002)));
    assert_eq!(scene.ends(&delivered(), 2000), [EndpointEvent::Recovered { held_until: None }]);
    assert_eq!(scene.state, EndpointState::default(), "a pause that is over is removed");
}

#[test]
fn requests_that_the_daemon_refuses_do_not_count_against_the_endpoint() {
    let mut scene = Scene::default();
    for reason in
        [ErrorReason::BlockedAddress, ErrorReason::InvalidRequest, ErrorReason::InvalidFlowVar]
    {
        let refused = outcome(Verdict::GiveUp, Some(reason));
        assert_eq!(scene.ends(&refused, 1), []);
    }
}

#[test]
fn only_a_410_means_that_an_endpoint_is_gone() {
    let mut scene = Scene::default();
    let missing = Outcome { verdict: Verdict::GiveUp, ..failed(404) };
    assert_eq!(scene.ends(&missing, 1), [EndpointEvent::Failing { since: at(1) }]);
}

#[test]
fn only_answers_that_lead_to_a_retry_can_ask_for_a_pause() {
    let mut scene = Scene::default();
    let asks = |status| Outcome { retry_after_ms: Some(600), ..failed(status) };
    let refuses = Outcome { verdict: Verdict::GiveUp, ..asks(429) };
    assert_eq!(scene.ends(&refuses, 0), [EndpointEvent::Failing { since: at(0) }]);
    assert_eq!(scene.ends(&asks(503), 1), [EndpointEvent::Held { until: at(601) }]);
    assert_eq!(scene.ends(&asks(429), 1), [], "the pause lasts until then already");
}

#[test]
fn a_pause_is_over_at_its_end_time() {
    let mut scene = Scene::default();
    let _ = scene.ends(&Outcome { retry_after_ms: Some(600), ..failed(429) }, 0);
    assert_eq!(scene.ends(&delivered(), 600), [EndpointEvent::Recovered { held_until: None }]);
}

#[test]
fn a_disabled_endpoint_has_no_pause_and_keeps_the_time_of_its_first_failure() {
    let mut scene = Scene::default();
    let asks = || Outcome { retry_after_ms: Some(600), ..failed(503) };
    let _ = scene.ends(&asks(), 0);
    let disabled = Disabled { at: at(5000), cause: DisableCause::Failing };
    let event = EndpointEvent::Disabled { disabled, failing_since: Some(at(0)) };
    assert_eq!(scene.ends(&asks(), 5000), [event]);
    let state = EndpointState {
        failing_since: Some(at(0)),
        disabled: Some(disabled),
        ..EndpointState::default()
    };
    assert_eq!(scene.state, state);
}

#[test]
fn enabling_an_endpoint_also_ends_its_pause() {
    let mut scene = Scene::default();
    let _ = scene.ends(&Outcome { retry_after_ms: Some(600), ..failed(429) }, 0);
    assert_eq!(scene.handle(EndpointCommand::Enable, 1), [EndpointEvent::Enabled]);
    assert_eq!(scene.state, EndpointState::default());
}

#[test]
fn a_429_without_a_time_pauses_the_endpoint_for_the_deliverys_own_interval() {
    for without in [None, Some(0)] {
        let busy = |status| Outcome { retry_after_ms: without, ..failed(status) };
        let mut scene = Scene::default();
        let held = EndpointEvent::Held { until: at(10) };
        assert_eq!(scene.ends(&busy(429), 0), [EndpointEvent::Failing { since: at(0) }, held]);
        let mut scene = Scene::default();
        // The endpoint may be busy or broken. Its lane decides after several such answers.
        assert_eq!(scene.ends(&busy(503), 0), [EndpointEvent::Failing { since: at(0) }]);
    }
}

#[test]
fn the_interval_of_an_old_delivery_pauses_the_endpoint_for_at_most_one_minute() {
    let retry = RetrySchedule { intervals_ms: vec![10, 3_600_000], randomization_factor: 0.0 };
    let delivery = DeliveryId::from_bytes([7; 16]);
    let held = |attempt| hold_ms(&failed(429), &retry, delivery, attempt);
    assert_eq!([1, 2, 9].map(held), [Some(10), Some(60_000), Some(60_000)]);
}

#[test]
fn a_token_server_can_ask_for_a_pause_too() {
    let reason = Some(ErrorReason::AuthenticationFailure);
    let busy = Outcome { retry_after_ms: Some(600), ..outcome(Verdict::Retry, reason) };
    let mut scene = Scene::default();
    assert!(scene.ends(&busy, 0).contains(&EndpointEvent::Held { until: at(600) }));
    let refused = outcome(Verdict::Retry, reason);
    assert_eq!(scene.ends(&refused, 1), []);
}

#[test]
fn an_endpoint_is_disabled_by_what_it_asks_for_with_any_status() {
    let at_5 = Disabled { at: at(5), cause: DisableCause::Gone };
    let asks = |outcome| Outcome { disables: true, ..outcome };
    let mut scene = Scene::default();
    let disabled = |failing_since| EndpointEvent::Disabled { disabled: at_5, failing_since };
    assert_eq!(scene.ends(&asks(delivered()), 5), [disabled(None)]);
    assert_eq!(scene.ends(&asks(delivered()), 6), []);
    assert_eq!(scene.state.disabled, Some(at_5));
    let mut scene = Scene::default();
    let given_up = Outcome { verdict: Verdict::GiveUp, ..failed(500) };
    assert!(scene.ends(&asks(given_up), 5).contains(&disabled(Some(at(5)))));
    // A 410 that is retried does not disable the endpoint.
    let mut scene = Scene::default();
    let retried = Outcome { verdict: Verdict::Retry, ..failed(410) };
    let _ = scene.ends(&retried, 5);
    assert_eq!(scene.state.disabled, None);
}

#[test]
fn one_state_for_other_partitions_disables_no_endpoint_and_enables_none() {
    let of = |failing: Option<i64>, held: Option<i64>, disabled: Option<i64>| EndpointState {
        failing_since: failing.map(at),
        held_until: held.map(at),
        disabled: disabled.map(|ms| Disabled { at: at(ms), cause: DisableCause::Failing }),
        ..EndpointState::default()
    };
    let healthy = EndpointState::default();
    assert_eq!(merge_endpoints([]), healthy);
    assert_eq!(merge_endpoints([healthy, healthy]), healthy);
    for (one, other, merged) in [
        (of(Some(1), None, None), healthy, of(Some(1), None, None)),
        // The time until it is disabled becomes longer and never shorter.
        (of(Some(1), None, None), of(Some(5), None, None), of(Some(5), None, None)),
        (of(None, Some(7), None), of(None, Some(9), None), of(None, Some(9), None)),
        (of(None, None, Some(3)), healthy, of(None, None, Some(3))),
        (of(None, None, Some(3)), of(None, None, Some(2)), of(None, None, Some(2))),
        // A pause of a disabled endpoint means nothing.
        (of(Some(1), Some(7), None), of(None, None, Some(3)), of(Some(1), None, Some(3))),
    ] {
        assert_eq!(merge_endpoints([one, other]), merged);
        assert_eq!(merge_endpoints([other, one]), merged);
    }
}

#[test]
fn an_order_is_decided_without_a_policy_as_with_one() {
    let disabled = Disabled { at: at(3), cause: DisableCause::Gone };
    let policy = policy();
    let states = [
        EndpointState::default(),
        EndpointState { failing_since: Some(at(1)), ..EndpointState::default() },
        EndpointState { disabled: Some(disabled), ..EndpointState::default() },
    ];
    for state in states {
        for order in [EndpointCommand::Enable, EndpointCommand::Disable(disabled)] {
            let decided = decide_endpoint(&state, order, &policy.webhook_defaults, || None, at(9));
            assert_eq!(apply_command(&state, order).into_iter().collect::<Vec<_>>(), decided);
        }
    }
}

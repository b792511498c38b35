//! Notices to the owner of an endpoint: what a partition reports, and what the partition that decides sends.

use super::{outcome, policy, source};
use crate::domain::{
    AccountId, Command, Delivery, DeliveryId, DisableCause, Disabled, EndpointCommand,
    EndpointEvent, EndpointState, ErrorReason, Finding, FindingKind, NOTICE_INTERVAL_MS,
    NoticePolicy, Outcome, Phase, State, Timestamp, Verdict, WebhookName, decide, decide_endpoint,
    evolve, evolve_endpoint, merge_endpoints, notice_delivery_id, notices_id,
};
use bytes::Bytes;

const MINUTE: i64 = 60_000;
const HOUR: i64 = NOTICE_INTERVAL_MS.cast_signed();

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn wanted() -> NoticePolicy {
    let webhook = WebhookName::new("ops").unwrap();
    NoticePolicy { webhook, after_ms: 600_000, dead_letters: 3 }
}

fn failed(status: u16) -> Outcome {
    let verdict = if status == 410 { Verdict::GiveUp } else { Verdict::Retry };
    Outcome { status: Some(status), ..outcome(verdict, Some(ErrorReason::Refused)) }
}

fn busy(retry_after_ms: u64) -> Outcome {
    Outcome { retry_after_ms: Some(retry_after_ms), ..failed(503) }
}

fn delivered() -> Outcome {
    outcome(Verdict::Delivered, None)
}

/// A delivery succeeded again.
const RECOVERED: Finding = Finding::Recovered { enabled: false };
/// An operator has enabled the endpoint.
const ENABLED: Finding = Finding::Recovered { enabled: true };

/// An endpoint in one partition.
#[derive(Default)]
struct Partition {
    state: EndpointState,
    delivered_at: Option<Timestamp>,
}

impl Partition {
    fn handle(&mut self, command: EndpointCommand<'_>, now: i64) -> Vec<EndpointEvent> {
        let (mut policy, wanted) = (policy(), wanted());
        policy.webhook_defaults.retry_after_max_ms = 86_400_000;
        policy.webhook_defaults.disable_after_ms = 5 * NOTICE_INTERVAL_MS;
        let events = decide_endpoint(
            &self.state,
            command,
            &policy.webhook_defaults,
            || Some(&wanted),
            at(now),
        );
        self.state = events.iter().fold(self.state, evolve_endpoint);
        events
    }

    /// Returns the finding that the partition reports after an attempt.
    fn ends(&mut self, outcome: &Outcome, now: i64) -> Option<Finding> {
        let delivered_at = self.delivered_at;
        let (delivery, attempt) = (DeliveryId::from_bytes([7; 16]), 1);
        let command = EndpointCommand::RecordOutcome { delivery, attempt, outcome, delivered_at };
        reported(&self.handle(command, now))
    }

    /// Returns the notice that a reported finding causes, and when it is due.
    fn takes(&mut self, finding: Finding, now: i64) -> Option<(Finding, i64)> {
        let events = self.handle(EndpointCommand::Report(finding), now);
        events.iter().find_map(|event| {
            let EndpointEvent::NoticeDue { finding, due } = event else { return None };
            Some((*finding, due.as_ms()))
        })
    }
}

fn reported(events: &[EndpointEvent]) -> Option<Finding> {
    events.iter().find_map(|event| {
        let EndpointEvent::Reported { finding, .. } = event else { return None };
        Some(*finding)
    })
}

#[test]
fn a_partition_reports_a_failure_that_lasts_repeats_it_and_reports_its_end_once() {
    let mut partition = Partition::default();
    let since = at(MINUTE);
    assert_eq!(partition.ends(&failed(500), MINUTE), None);
    assert_eq!(partition.ends(&failed(500), 10 * MINUTE), None, "not yet for ten minutes");
    assert_eq!(partition.ends(&failed(500), 11 * MINUTE), Some(Finding::Failing { since }));
    assert_eq!(partition.ends(&failed(500), 12 * MINUTE), None, "just reported");
    assert_eq!(partition.ends(&failed(500), 16 * MINUTE), Some(Finding::Failing { since }));
    assert_eq!(partition.ends(&delivered(), 17 * MINUTE), Some(RECOVERED));
    assert_eq!(partition.ends(&delivered(), 18 * MINUTE), None);
    assert_eq!(partition.state, EndpointState::default());
}

#[test]
fn a_short_failure_is_no_finding() {
    let mut partition = Partition::default();
    assert_eq!(partition.ends(&failed(500), 0), None);
    assert_eq!(partition.ends(&delivered(), 9 * MINUTE), None);
    assert_eq!(partition.ends(&failed(500), 10 * MINUTE), None);
}

#[test]
fn a_success_in_another_partition_ends_a_reported_failure() {
    let mut partition = Partition::default();
    partition.ends(&failed(500), 0);
    assert!(partition.ends(&failed(500), 10 * MINUTE).is_some());
    partition.delivered_at = Some(at(11 * MINUTE));
    assert_eq!(partition.ends(&failed(500), 12 * MINUTE), Some(RECOVERED));
    assert_eq!(partition.ends(&failed(500), 21 * MINUTE), None, "it fails for nine minutes");
    let since = at(12 * MINUTE);
    assert_eq!(partition.ends(&failed(500), 22 * MINUTE), Some(Finding::Failing { since }));
}

#[test]
fn a_long_pause_and_one_pause_after_another_are_reported_as_held() {
    let mut partition = Partition::default();
    let until = at(20 * MINUTE);
    let long = busy(20 * MINUTE.cast_unsigned());
    assert_eq!(partition.ends(&long, 0), Some(Finding::Held { until }));

    let mut partition = Partition::default();
    let short = busy(MINUTE.cast_unsigned());
    for minute in 0..10 {
        assert_eq!(partition.ends(&short, minute * MINUTE), None);
    }
    let until = at(11 * MINUTE);
    assert_eq!(partition.ends(&short, 10 * MINUTE), Some(Finding::Held { until }));
    // Another kind of finding does not wait.
    let since = at(0);
    assert_eq!(partition.ends(&failed(500), 12 * MINUTE), Some(Finding::Failing { since }));
}

#[test]
fn only_the_partition_that_disables_an_endpoint_reports_it_and_the_end_comes_from_the_operator() {
    let (mut finder, mut other) = (Partition::default(), Partition::default());
    let disabled = Disabled { at: at(5), cause: DisableCause::Gone };
    let finding = Finding::Disabled { at: disabled.at, cause: disabled.cause };
    assert_eq!(finder.ends(&failed(410), 5), Some(finding));
    assert_eq!(finder.ends(&failed(410), HOUR), None, "it is disabled already");
    assert_eq!(reported(&other.handle(EndpointCommand::Disable(disabled), 6)), None);
    let enabled = finder.handle(EndpointCommand::Enable, 2 * HOUR);
    assert_eq!(reported(&enabled), Some(ENABLED));
    assert_eq!(reported(&other.handle(EndpointCommand::Enable, 2 * HOUR)), None);
    assert_eq!(finder.state, EndpointState::default());
}

#[test]
fn an_account_without_notices_gets_no_findings() {
    let policy = policy();
    let (mut state, outcome) = (EndpointState::default(), failed(410));
    let (delivery, attempt) = (DeliveryId::from_bytes([7; 16]), 1);
    let command =
        EndpointCommand::RecordOutcome { delivery, attempt, outcome: &outcome, delivered_at: None };
    let found = decide_endpoint(&state, command, &policy.webhook_defaults, || None, at(5));
    assert_eq!(reported(&found), None);
    state = found.iter().fold(state, evolve_endpoint);
    assert!(state.disabled.is_some());
    let report = EndpointCommand::Report(RECOVERED);
    assert_eq!(decide_endpoint(&state, report, &policy.webhook_defaults, || None, at(6)), []);
}

#[test]
fn of_each_kind_there_is_at_most_one_notice_per_hour() {
    let mut owner = Partition::default();
    let failing = Finding::Failing { since: at(0) };
    let held = Finding::Held { until: at(9 * HOUR) };
    assert_eq!(owner.takes(failing, 1), Some((failing, 1)));
    assert_eq!(owner.takes(failing, HOUR), None, "from another partition");
    assert_eq!(owner.takes(held, 2), Some((held, 2)), "another kind");
    assert_eq!(owner.takes(failing, HOUR + 1), Some((failing, HOUR + 1)), "it still fails");
}

#[test]
fn the_end_of_a_failure_is_sent_once_and_never_left_out() {
    let mut owner = Partition::default();
    let failing = Finding::Failing { since: at(0) };
    assert_eq!(owner.takes(RECOVERED, 0), None, "the owner knows of no failure");
    assert!(owner.takes(failing, 1).is_some());
    assert_eq!(owner.takes(RECOVERED, 2), Some((RECOVERED, 2)));
    assert_eq!(owner.takes(RECOVERED, 3), None, "from another partition");
    assert!(owner.takes(failing, HOUR + 1).is_some());
    assert_eq!(owner.takes(RECOVERED, HOUR + 3), Some((RECOVERED, HOUR + 3)));
    assert!(owner.takes(failing, 2 * HOUR + 1).is_some());
    let an_hour_after_the_last = Some((RECOVERED, 2 * HOUR + 3));
    assert_eq!(owner.takes(RECOVERED, 2 * HOUR + 2), an_hour_after_the_last);
}

#[test]
fn an_endpoint_that_is_disabled_again_within_an_hour_gets_its_notice_later_and_then_the_end() {
    let mut owner = Partition::default();
    let disabled = |ms| Finding::Disabled { at: at(ms), cause: DisableCause::Gone };
    assert_eq!(owner.takes(disabled(1), 1), Some((disabled(1), 1)));
    assert_eq!(owner.takes(disabled(2), 2), None, "two partitions disabled it at once");
    assert_eq!(owner.takes(Finding::Failing { since: at(0) }, 3), None, "the owner knows why");
    assert_eq!(owner.takes(RECOVERED, 4), None, "it was answered before");
    assert_eq!(owner.takes(ENABLED, 10), Some((ENABLED, 10)));
    assert_eq!(owner.takes(disabled(20), 20), Some((disabled(20), HOUR + 1)));
    assert_eq!(owner.takes(ENABLED, 30), Some((ENABLED, HOUR + 10)));
    assert_eq!(owner.state.notices.open, None::<FindingKind>);
}

#[test]
fn dead_letters_are_counted_within_an_hour_up_to_the_threshold() {
    let mut owner = Partition::default();
    let letters = Finding::DeadLetters;
    assert_eq!(owner.takes(letters(2), 0), None);
    assert_eq!(owner.takes(letters(1), HOUR), None, "the first two are too old");
    assert_eq!(owner.takes(letters(4), HOUR + 1), Some((letters(5), HOUR + 1)));
    let later = Some((letters(9), 2 * HOUR + 1));
    assert_eq!(owner.takes(letters(9), HOUR + 2), later, "an hour after the last notice");
    assert_eq!(owner.takes(letters(5), HOUR + 3), None, "a notice waits");
    assert_eq!(owner.takes(letters(1), 2 * HOUR + 1), Some((letters(6), 3 * HOUR + 1)));
    assert_eq!(owner.state.notices.letters, None);
}

#[test]
fn an_operator_who_enables_an_endpoint_does_not_make_the_notices_forgotten() {
    let mut owner = Partition::default();
    let disabled = Disabled { at: at(1), cause: DisableCause::Gone };
    let finding = Finding::Disabled { at: disabled.at, cause: disabled.cause };
    assert!(owner.takes(finding, 1).is_some());
    owner.handle(EndpointCommand::Disable(disabled), 2);
    owner.handle(EndpointCommand::Enable, 3);
    assert_eq!(owner.state.notices.disabled, Some(at(1)));
    assert_eq!(owner.handle(EndpointCommand::Enable, 4), [], "it is enabled already");
}

#[test]
fn a_notice_is_scheduled_once_and_leaves_nothing_behind() {
    let webhook = WebhookName::new("crm").unwrap();
    let (id, source) = (notices_id(&webhook).unwrap(), source(7));
    let delivery = Delivery::new(
        notice_delivery_id(&id, &source),
        Phase::Rule,
        AccountId(28),
        WebhookName::new("ops").unwrap(),
        Bytes::from_static(b"{}"),
        source,
        at(5),
    );
    let notify = Command::Notify(Box::new(delivery.clone()));
    let events = decide(&State::default(), &notify, &policy(), at(5));
    let state = events.iter().fold(State::default(), evolve);
    assert_eq!(state.deliveries, std::slice::from_ref(&delivery));
    assert_eq!(decide(&state, &notify, &policy(), at(6)), [], "the record came again");
    let outcome =
        Command::RecordOutcome { delivery: delivery.id, attempt: 1, outcome: delivered() };
    let events = decide(&state, &outcome, &policy(), at(7));
    let state = events.iter().fold(state, evolve);
    assert!(state.is_empty(), "{state:?}");
}

#[test]
fn other_partitions_get_the_notices_of_the_one_that_decided_last_and_the_newest_report() {
    let (mut owner, mut former) = (Partition::default(), Partition::default());
    let failing = Finding::Failing { since: at(0) };
    assert!(former.takes(failing, 1).is_some());
    assert!(owner.takes(failing, 2).is_some());
    assert!(owner.takes(RECOVERED, 3).is_some());
    former.ends(&failed(410), 4);
    let states = [Partition::default().state, former.state, owner.state];
    for states in [states, [states[2], states[1], states[0]]] {
        let merged = merge_endpoints(states);
        assert_eq!(merged.notices, owner.state.notices);
        assert_eq!(merged.reported, former.state.reported);
    }
    // Dead letters that are counted are newer than any notice.
    assert!(former.takes(Finding::DeadLetters(1), 5).is_none());
    let merged = merge_endpoints([former.state, owner.state]);
    assert_eq!(merged.notices, former.state.notices);
}

#[test]
fn single_refusals_do_not_show_that_an_endpoint_fails_and_a_retried_failure_does() {
    let mut partition = Partition::default();
    let refused = Outcome { verdict: Verdict::GiveUp, ..failed(400) };
    assert_eq!(partition.ends(&refused, 0), None);
    assert_eq!(partition.ends(&refused, HOUR), None, "others may have been delivered");
    let since = at(0);
    assert_eq!(partition.ends(&failed(500), HOUR + 1), Some(Finding::Failing { since }));
}

#[test]
fn an_operator_who_enables_a_failing_endpoint_does_not_end_its_failure() {
    let mut partition = Partition::default();
    partition.ends(&failed(500), 0);
    assert!(partition.ends(&failed(500), 10 * MINUTE).is_some());
    let events = partition.handle(EndpointCommand::Enable, 11 * MINUTE);
    assert_eq!(events, [EndpointEvent::Enabled]);
    assert_eq!(partition.ends(&failed(500), 12 * MINUTE), None, "it has not answered yet");
    assert_eq!(partition.ends(&delivered(), 13 * MINUTE), Some(RECOVERED));
    assert_eq!(partition.ends(&delivered(), 14 * MINUTE), None);
}

#[test]
fn a_long_pause_is_reported_although_another_partition_has_delivered() {
    let mut partition = Partition::default();
    partition.ends(&failed(500), 0);
    assert!(partition.ends(&failed(500), 10 * MINUTE).is_some());
    partition.delivered_at = Some(at(11 * MINUTE));
    let until = at(72 * MINUTE);
    let long = busy((60 * MINUTE).cast_unsigned());
    assert_eq!(partition.ends(&long, 12 * MINUTE), Some(Finding::Held { until }));
}

#[test]
fn an_endpoint_of_an_account_that_wants_no_notices_any_more_leaves_no_row() {
    let mut partition = Partition::default();
    partition.ends(&failed(500), 0);
    assert!(partition.ends(&failed(500), 10 * MINUTE).is_some());
    let (delivery, attempt) = (DeliveryId::from_bytes([7; 16]), 1);
    let (outcome, policy) = (delivered(), policy());
    let command =
        EndpointCommand::RecordOutcome { delivery, attempt, outcome: &outcome, delivered_at: None };
    let (state, policy) = (partition.state, &policy.webhook_defaults);
    let events = decide_endpoint(&state, command, policy, || None, at(11 * MINUTE));
    assert_eq!(events.iter().fold(state, evolve_endpoint), EndpointState::default());
}

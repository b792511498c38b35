//! The state of a uuid never exceeds one row. A record that would make it larger becomes a dead letter, whole, and
//! changes nothing.
//!
//! `src/codec/row/tests/size.rs` compares the bounds with the rows themselves.

use super::{
    account, delivered, flow, flow_of, outcome, phase_1, policy, report, sms, source, timer,
};
use crate::domain::{
    Command, DeadLetterReason, Delivery, DeliveryId, DeliveryReport, Due, Event, FlowComplete,
    OnReportTimeout, Phase, Phase2Wait, Policy, REPORTS_BYTES_MAX, STATE_BYTES_MAX, SmsId, State,
    Timestamp, Verdict, WebhookName, decide, evolve,
};
use bytes::Bytes;

const MIB: usize = 1 << 20;

fn blob(length: usize) -> Bytes {
    Bytes::from(vec![b' '; length])
}

fn flow_command(flow: FlowComplete) -> Command {
    Command::AcceptFlow(Box::new(flow), source(0))
}

fn report_command(report: DeliveryReport) -> Command {
    Command::AcceptReport(Box::new(report), source(0))
}

/// A state after some commands.
#[derive(Clone, Default)]
struct Met(State);

impl Met {
    fn meet(&mut self, command: &Command, policy: &Policy, at: i64) -> Vec<Event> {
        let events = decide(&self.0, command, policy, Timestamp::from_ms(at));
        self.0 = events.iter().fold(std::mem::take(&mut self.0), evolve);
        events
    }

    fn is_taken(&mut self, command: &Command, policy: &Policy) {
        let events = self.meet(command, policy, 0);
        let dead_lettered = |event: &Event| matches!(event, Event::RecordDeadLettered { .. });
        assert!(
            !events.is_empty() && !events.iter().any(dead_lettered),
            "the record is not accepted"
        );
    }

    /// Asserts that the record becomes a dead letter whose detail says what the operator should do.
    fn is_not_taken(&mut self, command: &Command, policy: &Policy, limit: usize) {
        let before = self.0.clone();
        let events = self.meet(command, policy, 0);
        let [Event::RecordDeadLettered { record, reason, detail }] = events.as_slice() else {
            panic!("unexpected number of events: {}", events.len())
        };
        assert_eq!(*reason, DeadLetterReason::Undecodable);
        assert!(detail.contains("replay it") && detail.contains(&limit.to_string()), "{detail}");
        assert!(self.0 == before, "the state has changed");
        if let Command::AcceptReport(report, _) = command {
            let whole = report.raw.as_ref().or(Some(&report.body));
            assert!(record.payload.as_ref() == whole, "the dead letter differs from the record");
        }
    }

    fn room(&self) -> usize {
        STATE_BYTES_MAX - self.0.bytes_max()
    }
}

#[test]
fn reports_of_one_uuid_are_limited_to_4_mib_before_and_after_its_flow() {
    let of =
        |id, length| report_command(DeliveryReport { body: blob(length), ..report(id, "SENT") });
    for flow_first in [false, true] {
        let mut met = Met::default();
        if flow_first {
            met.is_taken(&flow_command(flow()), &policy());
        }
        met.is_taken(&of("a", REPORTS_BYTES_MAX), &policy());
        met.is_not_taken(&of("b", 1), &policy(), REPORTS_BYTES_MAX);
        // A newer report replaces the one before.
        let newer = DeliveryReport { body: blob(MIB), ..report("a", "QUEUED") };
        met.is_taken(&report_command(newer), &policy());
        met.is_taken(&of("b", REPORTS_BYTES_MAX - MIB), &policy());
        met.is_not_taken(&of("c", 1), &policy(), REPORTS_BYTES_MAX);
    }
}

#[test]
fn reports_wait_in_their_raw_form_until_the_row_is_full() {
    let of = |id, length| {
        report_command(DeliveryReport { raw: Some(blob(length)), ..report(id, "DELIVERED") })
    };
    let mut met = Met::default();
    for id in ["a", "b", "c", "d", "e"] {
        met.is_taken(&of(id, 3 * MIB), &policy());
    }
    let mut full = met.clone();
    full.is_taken(&of("f", 0), &policy());
    let room = full.room();
    met.is_not_taken(&of("f", room + 1), &policy(), STATE_BYTES_MAX);
    met.is_taken(&of("f", room), &policy());
    assert_eq!(met.0.bytes_max(), STATE_BYTES_MAX);
    // Once the flow is known, reports never become dead letters, so that their raw form is dropped.
    met.is_taken(&flow_command(flow()), &policy());
    assert!(met.room() > 14 * MIB);
}

fn attached(wait: Phase2Wait, on_report_timeout: OnReportTimeout) -> Policy {
    let mut policy = account(|account| account.attach_flow_keys = true);
    policy.correlation.phase2_wait = wait;
    policy.correlation.on_report_timeout = on_report_timeout;
    policy
}

const SMS: usize = 40;

/// Returns a flow with [`SMS`] SMS and a body of 2 MiB, of which `length` bytes are keys.
fn with_keys(length: usize) -> FlowComplete {
    let list = (0..SMS).map(|number| sms(&number.to_string())).collect();
    FlowComplete { sms: Some(list), body: blob(2 * MIB), keys: 0..length, ..flow() }
}

/// Returns the length of the largest keys that fit into the row after `met`.
fn keys_max(met: &Met, policy: &Policy) -> usize {
    let mut without = met.clone();
    without.is_taken(&flow_command(with_keys(0)), policy);
    // The keys count once in the flow, and once in each delivery.
    without.room() / (SMS + 1)
}

#[test]
fn keys_count_once_per_sms_and_all_webhooks_of_a_full_row_are_sent_at_the_time_out() {
    let policy = attached(Phase2Wait::Each, OnReportTimeout::Notify);
    let mut met = Met::default();
    let keys = keys_max(&met, &policy);
    met.is_not_taken(&flow_command(with_keys(keys + 1)), &policy, STATE_BYTES_MAX);
    met.is_taken(&flow_command(with_keys(keys)), &policy);
    assert!(met.room() <= SMS, "one more byte of keys would fit");
    // A report can still be accepted, but no large one.
    let large = DeliveryReport { body: blob(MIB), ..report("0", "DELIVERED") };
    met.is_not_taken(&report_command(large), &policy, STATE_BYTES_MAX);
    let before = met.0.bytes_max();
    let events = met.meet(&timer(), &policy, 2000);
    let scheduled = |event: &&Event| matches!(event, Event::DeliveryScheduled { .. });
    assert_eq!(events.iter().filter(scheduled).count(), SMS);
    assert!(met.0.deliveries.iter().skip(1).all(|delivery| delivery.body.len() > keys));
    let after = met.0.bytes_max();
    assert!(after <= before && after > 12 * MIB, "{after}");
}

#[test]
fn attempts_do_not_raise_the_bound_of_the_row() {
    let mut met = Met::default();
    met.is_taken(&flow_command(flow_of("a")), &policy());
    let before = met.0.bytes_max();
    let mut failed = outcome(Verdict::Retry, None);
    failed.response = blob(64 << 10);
    failed.error = Some("é".repeat(64 << 10).into());
    let command = Command::RecordOutcome { delivery: phase_1(), attempt: 1, outcome: failed };
    met.meet(&command, &policy(), 1);
    let stored = met.0.deliveries[0].last_outcome.clone().expect("the outcome is stored");
    assert_eq!((stored.response.len(), stored.error.unwrap().len()), (1024, 1024));
    assert_eq!(met.0.bytes_max(), before);
}

#[test]
fn a_flow_that_does_not_fit_does_not_change_the_reports_that_wait_for_it() {
    let policy = attached(Phase2Wait::Each, OnReportTimeout::End);
    let mut met = Met::default();
    for number in 0..SMS {
        met.is_taken(&report_command(report(&number.to_string(), "DELIVERED")), &policy);
    }
    let keys = keys_max(&Met::default(), &policy);
    met.is_not_taken(&flow_command(with_keys(keys)), &policy, STATE_BYTES_MAX);
    // The reports themselves take less than 1 KiB each.
    met.is_taken(&flow_command(with_keys(keys - 1024)), &policy);
    assert_eq!(met.0.deliveries.len(), SMS + 1, "phase 1 and all of phase 2");
    assert!(met.0.bytes_max() <= STATE_BYTES_MAX);
}

/// A flow that was accepted under one configuration still fits under another.
#[test]
fn a_flow_that_was_accepted_under_all_still_fits_under_each() {
    let policy = attached(Phase2Wait::All, OnReportTimeout::End);
    let mut met = Met::default();
    let keys = keys_max(&met, &policy);
    met.is_not_taken(&flow_command(with_keys(keys + 1)), &policy, STATE_BYTES_MAX);
    met.is_taken(&flow_command(with_keys(keys)), &policy);
    let policy = attached(Phase2Wait::Each, OnReportTimeout::Notify);
    met.meet(&timer(), &policy, 2000);
    assert_eq!(met.0.deliveries.len(), SMS + 1);
    assert!(met.0.bytes_max() <= STATE_BYTES_MAX);
}

/// A flow without attached keys, whose reports make up 4 MiB in one webhook.
#[test]
fn large_reports_of_a_large_flow_fit_into_one_webhook() {
    let mut met = Met::default();
    let large = FlowComplete { body: blob(4 * MIB), keys: 0..4 * MIB, ..flow_of("a b") };
    met.is_taken(&flow_command(large), &policy());
    for id in ["a", "b"] {
        let half = DeliveryReport { body: blob(2 * MIB), ..report(id, "DELIVERED") };
        met.is_taken(&report_command(half), &policy());
    }
    assert_eq!(met.0.deliveries.len(), 2);
}

fn letter(number: u8, length: usize) -> Command {
    let id = DeliveryId::derive(&super::uuid(), 2, &[SmsId::new(&number.to_string()).unwrap()]);
    Command::Replay(Box::new(Delivery {
        rendering: crate::domain::Rendering::Fixed,
        sms: Default::default(),
        id,
        phase: Phase::Two,
        account: super::OURS,
        webhook: WebhookName::new("crm").unwrap(),
        body: blob(length),
        source: source(0),
        scheduled_at: Timestamp::from_ms(0),
        due: Due::At(Timestamp::from_ms(0)),
        attempts: 3,
        replays: 1,
        first_attempt_at: None,
        last_attempt_at: None,
        last_outcome: None,
    }))
}

#[test]
fn a_replay_without_room_becomes_a_newer_dead_letter_and_succeeds_once_there_is_room() {
    let mut met = Met::default();
    for number in 0..3 {
        met.is_taken(&letter(number, 4 * MIB), &policy());
    }
    let mut full = met.clone();
    full.is_taken(&letter(3, 0), &policy());
    let room = full.room();
    let before = met.0.clone();
    let events = met.meet(&letter(3, room + 1), &policy(), 5);
    let [Event::Replayed { delivery: begun }, Event::DeadLettered { delivery, reason, .. }] =
        events.as_slice()
    else {
        panic!("unexpected number of events: {}", events.len())
    };
    assert_eq!((*reason, delivery.replays), (DeadLetterReason::InvalidRequest, 2));
    assert!(
        begun == delivery && delivery.body.len() == room + 1,
        "the dead letter contains the whole delivery"
    );
    assert!(met.0 == before, "the state has changed");
    full = met.clone();
    full.is_taken(&letter(3, room), &policy());
    assert_eq!(full.room(), 0);
    let first = met.0.deliveries[0].id;
    met.meet(&delivered(first), &policy(), 6);
    met.is_taken(&letter(3, room + 1), &policy());
    assert_eq!(met.0.deliveries.len(), 3);
}

//! Tests of how many rows a lane gets, and when the intake waits for it.

use super::{Abandoned, Downstream, LeaseLimits, Outbox, key};
use crate::delivery::{Attempted, Demand, Job, LaneState, Obstacle, Ready, Unsettled};
use crate::domain::{
    AccountId, Class, Correlation, DeadLetterReason, Delivery, DeliveryId, DisableCause, Disabled,
    Due, EndpointState, Outcome, Phase, PhononUuid, Source, State, Timestamp, Verdict, WebhookName,
};
use crate::engine::intake::{Bundle, Intake};
use crate::store::{Backlogs, Checkpoint, DueKey, Rocks, Store, WriteBack};
use crate::telemetry::{OutboxState, WebhookLoad};
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

const IN_FLIGHT_MAX: usize = 4;
const AHEAD: usize = 100;
const AGE_MAX_MS: u64 = 1000;
const DEMAND: Demand =
    Demand::Jobs { first: IN_FLIGHT_MAX, retry: IN_FLIGHT_MAX, most: usize::MAX };

fn outcome(verdict: Verdict) -> Outcome {
    Outcome {
        verdict,
        status: None,
        duration_ms: 1,
        response: Bytes::new(),
        response_truncated: false,
        retry_after_ms: None,
        disables: false,
        mapped: Default::default(),
        reason: None,
        error: None,
    }
}

/// Partitions and lanes that keep the jobs they get.
struct Taken<'a> {
    rows: &'a WriteBack,
    demand: Demand,
    is_short: bool,
    jobs: RefCell<Vec<Job>>,
}

impl Downstream for Taken<'_> {
    type Family = Rocks;

    fn rows(&self, _: i32) -> Option<&WriteBack> {
        Some(self.rows)
    }

    fn start_attempts(&self, _: &WebhookName) -> Demand {
        self.demand
    }

    fn age_max_ms(&self, _: &WebhookName) -> u64 {
        AGE_MAX_MS
    }

    fn is_short(&self) -> bool {
        self.is_short
    }

    fn push(&self, _: &WebhookName, jobs: Vec<Job>) {
        self.jobs.borrow_mut().extend(jobs);
    }
}

/// One lane with due rows.
struct Scene {
    _directory: tempfile::TempDir,
    rows: WriteBack,
    outbox: Outbox,
    is_short: bool,
}

impl Scene {
    fn new(count: u32) -> Self {
        Self::holding(count, 0, 1 << 20)
    }

    /// Creates `count` rows of deliveries with this number of attempts. At most `bytes` may be leased.
    fn holding(count: u32, attempts: u32, bytes: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let partition = Store::open(directory.path()).unwrap().partition(0).unwrap();
        let backlogs = Backlogs::new();
        let mut rows = WriteBack::new(partition, Checkpoint::default(), &backlogs, BTreeMap::new());
        let mut outbox = Outbox::new(LeaseLimits { bytes, ahead: AHEAD }, false);
        let source = Source {
            topic: "t".into(),
            partition: 0,
            offset: 0,
            timestamp: Timestamp::default(),
            index: None,
            trace: None,
        };
        let delivery = |n: u32| Delivery {
            rendering: crate::domain::Rendering::Fixed,
            sms: Default::default(),
            id: DeliveryId::from_bytes(u128::from(n).to_be_bytes()),
            phase: Phase::Two,
            account: AccountId(28),
            webhook: WebhookName::new("crm").unwrap(),
            body: Bytes::from_static(b"{}"),
            source: source.clone(),
            scheduled_at: Timestamp::default(),
            due: Due::At(Timestamp::default()),
            attempts,
            replays: 0,
            first_attempt_at: None,
            last_attempt_at: None,
            last_outcome: None,
        };
        let state = State {
            correlation: Correlation::Ended {
                account: AccountId(28),
                until: Timestamp::from_ms(9),
            },
            deliveries: (0..count).map(delivery).collect(),
            ..State::default()
        };
        outbox.change(0, &State::default(), &state);
        rows.put(&PhononUuid::new(&format!("u-{attempts}")).unwrap(), &State::default(), state, 10);
        Self { _directory: directory, rows, outbox, is_short: false }
    }

    /// Returns the load of the only webhook at `now`, if it has rows.
    fn load(&mut self, lane: LaneState, now: i64) -> Option<WebhookLoad> {
        let lanes = [(WebhookName::new("crm").unwrap(), lane)].into();
        let loads = self.outbox.loads(&lanes, |_| true, Timestamp::from_ms(now));
        assert!(loads.len() <= 1, "{loads:?}");
        loads.into_iter().next()
    }

    fn dispatch(&mut self) -> Vec<Job> {
        let (jobs, abandoned) = self.dispatch_to(DEMAND, 1);
        assert_eq!(abandoned.len(), 0);
        jobs
    }

    fn dispatch_to(&mut self, demand: Demand, now: i64) -> (Vec<Job>, Vec<Abandoned>) {
        let downstream =
            Taken { rows: &self.rows, demand, is_short: self.is_short, jobs: RefCell::default() };
        let abandoned = self.outbox.dispatch(Timestamp::from_ms(now), &downstream).unwrap();
        (downstream.jobs.into_inner(), abandoned)
    }

    /// Adds a row of a delivery with this number of attempts.
    fn add(&mut self, id: u128, attempts: u32) {
        let former = self.rows.state(&PhononUuid::new("u-1").unwrap()).unwrap();
        let mut state =
            State { correlation: Correlation::Unknown, deliveries: Vec::new(), ..State::default() };
        let id = DeliveryId::from_bytes(id.to_be_bytes());
        state.deliveries.push(Delivery { id, attempts, ..former.deliveries[0].clone() });
        self.outbox.change(0, &State::default(), &state);
        self.rows.put(&PhononUuid::new("other").unwrap(), &State::default(), state, 10);
    }

    /// Ends the jobs with this verdict, and commits their outcomes.
    fn end(&mut self, jobs: Vec<Job>, verdict: Verdict) -> usize {
        let ended =
            |job| Attempted { job, outcome: outcome(verdict), unsettled: Unsettled::default() };
        let ended: Vec<Attempted> = jobs.into_iter().map(ended).collect();
        let delivered = self.outbox.ended(&ended, Timestamp::from_ms(1));
        for Attempted { job, .. } in &ended {
            self.outbox.release(0, &job.webhook, key(job));
        }
        delivered
    }
}

#[test]
fn a_hanging_lane_gets_its_concurrency_twice_and_a_failing_lane_does_not_slow_the_intake() {
    let mut scene = Scene::new(1500);
    let mut jobs = scene.dispatch();
    assert_eq!(jobs.len(), 2 * IN_FLIGHT_MAX);
    assert!(scene.dispatch().is_empty());
    for _ in 0..10 {
        assert_eq!(scene.end(jobs, Verdict::Retry), 0);
        assert!(!scene.outbox.is_behind());
        jobs = scene.dispatch();
    }
    assert_eq!(jobs.len(), IN_FLIGHT_MAX + AHEAD);
}

#[test]
fn a_fast_lane_runs_ahead_and_the_intake_waits_while_it_is_behind() {
    let mut scene = Scene::new(1500);
    let mut intake = Intake::default();
    let mut handed = 0;
    for _ in 0..20 {
        let jobs = scene.dispatch();
        handed += jobs.len();
        let more = jobs.len() == IN_FLIGHT_MAX + AHEAD;
        let delivered = scene.end(jobs, Verdict::Delivered);
        if more {
            break;
        }
        intake.allow(delivered, &scene.outbox);
    }
    let jobs = scene.dispatch();
    assert_eq!(jobs.len(), IN_FLIGHT_MAX + AHEAD, "after {handed} jobs it has the largest lead");
    assert!(scene.outbox.is_behind());
    let bundle = |records| Bundle { epoch: 1, records, bytes: 7 };
    intake.push(bundle(Vec::new()));
    intake.allow(0, &scene.outbox);
    assert!(intake.next().is_none(), "nothing was delivered, so nothing is taken");
    intake.allow(100, &scene.outbox);
    assert!(intake.next().is_some());
    intake.push(bundle(Vec::new()));
    assert_eq!(intake.clear(), 7, "the dropped bytes are returned to the budget");
}

fn reasons(abandoned: &[Abandoned]) -> Vec<DeadLetterReason> {
    abandoned.iter().map(|row| row.reason).collect()
}

#[test]
fn rows_of_a_disabled_endpoint_become_dead_letters_and_are_not_handed_out() {
    let mut scene = Scene::new(5);
    let disabled = Disabled { at: Timestamp::default(), cause: DisableCause::Gone };
    let endpoint = EndpointState { disabled: Some(disabled), ..EndpointState::default() };
    scene.rows.put_endpoint(&WebhookName::new("crm").unwrap(), endpoint);
    let (jobs, abandoned) = scene.dispatch_to(DEMAND, 1);
    assert!(jobs.is_empty());
    assert_eq!(reasons(&abandoned), [DeadLetterReason::EndpointDisabled; 5]);
    assert!(scene.dispatch_to(DEMAND, 1).1.is_empty(), "each becomes a dead letter once");
}

#[test]
fn a_held_lane_is_looked_at_when_the_hold_ends() {
    let mut scene = Scene::new(5);
    let held = Demand::Held(Duration::from_millis(500));
    let (jobs, abandoned) = scene.dispatch_to(held, 1);
    assert_eq!((jobs.len(), abandoned.len()), (0, 0));
    assert_eq!(scene.outbox.next_due(), Some(Timestamp::from_ms(502)));
    assert_eq!(scene.dispatch_to(DEMAND, 500).0.len(), 0);
    assert_eq!(scene.dispatch_to(DEMAND, 502).0.len(), 5);
}

#[test]
fn a_retry_that_is_too_old_becomes_a_dead_letter_and_a_first_attempt_is_made_at_any_age() {
    let late = i64::try_from(AGE_MAX_MS).unwrap() + 1;
    let mut retries = Scene::holding(3, 1, 1 << 20);
    let (jobs, abandoned) = retries.dispatch_to(DEMAND, late);
    assert_eq!((jobs.len(), reasons(&abandoned)), (0, vec![DeadLetterReason::AgeExceeded; 3]));
    let mut first = Scene::new(3);
    let (jobs, abandoned) = first.dispatch_to(DEMAND, late);
    assert_eq!((jobs.len(), abandoned.len()), (3, 0));
    let mut short = Scene::holding(3, 1, 1 << 20);
    short.is_short = true;
    let (jobs, abandoned) = short.dispatch_to(DEMAND, late);
    assert_eq!((jobs.len(), abandoned.len()), (3, 0), "the daemon could not attempt them earlier");
}

#[test]
fn rows_without_a_configured_webhook_wait_until_they_are_too_old() {
    let mut scene = Scene::new(3);
    let (jobs, abandoned) = scene.dispatch_to(Demand::Unconfigured, 500);
    assert_eq!((jobs.len(), abandoned.len()), (0, 0));
    let over = i64::try_from(AGE_MAX_MS).unwrap() + 1;
    assert_eq!(scene.outbox.next_due(), Some(Timestamp::from_ms(over)));
    let (_, abandoned) = scene.dispatch_to(Demand::Unconfigured, over);
    assert_eq!(reasons(&abandoned), [DeadLetterReason::AgeExceeded; 3]);
    let mut back = Scene::new(3);
    let _ = back.dispatch_to(Demand::Unconfigured, 500);
    back.outbox.wake_all();
    assert_eq!(back.dispatch_to(DEMAND, 501).0.len(), 3, "the webhook is configured again");
}

#[test]
fn first_attempts_do_not_wait_behind_retries_that_are_due_before_them() {
    let mut scene = Scene::holding(1000, 1, 1 << 20);
    assert!(!scene.dispatch().is_empty());
    assert!(scene.dispatch().is_empty(), "the maximum number of retries is leased");
    scene.add(5000, 0);
    let jobs = scene.dispatch();
    assert_eq!(jobs.iter().map(Job::class).collect::<Vec<_>>(), [Class::First]);
}

#[test]
fn leased_bytes_are_limited_but_each_class_of_a_lane_may_have_one_row() {
    let mut scene = Scene::holding(100, 1, 2000);
    let jobs = scene.dispatch();
    assert_eq!(jobs.len(), 3, "about 500 bytes each");
    scene.add(5000, 0);
    let fresh = scene.dispatch();
    assert_eq!(fresh.len(), 1, "beyond the limit");
    assert!(scene.dispatch().is_empty());
    scene.end(jobs, Verdict::Retry);
    assert!(!scene.dispatch().is_empty(), "there is room again");
}

#[test]
fn a_removed_share_that_was_crowded_out_does_not_block_the_next_one() {
    let mut scene = Scene::holding(100, 1, 2000);
    let jobs = scene.dispatch();
    scene.add(5000, 1);
    let key = |n: &str| (WebhookName::new(n).unwrap(), 0, Class::Retry);
    scene.outbox.crowded.extend([key("removed"), key("crm")]);
    scene.outbox.due.clear();
    scene.end(jobs, Verdict::Retry);
    scene.outbox.due.clear();
    assert!(!scene.dispatch().is_empty());
}

#[test]
fn a_lease_ends_only_with_the_outcome_of_its_own_attempt() {
    let mut scene = Scene::new(1);
    let jobs = scene.dispatch();
    let [job] = jobs.as_slice() else { panic!("{} jobs", jobs.len()) };
    let earlier = DueKey { due: Timestamp::from_ms(-5), ..key(job) };
    scene.outbox.release(0, &job.webhook, earlier);
    scene.outbox.put_back(0, &job.webhook, earlier);
    assert_eq!(scene.outbox.counts(), (1, 1), "the outcome of an earlier attempt is late");
    scene.outbox.release(0, &job.webhook, key(job));
    assert_eq!(scene.outbox.counts(), (1, 0));
}

fn ready(due: Option<i64>, takes_more: bool) -> Ready {
    let webhook = WebhookName::new("crm").unwrap();
    Ready { webhook, due: due.map(Timestamp::from_ms), takes_more }
}

#[test]
fn the_oldest_row_counts_while_it_waits_is_leased_or_is_retried() {
    let mut first = Scene::new(1);
    assert_eq!(first.outbox.oldest(), Some(Timestamp::default()), "it waits");
    let jobs = first.dispatch();
    assert_eq!(first.outbox.oldest(), Some(Timestamp::default()), "it is leased");
    let rows = first.rows.state(&PhononUuid::new("u-0").unwrap()).unwrap();
    let mut failed = State::clone(&rows);
    failed.deliveries[0].attempts = 1;
    failed.deliveries[0].due = Due::At(Timestamp::from_ms(50_000));
    first.outbox.change(0, &rows, &failed);
    first.end(jobs, Verdict::Retry);
    let oldest = first.outbox.oldest().unwrap();
    assert!(oldest < Timestamp::from_ms(1000), "it waits for its next attempt: {oldest:?}");
    first.outbox.change(0, &failed, &State::default());
    assert_eq!(first.outbox.oldest(), None, "it is delivered");
}

#[test]
fn rows_are_counted_by_the_reason_for_which_they_wait() {
    let mut scene = Scene::new(5);
    let rows = scene.rows.state(&PhononUuid::new("u-0").unwrap()).unwrap();
    let mut failed = State::clone(&rows);
    for (delivery, due) in failed.deliveries.iter_mut().zip([20_000, 90_000]) {
        delivery.attempts = 1;
        delivery.due = Due::At(Timestamp::from_ms(due));
    }
    scene.outbox.change(0, &rows, &failed);
    let in_flight = LaneState { in_flight: 1, obstacle: None };
    let mut counts = |lane, now| {
        let load = scene.load(lane, now).unwrap();
        (load.rows, load.in_flight, load.later, load.waits_for, load.waiting())
    };
    assert_eq!(counts(in_flight, 0), (5, 1, 2, OutboxState::Due, 2));
    // The first retry is due.
    assert_eq!(counts(in_flight, 32_000), (5, 1, 1, OutboxState::Due, 3));
    // A retry that is in flight is counted once, although its time has not passed.
    let all = LaneState { in_flight: 5, obstacle: None };
    assert_eq!(counts(all, 32_000), (5, 5, 0, OutboxState::Due, 0));
    for (obstacle, state) in [
        (Obstacle::Breaker, OutboxState::Breaker),
        (Obstacle::Hold, OutboxState::Held),
        (Obstacle::RateLimit, OutboxState::RateLimited),
    ] {
        let lane = LaneState { in_flight: 0, obstacle: Some(obstacle) };
        assert_eq!(counts(lane, 32_000), (5, 0, 1, state, 4));
    }
    let loads = scene.outbox.loads(&HashMap::new(), |_| false, Timestamp::from_ms(0));
    assert_eq!(loads[0].waits_for, OutboxState::Held, "the webhook is not configured");
    scene.outbox.change(0, &failed, &State::default());
    assert_eq!(scene.load(in_flight, 24_000), None);
}

#[test]
fn a_row_that_is_held_back_or_not_due_is_not_overdue() {
    let mut scene = Scene::new(3);
    let at = Timestamp::from_ms;
    let since = Some(at(0));
    assert_eq!(scene.outbox.overdue(&[ready(None, true)], at(9)), since);
    assert_eq!(scene.outbox.overdue(&[], at(9)), None, "a breaker or a limit holds its lane");
    assert_eq!(scene.outbox.overdue(&[ready(None, false)], at(9)), None, "a rate paces it");
    assert_eq!(scene.outbox.overdue(&[ready(None, true)], at(-1)), None, "it is not due");
    let jobs = scene.dispatch();
    assert_eq!(jobs.len(), 3);
    assert_eq!(scene.outbox.overdue(&[ready(None, true)], at(9)), None, "all are leased");
    let waits = scene.outbox.overdue(&[ready(Some(5), false)], at(9));
    assert_eq!(waits, Some(at(5)), "one was handed out and lacks a slot");
}

#[test]
fn a_row_after_an_empty_outbox_counts_from_its_own_time() {
    let mut scene = Scene::new(1);
    let former = State::clone(&scene.rows.state(&PhononUuid::new("u-0").unwrap()).unwrap());
    let jobs = scene.dispatch();
    scene.outbox.change(0, &former, &State::default());
    scene.end(jobs, Verdict::Delivered);
    let mut later = former;
    later.deliveries[0].due = Due::At(Timestamp::from_ms(3_600_000));
    scene.outbox.change(0, &State::default(), &later);
    assert_eq!(scene.outbox.oldest(), Some(Timestamp::from_ms(3_600_000)));
}

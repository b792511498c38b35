//! How much a lane is handed, and when the intake waits for it.

use super::{HandLimits, Hands, Outbox};
use crate::delivery::{Appetite, Attempted, Job, Unsettled};
use crate::domain::{
    AccountId, Correlation, Delivery, DeliveryId, Due, Outcome, Phase, PhononUuid, Source, State,
    Timestamp, Verdict, WebhookName,
};
use crate::engine::intake::{Bundle, Intake};
use crate::store::{Backlogs, Checkpoint, Store, WriteBack};
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::BTreeMap;

const IN_FLIGHT_MAX: usize = 4;
const AHEAD: usize = 100;

fn outcome(verdict: Verdict) -> Outcome {
    Outcome {
        verdict,
        status: None,
        duration_ms: 1,
        response: Bytes::new(),
        response_truncated: false,
        retry_after_ms: None,
        reason: None,
        error: None,
    }
}

/// Hands that are always hungry, and keep what they are given.
struct Taken<'a> {
    rows: &'a WriteBack,
    jobs: RefCell<Vec<Job>>,
}

impl Hands for Taken<'_> {
    fn rows(&self, _: u32) -> Option<&WriteBack> {
        Some(self.rows)
    }

    fn appetite(&self, _: &WebhookName) -> Appetite {
        Appetite::Hungry { first: IN_FLIGHT_MAX, retry: IN_FLIGHT_MAX, most: usize::MAX }
    }

    fn age_max_ms(&self, _: &WebhookName) -> u64 {
        1000
    }

    fn push(&self, _: &WebhookName, jobs: Vec<Job>) {
        self.jobs.borrow_mut().extend(jobs);
    }
}

/// One lane with so many rows that are due.
struct Scene {
    _directory: tempfile::TempDir,
    rows: WriteBack,
    outbox: Outbox,
}

impl Scene {
    fn new(count: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let partition = Store::open(directory.path()).unwrap().partition(0).unwrap();
        let backlogs = Backlogs::new();
        let mut rows = WriteBack::new(partition, Checkpoint::default(), &backlogs, BTreeMap::new());
        let mut outbox = Outbox::new(HandLimits { bytes: 1 << 20, ahead: AHEAD });
        let source =
            Source { topic: "t".into(), partition: 0, offset: 0, timestamp: Timestamp::default() };
        let delivery = |n: u32| Delivery {
            id: DeliveryId::from_bytes(u128::from(n).to_be_bytes()),
            phase: Phase::Two,
            account: AccountId(28),
            webhook: WebhookName::new("crm").unwrap(),
            body: Bytes::from_static(b"{}"),
            source: source.clone(),
            scheduled_at: Timestamp::default(),
            due: Due::At(Timestamp::default()),
            attempts: 0,
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
        };
        outbox.change(0, &State::default(), &state);
        rows.put(&PhononUuid::new("u").unwrap(), &State::default(), state, 10);
        Self { _directory: directory, rows, outbox }
    }

    fn dispatch(&mut self) -> Vec<Job> {
        let hands = Taken { rows: &self.rows, jobs: RefCell::default() };
        let doomed = self.outbox.dispatch(Timestamp::from_ms(1), &hands).unwrap();
        assert_eq!(doomed.len(), 0);
        hands.jobs.into_inner()
    }

    /// The jobs end so, and their outcomes are committed.
    fn end(&mut self, jobs: Vec<Job>, verdict: Verdict) -> usize {
        let ended =
            |job| Attempted { job, outcome: outcome(verdict), unsettled: Unsettled::default() };
        let ended: Vec<Attempted> = jobs.into_iter().map(ended).collect();
        let delivered = self.outbox.ended(&ended, Timestamp::from_ms(1));
        for Attempted { job, .. } in &ended {
            self.outbox.release(0, &job.webhook, job.id, job.class());
        }
        delivered
    }
}

#[test]
fn a_lane_that_hangs_gets_its_concurrency_twice_and_one_that_only_fails_holds_nobody_back() {
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
    assert_eq!(jobs.len(), IN_FLIGHT_MAX + AHEAD, "after {handed} it is as far ahead as it may be");
    assert!(scene.outbox.is_behind());
    let bundle = |records| Bundle { epoch: 1, records, bytes: 7 };
    intake.push(bundle(Vec::new()));
    intake.allow(0, &scene.outbox);
    assert!(intake.next().is_none(), "nothing was delivered, and nothing is taken");
    intake.allow(100, &scene.outbox);
    assert!(intake.next().is_some());
    intake.push(bundle(Vec::new()));
    assert_eq!(intake.clear(), 7, "the gate is told of what is dropped");
}

//! Tests of the order and the times at which jobs leave, with a simulated clock.

mod busy;
mod changes;
mod fairness;
mod shortages;
mod starts;
mod states;

use super::{Bound, InstanceLimits, Schedule, Ticket};
use crate::delivery::lane::{Demand, Job};
use crate::delivery::{
    AddressPolicy, Auth, BreakerPolicy, BreakerState, Endpoint, Fingerprint, Limits, PerSecond,
    SuccessCodes, Tls, Trust, Webhook,
};
use crate::domain::{
    AccountId, DeliveryId, ErrorReason, Outcome, Phase, PhononUuid, RetrySchedule, Timestamp,
    Verdict, WebhookName,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const ACCOUNT: AccountId = AccountId(1);

fn number(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn per_second(rate: u32) -> PerSecond {
    PerSecond::new(rate.into()).unwrap()
}

fn name(text: &str) -> WebhookName {
    WebhookName::new(text).unwrap()
}

fn webhook(text: &str, rate: Option<u32>, in_flight_max: u32) -> Webhook {
    Webhook {
        request: None,
        shown: None,
        secrets: Vec::new(),
        written: Fingerprint::new([0; 32]),
        name: name(text),
        account: ACCOUNT,
        url: "https://example.com/".parse().unwrap(),
        method: http::Method::POST,
        auth: Auth::None,
        signing_secrets: Vec::new(),
        signatures: Vec::new(),
        retried: Default::default(),
        body_secrets: None,
        notes: None,
        success: SuccessCodes::default(),
        limits: Limits {
            rate_per_second: rate.map(per_second),
            burst: rate.map(|_| number(1)),
            in_flight_max: number(in_flight_max),
        },
        request_timeout: Duration::from_secs(15),
        connect_timeout: Duration::from_secs(5),
        connection_max_age: Duration::from_secs(300),
        tls: Tls::default(),
        http1_only: false,
        proxy: None,
        response: None,
        breaker: BreakerPolicy {
            failure_ratio: 0.5,
            window: Duration::from_secs(30),
            attempts_min: 4,
            open: Duration::from_secs(30),
        },
        retry: RetrySchedule { intervals_ms: vec![5000, 90_000], randomization_factor: 0.0 },
        retry_after_max: Duration::from_secs(3600),
    }
}

fn endpoint(webhook: Webhook) -> Arc<Endpoint> {
    let trust = Trust::new().unwrap();
    let policy = AddressPolicy::new(std::iter::empty());
    Arc::new(Endpoint::new(Arc::new(webhook), &trust, &policy).unwrap())
}

fn outcome(status: Option<u16>) -> Outcome {
    let delivered = status.is_some_and(|status| status < 300);
    Outcome {
        verdict: if delivered { Verdict::Delivered } else { Verdict::Retry },
        status,
        duration_ms: 1,
        response: Bytes::new(),
        response_truncated: false,
        retry_after_ms: None,
        disables: false,
        mapped: Default::default(),
        reason: match status {
            None => Some(ErrorReason::Timeout),
            Some(_) => (!delivered).then_some(ErrorReason::Refused),
        },
        error: None,
    }
}

/// A schedule and its clock.
struct Scene {
    schedule: Schedule,
    now: Instant,
    jobs: u128,
}

impl Scene {
    fn new(limits: InstanceLimits, webhooks: Vec<Webhook>, account_rate: Option<u32>) -> Self {
        let now = Instant::now();
        let bound = Arc::new(Bound::new(limits.in_flight_max + limits.uncommitted_max));
        let mut schedule = Schedule::new(limits, bound, now);
        let rates: BTreeMap<_, _> =
            account_rate.into_iter().map(|rate| (ACCOUNT, per_second(rate))).collect();
        schedule.configure(webhooks.into_iter().map(endpoint), &rates, now);
        schedule.set_share(1.0, now);
        Self { schedule, now, jobs: 0 }
    }

    fn push(&mut self, webhook: &str, attempt: u32, count: usize) {
        let job = |id: u128| Job {
            rendered: None,
            partition: 0,
            uuid: PhononUuid::new("u").unwrap(),
            id: DeliveryId::from_bytes(id.to_be_bytes()),
            phase: Phase::One,
            attempt,
            body: Bytes::new(),
            webhook: name(webhook),
            due: Timestamp::default(),
            source: None,
        };
        let first = self.jobs;
        self.jobs += count as u128;
        self.schedule.push(&name(webhook), (first..self.jobs).map(job).collect(), self.now);
    }

    fn all(&mut self) -> Vec<Ticket> {
        std::iter::from_fn(|| self.schedule.next(self.now)).collect()
    }

    fn end(&mut self, ticket: &Ticket, outcome: &Outcome) {
        self.schedule.ended(&ticket.ended(), outcome, self.now);
        self.schedule.unsettled.settle();
    }

    /// Answers each attempt at once for `time`. Returns how many attempts of each webhook left.
    fn run(&mut self, time: Duration, status: u16) -> BTreeMap<String, usize> {
        let mut left = BTreeMap::new();
        let end = self.now + time;
        while self.now < end {
            self.schedule.wake(self.now);
            let mut tickets = self.all();
            while let Some(ticket) = tickets.pop() {
                *left.entry(ticket.job.webhook.to_string()).or_default() += 1;
                self.end(&ticket, &outcome(Some(status)));
                tickets.extend(self.all());
            }
            self.now += MS;
        }
        left
    }

    /// Answers attempts until each webhook may have `limit` requests in flight. The first answer asks for a pause, so
    /// that the limit grows from one.
    fn prove(&mut self, webhooks: &[&str], limit: usize) {
        for webhook in webhooks {
            self.push(webhook, 1, 1);
            let ticket = self.all().remove(0);
            self.end(&ticket, &Outcome { retry_after_ms: Some(1), ..outcome(Some(429)) });
            self.now += MS;
            self.push(webhook, 1, 1);
            let mut tickets = self.all();
            while tickets.len() < limit {
                self.push(webhook, 1, 2);
                let ticket = tickets.remove(0);
                self.end(&ticket, &outcome(Some(200)));
                tickets.extend(self.all());
            }
            self.schedule.take_back_of(&name(webhook));
            self.schedule.returned.clear();
            for ticket in tickets {
                self.end(&ticket, &outcome(Some(400)));
            }
        }
    }

    fn demand(&mut self, webhook: &str) -> Demand {
        self.schedule.demand(&name(webhook), self.now)
    }
}

fn limits(in_flight_max: usize) -> InstanceLimits {
    InstanceLimits { in_flight_max, uncommitted_max: 1000, rate_per_second: None }
}

fn of<'a>(tickets: &'a [Ticket], webhook: &str) -> impl Iterator<Item = &'a Ticket> {
    let name = name(webhook);
    tickets.iter().filter(move |ticket| ticket.job.webhook == name)
}

#[test]
fn lanes_take_turns() {
    let webhooks = ["a", "b", "c"].map(|name| webhook(name, None, 100));
    let mut scene = Scene::new(limits(7), webhooks.into(), None);
    scene.prove(&["a", "b", "c"], 4);
    scene.push("a", 1, 50);
    scene.push("b", 1, 50);
    scene.push("c", 1, 50);
    let tickets = scene.all();
    let counts = ["a", "b", "c"].map(|name| of(&tickets, name).count());
    assert_eq!(counts.iter().sum::<usize>(), 7);
    assert!(counts.iter().all(|count| (2..=3).contains(count)), "{counts:?}");
}

#[test]
fn retries_leave_slots_to_first_attempts_of_their_lane_and_of_others() {
    // Retries may use three quarters of each lane's slots, and half of the instance's.
    for (in_flight_max, retries) in [(16, 3 + 3), (8, 4)] {
        let webhooks = ["a", "b", "c"].map(|name| webhook(name, None, 4));
        let mut scene = Scene::new(limits(in_flight_max), webhooks.into(), None);
        scene.prove(&["a", "b", "c"], 4);
        scene.push("a", 2, 100);
        scene.push("b", 2, 100);
        let storm = scene.all();
        assert_eq!(storm.len(), retries);
        scene.push("a", 1, 1);
        scene.push("c", 1, 1);
        let fresh = scene.all();
        assert_eq!((of(&fresh, "a").count(), of(&fresh, "c").count()), (1, 1));
    }
}

#[test]
fn unproven_endpoints_leave_slots_to_healthy_and_new_ones() {
    let doubtful: Vec<String> = (0..60).map(|n| format!("doubtful-{n}")).collect();
    let mut webhooks: Vec<Webhook> = doubtful.iter().map(|name| webhook(name, None, 32)).collect();
    webhooks.extend(["healthy", "new"].map(|name| webhook(name, None, 32)));
    let mut scene = Scene::new(limits(64), webhooks, None);
    scene.prove(&["healthy"], 4);
    for name in &doubtful {
        scene.push(name, 1, 10);
    }
    let mut stuck = scene.all();
    assert_eq!(stuck.len(), 48, "three quarters of the slots, one for each lane");
    scene.push("healthy", 1, 100);
    assert_eq!(scene.all().len(), 4);
    // Slots of endpoints that hang go to endpoints that were not tried yet.
    for _ in 0..20 {
        assert!(stuck.len() <= 48, "with the hanging ones: {}", stuck.len());
        for ticket in std::mem::take(&mut stuck) {
            scene.end(&ticket, &outcome(None));
        }
        stuck = scene.all();
    }
    assert_eq!(stuck.len(), 8, "all are known as hanging");
    scene.push("new", 1, 1);
    assert_eq!(scene.all().len(), 1);
}

#[test]
fn an_open_breaker_returns_waiting_jobs_probes_singly_and_closes() {
    let mut scene = Scene::new(limits(100), vec![webhook("a", None, 8)], None);
    scene.prove(&["a"], 4);
    scene.push("a", 1, 20);
    let mut tickets = scene.all();
    assert_eq!(tickets.len(), 4);
    let mut ended = 0;
    while !tickets.is_empty() {
        let ticket = tickets.remove(0);
        scene.end(&ticket, &outcome(Some(500)));
        ended += 1;
        tickets.extend(scene.all());
    }
    let held_back = scene.schedule.returned.len();
    assert!(held_back > 0 && ended + held_back == 20, "{ended} and {held_back}");
    assert_eq!(std::mem::take(&mut scene.schedule.changes), [(name("a"), BreakerState::Open)]);
    assert_eq!(scene.demand("a"), Demand::Held(Duration::from_secs(30)));
    scene.push("a", 1, 1);
    assert_eq!((scene.all().len(), scene.schedule.returned.len()), (0, held_back + 1));
    scene.now += Duration::from_secs(30);
    assert_eq!(scene.demand("a"), Demand::Jobs { first: 1, retry: 1, most: 1 });
    scene.push("a", 1, 1);
    scene.push("a", 2, 1);
    let probe = scene.all();
    assert_eq!(probe.len(), 1);
    scene.end(&probe[0], &outcome(Some(200)));
    let changes = [(name("a"), BreakerState::HalfOpen), (name("a"), BreakerState::Closed)];
    assert_eq!(std::mem::take(&mut scene.schedule.changes), changes);
    assert_eq!(scene.all().len(), 1, "the other job leaves at once");
}

#[test]
fn refusals_and_429_open_no_breaker() {
    let mut scene = Scene::new(limits(100), vec![webhook("a", None, 8)], None);
    for status in [400, 404, 429].repeat(20) {
        scene.push("a", 1, 1);
        let ticket = scene.all().remove(0);
        scene.end(&ticket, &outcome(Some(status)));
        // A 429 holds the lane for a moment.
        scene.now += Duration::from_millis(5000);
    }
    assert!(scene.schedule.changes.is_empty());
}

/// An outcome without a status comes from a token server that failed or refused.
#[test]
fn a_token_server_that_is_down_opens_the_breaker_and_one_that_refuses_does_not() {
    for (verdict, opens) in [(Verdict::Retry, true), (Verdict::GiveUp, false)] {
        let mut scene = Scene::new(limits(100), vec![webhook("a", None, 8)], None);
        let reason = Some(ErrorReason::AuthenticationFailure);
        let failed = Outcome { verdict, reason, ..outcome(None) };
        for _ in 0..20 {
            scene.push("a", 1, 1);
            // No ticket is left once the breaker is open.
            for ticket in scene.all() {
                scene.end(&ticket, &failed);
            }
        }
        assert_eq!(!scene.schedule.changes.is_empty(), opens, "{verdict:?}");
    }
}

#[test]
fn retry_after_holds_the_whole_lane_and_is_clamped() {
    let mut scene = Scene::new(limits(100), vec![webhook("a", None, 8)], None);
    scene.prove(&["a"], 4);
    scene.push("a", 1, 20);
    let tickets = scene.all();
    let asks = |ms| Outcome { retry_after_ms: Some(ms), ..outcome(Some(429)) };
    scene.end(&tickets[0], &asks(2000));
    assert_eq!(scene.demand("a"), Demand::Held(Duration::from_secs(2)));
    scene.end(&tickets[1], &outcome(Some(200)));
    scene.end(&tickets[2], &asks(1000));
    assert_eq!(scene.demand("a"), Demand::Held(Duration::from_secs(2)), "the longest time applies");
    assert_eq!(scene.schedule.returned.len(), 16);
    scene.end(&tickets[3], &asks(10 * 86_400_000));
    assert_eq!(scene.demand("a"), Demand::Held(Duration::from_secs(3600)));
    scene.schedule.reset(&name("a"), scene.now);
    assert!(matches!(scene.demand("a"), Demand::Jobs { .. }));
}

#[test]
fn nothing_is_sent_to_an_endpoint_after_a_410() {
    let mut scene = Scene::new(limits(100), vec![webhook("a", None, 8)], None);
    scene.prove(&["a"], 4);
    scene.push("a", 1, 20);
    let tickets = scene.all();
    let gone = Outcome { verdict: Verdict::GiveUp, ..outcome(Some(410)) };
    scene.end(&tickets[0], &gone);
    assert_eq!((scene.schedule.returned.len(), scene.all().len()), (16, 0));
    scene.schedule.reset(&name("a"), scene.now);
    assert!(matches!(scene.demand("a"), Demand::Jobs { .. }));
}

#[test]
fn rates_of_endpoint_account_and_instance_apply_together_and_fairly() {
    let webhooks = || vec![webhook("a", Some(20), 8), webhook("b", None, 8), webhook("c", None, 8)];
    let second = Duration::from_secs(10);
    for (account, instance, expected) in [
        (None, None, [186..201, 1000..1001, 1000..1001]),
        // The first webhook waits for its own token, and then for its turn at the account's limit.
        (Some(90), None, [110..201, 340..400, 340..400]),
        (None, Some(30), [93..107, 93..107, 93..107]),
        (Some(60), Some(30), [93..107, 93..107, 93..107]),
    ] {
        let limits = InstanceLimits { rate_per_second: instance.map(per_second), ..limits(100) };
        let mut scene = Scene::new(limits, webhooks(), account);
        for name in ["a", "b", "c"] {
            scene.push(name, 1, 1000);
        }
        let left = scene.run(second, 200);
        for (name, range) in ["a", "b", "c"].into_iter().zip(expected) {
            let found = left.get(name).copied().unwrap_or(0);
            assert!(
                range.contains(&found),
                "{found} of {name} by {account:?}, {instance:?}: {left:?}"
            );
        }
        let all: usize = left.values().sum();
        let most = [account, instance].into_iter().flatten().min();
        // After a burst, which is not available at the start.
        assert!(most.is_none_or(|most| all <= 10 * most as usize + 1), "{all} of {most:?}");
    }
}

#[test]
fn a_new_share_applies_at_once() {
    let mut scene = Scene::new(limits(100), vec![webhook("a", Some(100), 8)], None);
    scene.push("a", 1, 1000);
    let whole = scene.run(Duration::from_secs(2), 200);
    assert!((190..=200).contains(&whole["a"]), "{whole:?}");
    scene.schedule.set_share(0.25, scene.now);
    let quarter = scene.run(Duration::from_secs(2), 200);
    assert!((48..=50).contains(&quarter["a"]), "{quarter:?}");
}

#[test]
fn a_low_rate_makes_progress_despite_rebalances() {
    let mut low = webhook("a", Some(1), 8);
    low.limits.rate_per_second = PerSecond::new(10.0 / 3600.0);
    let mut scene = Scene::new(limits(100), vec![low], None);
    let mut left = 0;
    // A token takes six minutes, or twelve with half of the limit.
    for share in [0.5, 0.0, 1.0].repeat(20) {
        scene.schedule.set_share(share, scene.now);
        if share == 0.0 {
            continue;
        }
        scene.push("a", 1, 1);
        left += scene.run(Duration::from_secs(120), 200).values().sum::<usize>();
        scene.schedule.take_back();
    }
    assert!((9..=10).contains(&left), "{left} of ten");
}

#[test]
fn outcomes_that_are_not_committed_hold_back_further_attempts() {
    let limits = InstanceLimits { in_flight_max: 4, uncommitted_max: 6, rate_per_second: None };
    let mut scene = Scene::new(limits, vec![webhook("a", None, 4)], None);
    scene.prove(&["a"], 4);
    scene.push("a", 1, 100);
    let mut made = 0;
    loop {
        let tickets = scene.all();
        if tickets.is_empty() {
            break;
        }
        made += tickets.len();
        for ticket in tickets {
            scene.schedule.ended(&ticket.ended(), &outcome(Some(200)), scene.now);
        }
    }
    assert_eq!(made, 10);
    assert!(scene.schedule.unsettled.settle(), "an attempt waits for it");
    assert_eq!(scene.all().len(), 1);
    let _ = (0..5).map(|_| scene.schedule.unsettled.settle()).collect::<Vec<_>>();
    assert!(!scene.schedule.unsettled.settle(), "no attempt waits for it");
}

#[test]
fn a_reload_keeps_limits_and_breakers_and_returns_the_jobs_of_removed_webhooks() {
    let mut scene =
        Scene::new(limits(100), vec![webhook("a", None, 8), webhook("b", None, 8)], None);
    scene.prove(&["a", "b"], 4);
    while matches!(scene.demand("a"), Demand::Jobs { .. }) {
        scene.push("a", 1, 1);
        let ticket = scene.all().remove(0);
        scene.end(&ticket, &outcome(Some(500)));
    }
    scene.push("b", 1, 6);
    assert_eq!(scene.all().len(), 4);
    scene.schedule.returned.clear();
    let now = scene.now;
    scene.schedule.configure([endpoint(webhook("a", None, 8))], &BTreeMap::new(), now);
    assert_eq!(scene.schedule.returned.len(), 2);
    assert_eq!(scene.demand("b"), Demand::Unconfigured);
    assert!(matches!(scene.demand("a"), Demand::Held(_)), "its breaker is still open");
}

//! One endpoint's lane: the jobs that wait for it in memory, and everything that may hold them back but its rate.

mod ready;

use super::answer::BODY_PATIENCE;
use super::breaker::{Breaker, BreakerState, Sign};
use super::concurrency::{Concurrency, Standing};
use super::endpoint::Endpoint;
use super::queues::{Pool, Standings};
use super::rate::{Limit, PerSecond, Rate, Time};
use super::shortage::Shortage;
use crate::domain::{
    AccountId, Class, DeliveryId, ErrorReason, Outcome, Phase, PhononUuid, RESPONSE_BYTES_KEPT,
    Rendered, Timestamp, Verdict, WebhookName, busy_pause_ms, hold_ms, is_busy_for_a_while,
};
use bytes::Bytes;
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What an endpoint that is gone is left alone for, until it is disabled for good.
const GONE: Duration = Duration::from_secs(60);
/// A lane is left alone for so long when the host has no local port left for its address.
const PORTS_PAUSE: Duration = Duration::from_secs(1);
/// A lane with a rate is handed what it may send in this time.
const RATE_AHEAD: Duration = Duration::from_millis(500);
/// A slot that is held for less is no burden, however short the webhook's time-out is.
const BRIEF: Duration = Duration::from_millis(500);
/// So many 503 in a row that name no time say that the endpoint is busy; fewer may be one of its servers that restarts.
const UNAVAILABLE_MAX: u32 = 3;
/// A limiter answers well in between; an endpoint that has not for so long is down, and that is for the breaker to judge.
const LIMITER_ANSWERS: Duration = Duration::from_secs(60);

/// One attempt to be made.
#[derive(Clone, Debug)]
pub struct Job {
    /// The partition whose outbox it stands in.
    pub partition: i32,
    /// Whose delivery it is.
    pub uuid: PhononUuid,
    /// Which delivery.
    pub id: DeliveryId,
    /// Which phase.
    pub phase: Phase,
    /// Which attempt it will be.
    pub attempt: u32,
    /// What is sent.
    pub body: Bytes,
    /// What else goes into the request, where that varies.
    pub rendered: Option<Rendered>,
    /// Where it goes.
    pub webhook: WebhookName,
    /// When it was due.
    pub due: Timestamp,
}

impl Job {
    /// Where its delivery waits.
    #[must_use]
    pub const fn class(&self) -> Class {
        if self.attempt <= 1 { Class::First } else { Class::Retry }
    }
}

/// How many jobs a lane can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// There is no such endpoint.
    Unconfigured,
    /// None for this time.
    Held(Duration),
    /// Some jobs, of each class and of both.
    Jobs {
        /// First attempts that may be unanswered.
        first: usize,
        /// Retries that may be unanswered.
        retry: usize,
        /// Jobs of both classes that the lane could send soon, however fast the endpoint is.
        most: usize,
    },
}

/// An attempt that was begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) delivery: DeliveryId,
    /// The first is 1.
    pub(super) number: u32,
    pub(super) class: Class,
    /// The breaker was half open.
    pub(super) probe: bool,
}

pub(super) struct Lane {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) rate: Option<Rate>,
    /// How much of the way to its next token was gone when it had a share last.
    progress: f64,
    /// Where it stands in the queues of the pools.
    pub(super) standings: Standings,
    /// It waits for a token, or for its account's.
    pub(super) is_waiting: bool,
    /// It is the first of those that wait for the account's.
    pub(super) is_called: bool,
    jobs: [VecDeque<Job>; 2],
    in_flight: [usize; 2],
    concurrency: Concurrency,
    breaker: Breaker,
    held_until: Option<Instant>,
    /// So many 503 that named no time came last.
    unavailable: u32,
    /// When it last took a delivery.
    delivered_at: Option<Instant>,
    /// What went last, where the two classes share the slots.
    last: Class,
}

impl Lane {
    pub(super) fn new(endpoint: Arc<Endpoint>, now: Instant) -> Self {
        let webhook = endpoint.webhook();
        Self {
            concurrency: Concurrency::new(webhook.limits.in_flight_max.get()),
            breaker: Breaker::new(webhook.breaker.clone(), now),
            rate: None,
            progress: 0.0,
            standings: Standings::default(),
            is_waiting: false,
            is_called: false,
            jobs: Default::default(),
            in_flight: [0; 2],
            held_until: None,
            unavailable: 0,
            delivered_at: None,
            last: Class::Retry,
            endpoint,
        }
    }

    /// Goes on as `endpoint` says now; what was learnt stays.
    pub(super) fn follow(&mut self, endpoint: Arc<Endpoint>) {
        let webhook = endpoint.webhook();
        self.concurrency.follow(webhook.limits.in_flight_max.get());
        self.breaker.follow(&webhook.breaker);
        self.endpoint = endpoint;
    }

    /// Its limit where the instance has this share of it; an unchanged one keeps its tokens.
    pub(super) fn share(&mut self, share: f64, time: &Time) {
        let limits = self.endpoint.webhook().limits;
        self.rate = limits.rate_per_second.and_then(|rate| {
            let burst = limits.burst.unwrap_or(rate.burst());
            renewed(self.rate.take(), &mut self.progress, rate, burst, share, time)
        });
    }

    pub(super) fn account(&self) -> AccountId {
        self.endpoint.webhook().account
    }

    pub(super) fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    /// An operator has put it right: nothing that was learnt holds any more.
    pub(super) fn reset(&mut self, now: Instant) {
        self.breaker = Breaker::new(self.endpoint.webhook().breaker.clone(), now);
        self.held_until = None;
    }

    /// It asked to be left alone for so long.
    pub(super) fn hold(&mut self, time: Duration, now: Instant) {
        let until = now + time.min(self.endpoint.webhook().retry_after_max);
        self.held_until = Some(self.held_until.map_or(until, |held| held.max(until)));
    }

    /// How long nothing may leave, whatever waits.
    pub(super) fn wait(&mut self, now: Instant) -> Option<Duration> {
        let held = self.held_until.map(|until| until.saturating_duration_since(now));
        let held = held.filter(|left| !left.is_zero());
        if held.is_none() {
            self.held_until = None;
        }
        self.breaker.wait(now).max(held)
    }

    pub(super) fn demand(&mut self, now: Instant) -> Demand {
        if let Some(wait) = self.wait(now) {
            return Demand::Held(wait);
        }
        if self.breaker.state() == BreakerState::HalfOpen {
            return Demand::Jobs { first: 1, retry: 1, most: 1 };
        }
        let rate = self.rate.as_ref().map(|rate| rate.limit().within(RATE_AHEAD));
        Demand::Jobs {
            first: self.concurrency.limit(),
            retry: self.concurrency.retries(),
            most: rate.unwrap_or(usize::MAX),
        }
    }

    pub(super) fn push(&mut self, job: Job) {
        if let Some(jobs) = self.jobs.get_mut(job.class() as usize) {
            jobs.push_back(job);
        }
    }

    /// All jobs that have not begun.
    pub(super) fn take_back(&mut self) -> Vec<Job> {
        self.jobs.iter_mut().flat_map(std::mem::take).collect()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.iter().sum()
    }

    fn limit(&self) -> usize {
        let probing = self.breaker.state() == BreakerState::HalfOpen;
        if probing { 1 } else { self.concurrency.limit() }
    }

    /// Whether a job of this class waits that could leave now if there were a slot and a token for it.
    fn may(&self, class: Class) -> bool {
        let waits = self.jobs.get(class as usize).is_some_and(|jobs| !jobs.is_empty());
        let of_class = self.in_flight.get(class as usize).copied().unwrap_or(0);
        let free = self.in_flight() < self.limit();
        waits && free && (class == Class::First || of_class < self.concurrency.retries())
    }

    /// The pool whose slots its jobs of this class take.
    fn pool(&self, class: Class) -> Pool {
        match (self.concurrency.standing(), class) {
            (Standing::Untried, _) => Pool::Trial,
            (Standing::Hanging, _) => Pool::Hanging,
            (Standing::Slow, _) => Pool::Slow,
            (Standing::Sound, Class::First) => Pool::First,
            (Standing::Sound, Class::Retry) => Pool::Retry,
        }
    }

    /// The pools for which it has a job that may leave.
    pub(super) fn pools(&self) -> [Option<Pool>; 2] {
        Class::ALL.map(|class| self.may(class).then(|| self.pool(class)))
    }

    /// Which job would leave next by a slot of `pool`.
    pub(super) fn candidate(&self, pool: Pool) -> Option<Class> {
        let other = match self.last {
            Class::First => Class::Retry,
            Class::Retry => Class::First,
        };
        [other, self.last].into_iter().find(|class| self.pool(*class) == pool && self.may(*class))
    }

    /// Lets the next job of `class` go; whether it is a probe.
    pub(super) fn begin(&mut self, class: Class) -> Option<(Job, bool)> {
        let job = self.jobs.get_mut(class as usize)?.pop_front()?;
        if let Some(count) = self.in_flight.get_mut(class as usize) {
            *count += 1;
        }
        self.last = class;
        Some((job, self.breaker.state() == BreakerState::HalfOpen))
    }

    /// An attempt could not be made, which says nothing of the endpoint; but its address may be out of reach for a moment.
    pub(super) fn put_back(&mut self, class: Class, shortage: Shortage, now: Instant) {
        if shortage.is_of_one_address() {
            let until = now + PORTS_PAUSE;
            self.held_until = Some(self.held_until.map_or(until, |held| held.max(until)));
        }
        if let Some(count) = self.in_flight.get_mut(class as usize) {
            *count = count.saturating_sub(1);
        }
    }

    /// An attempt ended.
    pub(super) fn ended(&mut self, attempt: &Attempt, outcome: &Outcome, now: Instant) {
        let full = self.in_flight() >= self.limit();
        if let Some(count) = self.in_flight.get_mut(attempt.class as usize) {
            *count = count.saturating_sub(1);
        }
        // Those that were sent before it was held say nothing new.
        let is_news = self.held_until.is_none_or(|until| until <= now);
        let is_busy = is_busy_for_a_while(outcome);
        self.concurrency.took(Duration::from_millis(outcome.duration_ms));
        if holds_long(outcome, self.endpoint.webhook().request_timeout) {
            self.concurrency.held_long();
        } else if outcome.verdict == Verdict::Delivered {
            self.concurrency.answered(full);
        } else if is_busy && is_news {
            self.concurrency.busy();
        } else {
            self.concurrency.failed();
        }
        if let Some(sign) = sign(outcome) {
            self.breaker.ended(sign, attempt.probe, now);
        }
        self.unavailable = if is_busy { self.unavailable.saturating_add(1) } else { 0 };
        if outcome.verdict == Verdict::Delivered {
            self.delivered_at = Some(now);
        }
        if (outcome.verdict, outcome.status) == (Verdict::GiveUp, Some(410)) {
            self.held_until = Some(now + GONE);
        } else if let Some(ms) = self.asked(attempt, outcome, now) {
            self.hold(Duration::from_millis(ms), now);
        }
    }

    /// How long it is to be left alone for `outcome`, in milliseconds.
    fn asked(&self, attempt: &Attempt, outcome: &Outcome, now: Instant) -> Option<u64> {
        let retry = &self.endpoint.webhook().retry;
        hold_ms(outcome, retry, attempt.delivery, attempt.number).or_else(|| {
            let answers = self.delivered_at.is_some_and(|at| now < at + LIMITER_ANSWERS);
            let is_busy = answers && self.unavailable >= UNAVAILABLE_MAX;
            is_busy.then(|| busy_pause_ms(retry, attempt.delivery, attempt.number))
        })
    }
}

/// Whether an attempt held its slot for most of the time that it may take, whatever came of it, or for all the time that the
/// end of an answer is waited for.
fn holds_long(outcome: &Outcome, request_timeout: Duration) -> bool {
    let took = Duration::from_millis(outcome.duration_ms);
    let is_open_ended = outcome.response_truncated && outcome.response.len() < RESPONSE_BYTES_KEPT;
    outcome.reason == Some(ErrorReason::Timeout)
        || took >= (request_timeout / 2).max(BRIEF)
        || (is_open_ended && took >= BODY_PATIENCE)
}

/// What `outcome` says of the endpoint; nothing, if the daemon did not ask it.
fn sign(outcome: &Outcome) -> Option<Sign> {
    match (outcome.status, outcome.reason) {
        _ if outcome.verdict == Verdict::Delivered => Some(Sign::Well),
        (Some(429), _) => Some(Sign::Busy),
        (Some(500..), _) => Some(Sign::Failing),
        (Some(_), _) => Some(Sign::Well),
        (
            None,
            Some(
                ErrorReason::Timeout
                | ErrorReason::Unreachable
                | ErrorReason::InvalidResponse
                | ErrorReason::InvalidResponseMap,
            ),
        ) => Some(Sign::Failing),
        (
            None,
            None
            | Some(
                ErrorReason::InvalidFlowVar
                | ErrorReason::InvalidRequest
                | ErrorReason::BlockedAddress
                | ErrorReason::Refused,
            ),
        ) => None,
        // Without a status it is the token server's: while it is down, nothing can be delivered.
        (None, Some(ErrorReason::AuthenticationFailure)) => {
            (outcome.verdict == Verdict::Retry).then_some(Sign::Failing)
        }
    }
}

/// The limit as it is now; one that did not change keeps its tokens. Another one begins without any, but `progress` of the way
/// to the first one is kept, over a time without a share too: a rate of ten an hour would never get there beside rebalances.
pub(super) fn renewed(
    former: Option<Rate>,
    progress: &mut f64,
    per_second: PerSecond,
    burst: NonZeroU32,
    share: f64,
    time: &Time,
) -> Option<Rate> {
    if let Some(former) = &former {
        *progress = former.progress();
    }
    let limit = Limit::part(per_second, burst, share)?;
    let former = former.filter(|rate| rate.limit() == limit);
    Some(former.unwrap_or_else(|| Rate::starting(limit, std::mem::take(progress), time.clone())))
}

//! One endpoint's lane: its jobs in memory, and everything except its rate that may hold them back.

mod ready;

use super::answer::BODY_PATIENCE;
use super::breaker::{Breaker, BreakerState, Sign};
use super::concurrency::{Concurrency, Responsiveness};
use super::endpoint::Endpoint;
use super::queues::{Pool, QueueEntries};
use super::rate::{Limit, PerSecond, Rate, Time};
use super::shortage::Shortage;
use crate::domain::{
    AccountId, Class, DeliveryId, ErrorReason, Outcome, Phase, PhononUuid, RESPONSE_BYTES_KEPT,
    Rendered, Source, Timestamp, Verdict, WebhookName, busy_pause_ms, hold_ms, is_busy_for_a_while,
};
use bytes::Bytes;
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an endpoint that has answered 410, or asked to be disabled, is held until it is disabled for good.
const GONE: Duration = Duration::from_secs(60);
/// How long a lane is held if the host has no local port left for its address.
const PORTS_PAUSE: Duration = Duration::from_secs(1);
/// A lane with a rate gets the jobs that it may send in this time.
const RATE_AHEAD: Duration = Duration::from_millis(500);
/// An attempt of less than this never counts as long, however short the webhook's time-out is.
const BRIEF: Duration = Duration::from_millis(500);
/// This number of consecutive 503 without a time means that the endpoint is busy. Fewer may come from one of its
/// servers that restarts.
const UNAVAILABLE_MAX: u32 = 3;
/// A rate limiter accepts requests in between. An endpoint that has accepted none for this time is down, which is the
/// breaker's responsibility.
const LIMITER_ANSWERS: Duration = Duration::from_secs(60);

/// An attempt that has not begun.
#[derive(Clone, Debug)]
pub struct Job {
    /// The partition of the delivery's outbox row.
    pub partition: i32,
    /// The phonon-uuid of the delivery.
    pub uuid: PhononUuid,
    /// The `webhook-id` of the delivery.
    pub id: DeliveryId,
    /// The phase of the delivery.
    pub phase: Phase,
    /// The number of the attempt, from 1 on.
    pub attempt: u32,
    pub body: Bytes,
    /// The other parts of the request, if they depend on the delivery.
    pub rendered: Option<Rendered>,
    /// The webhook that the request goes to.
    pub webhook: WebhookName,
    /// The time at which the attempt was due.
    pub due: Timestamp,
    /// The record that triggered the delivery, if its trace is continued or recorded.
    pub source: Option<Box<Source>>,
}

impl Job {
    /// Returns the class of the delivery's outbox row.
    #[must_use]
    pub const fn class(&self) -> Class {
        if self.attempt <= 1 { Class::First } else { Class::Retry }
    }

    /// Returns the id of the trace that the endpoint gets.
    #[must_use]
    pub fn trace_id(&self) -> u128 {
        let of_source = |source: &Source| source.trace_id_of(self.id);
        self.source.as_deref().map_or_else(|| self.id.trace_id(), of_source)
    }
}

/// The jobs that a lane can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// The webhook is not configured.
    Unconfigured,
    /// No jobs for this time.
    Held(Duration),
    /// Some jobs, limited per class and together.
    Jobs {
        /// The number of first attempts that may be unanswered.
        first: usize,
        /// The number of retries that may be unanswered.
        retry: usize,
        /// The number of jobs of both classes that the lane could send soon, however fast the endpoint is.
        most: usize,
    },
}

/// An attempt that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) delivery: DeliveryId,
    /// The first attempt has the number 1.
    pub(super) number: u32,
    pub(super) class: Class,
    /// Whether it is a probe: the breaker was half open.
    pub(super) probe: bool,
}

pub(super) struct Lane {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) rate: Option<Rate>,
    /// The elapsed part of the time to the next token, from 0 to 1, when the lane last had a share.
    progress: f64,
    /// The lane's entries in the queues of the pools.
    pub(super) queue_entries: QueueEntries,
    /// Whether the lane waits for a token of its own or of its account.
    pub(super) is_waiting: bool,
    /// Whether it is the first lane that waits for a token of its account.
    pub(super) is_called: bool,
    jobs: [VecDeque<Job>; 2],
    in_flight: [usize; 2],
    concurrency: Concurrency,
    breaker: Breaker,
    held_until: Option<Instant>,
    /// The number of consecutive 503 without a time.
    unavailable: u32,
    /// When an answer without a time last held the lane, for `LIMITER_ANSWERS`.
    busy_at: Option<Instant>,
    /// Whether the endpoint was busy, and has not given another answer since.
    is_doubtful: bool,
    /// When the endpoint last accepted a delivery.
    delivered_at: Option<Instant>,
    /// The class of the last job that left.
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
            queue_entries: QueueEntries::default(),
            is_waiting: false,
            is_called: false,
            jobs: Default::default(),
            in_flight: [0; 2],
            held_until: None,
            unavailable: 0,
            busy_at: None,
            is_doubtful: false,
            delivered_at: None,
            last: Class::Retry,
            endpoint,
        }
    }

    /// Adopts a new configuration of the endpoint. The lane keeps its concurrency and breaker.
    pub(super) fn follow(&mut self, endpoint: Arc<Endpoint>) {
        let webhook = endpoint.webhook();
        self.concurrency.follow(webhook.limits.in_flight_max.get());
        self.breaker.follow(&webhook.breaker);
        self.endpoint = endpoint;
    }

    /// Applies the instance's share to the rate limit. An unchanged limit keeps its tokens.
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

    /// Closes the breaker and ends the hold, because an operator has corrected the endpoint.
    pub(super) fn reset(&mut self, now: Instant) {
        self.breaker = Breaker::new(self.endpoint.webhook().breaker.clone(), now);
        self.held_until = None;
        self.is_doubtful = false;
    }

    /// Holds the lane for the time that the endpoint asked for, at most for `retry_after_max`.
    pub(super) fn hold(&mut self, time: Duration, now: Instant) {
        let until = now + time.min(self.endpoint.webhook().retry_after_max);
        self.held_until = Some(self.held_until.map_or(until, |held| held.max(until)));
    }

    /// Returns for how long no job may leave. Half-opens the breaker when its time is over.
    pub(super) fn wait(&mut self, now: Instant) -> Option<Duration> {
        let held = self.held_until.map(|until| until.saturating_duration_since(now));
        let held = held.filter(|left| !left.is_zero());
        if held.is_none() {
            self.held_until = None;
        }
        self.busy_at = self.busy_at.filter(|at| now < *at + LIMITER_ANSWERS);
        self.breaker.wait(now).max(held)
    }

    pub(super) fn demand(&mut self, now: Instant) -> Demand {
        if let Some(wait) = self.wait(now) {
            return Demand::Held(wait);
        }
        if self.is_probing() {
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

    /// Takes all jobs that have not begun.
    pub(super) fn take_back(&mut self) -> Vec<Job> {
        self.jobs.iter_mut().flat_map(std::mem::take).collect()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.iter().sum()
    }

    fn limit(&self) -> usize {
        if self.is_probing() { 1 } else { self.concurrency.limit() }
    }

    /// Returns whether a single request has to show that the endpoint accepts requests again.
    fn is_probing(&self) -> bool {
        self.breaker.state() == BreakerState::HalfOpen || self.is_doubtful
    }

    /// Returns whether a job of this class could leave if there were a slot and a token for it.
    ///
    /// A rate limiter that gives no time refuses some requests again and again: the first one after a pause, which may
    /// be too short, and the last ones before the next pause. These are first attempts, so that no delivery uses up
    /// its attempts. Retries leave in between.
    fn may(&self, class: Class) -> bool {
        let yields = match class {
            Class::First => {
                self.busy_at.is_some() && !self.is_doubtful && self.has_slot(Class::Retry)
            }
            Class::Retry => self.is_doubtful && self.has_slot(Class::First),
        };
        self.has_slot(class) && !yields
    }

    /// Returns whether a job of this class waits, and the lane's limits allow it.
    fn has_slot(&self, class: Class) -> bool {
        let waits = self.jobs.get(class as usize).is_some_and(|jobs| !jobs.is_empty());
        let of_class = self.in_flight.get(class as usize).copied().unwrap_or(0);
        let free = self.in_flight() < self.limit();
        waits && free && (class == Class::First || of_class < self.concurrency.retries())
    }

    /// Returns the pool of the slots for jobs of this class.
    fn pool(&self, class: Class) -> Pool {
        match (self.concurrency.responsiveness(), class) {
            (Responsiveness::Untried, _) => Pool::Trial,
            (Responsiveness::Hanging, _) => Pool::Hanging,
            (Responsiveness::Slow, _) => Pool::Slow,
            (Responsiveness::Sound, Class::First) => Pool::First,
            (Responsiveness::Sound, Class::Retry) => Pool::Retry,
        }
    }

    /// Returns the pools for which the lane has a job that may leave.
    pub(super) fn pools(&self) -> [Option<Pool>; 2] {
        Class::ALL.map(|class| self.may(class).then(|| self.pool(class)))
    }

    /// Returns the class of the next job that would leave with a slot of `pool`.
    pub(super) fn candidate(&self, pool: Pool) -> Option<Class> {
        let other = match self.last {
            Class::First => Class::Retry,
            Class::Retry => Class::First,
        };
        [other, self.last].into_iter().find(|class| self.pool(*class) == pool && self.may(*class))
    }

    /// Begins the next job of `class`. Returns it, and whether it is a probe.
    pub(super) fn begin(&mut self, class: Class) -> Option<(Job, bool)> {
        let job = self.jobs.get_mut(class as usize)?.pop_front()?;
        if let Some(count) = self.in_flight.get_mut(class as usize) {
            *count += 1;
        }
        self.last = class;
        Some((job, self.breaker.state() == BreakerState::HalfOpen))
    }

    /// Ends an attempt that could not be made. It shows nothing about the endpoint, but the endpoint's address may be
    /// out of reach for a moment.
    pub(super) fn put_back(&mut self, class: Class, shortage: Shortage, now: Instant) {
        if shortage.is_of_one_address() {
            let until = now + PORTS_PAUSE;
            self.held_until = Some(self.held_until.map_or(until, |held| held.max(until)));
        }
        if let Some(count) = self.in_flight.get_mut(class as usize) {
            *count = count.saturating_sub(1);
        }
    }

    /// Ends an attempt with its outcome.
    pub(super) fn ended(&mut self, attempt: &Attempt, outcome: &Outcome, now: Instant) {
        let full = self.is_probing() || self.concurrency.is_used_up(self.in_flight());
        if let Some(count) = self.in_flight.get_mut(attempt.class as usize) {
            *count = count.saturating_sub(1);
        }
        // Attempts that began before the hold show nothing new.
        let is_news = self.held_until.is_none_or(|until| until <= now);
        let is_busy = is_busy_for_a_while(outcome);
        let sign = sign(outcome);
        self.concurrency.took(Duration::from_millis(outcome.duration_ms));
        if holds_long(outcome, self.endpoint.webhook().request_timeout) {
            self.concurrency.held_long();
        } else if outcome.verdict == Verdict::Delivered {
            self.concurrency.answered(full);
        } else if is_busy && is_news {
            self.concurrency.busy();
        } else if matches!(sign, Some(Sign::Failing | Sign::Busy)) {
            self.concurrency.failed();
        } else {
            self.concurrency.rejected();
        }
        if is_news {
            self.is_doubtful = is_busy;
        }
        if let Some(sign) = sign {
            self.breaker.ended(sign, attempt.probe, now);
        }
        self.unavailable = if is_busy { self.unavailable.saturating_add(1) } else { 0 };
        if outcome.verdict == Verdict::Delivered {
            self.delivered_at = Some(now);
        }
        let is_gone = (outcome.verdict, outcome.status) == (Verdict::GiveUp, Some(410));
        if is_gone || outcome.disables {
            self.held_until = Some(now + GONE);
        } else if let Some(ms) = self.asked(attempt, outcome, now) {
            self.hold(Duration::from_millis(ms), now);
        }
    }

    /// Returns the hold that `outcome` asks for, in milliseconds.
    fn asked(&mut self, attempt: &Attempt, outcome: &Outcome, now: Instant) -> Option<u64> {
        let retry = &self.endpoint.webhook().retry;
        let asked = hold_ms(outcome, retry, attempt.delivery, attempt.number);
        if !is_busy_for_a_while(outcome) {
            return asked;
        }
        let is_recent = |at: Option<Instant>| at.is_some_and(|at| now < at + LIMITER_ANSWERS);
        // A known limiter means it with its first refusal. Each further one would cost a delivery an attempt.
        let most = if is_recent(self.busy_at) { 1 } else { UNAVAILABLE_MAX };
        if asked.is_none() && (!is_recent(self.delivered_at) || self.unavailable < most) {
            return None;
        }
        self.busy_at = Some(now);
        Some(asked.unwrap_or_else(|| busy_pause_ms(retry, attempt.delivery, attempt.number)))
    }
}

/// Returns whether an attempt held its slot for most of its time-out, whatever its outcome. An answer without an end
/// counts after `BODY_PATIENCE`.
fn holds_long(outcome: &Outcome, request_timeout: Duration) -> bool {
    let took = Duration::from_millis(outcome.duration_ms);
    let is_open_ended = outcome.response_truncated && outcome.response.len() < RESPONSE_BYTES_KEPT;
    outcome.reason == Some(ErrorReason::Timeout)
        || took >= (request_timeout / 2).max(BRIEF)
        || (is_open_ended && took >= BODY_PATIENCE)
}

/// Returns what `outcome` shows about the endpoint's health, or `None` if it shows nothing.
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
        // An outcome without a status comes from the token server. While that is down, nothing can be delivered.
        (None, Some(ErrorReason::AuthenticationFailure)) => {
            (outcome.verdict == Verdict::Retry).then_some(Sign::Failing)
        }
    }
}

/// Returns the present limit. An unchanged limit keeps its tokens. A changed one begins without tokens, but with
/// `progress`, even after a time without a share. Otherwise a rate of ten an hour would never have a token if
/// rebalances are frequent.
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

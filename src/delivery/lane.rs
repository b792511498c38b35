//! Lanes: one per endpoint, with the jobs that the engine has taken from the outbox for it.
//!
//! A lane's jobs are done by as many workers as its concurrency allows; a worker that finds no job ends. So an idle
//! endpoint costs nothing, and a busy one needs no wake-up per job.

use super::endpoint::Endpoint;
use crate::domain::{DeliveryId, Outcome, Phase, PhononUuid, Timestamp, WebhookName};
use bytes::Bytes;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::Semaphore;

/// One attempt to be made.
#[derive(Clone, Debug)]
pub struct Job {
    /// The partition whose outbox it stands in.
    pub partition: u32,
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
    /// Where it goes.
    pub webhook: WebhookName,
    /// When it was due.
    pub due: Timestamp,
}

/// One attempt that was made.
#[derive(Debug)]
pub struct Attempted {
    /// What was to be done.
    pub job: Job,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a lane tells its owner.
pub trait Watch: Send + Sync {
    /// An attempt was made.
    fn attempted(&self, attempted: Attempted);
    /// A rate limit held an attempt back.
    fn rate_limited(&self);
    /// The time.
    fn now(&self) -> Timestamp;
}

struct Lane {
    endpoint: Arc<Endpoint>,
    rate: Option<DefaultDirectRateLimiter>,
    workers_max: usize,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    jobs: VecDeque<Job>,
    workers: usize,
}

/// All lanes of an instance.
pub struct Lanes {
    lanes: RwLock<BTreeMap<WebhookName, Arc<Lane>>>,
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
}

struct Shared {
    /// What the whole instance may have unanswered.
    slots: Semaphore,
    in_flight: AtomicUsize,
    watch: Arc<dyn Watch>,
}

impl Lanes {
    /// No lanes yet; at most `in_flight_max` requests of all together.
    #[must_use]
    pub fn new(in_flight_max: u32, watch: Arc<dyn Watch>, runtime: tokio::runtime::Handle) -> Self {
        let slots =
            Semaphore::new(usize::try_from(in_flight_max).unwrap_or(Semaphore::MAX_PERMITS));
        let shared = Shared { slots, in_flight: AtomicUsize::new(0), watch };
        Self { lanes: RwLock::default(), shared: Arc::new(shared), runtime }
    }

    /// Puts `endpoints` in the place of those before. Jobs of an endpoint that is gone are dropped, which
    /// [`Lanes::clear`] had better precede.
    pub fn configure(&self, endpoints: impl IntoIterator<Item = Arc<Endpoint>>) {
        let lanes = endpoints
            .into_iter()
            .map(|endpoint| (endpoint.webhook().name.clone(), Arc::new(Lane::new(endpoint))));
        *self.lanes.write().unwrap_or_else(PoisonError::into_inner) = lanes.collect();
    }

    /// The endpoint of `webhook`, if it is configured.
    #[must_use]
    pub fn endpoint(&self, webhook: &WebhookName) -> Option<Arc<Endpoint>> {
        self.lane(webhook).map(|lane| lane.endpoint.clone())
    }

    /// What the lane of `webhook` may have unanswered, if it is configured.
    #[must_use]
    pub fn in_flight_max(&self, webhook: &WebhookName) -> Option<usize> {
        self.lane(webhook).map(|lane| lane.workers_max)
    }

    fn lane(&self, webhook: &WebhookName) -> Option<Arc<Lane>> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).get(webhook).cloned()
    }

    /// Hands jobs to a lane; false if there is no such lane.
    pub fn push(&self, webhook: &WebhookName, jobs: Vec<Job>) -> bool {
        let Some(lane) = self.lane(webhook) else { return false };
        let wanted = {
            let mut work = lane.lock();
            work.jobs.extend(jobs);
            let wanted = work.jobs.len().min(lane.workers_max.saturating_sub(work.workers));
            work.workers += wanted;
            wanted
        };
        for _ in 0..wanted {
            let (lane, shared) = (lane.clone(), self.shared.clone());
            self.runtime.spawn(async move { lane.work(&shared).await });
        }
        true
    }

    /// Takes back every job that has not begun.
    #[must_use]
    pub fn clear(&self) -> Vec<Job> {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        lanes.values().flat_map(|lane| std::mem::take(&mut lane.lock().jobs)).collect()
    }

    /// How many requests are unanswered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::Acquire)
    }
}

impl Lane {
    fn new(endpoint: Arc<Endpoint>) -> Self {
        let limits = endpoint.webhook().limits;
        let quota = limits
            .rate_per_second
            .map(|rate| Quota::per_second(rate).allow_burst(limits.burst.unwrap_or(rate)));
        Self {
            rate: quota.map(RateLimiter::direct),
            workers_max: usize::try_from(limits.in_flight_max.get()).unwrap_or(usize::MAX),
            work: Mutex::default(),
            endpoint,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn work(&self, shared: &Shared) {
        loop {
            // A worker without a job must not use up the rate.
            if self.is_idle() {
                return;
            }
            self.wait_for_rate(shared).await;
            // The semaphore is never closed.
            let Ok(_slot) = shared.slots.acquire().await else { return };
            let Some(job) = self.next() else { return };
            shared.in_flight.fetch_add(1, Ordering::AcqRel);
            let unix_seconds = shared.watch.now().as_ms().div_euclid(1000);
            let outcome =
                self.endpoint.attempt(job.id, job.attempt, job.body.clone(), unix_seconds).await;
            // The outcome is told before it stops counting, so that nobody sees neither.
            shared.watch.attempted(Attempted { job, outcome });
            shared.in_flight.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Whether there is no job, and so one worker less.
    fn is_idle(&self) -> bool {
        let mut work = self.lock();
        let idle = work.jobs.is_empty();
        if idle {
            work.workers = work.workers.saturating_sub(1);
        }
        idle
    }

    /// The next job; without one the worker has ended by the time the lock is free.
    fn next(&self) -> Option<Job> {
        let mut work = self.lock();
        let job = work.jobs.pop_front();
        if job.is_none() {
            work.workers = work.workers.saturating_sub(1);
        }
        job
    }

    async fn wait_for_rate(&self, shared: &Shared) {
        if let Some(rate) = &self.rate
            && rate.check().is_err()
        {
            shared.watch.rate_limited();
            rate.until_ready().await;
        }
    }
}

//! All lanes of an instance: jobs in, attempts made, outcomes out.
//!
//! An attempt is made by a task, which takes the next job that may leave when it has ended, whosever it is; so an idle
//! daemon has no task, and a busy one needs no wake-up per job.

use super::bound::Bound;
use super::brake::ShortageNote;
use super::breaker::BreakerState;
use super::endpoint::{Endpoint, Message};
use super::lane::{Demand, Job};
use super::rate::PerSecond;
use super::schedule::{InstanceLimits, Ready, Schedule, Ticket};
use super::shortage::Shortage;
use crate::clock;
use crate::domain::{AccountId, Outcome, Timestamp, WebhookName};
use crate::failpoint::{self, Failpoint};
use crate::system;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// One attempt that was made.
#[derive(Debug)]
pub struct Attempted {
    /// What was to be done.
    pub job: Job,
    /// What came of it.
    pub outcome: Outcome,
    /// Kept until the outcome is committed, or nobody's any more.
    pub unsettled: Unsettled,
}

/// Counts among the outcomes that are not committed, until it is dropped.
#[derive(Default)]
pub struct Unsettled(Weak<Shared>);

impl std::fmt::Debug for Unsettled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unsettled")
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade()
            && shared.unsettled.settle()
        {
            shared.act(|_, _| ());
        }
    }
}

/// What the lanes tell their owner.
pub trait Watch: Send + Sync {
    /// An attempt was made.
    fn attempted(&self, attempted: Attempted);
    /// These jobs are not to leave now.
    fn returned(&self, jobs: Vec<Job>);
    /// A breaker has changed.
    fn breaker(&self, webhook: WebhookName, state: BreakerState);
    /// So many requests were sent again within their attempts, since only their connection failed.
    fn repeated(&self, exchanges: u64);
    /// Rate limits have held so many attempts back.
    fn rate_limited(&self, attempts: u64);
    /// The daemon itself lacks something, or no longer does.
    fn shortage(&self, note: ShortageNote);
    /// The time that a request says it is, which its receiver compares with a clock of its own.
    fn now(&self) -> Timestamp;
}

/// The lanes for those who only configure them, as long as they are there.
#[derive(Clone)]
pub struct LanesRemote(Weak<Shared>);

impl LanesRemote {
    /// The same as [`Lanes::configure`].
    pub fn configure(
        &self,
        endpoints: impl IntoIterator<Item = Arc<Endpoint>>,
        account_rates: &BTreeMap<AccountId, PerSecond>,
    ) {
        if let Some(shared) = self.0.upgrade() {
            shared.act(|schedule, now| schedule.configure(endpoints, account_rates, now));
        }
    }
}

/// All lanes of an instance.
pub struct Lanes {
    shared: Arc<Shared>,
}

struct Shared {
    schedule: Mutex<Schedule>,
    in_flight: AtomicUsize,
    unsettled: Arc<Bound>,
    watch: Arc<dyn Watch>,
    courier: Arc<dyn Courier>,
    this: Weak<Shared>,
}

/// Who makes attempts and wakes the lanes: Tokio, or in tests a simulation of the network.
pub(crate) trait Courier: Send + Sync {
    /// Makes the attempt, and then those that [`Attempt::end`] hands on.
    fn take(&self, attempt: Attempt);
    /// The lanes are to be woken earlier than was known.
    fn earlier(&self);
}

/// An attempt that is being made.
pub(crate) struct Attempt {
    shared: Arc<Shared>,
    ticket: Ticket,
}

impl Attempt {
    /// What is sent.
    #[cfg(test)]
    pub(crate) fn job(&self) -> &Job {
        &self.ticket.job
    }

    async fn make(&self) -> Result<Outcome, Shortage> {
        let Ticket { job, endpoint, is_careful, .. } = &self.ticket;
        if *is_careful && system::is_short_of_files() {
            return Err(Shortage::OpenFiles);
        }
        let unix_seconds = self.shared.watch.now().as_ms().div_euclid(1000);
        let message = Message { body: job.body.clone(), rendered: job.rendered.as_ref() };
        let made = endpoint.attempt(job.id, job.attempt, message, unix_seconds).await;
        let repeated = endpoint.take_repeated();
        if repeated > 0 {
            self.shared.watch.repeated(repeated);
        }
        made
    }

    /// It ended, or could not be made; the next one to be made.
    pub(crate) fn end(self, made: Result<Outcome, Shortage>) -> Option<Self> {
        let Self { shared, ticket } = self;
        let outcome = match made {
            Ok(outcome) => outcome,
            Err(shortage) => return Self::put_back(shared, ticket, shortage),
        };
        failpoint::pass(Failpoint::Attempted);
        let ended = ticket.ended();
        let ((), next) = shared.act_and_take(|schedule, now| schedule.ended(&ended, &outcome, now));
        // The outcome is told before it stops counting, so that nobody sees neither.
        let unsettled = Unsettled(shared.this.clone());
        shared.watch.attempted(Attempted { job: ticket.job, outcome, unsettled });
        shared.in_flight.fetch_sub(1, Ordering::AcqRel);
        next.map(|ticket| Self { shared, ticket })
    }

    /// It was none: nothing counts it any more, and its job comes back by [`Watch::returned`].
    fn put_back(shared: Arc<Shared>, ticket: Ticket, shortage: Shortage) -> Option<Self> {
        let put_back = |schedule: &mut Schedule, now| schedule.put_back(ticket, shortage, now);
        let ((), next) = shared.act_and_take(put_back);
        drop(Unsettled(shared.this.clone()));
        shared.in_flight.fetch_sub(1, Ordering::AcqRel);
        next.map(|ticket| Self { shared, ticket })
    }
}

/// What wakes the lanes.
#[cfg(test)]
pub(crate) struct AlarmClock(Weak<Shared>);

#[cfg(test)]
impl AlarmClock {
    /// When they are to be woken, if ever.
    pub(crate) fn at(&self) -> Option<Instant> {
        self.0.upgrade()?.lock().alarm()
    }

    /// Wakes those whose time has come.
    pub(crate) fn ring(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.act(Schedule::wake);
        }
    }
}

/// Each attempt in a task.
struct Tasks {
    runtime: tokio::runtime::Handle,
    /// The alarm is to be set earlier.
    earlier: Arc<Notify>,
}

impl Courier for Tasks {
    fn take(&self, attempt: Attempt) {
        self.runtime.spawn(async move {
            let mut next = Some(attempt);
            while let Some(attempt) = next {
                let made = attempt.make().await;
                next = attempt.end(made);
            }
        });
    }

    fn earlier(&self) {
        self.earlier.notify_one();
    }
}

impl Lanes {
    /// No lanes yet.
    #[must_use]
    pub fn new(
        limits: InstanceLimits,
        watch: Arc<dyn Watch>,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        let earlier: Arc<Notify> = Arc::default();
        let courier = Tasks { runtime: runtime.clone(), earlier: earlier.clone() };
        let lanes = Self::with(limits, watch, Arc::new(courier));
        runtime.spawn(wake(Arc::downgrade(&lanes.shared), earlier));
        lanes
    }

    /// Lanes whose attempts `courier` makes.
    pub(crate) fn with(
        limits: InstanceLimits,
        watch: Arc<dyn Watch>,
        courier: Arc<dyn Courier>,
    ) -> Self {
        let unsettled = Arc::new(Bound::new(limits.in_flight_max + limits.uncommitted_max));
        let schedule = Schedule::new(limits, unsettled.clone(), clock::instant());
        let shared = Arc::new_cyclic(|this| Shared {
            schedule: Mutex::new(schedule),
            unsettled,
            in_flight: AtomicUsize::new(0),
            watch,
            courier,
            this: this.clone(),
        });
        Self { shared }
    }

    /// What wakes them, in the hands of a courier.
    #[cfg(test)]
    pub(crate) fn alarm_clock(&self) -> AlarmClock {
        AlarmClock(Arc::downgrade(&self.shared))
    }

    /// Puts `endpoints` in the place of those before; a lane whose endpoint stays keeps what it has learnt.
    pub fn configure(
        &self,
        endpoints: impl IntoIterator<Item = Arc<Endpoint>>,
        account_rates: &BTreeMap<AccountId, PerSecond>,
    ) {
        self.shared.act(|schedule, now| schedule.configure(endpoints, account_rates, now));
    }

    /// What configures these lanes from elsewhere.
    #[must_use]
    pub fn remote(&self) -> LanesRemote {
        LanesRemote(Arc::downgrade(&self.shared))
    }

    /// This instance owns `owned` of `all` partitions, and so much of what endpoints and accounts allow.
    pub fn set_share(&self, owned: usize, all: u32) {
        let owned = u32::try_from(owned).unwrap_or(u32::MAX);
        let share = f64::from(owned) / f64::from(all.max(1));
        self.shared.act(|schedule, now| schedule.set_share(share.min(1.0), now));
    }

    /// The endpoint of `webhook`, if it is configured.
    #[must_use]
    pub fn endpoint(&self, webhook: &WebhookName) -> Option<Arc<Endpoint>> {
        self.shared.lock().lane(webhook).map(|lane| lane.endpoint.clone())
    }

    /// Starts the attempts that may start, and returns how many jobs more the lane of `webhook` can use.
    pub fn start_attempts(&self, webhook: &WebhookName) -> Demand {
        self.shared.act(|schedule, now| schedule.demand(webhook, now))
    }

    /// Hands jobs to a lane. Those that it can't take come back by [`Watch::returned`].
    pub fn push(&self, webhook: &WebhookName, jobs: Vec<Job>) {
        self.shared.act(|schedule, now| schedule.push(webhook, jobs, now));
    }

    /// Takes back every job that has not begun.
    #[must_use]
    pub fn clear(&self) -> Vec<Job> {
        self.shared.lock().take_back()
    }

    /// The jobs of `webhook` that have not begun come back by [`Watch::returned`].
    pub fn take_back(&self, webhook: &WebhookName) {
        self.shared.act(|schedule, _| schedule.take_back_of(webhook));
    }

    /// The endpoint has asked to be left alone for so long.
    pub fn hold(&self, webhook: &WebhookName, time: Duration) {
        self.shared.act(|schedule, now| schedule.hold(webhook, time, now));
    }

    /// An operator has put the endpoint right.
    pub fn reset(&self, webhook: &WebhookName) {
        self.shared.act(|schedule, now| schedule.reset(webhook, now));
    }

    /// How many requests are unanswered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::Acquire)
    }

    /// Whether the daemon itself lacks something, so that attempts are put back.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.shared.lock().is_short()
    }

    /// Those that could send more at once, if the daemon itself let them.
    #[must_use]
    pub fn ready(&self) -> Vec<Ready> {
        self.shared.lock().ready(clock::instant())
    }

    /// The breaker of every endpoint.
    #[must_use]
    pub fn breakers(&self) -> Vec<(WebhookName, BreakerState)> {
        self.shared.lock().breakers()
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.shared.courier.earlier();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the schedule, and lets leave what may leave then.
    fn act<T>(&self, act: impl FnOnce(&mut Schedule, Instant) -> T) -> T {
        let (done, first) = self.act_and_take(act);
        if let (Some(ticket), Some(shared)) = (first, self.this.upgrade()) {
            self.courier.take(Attempt { shared, ticket });
        }
        done
    }

    /// The same, but the first job is the caller's.
    fn act_and_take<T>(
        &self,
        act: impl FnOnce(&mut Schedule, Instant) -> T,
    ) -> (T, Option<Ticket>) {
        let mut schedule = self.lock();
        // Not before, so that time never goes backwards for the schedule.
        let now = clock::instant();
        let alarm = schedule.alarm();
        let done = act(&mut schedule, now);
        let first = schedule.next(now);
        let mut others = Vec::new();
        while let Some(ticket) = first.as_ref().and_then(|_| schedule.next(now)) {
            others.push(ticket);
        }
        self.in_flight.fetch_add(usize::from(first.is_some()) + others.len(), Ordering::AcqRel);
        let earlier = match (schedule.alarm(), alarm) {
            (Some(is), Some(was)) => is < was,
            (is, was) => is.is_some() && was.is_none(),
        };
        let returned = std::mem::take(&mut schedule.returned);
        let changes = std::mem::take(&mut schedule.changes);
        let rate_limited = std::mem::take(&mut schedule.rate_limited);
        let notes = std::mem::take(&mut schedule.notes);
        drop(schedule);
        if earlier {
            self.courier.earlier();
        }
        for (webhook, state) in changes {
            self.watch.breaker(webhook, state);
        }
        if !returned.is_empty() {
            self.watch.returned(returned);
        }
        if rate_limited > 0 {
            self.watch.rate_limited(rate_limited);
        }
        for note in notes {
            self.watch.shortage(note);
        }
        if let Some(shared) = self.this.upgrade() {
            for ticket in others {
                self.courier.take(Attempt { shared: shared.clone(), ticket });
            }
        }
        (done, first)
    }
}

/// Wakes those whose time has come, for as long as there are lanes.
async fn wake(shared: Weak<Shared>, earlier: Arc<Notify>) {
    loop {
        let Some(this) = shared.upgrade() else { return };
        this.act(Schedule::wake);
        let alarm = this.lock().alarm();
        drop(this);
        match alarm {
            // Whichever comes first.
            Some(at) => drop(tokio::time::timeout_at(at.into(), earlier.notified()).await),
            None => earlier.notified().await,
        }
    }
}

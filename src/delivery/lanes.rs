//! All lanes of an instance: they take jobs, make attempts and return outcomes.
//!
//! A task makes an attempt. When the attempt has ended, the task takes the next job of any lane that may leave. So an
//! idle daemon has no task, and a busy one needs no wake-up per job.

use super::bound::Bound;
use super::brake::ShortageNote;
use super::breaker::BreakerState;
use super::endpoint::{Endpoint, Message};
use super::lane::{Demand, Job};
use super::rate::PerSecond;
use super::schedule::{InstanceLimits, LaneChanges, LaneState, Ready, Schedule, Ticket};
use super::shortage::Shortage;
use super::traced::Traced;
use crate::clock;
use crate::domain::{AccountId, Outcome, Timestamp, WebhookName};
use crate::failpoint::{self, Failpoint};
use crate::system;
use crate::telemetry::Traces;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// An attempt that was made.
#[derive(Debug)]
pub struct Attempted {
    /// The job of the attempt.
    pub job: Job,
    /// The result of the attempt.
    pub outcome: Outcome,
    /// Kept until the outcome is committed or dropped.
    pub unsettled: Unsettled,
}

/// Counts as an uncommitted outcome until it is dropped.
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

/// Receives the events of the lanes.
pub trait Watch: Send + Sync {
    /// Is called for each attempt that was made.
    fn attempted(&self, attempted: Attempted);
    /// Is called with jobs that must not leave now.
    fn returned(&self, jobs: Vec<Job>);
    /// Is called when a breaker has changed.
    fn breaker(&self, webhook: WebhookName, state: BreakerState);
    /// Is called with the number of requests that were repeated within their attempts because only their connection
    /// failed.
    fn repeated(&self, exchanges: u64);
    /// Is called with the number of attempts that rate limits have held back.
    fn rate_limited(&self, attempts: u64);
    /// Is called when a shortage of the daemon begins, puts an attempt back, or ends.
    fn shortage(&self, note: ShortageNote);
    /// Returns the time for requests, which their receivers compare with their own clocks.
    fn now(&self) -> Timestamp;
}

/// Configures the lanes from elsewhere, as long as they exist.
#[derive(Clone)]
pub struct LanesRemote(Weak<Shared>);

impl LanesRemote {
    /// Like [`Lanes::configure`]. Does nothing once the lanes are dropped.
    pub fn configure<'a>(
        &self,
        endpoints: impl IntoIterator<Item = Arc<Endpoint>>,
        account_rates: impl IntoIterator<Item = (&'a AccountId, &'a PerSecond)>,
    ) {
        if let Some(shared) = self.0.upgrade() {
            shared.act(|schedule, now| schedule.configure(endpoints, account_rates, now));
        }
    }

    /// Replaces the endpoints of a few webhooks. Does nothing once the lanes are dropped.
    pub fn change(&self, changes: LaneChanges) {
        if let Some(shared) = self.0.upgrade() {
            shared.act(|schedule, now| schedule.change(changes, now));
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
    /// Takes the spans of attempts, if they are recorded.
    traces: Option<Traces>,
    this: Weak<Shared>,
}

/// Makes attempts and wakes the lanes: Tokio, or in tests a simulated network.
pub(crate) trait Courier: Send + Sync {
    /// Makes the attempt, and then each attempt that [`Attempt::end`] returns.
    fn take(&self, attempt: Attempt);
    /// Is called when the lanes must be woken earlier than planned.
    fn earlier(&self);
}

/// An attempt in progress.
pub(crate) struct Attempt {
    shared: Arc<Shared>,
    ticket: Ticket,
}

impl Attempt {
    /// Returns the job of the attempt.
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
        let traced = job
            .source
            .as_ref()
            .map(|source| Traced::begin(job, source, self.shared.traces.as_ref(), unix_seconds));
        let message = Message {
            body: job.body.clone(),
            rendered: job.rendered.as_ref(),
            trace: traced.as_ref().map(Traced::context),
        };
        let made = endpoint.attempt(job.id, job.attempt, message, unix_seconds).await;
        if let (Some(traced), Ok(outcome)) = (&traced, &made) {
            traced.end(job, endpoint.webhook(), outcome);
        }
        let repeated = endpoint.take_repeated();
        if repeated > 0 {
            self.shared.watch.repeated(repeated);
        }
        made
    }

    /// Ends the attempt, or puts it back if it could not be made. Returns the next attempt.
    pub(crate) fn end(self, made: Result<Outcome, Shortage>) -> Option<Self> {
        let Self { shared, ticket } = self;
        let outcome = match made {
            Ok(outcome) => outcome,
            Err(shortage) => return Self::put_back(shared, ticket, shortage),
        };
        failpoint::pass(Failpoint::Attempted);
        let ended = ticket.ended();
        let ((), next) = shared.act_and_take(|schedule, now| schedule.ended(&ended, &outcome, now));
        // The outcome is passed on before the attempt stops counting, so that one of the two is always visible.
        let unsettled = Unsettled(shared.this.clone());
        shared.watch.attempted(Attempted { job: ticket.job, outcome, unsettled });
        shared.in_flight.fetch_sub(1, Ordering::AcqRel);
        next.map(|ticket| Self { shared, ticket })
    }

    /// Stops counting an attempt that could not be made. Its job is returned by [`Watch::returned`].
    fn put_back(shared: Arc<Shared>, ticket: Ticket, shortage: Shortage) -> Option<Self> {
        let put_back = |schedule: &mut Schedule, now| schedule.put_back(ticket, shortage, now);
        let ((), next) = shared.act_and_take(put_back);
        drop(Unsettled(shared.this.clone()));
        shared.in_flight.fetch_sub(1, Ordering::AcqRel);
        next.map(|ticket| Self { shared, ticket })
    }
}

/// Wakes the lanes at the times that a test chooses.
#[cfg(test)]
pub(crate) struct AlarmClock(Weak<Shared>);

#[cfg(test)]
impl AlarmClock {
    /// Returns when to wake the lanes, if ever.
    pub(crate) fn at(&self) -> Option<Instant> {
        self.0.upgrade()?.lock().alarm()
    }

    /// Wakes everything whose time has come.
    pub(crate) fn ring(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.act(Schedule::wake);
        }
    }
}

/// Makes each attempt in a Tokio task.
struct Tasks {
    runtime: tokio::runtime::Handle,
    /// Notified when the alarm has to be set earlier.
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
    /// Creates an instance's lanes, without any endpoint. `traces` takes the spans of attempts.
    #[must_use]
    pub fn new(
        limits: InstanceLimits,
        watch: Arc<dyn Watch>,
        runtime: tokio::runtime::Handle,
        traces: Option<Traces>,
    ) -> Self {
        let earlier: Arc<Notify> = Arc::default();
        let courier = Tasks { runtime: runtime.clone(), earlier: earlier.clone() };
        let lanes = Self::with(limits, watch, Arc::new(courier), traces);
        runtime.spawn(wake(Arc::downgrade(&lanes.shared), earlier));
        lanes
    }

    /// Creates lanes whose attempts `courier` makes.
    pub(crate) fn with(
        limits: InstanceLimits,
        watch: Arc<dyn Watch>,
        courier: Arc<dyn Courier>,
        traces: Option<Traces>,
    ) -> Self {
        let unsettled = Arc::new(Bound::new(limits.in_flight_max + limits.uncommitted_max));
        let schedule = Schedule::new(limits, unsettled.clone(), clock::instant());
        let shared = Arc::new_cyclic(|this| Shared {
            schedule: Mutex::new(schedule),
            unsettled,
            in_flight: AtomicUsize::new(0),
            watch,
            courier,
            traces,
            this: this.clone(),
        });
        Self { shared }
    }

    /// Returns the alarm clock for a courier.
    #[cfg(test)]
    pub(crate) fn alarm_clock(&self) -> AlarmClock {
        AlarmClock(Arc::downgrade(&self.shared))
    }

    /// Replaces all endpoints. A lane whose webhook stays keeps its state.
    pub fn configure<'a>(
        &self,
        endpoints: impl IntoIterator<Item = Arc<Endpoint>>,
        account_rates: impl IntoIterator<Item = (&'a AccountId, &'a PerSecond)>,
    ) {
        self.shared.act(|schedule, now| schedule.configure(endpoints, account_rates, now));
    }

    /// Returns a handle that configures these lanes from elsewhere.
    #[must_use]
    pub fn remote(&self) -> LanesRemote {
        LanesRemote(Arc::downgrade(&self.shared))
    }

    /// Sets this instance's share of the limits of endpoints and accounts: `owned` of `all` partitions.
    pub fn set_share(&self, owned: usize, all: u32) {
        let owned = u32::try_from(owned).unwrap_or(u32::MAX);
        let share = f64::from(owned) / f64::from(all.max(1));
        self.shared.act(|schedule, now| schedule.set_share(share.min(1.0), now));
    }

    /// Returns the endpoint of `webhook`, if it is configured.
    #[must_use]
    pub fn endpoint(&self, webhook: &WebhookName) -> Option<Arc<Endpoint>> {
        self.shared.lock().endpoint(webhook).cloned()
    }

    /// Starts the attempts that may start. Returns how many jobs the lane of `webhook` can use.
    pub fn start_attempts(&self, webhook: &WebhookName) -> Demand {
        self.shared.act(|schedule, now| schedule.demand(webhook, now))
    }

    /// Hands jobs to a lane. [`Watch::returned`] gets those that it can't take.
    pub fn push(&self, webhook: &WebhookName, jobs: Vec<Job>) {
        self.shared.act(|schedule, now| schedule.push(webhook, jobs, now));
    }

    /// Takes back every job that has not begun.
    #[must_use]
    pub fn clear(&self) -> Vec<Job> {
        self.shared.lock().take_back()
    }

    /// Takes back the jobs of `webhook` that have not begun. [`Watch::returned`] gets them.
    pub fn take_back(&self, webhook: &WebhookName) {
        self.shared.act(|schedule, _| schedule.take_back_of(webhook));
    }

    /// Holds the lane for the time that its endpoint asked for.
    pub fn hold(&self, webhook: &WebhookName, time: Duration) {
        self.shared.act(|schedule, now| schedule.hold(webhook, time, now));
    }

    /// Closes the breaker and ends the hold, because an operator has corrected the endpoint.
    pub fn reset(&self, webhook: &WebhookName) {
        self.shared.act(|schedule, now| schedule.reset(webhook, now));
    }

    /// Returns the number of unanswered requests.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::Acquire)
    }

    /// Returns whether the daemon itself lacks a resource, so that attempts are put back.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.shared.lock().is_short()
    }

    /// Returns the lanes that could send more at once if the daemon let them.
    #[must_use]
    pub fn ready(&self) -> Vec<Ready> {
        self.shared.lock().ready(clock::instant())
    }

    /// Returns the lanes that are not at rest.
    #[must_use]
    pub fn states(&self) -> HashMap<WebhookName, LaneState> {
        self.shared.lock().states(clock::instant())
    }

    /// Returns the number of unanswered requests and uncommitted outcomes.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.shared.unsettled.get()
    }

    /// Returns the breakers that are not closed.
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

    /// Changes the schedule, and then starts all attempts that may leave.
    fn act<T>(&self, act: impl FnOnce(&mut Schedule, Instant) -> T) -> T {
        let (done, first) = self.act_and_take(act);
        if let (Some(ticket), Some(shared)) = (first, self.this.upgrade()) {
            self.courier.take(Attempt { shared, ticket });
        }
        done
    }

    /// Like `act`, but returns the first job to the caller.
    fn act_and_take<T>(
        &self,
        act: impl FnOnce(&mut Schedule, Instant) -> T,
    ) -> (T, Option<Ticket>) {
        let mut schedule = self.lock();
        // Read after the lock is taken, so that time never goes backwards for the schedule.
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

/// Wakes the lanes at their times, as long as they exist.
async fn wake(shared: Weak<Shared>, earlier: Arc<Notify>) {
    loop {
        let Some(this) = shared.upgrade() else { return };
        this.act(Schedule::wake);
        let alarm = this.lock().alarm();
        drop(this);
        match alarm {
            // Waits for the alarm, or for an earlier one.
            Some(at) => drop(tokio::time::timeout_at(at.into(), earlier.notified()).await),
            None => earlier.notified().await,
        }
    }
}

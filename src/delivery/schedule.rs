//! Selects the next job, with everything that the lanes share.
//!
//! A lane with a job that may leave is in the queue of the pool whose slot the job needs. The lane with the fewest
//! unanswered requests is next. A lane waits where its missing resource becomes free: for a slot in a queue, for its
//! own token by a timer, for a token of its account in the account's queue. So no search over all lanes is needed.

mod change;
mod ready;
mod state;

pub use change::LaneChanges;

use super::bound::Bound;
use super::brake::{Brake, ShortageNote};
use super::breaker::BreakerState;
use super::endpoint::Endpoint;
use super::lane::{Attempt, Demand, Job, Lane, renewed};
use super::queues::{Pool, Queues};
use super::rate::{PerSecond, Rate, Time};
use super::shortage::Shortage;
use crate::domain::{AccountId, Outcome, WebhookName};
use imbl::OrdMap;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use ready::Ready;
pub use state::{LaneState, Obstacle};

/// The limits that the lanes of an instance share.
#[derive(Clone, Copy, Debug)]
pub struct InstanceLimits {
    /// The maximum number of unanswered requests.
    pub in_flight_max: usize,
    /// The maximum number of uncommitted outcomes, beside the unanswered requests.
    pub uncommitted_max: usize,
    /// The maximum number of attempts per second.
    pub rate_per_second: Option<PerSecond>,
}

/// A job that may leave now.
pub(super) struct Ticket {
    pub(super) job: Job,
    pub(super) endpoint: Arc<Endpoint>,
    pool: Pool,
    probe: bool,
    /// Whether the attempt is put back if the system is short of files. The daemon has a shortage, and other attempts
    /// need the rest.
    pub(super) is_careful: bool,
}

struct Account {
    per_second: PerSecond,
    rate: Option<Rate>,
    /// The elapsed part of the time to the next token, from 0 to 1, when the account last had a share.
    progress: f64,
    /// Lanes that wait for a token of the account.
    waiting: VecDeque<WebhookName>,
    /// Whether a timer is set for the first of them.
    is_armed: bool,
}

impl Account {
    /// Takes a token. Fails while other lanes wait for one, unless `is_called`: the lane is the first of them.
    fn take(&self, is_called: bool) -> Result<(), Duration> {
        match &self.rate {
            Some(_) if !is_called && !self.waiting.is_empty() => Err(Duration::ZERO),
            Some(rate) => rate.take(),
            None => Ok(()),
        }
    }

    fn new(per_second: PerSecond, rate: Option<Rate>) -> Self {
        Self { per_second, rate, progress: 0.0, waiting: VecDeque::new(), is_armed: false }
    }
}

/// The owner of a timer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sleeper {
    Lane(WebhookName),
    Account(AccountId),
    Instance,
    Brake,
}

/// The result of asking a lane for a job.
enum Asked {
    Leaves(Box<Ticket>),
    /// The lane waits elsewhere.
    Waits,
    /// No lane may send, because the instance's rate is used up.
    InstanceWaits,
}

pub(super) struct Schedule {
    brake: Brake,
    queues: Queues,
    /// The number of unanswered requests and uncommitted outcomes.
    unsettled: Arc<Bound>,
    /// The endpoints of all webhooks.
    endpoints: OrdMap<WebhookName, Arc<Endpoint>>,
    /// The lanes that are in use, and all with a rate. Most of many endpoints are rarely called.
    lanes: HashMap<WebhookName, Lane>,
    accounts: HashMap<AccountId, Account>,
    rate: Option<Rate>,
    instance_waits: bool,
    timers: BTreeSet<(Instant, Sleeper)>,
    time: Time,
    share: f64,
    /// Attempts that a rate limit has held back since the last report.
    pub(super) rate_limited: u64,
    /// Jobs that must not leave now, since the last report.
    pub(super) returned: Vec<Job>,
    /// Breakers that have changed since the last report.
    pub(super) changes: Vec<(WebhookName, BreakerState)>,
    /// Events of shortages since the last report.
    pub(super) notes: Vec<ShortageNote>,
}

impl Schedule {
    pub(super) fn new(limits: InstanceLimits, unsettled: Arc<Bound>, now: Instant) -> Self {
        let time = Time::starting(now);
        Self {
            queues: Queues::new(limits.in_flight_max),
            unsettled,
            endpoints: OrdMap::new(),
            lanes: HashMap::new(),
            accounts: HashMap::new(),
            rate: limits
                .rate_per_second
                .and_then(|rate| renewed(None, &mut 0.0, rate, rate.burst(), 1.0, &time)),
            instance_waits: false,
            timers: BTreeSet::new(),
            share: 0.0,
            rate_limited: 0,
            returned: Vec::new(),
            changes: Vec::new(),
            notes: Vec::new(),
            time,
            brake: Brake::new(limits.in_flight_max),
        }
    }

    /// Replaces all endpoints. A lane whose webhook stays keeps its state. The jobs of removed lanes go to `returned`.
    pub(super) fn configure<'a>(
        &mut self,
        endpoints: impl IntoIterator<Item = Arc<Endpoint>>,
        account_rates: impl IntoIterator<Item = (&'a AccountId, &'a PerSecond)>,
        now: Instant,
    ) {
        let mut former = std::mem::take(&mut self.lanes);
        let named = |endpoint: Arc<Endpoint>| (endpoint.webhook().name.clone(), endpoint);
        self.endpoints = endpoints.into_iter().map(named).collect();
        for (name, endpoint) in &self.endpoints {
            let lane = match former.remove(name) {
                Some(mut lane) => {
                    lane.follow(endpoint.clone());
                    lane
                }
                None if has_rate(endpoint) => Lane::new(endpoint.clone(), now),
                None => continue,
            };
            self.lanes.insert(name.clone(), lane);
        }
        let mut accounts = std::mem::take(&mut self.accounts);
        for (id, per_second) in account_rates {
            let former = accounts.remove(id).map(|former| (former.rate, former.progress));
            let (rate, progress) = former.unwrap_or_default();
            self.accounts.insert(*id, Account { progress, ..Account::new(*per_second, rate) });
        }
        self.set_share(self.share, now);
        self.returned.extend(former.values_mut().flat_map(Lane::take_back));
    }

    /// Sets this instance's share of all partitions, which is its share of the limits of endpoints and accounts.
    pub(super) fn set_share(&mut self, share: f64, now: Instant) {
        self.share = share;
        self.time.set(now);
        for lane in self.lanes.values_mut() {
            lane.share(share, &self.time);
            lane.is_waiting = false;
        }
        for account in self.accounts.values_mut() {
            let rate = account.per_second;
            let (former, burst) = (account.rate.take(), rate.burst());
            let progress = &mut account.progress;
            account.rate = renewed(former, progress, rate, burst, share, &self.time);
            account.waiting.clear();
            account.is_armed = false;
        }
        // Lanes that waited for a token are asked again.
        self.timers.clear();
        self.instance_waits = false;
        self.arm_brake(now);
        let names: Vec<WebhookName> = self.lanes.keys().cloned().collect();
        for name in names {
            self.offer(&name);
        }
    }

    pub(super) fn endpoint(&self, webhook: &WebhookName) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(webhook)
    }

    pub(super) fn demand(&mut self, webhook: &WebhookName, now: Instant) -> Demand {
        self.begin(webhook, now);
        self.lane_mut(webhook, |lane| lane.demand(now)).unwrap_or(Demand::Unconfigured)
    }

    /// Creates the lane of a configured webhook, if it has none yet.
    fn begin(&mut self, webhook: &WebhookName, now: Instant) {
        if !self.lanes.contains_key(webhook)
            && let Some(endpoint) = self.endpoints.get(webhook)
        {
            let mut lane = Lane::new(endpoint.clone(), now);
            lane.share(self.share, &self.time);
            self.lanes.insert(webhook.clone(), lane);
        }
    }

    /// Changes a lane, and notes a change of its breaker.
    fn lane_mut<T>(
        &mut self,
        webhook: &WebhookName,
        act: impl FnOnce(&mut Lane) -> T,
    ) -> Option<T> {
        let lane = self.lanes.get_mut(webhook)?;
        let before = lane.breaker();
        let done = act(lane);
        if lane.breaker() != before {
            self.changes.push((webhook.clone(), lane.breaker()));
        }
        Some(done)
    }

    /// Adds jobs to a lane, or to `returned` if the lane is held or removed.
    pub(super) fn push(&mut self, webhook: &WebhookName, jobs: Vec<Job>, now: Instant) {
        self.begin(webhook, now);
        let open = |lane: &mut Lane| lane.wait(now).is_none();
        if !self.lane_mut(webhook, open).unwrap_or(false) {
            self.returned.extend(jobs);
            return;
        }
        if let Some(lane) = self.lanes.get_mut(webhook) {
            for job in jobs {
                lane.push(job);
            }
        }
        self.offer(webhook);
    }

    /// Takes every job that has not begun from all lanes.
    pub(super) fn take_back(&mut self) -> Vec<Job> {
        self.lanes.values_mut().flat_map(Lane::take_back).collect()
    }

    /// Moves every job of a lane that has not begun to `returned`.
    pub(super) fn take_back_of(&mut self, webhook: &WebhookName) {
        if let Some(lane) = self.lanes.get_mut(webhook) {
            self.returned.extend(lane.take_back());
        }
    }

    pub(super) fn reset(&mut self, webhook: &WebhookName, now: Instant) {
        self.lane_mut(webhook, |lane| lane.reset(now));
    }

    pub(super) fn hold(&mut self, webhook: &WebhookName, time: Duration, now: Instant) {
        self.begin(webhook, now);
        self.lane_mut(webhook, |lane| lane.hold(time, now));
    }

    /// Adds a lane to the queues of the pools that its next jobs need.
    fn offer(&mut self, webhook: &WebhookName) {
        let Some(lane) = self.lanes.get_mut(webhook) else { return };
        if lane.is_waiting {
            return;
        }
        let (in_flight, pools) = (lane.in_flight(), lane.pools());
        self.queues.enter(webhook, in_flight, &mut lane.queue_entries, pools.into_iter().flatten());
    }

    /// Returns the next job that may leave.
    pub(super) fn next(&mut self, now: Instant) -> Option<Ticket> {
        self.time.set(now);
        while !self.instance_waits && !self.brake.holds(now) && self.is_free() {
            let (pool, entry, webhook) = self.queues.next()?;
            let lane = self.lanes.get_mut(&webhook);
            let known = lane.and_then(|lane| lane.queue_entries.get_mut(pool as usize));
            // The entry belongs to a removed lane.
            if known.and_then(|known| known.take_if(|known| *known == entry)).is_none() {
                continue;
            }
            match self.ask(&webhook, pool, now) {
                Asked::Leaves(ticket) => {
                    self.offer(&webhook);
                    return Some(*ticket);
                }
                Asked::Waits => {}
                Asked::InstanceWaits => {
                    self.offer(&webhook);
                    return None;
                }
            }
        }
        None
    }

    fn is_free(&self) -> bool {
        self.queues.used() < self.brake.limit() && self.unsettled.has_room()
    }

    fn ask(&mut self, webhook: &WebhookName, pool: Pool, now: Instant) -> Asked {
        let Some(lane) = self.lanes.get_mut(webhook) else { return Asked::Waits };
        // The lane is in the queue of another pool, too, and was asked from there.
        if lane.is_waiting {
            return Asked::Waits;
        }
        if lane.wait(now).is_some() {
            self.returned.extend(lane.take_back());
            return Asked::Waits;
        }
        let Some(class) = lane.candidate(pool) else { return Asked::Waits };
        if let Some(Err(wait)) = lane.rate.as_ref().map(Rate::take) {
            lane.is_waiting = true;
            self.rate_limited += 1;
            self.timers.insert((now + wait, Sleeper::Lane(webhook.clone())));
            return Asked::Waits;
        }
        let id = lane.account();
        let is_called = std::mem::take(&mut lane.is_called);
        if let Some(account) = self.accounts.get_mut(&id)
            && let Some(wait) = account.take(is_called).err()
        {
            if let Some(rate) = &lane.rate {
                rate.give_back();
            }
            lane.is_waiting = true;
            account.waiting.push_back(webhook.clone());
            self.rate_limited += 1;
            if !std::mem::replace(&mut account.is_armed, true) {
                self.timers.insert((now + wait, Sleeper::Account(id)));
            }
            return Asked::Waits;
        }
        if let Some(Err(wait)) = self.rate.as_ref().map(Rate::take) {
            let account = self.accounts.get(&id).and_then(|account| account.rate.as_ref());
            for rate in [lane.rate.as_ref(), account].into_iter().flatten() {
                rate.give_back();
            }
            self.instance_waits = true;
            self.rate_limited += 1;
            self.timers.insert((now + wait, Sleeper::Instance));
            return Asked::InstanceWaits;
        }
        let Some((job, probe)) = lane.begin(class) else { return Asked::Waits };
        let endpoint = lane.endpoint.clone();
        let is_careful = self.brake.is_on() && self.queues.used() > 0;
        self.queues.take(pool);
        self.unsettled.count();
        Asked::Leaves(Box::new(Ticket { job, endpoint, pool, probe, is_careful }))
    }

    /// Ends an attempt. If the lane is held now, its other jobs go to `returned`.
    pub(super) fn ended(&mut self, ended: &Ended, outcome: &Outcome, now: Instant) {
        self.queues.free(ended.pool);
        self.brake.ended();
        let closed = self.lane_mut(&ended.webhook, |lane| {
            lane.ended(&ended.attempt, outcome, now);
            lane.wait(now).is_some()
        });
        if closed == Some(true) {
            self.take_back_of(&ended.webhook);
        } else {
            self.offer(&ended.webhook);
        }
    }

    /// Ends an attempt that could not be made because the daemon lacks a resource. Its job goes to `returned`,
    /// and the instance slows down.
    pub(super) fn put_back(&mut self, ticket: Ticket, shortage: Shortage, now: Instant) {
        self.queues.free(ticket.pool);
        let webhook = ticket.job.webhook.clone();
        let closed = self.lane_mut(&webhook, |lane| {
            lane.put_back(ticket.job.class(), shortage, now);
            lane.wait(now).is_some()
        });
        if self.brake.put_back(shortage, self.queues.used(), now) {
            self.notes.push(ShortageNote::Began(shortage));
        }
        self.notes.push(ShortageNote::PutBack(shortage));
        self.arm_brake(now);
        self.returned.push(ticket.job);
        if closed == Some(true) {
            self.take_back_of(&webhook);
        } else {
            self.offer(&webhook);
        }
    }

    pub(super) fn is_short(&self) -> bool {
        self.brake.is_on()
    }

    fn arm_brake(&mut self, now: Instant) {
        self.timers.extend(self.brake.alarm(now).map(|at| (at, Sleeper::Brake)));
    }

    /// Wakes everything whose time has come.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some((at, _)) = self.timers.first()
            && *at <= now
            && let Some((_, sleeper)) = self.timers.pop_first()
        {
            match sleeper {
                Sleeper::Lane(webhook) => self.resume(&webhook),
                Sleeper::Account(id) => self.call(id, now),
                Sleeper::Instance => self.instance_waits = false,
                Sleeper::Brake => {
                    self.notes.extend(self.brake.release(now).map(ShortageNote::Ended));
                    self.arm_brake(now);
                }
            }
        }
    }

    fn resume(&mut self, webhook: &WebhookName) {
        if let Some(lane) = self.lanes.get_mut(webhook) {
            lane.is_waiting = false;
            self.offer(webhook);
        }
    }

    /// Asks the first lane that waits for a token of the account, and sets a timer for the next one.
    fn call(&mut self, id: AccountId, now: Instant) {
        let Some(account) = self.accounts.get_mut(&id) else { return };
        let next = account.waiting.pop_front();
        account.is_armed = !account.waiting.is_empty();
        if account.is_armed {
            let period = account.rate.as_ref().map_or(Duration::ZERO, |rate| rate.limit().period());
            self.timers.insert((now + period, Sleeper::Account(id)));
        }
        if let Some(lane) = next.as_ref().and_then(|webhook| self.lanes.get_mut(webhook)) {
            lane.is_called = true;
        }
        if let Some(webhook) = next {
            self.resume(&webhook);
        }
    }

    /// Returns when to wake next.
    pub(super) fn alarm(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Returns the breakers that are not closed.
    pub(super) fn breakers(&self) -> Vec<(WebhookName, BreakerState)> {
        let lanes = self.lanes.iter().map(|(webhook, lane)| (webhook, lane.breaker()));
        let open = lanes.filter(|(_, state)| *state != BreakerState::Closed);
        open.map(|(webhook, state)| (webhook.clone(), state)).collect()
    }
}

/// Returns whether the endpoint has a rate limit, whose first token comes a while after the lane was created.
fn has_rate(endpoint: &Endpoint) -> bool {
    endpoint.webhook().limits.rate_per_second.is_some()
}

/// The parts of a ticket that its end needs.
pub(super) struct Ended {
    webhook: WebhookName,
    pool: Pool,
    attempt: Attempt,
}

impl Ticket {
    pub(super) fn ended(&self) -> Ended {
        Ended {
            webhook: self.job.webhook.clone(),
            pool: self.pool,
            attempt: Attempt {
                delivery: self.job.id,
                number: self.job.attempt,
                class: self.job.class(),
                probe: self.probe,
            },
        }
    }
}

#[cfg(test)]
mod tests;

//! Which job leaves next: everything that the lanes share.
//!
//! A lane that has a job which may leave stands in the queue of the pool whose slot the job needs; the lane that has the
//! fewest unanswered is next. What a lane lacks decides where it waits instead: for a slot in the queue, for a token of its
//! own by a timer, for one of its account in the account's queue. So nothing is ever looked through.

mod ready;

use super::bound::Bound;
use super::brake::{Brake, ShortageNote};
use super::breaker::BreakerState;
use super::endpoint::Endpoint;
use super::lane::{Attempt, Demand, Job, Lane, renewed};
use super::queues::{Pool, Queues};
use super::rate::{PerSecond, Rate, Time};
use super::shortage::Shortage;
use crate::domain::{AccountId, Outcome, WebhookName};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use ready::Ready;

/// What the lanes of an instance share.
#[derive(Clone, Copy, Debug)]
pub struct InstanceLimits {
    /// So many requests may be unanswered.
    pub in_flight_max: usize,
    /// So many outcomes may wait for their commit, beside those.
    pub uncommitted_max: usize,
    /// Attempts per second of this instance.
    pub rate_per_second: Option<PerSecond>,
}

/// A job that may leave now.
pub(super) struct Ticket {
    pub(super) job: Job,
    pub(super) endpoint: Arc<Endpoint>,
    pool: Pool,
    probe: bool,
    /// The daemon lacks something, and others are on their way: this one is to leave to them what there is.
    pub(super) is_careful: bool,
}

struct Account {
    per_second: PerSecond,
    rate: Option<Rate>,
    /// How much of the way to its next token was gone when it had a share last.
    progress: f64,
    /// Lanes that wait for a token of it.
    waiting: VecDeque<WebhookName>,
    /// A timer is set for the first of them.
    is_armed: bool,
}

impl Account {
    /// Takes a token, if it is not for those who wait already; `is_called`: the lane is the first of these.
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

/// Who waits for a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sleeper {
    Lane(WebhookName),
    Account(AccountId),
    Instance,
    Brake,
}

/// What became of asking a lane.
enum Asked {
    Leaves(Box<Ticket>),
    /// It waits elsewhere.
    Waits,
    /// Nobody may leave.
    InstanceWaits,
}

pub(super) struct Schedule {
    brake: Brake,
    queues: Queues,
    /// Requests unanswered, and outcomes that are not committed.
    unsettled: Arc<Bound>,
    lanes: HashMap<WebhookName, Lane>,
    accounts: HashMap<AccountId, Account>,
    rate: Option<Rate>,
    instance_waits: bool,
    timers: BTreeSet<(Instant, Sleeper)>,
    time: Time,
    share: f64,
    /// Attempts that a rate limit has held back since the last look.
    pub(super) rate_limited: u64,
    /// Jobs that are not to leave now, since the last look.
    pub(super) returned: Vec<Job>,
    /// Breakers that have changed since the last look.
    pub(super) changes: Vec<(WebhookName, BreakerState)>,
    /// What became of shortages, since the last look.
    pub(super) notes: Vec<ShortageNote>,
}

impl Schedule {
    pub(super) fn new(limits: InstanceLimits, unsettled: Arc<Bound>, now: Instant) -> Self {
        let time = Time::starting(now);
        Self {
            queues: Queues::new(limits.in_flight_max),
            unsettled,
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

    /// Puts `endpoints` in the place of those before; a lane whose endpoint stays keeps what it has learnt. The jobs of one
    /// that is gone come back.
    pub(super) fn configure(
        &mut self,
        endpoints: impl IntoIterator<Item = Arc<Endpoint>>,
        account_rates: &BTreeMap<AccountId, PerSecond>,
        now: Instant,
    ) {
        let mut former = std::mem::take(&mut self.lanes);
        for endpoint in endpoints {
            let name = endpoint.webhook().name.clone();
            let lane = match former.remove(&name) {
                Some(mut lane) => {
                    lane.follow(endpoint);
                    lane
                }
                None => Lane::new(endpoint, now),
            };
            self.lanes.insert(name, lane);
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

    /// This instance owns so much of all partitions, and may use as much of what endpoints and accounts allow.
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
        // Whoever waited for a token is asked again.
        self.timers.clear();
        self.instance_waits = false;
        self.arm_brake(now);
        let names: Vec<WebhookName> = self.lanes.keys().cloned().collect();
        for name in names {
            self.offer(&name);
        }
    }

    pub(super) fn lane(&self, webhook: &WebhookName) -> Option<&Lane> {
        self.lanes.get(webhook)
    }

    pub(super) fn demand(&mut self, webhook: &WebhookName, now: Instant) -> Demand {
        self.lane_mut(webhook, |lane| lane.demand(now)).unwrap_or(Demand::Unconfigured)
    }

    /// Does something to a lane that may change its breaker.
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

    /// Takes jobs in; those that can't leave, since their lane has just closed, come back.
    pub(super) fn push(&mut self, webhook: &WebhookName, jobs: Vec<Job>, now: Instant) {
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

    /// Every job that has not begun comes back.
    pub(super) fn take_back(&mut self) -> Vec<Job> {
        self.lanes.values_mut().flat_map(Lane::take_back).collect()
    }

    /// Every job of a lane that has not begun comes back.
    pub(super) fn take_back_of(&mut self, webhook: &WebhookName) {
        if let Some(lane) = self.lanes.get_mut(webhook) {
            self.returned.extend(lane.take_back());
        }
    }

    pub(super) fn reset(&mut self, webhook: &WebhookName, now: Instant) {
        self.lane_mut(webhook, |lane| lane.reset(now));
    }

    pub(super) fn hold(&mut self, webhook: &WebhookName, time: Duration, now: Instant) {
        self.lane_mut(webhook, |lane| lane.hold(time, now));
    }

    /// Lets a lane stand where its next jobs would leave from.
    fn offer(&mut self, webhook: &WebhookName) {
        let Some(lane) = self.lanes.get_mut(webhook) else { return };
        if lane.is_waiting {
            return;
        }
        let (in_flight, pools) = (lane.in_flight(), lane.pools());
        self.queues.enter(webhook, in_flight, &mut lane.standings, pools.into_iter().flatten());
    }

    /// The next job that may leave.
    pub(super) fn next(&mut self, now: Instant) -> Option<Ticket> {
        self.time.set(now);
        while !self.instance_waits && !self.brake.holds(now) && self.is_free() {
            let (pool, standing, webhook) = self.queues.next()?;
            let lane = self.lanes.get_mut(&webhook);
            let known = lane.and_then(|lane| lane.standings.get_mut(pool as usize));
            // A lane of the same name that was removed stood there.
            if known.and_then(|known| known.take_if(|known| *known == standing)).is_none() {
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
        // It stands in the queue of another pool too, and was asked from there.
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

    /// An attempt ended. The lane's other jobs come back if it is to be left alone.
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

    /// An attempt could not be made, since the daemon lacks something: its job comes back, and the instance slows down.
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

    /// Lets those go on whose time has come.
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

    /// The first lane that waits for the account's token is asked again; the next one when there may be another token.
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

    /// When to wake next.
    pub(super) fn alarm(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Every lane's breaker.
    pub(super) fn breakers(&self) -> Vec<(WebhookName, BreakerState)> {
        self.lanes.iter().map(|(webhook, lane)| (webhook.clone(), lane.breaker())).collect()
    }
}

/// What is left of a ticket once its job is told of.
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

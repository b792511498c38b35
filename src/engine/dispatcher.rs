//! The dispatcher hands due deliveries from the outbox to the lanes, and takes back those that may not leave. It takes
//! in only as many records as the lanes can deliver.

use super::config::EngineConfig;
use super::intake::{Bundle, Intake};
use super::outbox::{self, Abandoned, Downstream, LeaseLimits, Outbox};
use super::partitions::Partitions;
use super::reloads::{self, Left};
use super::work::{View, Work};
use crate::clock;
use crate::codec::event::ReloadEvent;
use crate::delivery::{Attempted, BreakerState, Demand, Job, Lanes, LanesRemote};
use crate::domain::{EndpointEvent, EndpointState, State, Timestamp, WebhookName};
use crate::log::{Log, TopicPartition};
use crate::store::{Backlogs, Disk, Retried, StoreError, WriteBack};
use crate::telemetry::WebhookLoad;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The memory for leased rows.
const LEASE_BYTES: usize = 32 << 20;

/// The deliveries that are not finished, and the lanes that deliver them.
pub(super) struct Dispatcher {
    config: Arc<EngineConfig>,
    outbox: Outbox,
    lanes: Lanes,
    intake: Intake,
    /// Rows that the next batch turns into dead letters.
    abandoned: Vec<Abandoned>,
    /// Reloads that no batch has reported yet.
    reload_events: Vec<ReloadEvent>,
}

/// The outbox's numbers for the gauges.
pub(super) struct Load {
    pub(super) webhooks: Vec<WebhookLoad>,
    pub(super) oldest: Option<Timestamp>,
    pub(super) in_flight: usize,
    /// Outcomes that are not committed.
    pub(super) uncommitted: usize,
    pub(super) overdue: Option<Timestamp>,
}

/// The running partitions and the lanes, as the outbox uses them.
struct Reach<'a, L: Log, D: Disk> {
    partitions: &'a Partitions<L, D>,
    lanes: &'a Lanes,
    config: &'a EngineConfig,
}

impl<L: Log, D: Disk> Downstream for Reach<'_, L, D> {
    type Family = D::Family;

    fn rows(&self, partition: i32) -> Option<&WriteBack<D::Family>> {
        self.partitions.running(partition).map(|task| &task.rows)
    }

    fn start_attempts(&self, webhook: &WebhookName) -> Demand {
        self.lanes.start_attempts(webhook)
    }

    fn age_max_ms(&self, webhook: &WebhookName) -> u64 {
        self.config.policy.webhook(webhook).age_max_ms
    }

    fn is_short(&self) -> bool {
        self.lanes.is_short()
    }

    fn push(&self, webhook: &WebhookName, jobs: Vec<Job>) {
        self.lanes.push(webhook, jobs);
    }
}

impl Dispatcher {
    /// Creates a dispatcher without deliveries. A lane may be handed `ahead` rows beside its unanswered ones.
    /// `is_traced`: spans of attempts may be recorded.
    pub(super) fn new(
        config: Arc<EngineConfig>,
        lanes: Lanes,
        ahead: usize,
        is_traced: bool,
    ) -> Self {
        lanes.configure(config.endpoints.values().cloned(), &config.account_rates);
        Self {
            config,
            outbox: Outbox::new(LeaseLimits { bytes: LEASE_BYTES, ahead }, is_traced),
            lanes,
            intake: Intake::default(),
            abandoned: Vec::new(),
            reload_events: Vec::new(),
        }
    }

    /// Returns everything that decisions depend on, if `partitions` partitions own uuids.
    pub(super) fn view(&self, partitions: u32) -> View<'_> {
        let (policy, lanes) = (&self.config.policy, &self.lanes);
        View { policy, partitions, now: clock::now(), lanes }
    }

    /// Hands due rows to the lanes, unless partitions are still being restored.
    pub(super) fn dispatch<L: Log, D: Disk>(
        &mut self,
        partitions: &Partitions<L, D>,
    ) -> Result<(), StoreError> {
        if partitions.unsettled().is_some() {
            return Ok(());
        }
        let reach = Reach { partitions, lanes: &self.lanes, config: &self.config };
        let abandoned = self.outbox.dispatch(clock::now(), &reach)?;
        self.abandoned.extend(abandoned);
        Ok(())
    }

    /// Returns when there is something to end.
    pub(super) fn batch_due(&self) -> Option<Timestamp> {
        (!self.abandoned.is_empty()).then_some(Timestamp::from_ms(0))
    }

    /// Returns when there is something to hand out. Nothing leaves for the time `unsettled`.
    pub(super) fn next_due(&self, unsettled: Option<Duration>) -> Option<Timestamp> {
        let due = self.outbox.next_due()?;
        let settled = unsettled
            .map(|left| clock::now().plus_ms(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)));
        Some(settled.map_or(due, |settled| settled.max(due)))
    }

    /// Takes the rows that the next batch turns into dead letters.
    pub(super) fn take_abandoned(&mut self) -> Vec<Abandoned> {
        std::mem::take(&mut self.abandoned)
    }

    /// Keeps the rows that were to become dead letters.
    pub(super) fn spare(&mut self, abandoned: &mut Vec<Abandoned>) {
        for row in self.take_abandoned().into_iter().chain(abandoned.drain(..)) {
            self.outbox.release(row.partition, &row.webhook, row.key);
        }
    }

    /// Puts back rows that may not leave now.
    pub(super) fn returned(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            self.outbox.put_back(job.partition, &job.webhook, outbox::key(&job));
        }
    }

    /// Follows a state that was committed.
    pub(super) fn change(&mut self, partition: i32, old: &State, new: &State) {
        self.outbox.change(partition, old, new);
    }

    /// Ends the leases of the rows whose outcomes a batch has committed.
    pub(super) fn release(&mut self, work: &Work) {
        for Attempted { job, .. } in &work.outcomes {
            self.outbox.release(job.partition, &job.webhook, outbox::key(job));
        }
        for row in &work.abandoned {
            self.outbox.release(row.partition, &row.webhook, row.key);
        }
    }

    /// Returns when a delivery to the endpoint last succeeded, if that is known.
    pub(super) fn delivered_at(&self, webhook: &WebhookName) -> Option<Timestamp> {
        self.outbox.delivered_at(webhook)
    }

    /// Applies a committed event of an endpoint to its lane.
    pub(super) fn follow(&mut self, webhook: &WebhookName, event: &EndpointEvent) {
        match event {
            EndpointEvent::Disabled { .. } | EndpointEvent::DisabledElsewhere(_) => {
                self.lanes.take_back(webhook);
                self.outbox.wake(webhook);
            }
            EndpointEvent::Enabled => {
                self.lanes.reset(webhook);
                self.outbox.wake(webhook);
            }
            // These events come from the lane itself.
            EndpointEvent::Held { .. }
            | EndpointEvent::Failing { .. }
            | EndpointEvent::Recovered { .. } => {}
            // The notices change nothing for the endpoint that they are about.
            EndpointEvent::Reported { .. }
            | EndpointEvent::LettersCounted(_)
            | EndpointEvent::NoticeDue { .. } => {}
        }
    }

    /// Takes in records that were read.
    pub(super) fn take_in(&mut self, bundle: Bundle) {
        self.intake.push(bundle);
    }

    /// Counts outcomes. Allows to decide as many records as the lanes can deliver.
    pub(super) fn ended(&mut self, outcomes: &[Attempted]) {
        let delivered = self.outbox.ended(outcomes, clock::now());
        self.intake.allow(delivered, &self.outbox);
    }

    /// Returns the next records that may be decided.
    pub(super) fn next_records(&mut self) -> Option<Bundle> {
        self.intake.next()
    }

    /// Returns the time of the first waiting record of each input.
    pub(super) fn first_records(&self) -> BTreeMap<TopicPartition, Timestamp> {
        self.intake.firsts()
    }

    /// Adopts a new configuration. The lanes use it already; every share is looked at again.
    pub(super) fn reload(&mut self, left: Left) {
        reloads::add(&mut self.reload_events, left.events);
        let Some(config) = left.config else { return };
        self.config = config;
        self.outbox.wake_all();
        tracing::info!(
            accounts = self.config.policy.accounts.len(),
            webhooks = self.config.endpoints.len(),
            "the engine uses the new configuration"
        );
    }

    /// Takes the reloads that the next batch reports.
    pub(super) fn take_reload_events(&mut self) -> Vec<ReloadEvent> {
        std::mem::take(&mut self.reload_events)
    }

    /// Puts reloads back, because the batch that reported them was not committed.
    pub(super) fn keep_reload_events(&mut self, events: Vec<ReloadEvent>) {
        let newer = std::mem::replace(&mut self.reload_events, events);
        reloads::add(&mut self.reload_events, newer);
    }

    /// Adds the outbox of a restored partition, and holds the endpoints that asked for a pause.
    pub(super) fn load(
        &mut self,
        partition: i32,
        backlogs: Backlogs,
        retried: &Retried,
        endpoints: &BTreeMap<WebhookName, EndpointState>,
    ) {
        self.outbox.load(partition, backlogs);
        self.outbox.load_retried(retried);
        let now = clock::now();
        for (webhook, endpoint) in endpoints {
            if let Some(until) = endpoint.held_until.filter(|until| *until > now) {
                self.lanes.hold(webhook, Duration::from_millis(until.ms_since(now)));
            }
        }
    }

    /// Forgets the rows of all partitions, but not the leases.
    pub(super) fn unload(&mut self) {
        self.outbox.unload();
    }

    /// Takes all jobs that have not begun back from the lanes. Returns their number.
    pub(super) fn stop(&self) -> usize {
        self.lanes.clear().len()
    }

    /// Forgets everything. Returns how many bytes of records were waiting.
    pub(super) fn clear(&mut self) -> usize {
        self.outbox.clear();
        self.abandoned.clear();
        self.intake.clear()
    }

    /// Sets this instance's share of the limits of endpoints and accounts: `owned` of `all` partitions.
    pub(super) fn share(&self, owned: usize, all: u32) {
        self.lanes.set_share(owned, all);
    }

    pub(super) fn in_flight(&self) -> usize {
        self.lanes.in_flight()
    }

    /// Returns the names of the configured webhooks, in their order.
    pub(super) fn webhooks(&self) -> impl ExactSizeIterator<Item = &WebhookName> {
        self.config.endpoints.keys()
    }

    pub(super) fn is_configured(&self, webhook: &WebhookName) -> bool {
        self.config.endpoints.contains_key(webhook)
    }

    /// Returns the breakers that are not closed.
    pub(super) fn breakers(&self) -> impl Iterator<Item = (WebhookName, BreakerState)> {
        self.lanes.breakers().into_iter()
    }

    pub(super) fn remote(&self) -> LanesRemote {
        self.lanes.remote()
    }

    /// Returns the number of rows, and how many of them are leased.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (u64, usize) {
        self.outbox.counts()
    }

    pub(super) fn load_now(&mut self) -> Load {
        let (now, endpoints) = (clock::now(), &self.config.endpoints);
        let is_configured = |webhook: &WebhookName| endpoints.contains_key(webhook);
        let in_flight = self.in_flight();
        Load {
            webhooks: self.outbox.loads(&self.lanes.states(), is_configured, now),
            oldest: self.outbox.oldest(),
            in_flight,
            uncommitted: self.lanes.unsettled().saturating_sub(in_flight),
            overdue: self.outbox.overdue(&self.lanes.ready(), now),
        }
    }
}

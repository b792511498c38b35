//! From the outbox to the lanes and back: what is due is handed out, what may not leave comes back.

use super::config::EngineConfig;
use super::outbox::{self, Doomed, Hands};
use super::ports::Log;
use super::reloads::{self, Left};
use super::task::Task;
use super::work::Work;
use super::{EngineError, Shell};
use crate::clock;
use crate::delivery::{Appetite, Job, Lanes};
use crate::domain::{Command, EndpointEvent, WebhookName};
use crate::store::WriteBack;
use std::collections::BTreeMap;
use std::time::Duration;

/// The running partitions, and the lanes.
struct Reach<'a> {
    tasks: &'a BTreeMap<u32, Task>,
    lanes: &'a Lanes,
    config: &'a EngineConfig,
}

impl Hands for Reach<'_> {
    fn rows(&self, partition: u32) -> Option<&WriteBack> {
        self.tasks.get(&partition).filter(|task| task.active).map(|task| &task.rows)
    }

    fn appetite(&self, webhook: &WebhookName) -> Appetite {
        self.lanes.appetite(webhook)
    }

    fn age_max_ms(&self, webhook: &WebhookName) -> u64 {
        self.config.rules.webhook(webhook).age_max_ms
    }

    fn is_short(&self) -> bool {
        self.lanes.is_short()
    }

    fn push(&self, webhook: &WebhookName, jobs: Vec<Job>) {
        self.lanes.push(webhook, jobs);
    }
}

impl<L: Log> Shell<L> {
    pub(super) fn dispatch(&mut self) -> Result<(), EngineError> {
        if self.unsettled().is_some() {
            return Ok(());
        }
        let reach = Reach { tasks: &self.tasks, lanes: &self.lanes, config: &self.config };
        let doomed = self.outbox.dispatch(clock::now(), &reach)?;
        self.doomed.extend(doomed);
        Ok(())
    }

    /// How long nothing leaves unless all partitions are restored before.
    pub(super) fn unsettled(&self) -> Option<Duration> {
        let left = self.settled_at.saturating_duration_since(clock::instant());
        let restores = self.tasks.values().any(|task| !task.active);
        (restores && !left.is_zero()).then_some(left)
    }

    /// Rows that are given up without an attempt.
    pub(super) fn give_up(&mut self, work: &mut Work) -> Result<(), EngineError> {
        let doomed = std::mem::take(&mut self.doomed);
        let endpoint = |name: &WebhookName| self.lanes.endpoint(name);
        let view = self.view(&endpoint);
        for Doomed { partition, uuid, key, reason, .. } in &doomed {
            if let Some(task) = self.tasks.get(partition).filter(|task| task.active) {
                let command = Command::GiveUp { delivery: key.id, reason: *reason };
                work.command(&task.rows, uuid, &command, None, &view)?;
            }
        }
        work.doomed = doomed;
        Ok(())
    }

    /// What was to be given up is not, for now.
    pub(super) fn forget_doomed(&mut self) {
        for row in std::mem::take(&mut self.doomed) {
            self.outbox.release(row.partition, &row.webhook, row.key);
        }
    }

    /// Jobs that may not leave now are rows of the outbox again.
    pub(super) fn returned(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            self.outbox.put_back(job.partition, &job.webhook, outbox::key(&job));
        }
    }

    /// The lanes have it already; every row is looked at again.
    pub(super) fn reloads(&mut self, left: Left) {
        reloads::add(&mut self.reload_events, left.events);
        let Some(config) = left.config else { return };
        self.config = config;
        self.outbox.wake_all();
        tracing::info!(
            accounts = self.config.rules.accounts.len(),
            webhooks = self.config.endpoints.len(),
            "the configuration is in force"
        );
    }

    /// What was committed of an endpoint holds for its lane too.
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
            // The lane knew it first.
            EndpointEvent::Held { .. }
            | EndpointEvent::Failing { .. }
            | EndpointEvent::Recovered { .. } => {}
        }
    }

    /// What a restored partition remembers of its endpoints.
    pub(super) fn remember(&self, rows: &WriteBack) {
        let now = clock::now();
        for (webhook, endpoint) in rows.endpoints() {
            if let Some(until) = endpoint.held_until.filter(|until| *until > now) {
                self.lanes.hold(webhook, Duration::from_millis(until.ms_since(now)));
            }
        }
    }

    /// What endpoints and accounts allow is shared by the partitions.
    pub(super) fn share(&self) {
        self.lanes.set_share(self.tasks.len(), self.settings.partitions);
    }
}

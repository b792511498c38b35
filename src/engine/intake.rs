//! Records that were read and wait to be decided.
//!
//! While a lane delivers as fast as it can and has more to deliver than it can take, no more is taken in than is delivered:
//! what would only wait in the store had better wait in Kafka, where it stands already. A lane that delivers nothing holds
//! nobody back.

use super::outbox::Outbox;
use crate::delivery::Attempted;
use crate::domain::{Verdict, WebhookName};
use crate::log::Record;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// A lane that delivers less than this in two windows holds nobody back.
const FAST: usize = 64;
const WINDOW: Duration = Duration::from_millis(250);

/// Records that were read together.
pub(super) struct Bundle {
    /// The assignment that they belong to.
    pub(super) epoch: u64,
    pub(super) records: Vec<Record>,
    /// What the reader's gate is to be opened by.
    pub(super) bytes: usize,
}

/// What each lane has delivered lately: in this window, and in the one before.
struct Pace {
    since: Instant,
    now: HashMap<WebhookName, usize>,
    before: HashMap<WebhookName, usize>,
}

impl Pace {
    fn count(&mut self, webhook: &WebhookName) {
        match self.now.get_mut(webhook) {
            Some(count) => *count += 1,
            None => drop(self.now.insert(webhook.clone(), 1)),
        }
    }

    fn turn(&mut self) {
        if self.since.elapsed() >= WINDOW {
            self.since = Instant::now();
            self.before = std::mem::take(&mut self.now);
        }
    }

    fn of(&self, webhook: &WebhookName) -> usize {
        let count =
            |window: &HashMap<WebhookName, usize>| window.get(webhook).copied().unwrap_or(0);
        count(&self.now) + count(&self.before)
    }
}

/// The records that wait.
pub(super) struct Intake {
    waiting: VecDeque<Bundle>,
    pace: Pace,
    /// How many may still be taken before the next commit; below zero for what was taken too much, bundles being taken whole.
    credit: i64,
}

impl Intake {
    pub(super) fn new() -> Self {
        let pace = Pace { since: Instant::now(), now: HashMap::new(), before: HashMap::new() };
        Self { waiting: VecDeque::new(), pace, credit: 0 }
    }

    pub(super) fn push(&mut self, bundle: Bundle) {
        self.waiting.push_back(bundle);
    }

    /// How much may be taken beside these outcomes.
    pub(super) fn allow(&mut self, outcomes: &[Attempted], outbox: &Outbox) {
        let mut delivered = 0;
        self.pace.turn();
        for Attempted { job, outcome } in outcomes {
            if outcome.verdict == Verdict::Delivered {
                delivered += 1;
                self.pace.count(&job.webhook);
            }
        }
        let held_back = outbox.starved().any(|webhook| self.pace.of(webhook) >= FAST);
        self.credit = if held_back { self.credit.min(0) + delivered / 2 } else { i64::MAX };
    }

    /// The next records, as far as they are allowed.
    pub(super) fn next(&mut self) -> Option<Bundle> {
        if self.credit <= 0 {
            return None;
        }
        let bundle = self.waiting.pop_front()?;
        self.credit -= i64::try_from(bundle.records.len()).unwrap_or(i64::MAX);
        Some(bundle)
    }

    /// Drops what waits; returns what the gate is to be opened by.
    pub(super) fn clear(&mut self) -> usize {
        self.waiting.drain(..).map(|bundle| bundle.bytes).sum()
    }
}

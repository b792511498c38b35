//! Selects the webhooks that have series of their own.

use super::{Gauges, OTHER, Series};
use crate::domain::{DeadLetterReason, Phase, Timestamp, WebhookName};
use crate::telemetry::labels::{EndpointState, OutboxState};
use crate::telemetry::sample::{LastFailure, WebhookFigures};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

/// The time after which an attempt counts half for the choice of the busiest.
const HALF_LIFE: Duration = Duration::from_secs(600);
/// A webhook takes the place of another one if it is this much busier: a series that ends often is hard to read.
const BUSIER_FACTOR: f64 = 2.0;
const BUSIER_BY: f64 = 10.0;
/// A webhook with less activity than this is at rest, and any other takes its place.
const AT_REST: f64 = 0.05;

/// The undelivered webhooks of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookLoad {
    pub webhook: WebhookName,
    /// The number of all of them.
    pub rows: u64,
    /// Those whose attempt is in flight.
    pub in_flight: u64,
    /// Those whose retry is due later.
    pub later: u64,
    /// The state of all others.
    pub waits_for: OutboxState,
    /// When the oldest was scheduled.
    pub oldest: Option<Timestamp>,
}

impl WebhookLoad {
    /// Returns the number of those that are in the state `waits_for`.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.rows.saturating_sub(self.in_flight).saturating_sub(self.later)
    }

    fn gauges(&self) -> Gauges {
        let (rate_limited, held) = match self.waits_for {
            OutboxState::RateLimited => (self.waiting(), 0),
            OutboxState::Held | OutboxState::Breaker => (0, self.waiting()),
            OutboxState::Due
            | OutboxState::Retry
            | OutboxState::AfterPhase1
            | OutboxState::InFlight => (0, 0),
        };
        let (rows, oldest) = (self.rows, self.oldest);
        Gauges { rows, rate_limited, held, oldest, state: EndpointState::Closed }
    }
}

/// A webhook with series of its own.
#[derive(Clone, Default)]
pub(super) struct Shown {
    pub(super) series: Series,
    pub(super) gauges: Gauges,
    /// Its recent attempts.
    activity: f64,
    last_failure: Option<LastFailure>,
}

impl Shown {
    pub(super) fn figures(&self) -> WebhookFigures {
        let Gauges { rows, rate_limited, held, oldest, state } = self.gauges;
        let counts = self.series.figures();
        WebhookFigures {
            backlog: rows,
            oldest,
            rate_limited,
            held,
            state,
            last_failure: self.last_failure,
            ..counts
        }
    }
}

/// Everything that a scrape shows.
#[derive(Clone)]
pub(super) struct Exposed {
    pub(super) shown: HashMap<WebhookName, Shown>,
    /// The counts of all webhooks without series of their own.
    pub(super) other: Series,
    pub(super) other_gauges: Gauges,
    pub(super) dead_records: BTreeMap<DeadLetterReason, u64>,
    /// The time for which ages are shown.
    pub(super) now: Timestamp,
}

pub(super) struct Table {
    shown_max: usize,
    pub(super) exposed: Exposed,
    /// The recent attempts of each webhook without series of its own.
    activities: HashMap<WebhookName, f64>,
    selected_at: Option<Instant>,
}

impl Table {
    pub(super) fn new(shown_max: usize) -> Self {
        let mut other = Series::default();
        let mut dead_records = BTreeMap::new();
        // The sink has metrics of its own.
        let ours = DeadLetterReason::ALL.iter().filter(|it| **it != DeadLetterReason::SinkRefused);
        for reason in ours {
            if reason.is_of_a_record() {
                dead_records.insert(*reason, 0);
            } else {
                Phase::ALL.into_iter().for_each(|phase| other.foresee(phase, *reason));
            }
        }
        let exposed = Exposed {
            shown: HashMap::new(),
            other,
            other_gauges: Gauges::default(),
            dead_records,
            now: Timestamp::from_ms(0),
        };
        Self { shown_max, exposed, activities: HashMap::new(), selected_at: None }
    }

    pub(super) fn dead_record(&mut self, reason: DeadLetterReason) {
        *self.exposed.dead_records.entry(reason).or_default() += 1;
    }

    /// Counts something of a webhook. `activity` is added to its recent attempts.
    pub(super) fn count(
        &mut self,
        webhook: &WebhookName,
        activity: f64,
        change: impl FnOnce(&mut Series),
    ) {
        if let Some(shown) = self.exposed.shown.get_mut(webhook) {
            shown.activity += activity;
            return change(&mut shown.series);
        }
        if self.may_show(webhook) {
            let shown = self.exposed.shown.entry(webhook.clone()).or_default();
            shown.activity += activity;
            return change(&mut shown.series);
        }
        change(&mut self.exposed.other);
        if activity > 0.0 {
            self.note(webhook, activity);
        }
    }

    /// Keeps the failure of an attempt as the latest of its webhook.
    pub(super) fn note_failure(&mut self, webhook: &WebhookName, failure: LastFailure) {
        if let Some(shown) = self.exposed.shown.get_mut(webhook) {
            shown.last_failure = Some(failure);
        }
    }

    fn may_show(&self, webhook: &WebhookName) -> bool {
        self.exposed.shown.len() < self.shown_max && webhook.as_str() != OTHER
    }

    fn note(&mut self, webhook: &WebhookName, activity: f64) {
        if self.shown_max == 0 || webhook.as_str() == OTHER {
            return;
        }
        match self.activities.get_mut(webhook) {
            Some(sum) => *sum += activity,
            None => drop(self.activities.insert(webhook.clone(), activity)),
        }
    }

    /// Selects the webhooks that have series of their own. A backlog counts like an attempt a second.
    pub(super) fn select<'a>(
        &mut self,
        all: impl Iterator<Item = &'a WebhookName>,
        is_configured: impl Fn(&WebhookName) -> bool,
        loads: &[WebhookLoad],
        now: Instant,
    ) {
        let since = self.selected_at.replace(now);
        let elapsed = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let left = 0.5_f64.powf(elapsed.as_secs_f64() / HALF_LIFE.as_secs_f64());
        self.activities.values_mut().for_each(|activity| *activity *= left);
        self.activities.retain(|webhook, activity| *activity >= AT_REST && is_configured(webhook));
        let loaded: HashSet<&WebhookName> = loads.iter().map(|load| &load.webhook).collect();
        let (shown, other) = (&mut self.exposed.shown, &mut self.exposed.other);
        shown.retain(|webhook, shown| {
            shown.activity *= left;
            let stays = is_configured(webhook) || loaded.contains(webhook);
            if !stays {
                other.absorb(&shown.series);
            }
            stays
        });
        for load in loads {
            match self.exposed.shown.get_mut(&load.webhook) {
                Some(shown) => shown.activity += elapsed.as_secs_f64(),
                None => self.note(&load.webhook, elapsed.as_secs_f64().max(1.0)),
            }
        }
        self.replace();
        for webhook in all {
            if self.exposed.shown.len() >= self.shown_max {
                break;
            }
            if webhook.as_str() != OTHER {
                self.exposed.shown.entry(webhook.clone()).or_default();
            }
        }
    }

    /// Gives the places of less busy webhooks to busier ones.
    fn replace(&mut self) {
        let busiest = self.activities.values().copied().fold(0.0, f64::max);
        let quietest =
            self.exposed.shown.values().map(|shown| shown.activity).fold(f64::INFINITY, f64::min);
        let has_room = self.exposed.shown.len() < self.shown_max;
        // Usually nothing changes, and no list has to be sorted.
        if self.activities.is_empty() || !has_room && !is_busier(busiest, quietest) {
            return;
        }
        let mut waiting: Vec<(WebhookName, f64)> = self.activities.drain().collect();
        waiting.sort_unstable_by(|one, other| other.1.total_cmp(&one.1));
        let mut quiet: Vec<(WebhookName, f64)> = self
            .exposed
            .shown
            .iter()
            .map(|(webhook, shown)| (webhook.clone(), shown.activity))
            .collect();
        quiet.sort_unstable_by(|one, other| other.1.total_cmp(&one.1));
        for (webhook, activity) in waiting {
            if self.exposed.shown.len() >= self.shown_max {
                let Some((former, _)) = quiet.pop_if(|(_, than)| is_busier(activity, *than)) else {
                    self.activities.insert(webhook, activity);
                    continue;
                };
                if let Some(former) = self.exposed.shown.remove(&former) {
                    self.exposed.other.absorb(&former.series);
                }
            }
            self.exposed.shown.insert(webhook, Shown { activity, ..Shown::default() });
        }
    }

    pub(super) fn set_gauges(
        &mut self,
        loads: &[WebhookLoad],
        states: &BTreeMap<WebhookName, EndpointState>,
    ) {
        for (webhook, shown) in &mut self.exposed.shown {
            let state = states.get(webhook).copied().unwrap_or_default();
            shown.gauges = Gauges { state, ..Gauges::default() };
        }
        self.exposed.other_gauges = Gauges::default();
        for load in loads {
            let gauges = self.exposed.shown.get_mut(&load.webhook).map(|shown| &mut shown.gauges);
            gauges.unwrap_or(&mut self.exposed.other_gauges).absorb(&load.gauges());
        }
    }
}

/// Returns whether a webhook is so much busier than another that it takes its place.
fn is_busier(activity: f64, than: f64) -> bool {
    than < AT_REST || activity > than * BUSIER_FACTOR + BUSIER_BY
}

#[cfg(test)]
mod tests;

//! The gauges, which are set at intervals from sums that are updated with each change.

use super::Report;
use crate::clock;
use crate::domain::WebhookName;
use crate::engine::dispatcher::Dispatcher;
use crate::engine::partitions::Partitions;
use crate::engine::work::shown;
use crate::log::Log;
use crate::store::{Disk, StoreError};
use crate::telemetry::{CorrelationState, EndpointState, OutboxState, WebhookLoad};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);
/// RocksDB answers questions about each partition with a text.
const STORE_INTERVAL: Duration = Duration::from_secs(10);

/// When the gauges were last set.
pub(super) struct SetAt {
    all: Instant,
    store: Option<Instant>,
}

impl SetAt {
    pub(super) fn now() -> Self {
        Self { all: clock::instant(), store: None }
    }
}

impl Report {
    /// Sets the gauges at intervals.
    pub(in crate::engine) fn gauges<L: Log, D: Disk>(
        &mut self,
        partitions: &mut Partitions<L, D>,
        dispatcher: &mut Dispatcher,
    ) -> Result<(), StoreError> {
        if clock::since(self.set_at.all) < INTERVAL {
            return Ok(());
        }
        self.set_at.all = clock::instant();
        self.bursts.report();
        let totals = partitions.totals()?;
        let tally = totals.tally;
        for (state, count) in [
            (CorrelationState::AwaitingFlow, tally.awaiting_flow),
            (CorrelationState::Open, tally.open),
            (CorrelationState::Silent, tally.silent),
            (CorrelationState::Ended, tally.ended),
        ] {
            self.metrics.set_correlations(state, signed(count));
        }
        self.metrics.set_awaiting_reports(tally.awaiting_reports, totals.awaiting_since);
        let load = dispatcher.load_now();
        for (state, count) in rows(&load.webhooks, tally.held) {
            self.metrics.set_outbox_rows(state, signed(count));
        }
        let is_configured = |webhook: &WebhookName| dispatcher.is_configured(webhook);
        let states = endpoints(partitions, dispatcher);
        self.metrics.set_endpoints(dispatcher.webhooks(), is_configured, &states, &load.webhooks);
        self.metrics.set_outbox_oldest(load.oldest);
        self.metrics.set_outbox_overdue(load.overdue);
        self.metrics.set_in_flight(load.in_flight, load.uncommitted);
        self.metrics.set_store_bytes(&totals.bytes);
        if self.set_at.store.is_none_or(|at| clock::since(at) >= STORE_INTERVAL) {
            self.set_at.store = Some(clock::instant());
            self.metrics.set_store_condition(&partitions.condition());
        }
        Ok(())
    }
}

/// Returns the number of outbox rows in each state. `held` of them wait for phase 1.
fn rows(webhooks: &[WebhookLoad], held: u64) -> BTreeMap<OutboxState, u64> {
    let mut rows: BTreeMap<_, _> = OutboxState::ALL.iter().map(|state| (*state, 0)).collect();
    let mut add = |state, count| *rows.entry(state).or_default() += count;
    add(OutboxState::AfterPhase1, held);
    for load in webhooks {
        add(OutboxState::InFlight, load.in_flight);
        add(OutboxState::Retry, load.later);
        add(load.waits_for, load.waiting());
    }
    rows
}

/// Returns the state of every configured endpoint whose breaker is not closed, or that is disabled in any owned partition.
fn endpoints<L: Log, D: Disk>(
    partitions: &Partitions<L, D>,
    dispatcher: &Dispatcher,
) -> BTreeMap<WebhookName, EndpointState> {
    let breakers = dispatcher.breakers();
    let mut states: BTreeMap<WebhookName, EndpointState> =
        breakers.map(|(webhook, state)| (webhook, shown(state).0)).collect();
    for webhook in partitions.disabled().filter(|webhook| dispatcher.is_configured(webhook)) {
        states.insert(webhook.clone(), EndpointState::Disabled);
    }
    states
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

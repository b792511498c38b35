//! A batch's decisions about endpoints.

use super::{DeferredReport, EndpointSlot, Range, Target, View, Work};
use crate::codec::{command, event};
use crate::delivery::BreakerState;
use crate::domain::{
    AccountId, Disabled, EndpointCommand, EndpointEvent, WebhookName, decide_endpoint,
    evolve_endpoint,
};
use crate::store::{Family, WriteBack};
use crate::telemetry::{EndpointChange, EndpointState};

impl Work {
    /// Decides `command` about the endpoint `webhook` in this partition.
    pub(in crate::engine) fn endpoint<F: Family>(
        &mut self,
        rows: &WriteBack<F>,
        webhook: &WebhookName,
        command: EndpointCommand<'_>,
        view: &View<'_>,
    ) {
        let key = (rows.number(), webhook.clone());
        let slot = self.endpoints.get(&key);
        let state = slot.map_or_else(|| rows.endpoint(webhook), |slot| slot.new);
        let events = decide_endpoint(&state, command, view.policy.webhook(webhook), view.now);
        // The common case: an endpoint that works causes no event.
        if events.is_empty() {
            return;
        }
        let account = account(webhook, view);
        for event in events {
            let written = |out: &mut Vec<u8>| {
                event::write_endpoint_event(out, webhook, account, view.now, &event)
            };
            self.publish_about(webhook, written);
            if let EndpointEvent::Disabled { disabled, .. } = &event {
                self.disable_elsewhere(rows.number(), webhook, disabled, view.partitions);
            }
            let slot = self.endpoints.entry(key.clone());
            let slot = slot.or_insert(EndpointSlot { old: state, new: state });
            slot.new = evolve_endpoint(slot.new, &event);
            self.reports.push(DeferredReport::Endpoint(webhook.clone(), event));
        }
    }

    /// Adds the change of a breaker.
    pub(in crate::engine) fn breaker(
        &mut self,
        webhook: WebhookName,
        state: BreakerState,
        view: &View<'_>,
    ) {
        let account = account(&webhook, view);
        let word = shown(state).0.as_str();
        self.publish_about(&webhook, |out| {
            event::write_breaker_event(out, &webhook, account, view.now, word);
            true
        });
        self.reports.push(DeferredReport::Breaker(webhook, state));
    }

    fn publish_about(&mut self, webhook: &WebhookName, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        let key = self.append(webhook.as_str().as_bytes());
        let start = self.buffer.len();
        if write(&mut self.buffer) {
            let value: Range<usize> = start..self.buffer.len();
            self.leave(Target::Events, Some(key), Some(value), Vec::new());
        }
    }

    /// Disables the endpoint in all other partitions: each turns its own rows into dead letters.
    fn disable_elsewhere(
        &mut self,
        own: i32,
        webhook: &WebhookName,
        disabled: &Disabled,
        all: u32,
    ) {
        let key = self.append(webhook.as_str().as_bytes());
        let start = self.buffer.len();
        command::write_disable_endpoint(&mut self.buffer, webhook, disabled);
        let value = start..self.buffer.len();
        for partition in (0..all.cast_signed()).filter(|partition| *partition != own) {
            let headers = vec![(command::COMMAND_HEADER, command::DISABLE_ENDPOINT.to_owned())];
            self.leave(Target::Inbox(partition), Some(key.clone()), Some(value.clone()), headers);
        }
    }
}

fn account(webhook: &WebhookName, view: &View<'_>) -> Option<AccountId> {
    view.lanes.endpoint(webhook).map(|endpoint| endpoint.webhook().account)
}

/// Returns the state of a breaker, and the change to it, as metrics and events name them.
pub(in crate::engine) fn shown(state: BreakerState) -> (EndpointState, EndpointChange) {
    match state {
        BreakerState::Closed => (EndpointState::Closed, EndpointChange::Closed),
        BreakerState::HalfOpen => (EndpointState::HalfOpen, EndpointChange::HalfOpen),
        BreakerState::Open => (EndpointState::Open, EndpointChange::Open),
    }
}

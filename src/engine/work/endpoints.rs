//! A batch's decisions about endpoints.

use super::outbound::Target;
use super::{Base, DeferredReport, EndpointSlot, Range, View, Work};
use crate::codec::owner_notice::write_owner_notice;
use crate::codec::{command, event};
use crate::delivery::BreakerState;
use crate::domain::{
    AccountId, Command, Delivery, Disabled, Due, EndpointCommand, EndpointEvent, Finding,
    NoticePolicy, Phase, Source, Timestamp, WebhookName, decide_endpoint, evolve_endpoint,
    notice_delivery_id, notices_id, notices_owner,
};
use crate::log::Record;
use crate::store::{Family, StoreError};
use crate::telemetry::{EndpointChange, EndpointState};

impl Work {
    /// Decides `command` about the endpoint `webhook` in this partition. `raw` is the record that contained the command.
    pub(in crate::engine) fn endpoint<F: Family>(
        &mut self,
        base: &Base<'_, F>,
        webhook: &WebhookName,
        command: EndpointCommand<'_>,
        raw: Option<&Record>,
        view: &View<'_>,
    ) -> Result<(), StoreError> {
        let key = (base.number(), webhook.clone());
        let slot = self.endpoints.get(&key);
        let state = slot.map_or_else(|| base.endpoint(webhook), |slot| slot.new);
        let notices = || notices(webhook, view);
        let policy = view.policy.webhook(webhook);
        let events = decide_endpoint(&state, command, policy, notices, view.now);
        // The common case: an endpoint that works causes no event.
        if events.is_empty() {
            return Ok(());
        }
        let account = account(webhook, view);
        for event in events {
            let written = |out: &mut Vec<u8>| {
                event::write_endpoint_event(out, webhook, account, view.now, &event)
            };
            self.publish_about(webhook, written);
            if let EndpointEvent::Disabled { disabled, .. } = &event {
                self.disable_elsewhere(base.number(), webhook, disabled, view.partitions);
            }
            if let EndpointEvent::Reported { finding, .. } = &event {
                self.report(webhook, finding, view.partitions);
            }
            if let (EndpointEvent::NoticeDue { finding, due }, Some(raw)) = (&event, raw) {
                self.notify(base, webhook, (finding, *due), raw, view)?;
            }
            let slot = self.endpoints.entry(key.clone());
            let slot = slot.or_insert(EndpointSlot { old: state, new: state });
            slot.new = evolve_endpoint(slot.new, &event);
            self.reports.push(DeferredReport::Endpoint(webhook.clone(), event));
        }
        Ok(())
    }

    /// Reports the dead letters of the batch to the partitions that decide about notices.
    pub(in crate::engine) fn report_dead_letters(&mut self, view: &View<'_>) {
        for (webhook, count) in std::mem::take(&mut self.dead_letters) {
            if notices(&webhook, view).is_some() {
                self.report(&webhook, &Finding::DeadLetters(count), view.partitions);
            }
        }
    }

    /// Sends a finding to the partition that decides about the notices of the endpoint.
    fn report(&mut self, webhook: &WebhookName, finding: &Finding, partitions: u32) {
        let Some(owner) = notices_owner(webhook, partitions) else { return };
        let key = self.outbound.append(webhook.as_str().as_bytes());
        let start = self.outbound.buffer.len();
        command::write_report_endpoint(&mut self.outbound.buffer, webhook, finding);
        let value = start..self.outbound.buffer.len();
        let headers = vec![(command::COMMAND_HEADER, command::REPORT_ENDPOINT.to_owned())];
        self.outbound.leave(Target::Inbox(owner), Some(key), Some(value), headers);
    }

    /// Puts a notice of `finding` into the outbox. It is the only effect of the record `raw`.
    fn notify<F: Family>(
        &mut self,
        base: &Base<'_, F>,
        webhook: &WebhookName,
        (finding, due): (&Finding, Timestamp),
        raw: &Record,
        view: &View<'_>,
    ) -> Result<(), StoreError> {
        let (Some(policy), Some(account)) = (notices(webhook, view), account(webhook, view)) else {
            return Ok(());
        };
        let Some(id) = notices_id(webhook) else { return Ok(()) };
        let mut body = Vec::new();
        write_owner_notice(&mut body, account, webhook, finding, view.now);
        let source: Source = raw.source.clone();
        let delivery = Delivery {
            due: Due::At(due),
            ..Delivery::new(
                notice_delivery_id(&id, &source),
                Phase::Rule,
                account,
                policy.webhook.clone(),
                body.into(),
                source,
                view.now,
            )
        };
        self.command(base, &id, &Command::Notify(Box::new(delivery)), None, view)?;
        Ok(())
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
        let key = self.outbound.append(webhook.as_str().as_bytes());
        let start = self.outbound.buffer.len();
        if write(&mut self.outbound.buffer) {
            let value: Range<usize> = start..self.outbound.buffer.len();
            self.outbound.leave(Target::Events, Some(key), Some(value), Vec::new());
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
        let key = self.outbound.append(webhook.as_str().as_bytes());
        let start = self.outbound.buffer.len();
        command::write_disable_endpoint(&mut self.outbound.buffer, webhook, disabled);
        let value = start..self.outbound.buffer.len();
        for partition in (0..all.cast_signed()).filter(|partition| *partition != own) {
            let headers = vec![(command::COMMAND_HEADER, command::DISABLE_ENDPOINT.to_owned())];
            self.outbound.leave(
                Target::Inbox(partition),
                Some(key.clone()),
                Some(value.clone()),
                headers,
            );
        }
    }
}

/// Returns the notices about the endpoint that its account wants.
fn notices<'p>(webhook: &WebhookName, view: &View<'p>) -> Option<&'p NoticePolicy> {
    view.policy.notices(account(webhook, view)?, webhook)
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

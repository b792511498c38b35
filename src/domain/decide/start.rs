//! Accepts a call begin record: no other record waits for it, and rules may be triggered by it.

use super::outbox::Outbox;
use super::room::Room;
use super::rule::{self, Occasion};
use super::schedule::{Known, Scheduler};
use super::{flow_account, ignored};
use crate::domain::{
    Correlation, DeadLetterReason, Event, Facts, FlowStarted, Headers, IgnoreReason, Policy,
    RawRecord, RecordKind, Scope, SharedList, Source, Started, State, Timestamp, Trigger,
};
use std::cell::OnceCell;

pub(super) fn accept(
    state: &State,
    start: &FlowStarted,
    source: &Source,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Event> {
    let Some(account) = policy.accounts.get(&start.account) else {
        return vec![Event::RecordDeadLettered {
            record: RawRecord {
                kind: Some(RecordKind::Start),
                account: Some(start.account),
                sms: None,
                payload: None,
                headers: Headers::default(),
                source: source.clone(),
            },
            reason: DeadLetterReason::UnknownAccount,
            detail: format!("account {} is not in the accounts file", start.account),
        }];
    };
    let ignore = |reason| vec![ignored(RecordKind::Start, start.account, None, source, reason)];
    let owner = state.started.map(|started| started.account).or_else(|| flow_account(state));
    if owner.is_some_and(|owner| owner != start.account) {
        return ignore(IgnoreReason::AccountMismatch);
    }
    match (state.started, &state.correlation) {
        (Some(started), _) if started.content == start.content => {
            return ignore(IgnoreReason::Duplicate);
        }
        (Some(_), _) => return ignore(IgnoreReason::Conflicting),
        (None, Correlation::Unknown | Correlation::AwaitingFlow(_)) => {}
        (None, Correlation::Open(_) | Correlation::Silent { .. } | Correlation::Ended { .. }) => {
            return ignore(IgnoreReason::Late);
        }
    }
    let enabled = account.enables(start.flow, start.webhook_enabled);
    let scope = Scope { flow: start.flow, enabled };
    if !account.rules_of(scope).any(|rule| rule.on.contains(&Trigger::FlowStarted)) {
        return ignore(if enabled {
            IgnoreReason::NoDefaultWebhook
        } else {
            IgnoreReason::WebhookDisabled
        });
    }
    let until = now.plus_ms(policy.correlation.correlation_ttl_ms);
    let started = Started { account: start.account, content: start.content, until };
    let mut events = vec![Event::FlowStarted { started, flow: start.flow, source: source.clone() }];
    let occasion = Occasion {
        uuid: &start.uuid,
        account: start.account,
        triggers: &[Trigger::FlowStarted],
        parts: ["", ""],
        source,
        sms: SharedList::default(),
        about: SharedList::default(),
    };
    let make = || Facts {
        record: Some(start.record.clone()),
        mapped: state.mapped.clone(),
        ..Facts::default()
    };
    let kept = OnceCell::new();
    let known = Known::new(&make, policy, &kept);
    let room = Room::of(state);
    let outbox = Outbox::of(state, policy);
    let (room, outbox) = (&room, &outbox);
    let scheduler = Scheduler { state, policy, now, scope, room, outbox, known: &known };
    rule::fire(&scheduler, &occasion, &known, &|| start.record.clone(), &mut events);
    events
}

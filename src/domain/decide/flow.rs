//! Rule 1: a flow complete record schedules phase 1, and adopts the reports that waited for it.

use super::after::After;
use super::outbox::Outbox;
use super::room::Room;
use super::rule::{self, Occasion};
use super::schedule::{Carried, Known, KnownFacts, Scheduler};
use super::{ignored, ignored_after_all, phase2, too_large};
use crate::domain::{
    AccountPolicy, Collected, Collection, Correlation, DeadLetterReason, Delivery, DeliveryId,
    Event, Flow, FlowComplete, FlowIdentity, Headers, IgnoreReason, Phase, Policy, RawRecord,
    RecordKind, STATE_BYTES_MAX, Scope, SharedList, Source, State, Timestamp, Trigger, WebhookName,
};
use std::cell::OnceCell;

pub(super) fn accept(
    state: &State,
    flow: &FlowComplete,
    source: &Source,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Event> {
    let Some(account) = policy.accounts.get(&flow.account) else {
        return vec![unknown_account(flow, source)];
    };
    let identity = FlowIdentity { account: flow.account, flow: flow.flow, content: flow.content };
    let ignore = |reason| vec![ignored(RecordKind::Flow, flow.account, None, source, reason)];
    let waiting: &[Collected] = match &state.correlation {
        Correlation::Unknown => &[],
        Correlation::AwaitingFlow(reports) => reports,
        Correlation::Open(Flow { identity: known, .. })
        | Correlation::Silent { flow: known, .. } => {
            return ignore(if *known == identity {
                IgnoreReason::Duplicate
            } else {
                IgnoreReason::Conflicting
            });
        }
        Correlation::Ended { .. } => return ignore(IgnoreReason::Late),
    };
    match target(account, flow) {
        Ok((webhook, scope)) => {
            open(state, flow, identity, account, webhook, scope, waiting, source, policy, now)
        }
        Err(reason) => silence(identity, reason, waiting, source, policy, now),
    }
}

/// Returns the default webhook that the flow triggers, and what rules depend on. The webhook may be `None` if rules
/// trigger others.
///
/// # Errors
/// The flow triggers no webhook, for this reason.
fn target<'a>(
    account: &'a AccountPolicy,
    flow: &FlowComplete,
) -> Result<(Option<&'a WebhookName>, Scope), IgnoreReason> {
    let enabled = account.enables(flow.flow, flow.webhook_enabled);
    let scope = Scope { flow: flow.flow, enabled };
    let webhook = account.default_webhook.as_ref().filter(|_| enabled);
    // Others are triggered by webhooks that these trigger.
    let begins = |trigger: &Trigger| match trigger {
        Trigger::FlowStarted | Trigger::Webhook(..) => false,
        Trigger::FlowComplete | Trigger::Sms(_) | Trigger::SmsFinal | Trigger::ReportTimedOut => {
            true
        }
    };
    let is_ruled = account.rules_of(scope).any(|rule| rule.on.iter().any(begins));
    if webhook.is_none() && !is_ruled {
        return Err(if enabled {
            IgnoreReason::NoDefaultWebhook
        } else {
            IgnoreReason::WebhookDisabled
        });
    }
    Ok((webhook, scope))
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one decision; none of them is optional"
)]
fn open(
    state: &State,
    record: &FlowComplete,
    identity: FlowIdentity,
    account: &AccountPolicy,
    webhook: Option<&WebhookName>,
    scope: Scope,
    waiting: &[Collected],
    source: &Source,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Event> {
    let wanted = account.notify_on_delivery
        && record.sms.as_ref().is_none_or(|sms| !sms.is_empty())
        && (webhook.is_some() || is_about_reports(account, scope));
    let collection = if wanted {
        Collection::Open { until: now.plus_ms(policy.correlation.report_timeout_ms) }
    } else {
        Collection::NotWanted
    };
    let attached = wanted && account.attach_flow_keys;
    let mut flow = Flow {
        identity,
        accepted_at: now,
        source: source.clone(),
        webhook: webhook.cloned(),
        enabled: scope.enabled,
        keys: attached.then(|| record.body.slice(record.keys.clone())),
        sms: record.sms.clone(),
        reports: Vec::new(),
        collection,
        gathers_until: None,
        record: account.uses_variables.then(|| record.record.clone()),
        spelling: record.uuid.other_spelling().cloned(),
    };
    let accepted = Event::FlowAccepted(Box::new(flow.clone()));
    let (adopted, settled) = adopt(waiting, account, &mut flow);
    let phase_one = webhook.map(|webhook| {
        Box::new(Delivery::new(
            DeliveryId::derive(&record.uuid, Phase::One.number(), []),
            Phase::One,
            identity.account,
            webhook.clone(),
            record.body.clone(),
            source.clone(),
            now,
        ))
    });
    let room = Room::with_flow(state, &flow);
    let bytes = room.bytes() + phase_one.as_ref().map_or(0, |delivery| delivery.bytes_max());
    if bytes > STATE_BYTES_MAX {
        return vec![rejected(record, source, DeadLetterReason::Undecodable, too_large(bytes))];
    }
    let (make, kept) = (|| rule::facts(&flow, state), OnceCell::new());
    let known = Known::new(&make, policy, &kept);
    let outbox = Outbox::of(state, policy);
    let (room, outbox) = (&room, &outbox);
    let scheduler = Scheduler { state, policy, now, scope, room, outbox, known: &known };
    let mut events = Vec::with_capacity(2 + settled.len());
    events.push(accepted);
    if let Some(delivery) = phase_one {
        let after = After::of_phase(policy, Some(account), &delivery.webhook);
        scheduler.schedule(delivery, &known, &after, Carried::default(), &mut events);
    }
    events.extend(settled);
    // Before phase 2, even if its reports came first: phase 2 may use values that their answers give.
    if !account.rules.is_empty() {
        fire_rules(&scheduler, record, &flow, &known, &mut events);
    }
    phase2::schedule(&scheduler, &record.uuid, &flow, &mut events);
    for report in adopted.into_iter().filter(|_| wanted) {
        let status = policy.statuses.read(report.status.as_deref().unwrap_or_default());
        rule::fire_of_report(&scheduler, &record.uuid, &flow, report, status.name, &mut events);
    }
    phase2::end_rest(state, &flow, phase2::reason_for_rest(&flow), &mut events);
    events
}

/// Gives `flow` the reports of `waiting` that belong to it. Returns them, and the event of each report that waited.
fn adopt<'a>(
    waiting: &'a [Collected],
    account: &AccountPolicy,
    flow: &mut Flow,
) -> (Vec<&'a Collected>, Vec<Event>) {
    let (mut adopted, mut events) = (Vec::new(), Vec::new());
    for report in waiting {
        match unwelcome(report, account, flow) {
            Some(reason) => events.push(ignored_after_all(report, reason)),
            None => {
                events.push(Event::ReportAdopted { sms: report.sms.clone() });
                flow.reports.push(report.adopted());
                adopted.push(report);
            }
        }
    }
    (adopted, events)
}

/// Schedules the webhooks of the rules on the record.
fn fire_rules(
    scheduler: &Scheduler<'_>,
    record: &FlowComplete,
    flow: &Flow,
    known: &dyn KnownFacts,
    events: &mut Vec<Event>,
) {
    let occasion = Occasion {
        uuid: &record.uuid,
        account: flow.identity.account,
        triggers: &[Trigger::FlowComplete],
        parts: ["", ""],
        source: &flow.source,
        sms: SharedList::default(),
        about: SharedList::default(),
    };
    rule::fire(scheduler, &occasion, known, &|| record.body.clone(), events);
}

/// Returns whether rules of the flow wait for reports.
fn is_about_reports(account: &AccountPolicy, scope: Scope) -> bool {
    account.rules_of(scope).flat_map(|rule| &rule.on).any(|trigger| match trigger {
        Trigger::FlowStarted | Trigger::FlowComplete | Trigger::Webhook(..) => false,
        Trigger::Sms(_) | Trigger::SmsFinal | Trigger::ReportTimedOut => true,
    })
}

/// Returns why a report that waited does not belong to the flow that came, or `None` if it does.
fn unwelcome(report: &Collected, account: &AccountPolicy, flow: &Flow) -> Option<IgnoreReason> {
    if report.account != flow.identity.account {
        Some(IgnoreReason::AccountMismatch)
    } else if !account.notify_on_delivery {
        Some(IgnoreReason::NotifyOff)
    } else if flow.sms.as_ref().is_some_and(|sms| !sms.contains(&report.sms)) {
        Some(IgnoreReason::Unlisted)
    } else if flow.collection == Collection::NotWanted && flow.webhook.is_none() {
        Some(flow.no_webhook())
    } else {
        None
    }
}

fn silence(
    identity: FlowIdentity,
    reason: IgnoreReason,
    waiting: &[Collected],
    source: &Source,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Event> {
    // Its reports may come as late as those of any flow. After that, the usual window recognises late ones.
    let kept_ms =
        policy.correlation.report_timeout_ms.saturating_add(policy.correlation.dedup_window_ms);
    let silenced = Event::FlowSilenced {
        identity,
        reason,
        source: source.clone(),
        until: now.plus_ms(kept_ms),
    };
    let reports = waiting.iter().map(|report| {
        let mismatch = report.account != identity.account;
        ignored_after_all(report, if mismatch { IgnoreReason::AccountMismatch } else { reason })
    });
    std::iter::once(silenced).chain(reports).collect()
}

fn unknown_account(flow: &FlowComplete, source: &Source) -> Event {
    let detail = format!("account {} is not in the accounts file", flow.account);
    rejected(flow, source, DeadLetterReason::UnknownAccount, detail)
}

fn rejected(
    flow: &FlowComplete,
    source: &Source,
    reason: DeadLetterReason,
    detail: String,
) -> Event {
    Event::RecordDeadLettered {
        record: RawRecord {
            kind: Some(RecordKind::Flow),
            account: Some(flow.account),
            sms: None,
            payload: None,
            headers: Headers::default(),
            source: source.clone(),
        },
        reason,
        detail,
    }
}

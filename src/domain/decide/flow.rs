//! Rule 1: a flow complete record schedules phase 1, and is joined by the reports that waited for it.

use super::{ignored, phase2, too_large};
use crate::domain::{
    AccountRules, Collected, Collection, Correlation, DeadLetterReason, Delivery, DeliveryId, Due,
    Event, Flow, FlowComplete, FlowIdentity, IgnoreReason, IgnoredRecord, Phase, RawRecord,
    RecordKind, Rules, STATE_BYTES_MAX, Source, State, Timestamp, WebhookName,
};

pub(super) fn accept(
    state: &State,
    flow: &FlowComplete,
    source: &Source,
    rules: &Rules,
    now: Timestamp,
) -> Vec<Event> {
    let Some(account) = rules.accounts.get(&flow.account) else {
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
        Ok(webhook) => open(state, flow, identity, account, webhook, waiting, source, rules, now),
        Err(reason) => silence(identity, reason, waiting, source, rules, now),
    }
}

/// The webhook that the flow triggers, or why it triggers none.
fn target<'a>(
    account: &'a AccountRules,
    flow: &FlowComplete,
) -> Result<&'a WebhookName, IgnoreReason> {
    let entry = flow.flow.and_then(|id| account.flows.get(&id).copied());
    let enabled = entry.or(flow.webhook_enabled).or(account.webhook_enabled).unwrap_or(false);
    if !enabled {
        return Err(IgnoreReason::WebhookDisabled);
    }
    account.default_webhook.as_ref().ok_or(IgnoreReason::NoDefaultWebhook)
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one decision; none of them is optional"
)]
fn open(
    state: &State,
    record: &FlowComplete,
    identity: FlowIdentity,
    account: &AccountRules,
    webhook: &WebhookName,
    waiting: &[Collected],
    source: &Source,
    rules: &Rules,
    now: Timestamp,
) -> Vec<Event> {
    let wanted =
        account.notify_on_delivery && record.sms.as_ref().is_none_or(|sms| !sms.is_empty());
    let collection = if wanted {
        Collection::Open { until: now.plus_ms(rules.correlation.report_timeout_ms) }
    } else {
        Collection::NotWanted
    };
    let attached = wanted && account.attach_flow_keys;
    let mut flow = Flow {
        identity,
        accepted_at: now,
        source: source.clone(),
        webhook: webhook.clone(),
        keys: attached.then(|| record.body.slice(record.keys.clone())),
        sms: record.sms.clone(),
        reports: Vec::new(),
        collection,
    };
    let phase_one = Delivery {
        id: DeliveryId::derive(&record.uuid, Phase::One.number(), []),
        phase: Phase::One,
        account: identity.account,
        webhook: webhook.clone(),
        body: record.body.clone(),
        source: source.clone(),
        scheduled_at: now,
        due: Due::At(now),
        attempts: 0,
        replays: 0,
        first_attempt_at: None,
        last_attempt_at: None,
        last_outcome: None,
    };
    let phase_one_bytes = phase_one.bytes_max();
    let mut events = vec![
        Event::FlowAccepted(Box::new(flow.clone())),
        Event::DeliveryScheduled { delivery: Box::new(phase_one), sms: Vec::new() },
    ];
    for report in waiting {
        match unwelcome(report, account, &flow) {
            Some(reason) => events.push(waited_in_vain(report, reason)),
            None => {
                events.push(Event::ReportAdopted { sms: report.sms.clone() });
                flow.reports.push(Collected { expires_at: None, raw: None, ..report.clone() });
            }
        }
    }
    let bytes = state.bytes_max_with_flow(&flow, phase_one_bytes);
    if bytes > STATE_BYTES_MAX {
        return vec![given_up(record, source, DeadLetterReason::Undecodable, too_large(bytes))];
    }
    phase2::schedule(&record.uuid, &flow, true, rules, now, &mut events);
    events
}

/// Why a report that waited does not belong to the flow that came.
fn unwelcome(report: &Collected, account: &AccountRules, flow: &Flow) -> Option<IgnoreReason> {
    if report.account != flow.identity.account {
        Some(IgnoreReason::AccountMismatch)
    } else if !account.notify_on_delivery {
        Some(IgnoreReason::NotifyOff)
    } else if flow.sms.as_ref().is_some_and(|sms| !sms.contains(&report.sms)) {
        Some(IgnoreReason::Unlisted)
    } else {
        None
    }
}

fn waited_in_vain(report: &Collected, reason: IgnoreReason) -> Event {
    Event::RecordIgnored(IgnoredRecord {
        kind: RecordKind::Report,
        account: report.account,
        sms: Some(report.sms.clone()),
        reason,
        source: report.source.clone(),
        waited: true,
    })
}

fn silence(
    identity: FlowIdentity,
    reason: IgnoreReason,
    waiting: &[Collected],
    source: &Source,
    rules: &Rules,
    now: Timestamp,
) -> Vec<Event> {
    // Its reports may come as late as those of any flow, and after that the usual window tells stragglers.
    let kept_ms =
        rules.correlation.report_timeout_ms.saturating_add(rules.correlation.dedup_window_ms);
    let silenced = Event::FlowSilenced {
        identity,
        reason,
        source: source.clone(),
        until: now.plus_ms(kept_ms),
    };
    let reports = waiting.iter().map(|report| {
        let mismatch = report.account != identity.account;
        waited_in_vain(report, if mismatch { IgnoreReason::AccountMismatch } else { reason })
    });
    std::iter::once(silenced).chain(reports).collect()
}

fn unknown_account(flow: &FlowComplete, source: &Source) -> Event {
    let detail = format!("account {} is not in the accounts file", flow.account);
    given_up(flow, source, DeadLetterReason::UnknownAccount, detail)
}

fn given_up(
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
            source: source.clone(),
        },
        reason,
        detail,
    }
}

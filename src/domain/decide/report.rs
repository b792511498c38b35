//! Rules 2, 4 and 6: a delivery report is collected, waits for its flow, or changes nothing.

use super::{flow_account, ignored, phase2};
use crate::domain::{
    Collected, Collection, Correlation, DeadLetterReason, DeliveryReport, Event, Flow,
    IgnoreReason, RawRecord, RecordKind, Rules, Source, State, StatusClass, Timestamp,
};

pub(super) fn accept(
    state: &State,
    report: &DeliveryReport,
    source: &Source,
    rules: &Rules,
    now: Timestamp,
) -> Vec<Event> {
    let Some(account) = rules.accounts.get(&report.account) else {
        return vec![unknown_account(report, source)];
    };
    let ignore = |reason| {
        vec![ignored(RecordKind::Report, report.account, Some(report.sms.clone()), source, reason)]
    };
    if flow_account(state).is_some_and(|owner| owner != report.account) {
        return ignore(IgnoreReason::AccountMismatch);
    }
    if let Correlation::Silent { reason, .. } = &state.correlation {
        return ignore(*reason);
    }
    if !account.notify_on_delivery {
        return ignore(IgnoreReason::NotifyOff);
    }
    let class = rules.statuses.class(&report.status);
    let effective = class.unwrap_or(StatusClass::Final);
    let refusal = match &state.correlation {
        Correlation::Unknown | Correlation::Silent { .. } => None,
        Correlation::AwaitingFlow(reports) => against_known(reports, report, effective),
        Correlation::Open(flow) => against_flow(flow, report, effective),
        Correlation::Ended { .. } => Some(IgnoreReason::Late),
    };
    if let Some(reason) = refusal {
        return ignore(reason);
    }
    if held_bytes(state).saturating_add(bytes(report)) > REPORTS_BYTES_MAX {
        return vec![given_up(
            report,
            source,
            DeadLetterReason::Undecodable,
            format!(
                "the reports kept of this uuid would be larger than {REPORTS_BYTES_MAX} bytes together"
            ),
        )];
    }
    collect(state, report, class, source, rules, now)
}

/// What is kept of the reports of one uuid, so that its row, and the webhook that they make, always fit into a record.
const REPORTS_BYTES_MAX: usize = 4 << 20;

fn bytes(report: &DeliveryReport) -> usize {
    report.body.len() + report.raw.as_ref().map_or(0, bytes::Bytes::len)
}

fn held_bytes(state: &State) -> usize {
    let reports: &[Collected] = match &state.correlation {
        Correlation::AwaitingFlow(reports) => reports,
        Correlation::Open(flow) => &flow.reports,
        Correlation::Unknown | Correlation::Silent { .. } | Correlation::Ended { .. } => &[],
    };
    let parts = reports.iter().flat_map(|report| [&report.body, &report.raw]);
    parts.flatten().map(bytes::Bytes::len).sum()
}

/// Why the report does not count beside the one known of its SMS.
fn against_known(
    reports: &[Collected],
    report: &DeliveryReport,
    class: StatusClass,
) -> Option<IgnoreReason> {
    let known = reports.iter().find(|r| r.account == report.account && r.sms == report.sms)?;
    if known.seen.contains(&report.content) {
        return Some(IgnoreReason::Duplicate);
    }
    match (known.class, class) {
        (StatusClass::Intermediate, _) => None,
        (StatusClass::Final, StatusClass::Intermediate) => Some(IgnoreReason::Regressed),
        (StatusClass::Final, StatusClass::Final) => Some(IgnoreReason::Conflicting),
    }
}

/// Why the report does not count for this flow.
fn against_flow(flow: &Flow, report: &DeliveryReport, class: StatusClass) -> Option<IgnoreReason> {
    let listed = flow.sms.as_ref().is_none_or(|sms| sms.contains(&report.sms));
    match flow.collection {
        Collection::TimedOut => Some(IgnoreReason::Late),
        _ if !listed => Some(IgnoreReason::Unlisted),
        Collection::Open { .. } => against_known(&flow.reports, report, class),
        // The list names it, or there is none, so that it was the account that did not want phase 2 when the flow came.
        Collection::NotWanted => Some(IgnoreReason::NotifyOff),
        Collection::Complete => {
            Some(against_known(&flow.reports, report, class).unwrap_or(IgnoreReason::Late))
        }
    }
}

fn collect(
    state: &State,
    report: &DeliveryReport,
    class: Option<StatusClass>,
    source: &Source,
    rules: &Rules,
    now: Timestamp,
) -> Vec<Event> {
    let mut collected = Collected {
        account: report.account,
        sms: report.sms.clone(),
        class: class.unwrap_or(StatusClass::Final),
        seen: vec![report.content],
        body: Some(report.body.clone()),
        raw: None,
        sent: false,
        source: source.clone(),
        expires_at: None,
    };
    let mut events = Vec::with_capacity(2);
    let mut accepted = |collected: Collected| {
        events.push(Event::ReportAccepted {
            report: Box::new(collected),
            status: report.status.clone(),
            known: class.is_some(),
        });
    };
    match &state.correlation {
        Correlation::Open(flow) => {
            accepted(collected.clone());
            let mut flow = flow.clone();
            flow.reports.retain(|known| known.sms != collected.sms);
            flow.reports.push(collected);
            phase2::schedule(
                &report.uuid,
                &flow,
                super::phase_one_pending(state),
                rules,
                now,
                &mut events,
            );
        }
        Correlation::Unknown
        | Correlation::AwaitingFlow(_)
        | Correlation::Silent { .. }
        | Correlation::Ended { .. } => {
            collected.raw.clone_from(&report.raw);
            collected.expires_at = Some(now.plus_ms(rules.correlation.correlation_ttl_ms));
            accepted(collected);
        }
    }
    events
}

fn unknown_account(report: &DeliveryReport, source: &Source) -> Event {
    let detail = format!("account {} is not in the accounts file", report.account);
    given_up(report, source, DeadLetterReason::UnknownAccount, detail)
}

fn given_up(
    report: &DeliveryReport,
    source: &Source,
    reason: DeadLetterReason,
    detail: String,
) -> Event {
    Event::RecordDeadLettered {
        record: RawRecord {
            kind: Some(RecordKind::Report),
            account: Some(report.account),
            // It never waited, so that there is nothing to remove.
            sms: None,
            payload: Some(report.raw.clone().unwrap_or_else(|| report.body.clone())),
            source: source.clone(),
        },
        reason,
        detail,
    }
}

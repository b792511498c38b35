//! Rules 4, 5 and 7: what time ends.

use super::{end_if_done, phase_one_pending, phase2};
use crate::domain::{
    Collected, Collection, Correlation, DeadLetterReason, Event, Flow, OnReportTimeout, PhononUuid,
    RawRecord, RecordKind, Rules, State, StatusClass, Timestamp,
};

pub(super) fn fire(state: &State, uuid: &PhononUuid, rules: &Rules, now: Timestamp) -> Vec<Event> {
    if state.timer().is_none_or(|due| due > now) {
        return Vec::new();
    }
    match &state.correlation {
        Correlation::Unknown => Vec::new(),
        Correlation::AwaitingFlow(reports) => {
            let expired = |report: &&Collected| report.expires_at.is_some_and(|at| at <= now);
            reports.iter().filter(expired).map(flow_missing).collect()
        }
        Correlation::Open(flow) => time_out(state, uuid, flow, rules, now),
        Correlation::Silent { .. } | Correlation::Ended { .. } => vec![Event::MarkerExpired],
    }
}

/// Rule 4: the flow complete record never came.
fn flow_missing(report: &Collected) -> Event {
    Event::RecordDeadLettered {
        record: RawRecord {
            kind: Some(RecordKind::Report),
            account: Some(report.account),
            sms: Some(report.sms.clone()),
            payload: report.raw.clone().or_else(|| report.body.clone()),
            source: report.source.clone(),
        },
        reason: DeadLetterReason::FlowMissing,
        detail: "no flow complete record came within correlation_ttl_s".to_owned(),
    }
}

/// Rule 5: the reports did not all come.
fn time_out(
    state: &State,
    uuid: &PhononUuid,
    flow: &Flow,
    rules: &Rules,
    now: Timestamp,
) -> Vec<Event> {
    let mut events = Vec::new();
    // An account that stopped notifying in the meantime ignored the reports, and knows of nothing to be told.
    let account = rules.accounts.get(&flow.identity.account);
    let wanted = account.is_none_or(|account| account.notify_on_delivery);
    if wanted && rules.correlation.on_report_timeout == OnReportTimeout::Notify {
        let pending = phase_one_pending(state);
        phase2::schedule_what_is_known(uuid, flow, pending, rules, now, &mut events);
    }
    let scheduled = events.len();
    // Without a list nobody could say when `each` had enough: the time-out is the regular end.
    let regular =
        flow.sms.is_none() && flow.reports.iter().any(|report| report.class == StatusClass::Final);
    let closed = if regular { Collection::Complete } else { Collection::TimedOut };
    if !regular {
        events.push(Event::ReportTimedOut { missing: phase2::missing(flow) });
    }
    events.push(Event::CollectionClosed(closed));
    let left = state.deliveries.len() + scheduled;
    end_if_done(flow.identity.account, closed, left, rules, now, &mut events);
    events
}

//! Rules 2, 4 and 6: a delivery report is collected, waits for its flow, or changes nothing.

use super::outbox::Outbox;
use super::room::Room;
use super::schedule::{Known, Scheduler};
use super::{flow_account, ignored, phase2, rule, too_large};
use crate::domain::{
    Collected, Collection, Correlation, DeadLetterReason, DeliveryReport, Event, Flow, Headers,
    IgnoreReason, PhononUuid, Policy, REPORTS_BYTES_MAX, RawRecord, RecordKind, STATE_BYTES_MAX,
    Source, State, Status, StatusClass, Timestamp,
};
use std::cell::OnceCell;

pub(super) fn accept(
    state: &State,
    report: &DeliveryReport,
    source: &Source,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Event> {
    let Some(account) = policy.accounts.get(&report.account) else {
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
    let status = policy.statuses.read(&report.status);
    let refusal = match &state.correlation {
        Correlation::Unknown | Correlation::Silent { .. } => None,
        Correlation::AwaitingFlow(reports) => against_known(reports, report, status.class),
        Correlation::Open(flow) => against_flow(flow, report, status.class),
        Correlation::Ended { .. } => Some(IgnoreReason::Late),
    };
    if let Some(reason) = refusal {
        return ignore(reason);
    }
    collect(state, report, status, source, policy, now)
}

/// Returns why the report does not count beside the known report of its SMS, or `None` if it counts.
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

/// Returns why the report does not count for this flow, or `None` if it counts.
fn against_flow(flow: &Flow, report: &DeliveryReport, class: StatusClass) -> Option<IgnoreReason> {
    let listed = flow.sms.as_ref().is_none_or(|sms| sms.contains(&report.sms));
    match flow.collection {
        Collection::TimedOut => Some(IgnoreReason::Late),
        _ if !listed => Some(IgnoreReason::Unlisted),
        Collection::Open { .. } => against_known(&flow.reports, report, class),
        // The list contains the SMS, or there is no list. So phase 2 was switched off for the account when the flow
        // came.
        Collection::NotWanted if flow.webhook.is_some() => Some(IgnoreReason::NotifyOff),
        Collection::NotWanted => Some(flow.no_webhook()),
        Collection::Complete => {
            Some(against_known(&flow.reports, report, class).unwrap_or(IgnoreReason::Late))
        }
    }
}

fn collect(
    state: &State,
    report: &DeliveryReport,
    status: Status<'_>,
    source: &Source,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Event> {
    let mut collected = Collected {
        account: report.account,
        sms: report.sms.clone(),
        class: status.class,
        seen: vec![report.content],
        body: Some(report.body.clone()),
        raw: None,
        headers: Headers::default(),
        sent: false,
        source: source.clone(),
        expires_at: None,
        status: None,
    };
    if !matches!(state.correlation, Correlation::Open(_)) {
        collected.status = Some(report.status.clone());
        collected.raw.clone_from(&report.raw);
        collected.headers.clone_from(&report.headers);
        collected.expires_at = Some(now.plus_ms(policy.correlation.correlation_ttl_ms));
    }
    let refuse = |detail| vec![rejected(report, source, DeadLetterReason::Undecodable, detail)];
    let accepted = |collected: Collected| Event::ReportAccepted {
        report: Box::new(collected),
        status: report.status.clone(),
        known: status.is_known,
    };
    if let Correlation::Open(flow) = &state.correlation {
        let flow = flow.with_report(collected.clone());
        let room = Room::with_flow(state, &flow);
        if let Some(detail) = no_room(state, room.bytes(), &collected) {
            return refuse(detail);
        }
        let mut events = Vec::with_capacity(4);
        events.push(accepted(collected));
        react(state, &report.uuid, status.name, &flow, room, policy, now, &mut events);
        return events;
    }
    if let Some(detail) = no_room(state, state.bytes_max_with(&collected), &collected) {
        return refuse(detail);
    }
    let mut events = vec![accepted(collected.clone())];
    if let Correlation::AwaitingFlow(known) = &state.correlation
        && let Some(replaced) = known.iter().find(|it| it.is_about_the_same(&collected))
    {
        rule::skip_replaced(policy, replaced, &mut events);
    }
    events
}

/// Schedules the deliveries of phase 2 and of rules on the report that `flow` has accepted last. `status` is the name
/// of its status.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one decision; none of them is optional"
)]
fn react(
    state: &State,
    uuid: &PhononUuid,
    status: &str,
    flow: &Flow,
    room: Room,
    policy: &Policy,
    now: Timestamp,
    events: &mut Vec<Event>,
) {
    let (make, kept) = (|| rule::facts(flow, state), OnceCell::new());
    let known = Known::new(&make, policy, &kept);
    let (scope, outbox) = (flow.scope(), Outbox::of(state, policy));
    let (room, outbox) = (&room, &outbox);
    let scheduler = Scheduler { state, policy, now, scope, room, outbox, known: &known };
    phase2::schedule(&scheduler, uuid, flow, events);
    if let Some(own) = flow.reports.last() {
        rule::fire_of_report(&scheduler, uuid, flow, own, status, events);
    }
    phase2::end_rest(state, flow, phase2::reason_for_rest(flow), events);
}

/// Explains to operators why the row has no room for the report, with which its bound is `bytes`. Returns `None` if it
/// has.
fn no_room(state: &State, bytes: usize, report: &Collected) -> Option<String> {
    if bytes > STATE_BYTES_MAX {
        return Some(too_large(bytes));
    }
    let reports = state.report_bytes_with(report);
    (reports > REPORTS_BYTES_MAX).then(|| {
        format!(
            "with this record, the reports of its phonon-uuid would have {reports} bytes, but only \
             {REPORTS_BYTES_MAX} fit into one webhook: replay it when they have been sent"
        )
    })
}

fn unknown_account(report: &DeliveryReport, source: &Source) -> Event {
    let detail = format!("account {} is not in the accounts file", report.account);
    rejected(report, source, DeadLetterReason::UnknownAccount, detail)
}

fn rejected(
    report: &DeliveryReport,
    source: &Source,
    reason: DeadLetterReason,
    detail: String,
) -> Event {
    Event::RecordDeadLettered {
        record: RawRecord {
            kind: Some(RecordKind::Report),
            account: Some(report.account),
            // The report never waited, so that there is none to remove.
            sms: None,
            payload: Some(report.raw.clone().unwrap_or_else(|| report.body.clone())),
            headers: report.headers.clone(),
            source: source.clone(),
        },
        reason,
        detail,
    }
}

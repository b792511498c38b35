//! Rules 4, 5 and 7: ends what has expired.

use super::outbox::Outbox;
use super::phase2;
use super::room::Room;
use super::rule::{self, Occasion};
use super::schedule::{Known, Scheduler};
use crate::domain::{
    Collected, Collection, Correlation, DeadLetterReason, Event, Flow, IgnoreReason,
    OnReportTimeout, PhononUuid, Policy, RawRecord, RecordKind, SharedList, SmsId, State,
    StatusClass, Timestamp, Trigger,
};
use bytes::Bytes;
use std::cell::OnceCell;

pub(super) fn fire(
    state: &State,
    uuid: &PhononUuid,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Event> {
    let is_due = |due: Option<Timestamp>| due.is_some_and(|due| due <= now);
    let mut events = Vec::new();
    if is_due(state.correlation_timer()) {
        events = end(state, uuid, policy, now);
    }
    if is_due(state.started.map(|started| started.until)) {
        events.push(Event::StartExpired);
    }
    events
}

fn end(state: &State, uuid: &PhononUuid, policy: &Policy, now: Timestamp) -> Vec<Event> {
    match &state.correlation {
        Correlation::Unknown => Vec::new(),
        Correlation::AwaitingFlow(reports) => {
            let expired = |report: &&Collected| report.expires_at.is_some_and(|at| at <= now);
            reports.iter().filter(expired).map(flow_missing).collect()
        }
        Correlation::Open(flow) => {
            let (make, kept) = (|| rule::facts(flow, state), OnceCell::new());
            let known = Known::new(&make, policy, &kept);
            let (scope, room, outbox) = (flow.scope(), Room::of(state), Outbox::of(state, policy));
            let (room, outbox) = (&room, &outbox);
            let scheduler = Scheduler { state, policy, now, scope, room, outbox, known: &known };
            let is_gathered = flow.gathers_until.is_some_and(|until| until <= now);
            let close = if is_gathered { end_gathering } else { time_out };
            let account = policy.accounts.get(&flow.identity.account);
            // If the account has stopped notifying in the meantime, the reports are ignored and nothing is sent.
            let wanted = account.is_none_or(|account| account.notify_on_delivery);
            let mut events = close(&scheduler, uuid, flow, wanted);
            let reason =
                if wanted { phase2::reason_for_rest(flow) } else { IgnoreReason::NotifyOff };
            phase2::end_rest(state, flow, reason, &mut events);
            events
        }
        Correlation::Silent { .. } | Correlation::Ended { .. } => vec![Event::MarkerExpired],
    }
}

/// Rule 4: returns the dead letter of a report whose flow complete record never came.
fn flow_missing(report: &Collected) -> Event {
    Event::RecordDeadLettered {
        record: RawRecord {
            kind: Some(RecordKind::Report),
            account: Some(report.account),
            sms: Some(report.sms.clone()),
            payload: report.raw.clone().or_else(|| report.body.clone()),
            headers: report.headers.clone(),
            source: report.source.clone(),
        },
        reason: DeadLetterReason::FlowMissing,
        detail: "no flow complete record came within correlation_ttl_s".to_owned(),
    }
}

/// Rule 2: sends the reports of a flow without a list that came since the first final one, if the account wants them.
fn end_gathering(
    scheduler: &Scheduler<'_>,
    uuid: &PhononUuid,
    flow: &Flow,
    wanted: bool,
) -> Vec<Event> {
    let mut events = Vec::new();
    // If both times are over, the final reports that came are the regular end.
    let is_over = matches!(flow.collection, Collection::Open { until } if until <= scheduler.now);
    let is_complete =
        !wanted || phase2::schedule_gathered(scheduler, uuid, flow, is_over, &mut events);
    events.push(if is_complete || is_over {
        Event::CollectionClosed(Collection::Complete)
    } else {
        Event::Gathering(None)
    });
    events
}

/// Rule 5: ends a flow whose reports did not all come. Sends what came, if the account wants it.
fn time_out(scheduler: &Scheduler<'_>, uuid: &PhononUuid, flow: &Flow, wanted: bool) -> Vec<Event> {
    let mut events = Vec::new();
    let policy = scheduler.policy;
    let account = policy.accounts.get(&flow.identity.account);
    let notify = wanted && policy.correlation.on_report_timeout == OnReportTimeout::Notify;
    let is_ruled = wanted && account.is_some_and(|account| !account.rules.is_empty());
    let left = if notify || is_ruled { phase2::rest(scheduler, uuid, flow) } else { Vec::new() };
    let about: SharedList<SmsId> = left.iter().map(|entry| entry.sms.clone()).collect();
    let reports: Vec<Bytes> = left.iter().map(|entry| entry.body.clone()).collect();
    if notify {
        phase2::schedule_what_is_known(scheduler, uuid, flow, left, &mut events);
    }
    scheduler.room.close(flow);
    // Without a list, `each` has no other end: the time-out is the regular end if a final report came.
    let regular =
        flow.sms.is_none() && flow.reports.iter().any(|report| report.class == StatusClass::Final);
    let closed = if regular { Collection::Complete } else { Collection::TimedOut };
    events.push(Event::CollectionClosed(closed));
    if !regular && is_ruled {
        let keys = flow.keys.as_ref().filter(|_| account.is_none_or(|it| it.attach_flow_keys));
        let predefined = || policy.definitions.phase2(flow.spelling_of(uuid), &reports, keys);
        let (make, kept) = (|| scheduler.facts_about(&reports), OnceCell::new());
        let known = scheduler.about(&make, &kept);
        let occasion = Occasion {
            uuid,
            account: flow.identity.account,
            triggers: &[Trigger::ReportTimedOut],
            parts: ["", ""],
            source: &flow.source,
            sms: SharedList::default(),
            about,
        };
        rule::fire(scheduler, &occasion, &known, &predefined, &mut events);
    }
    // If no delivery is in the outbox, this event is the published end. So it comes after the events that schedule
    // deliveries.
    if !regular {
        events.push(Event::ReportTimedOut { missing: phase2::missing(flow) });
    }
    events
}

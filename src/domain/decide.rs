//! Decides which events a command causes: call begin records, the two phases, the webhooks of the accounts' rules, the
//! outcomes of attempts, replays and timers.

mod after;
mod flow;
mod outbox;
mod outcome;
mod past;
mod phase2;
mod replay;
mod report;
mod room;
mod rule;
mod schedule;
mod settle;
mod start;
mod timer;
mod watch;

use super::{
    AccountId, Collected, Collection, Command, Correlation, Delivery, Event, IgnoreReason,
    IgnoredRecord, Policy, RecordKind, STATE_BYTES_MAX, SharedList, SmsId, Source, State,
    Timestamp,
};

/// Returns the events that `command` causes in `state` at the time `now`. Returns none if nothing was due or the
/// command is stale.
#[must_use]
pub fn decide(state: &State, command: &Command, policy: &Policy, now: Timestamp) -> Vec<Event> {
    let mut events = match command {
        Command::AcceptStart(start, source) => start::accept(state, start, source, policy, now),
        Command::AcceptFlow(flow, source) => flow::accept(state, flow, source, policy, now),
        Command::AcceptReport(report, source) => report::accept(state, report, source, policy, now),
        Command::RecordOutcome { delivery, attempt, outcome } => {
            outcome::record(state, *delivery, *attempt, outcome, policy, now)
        }
        Command::GiveUp { delivery, reason } => {
            outcome::give_up(state, *delivery, *reason, policy, now)
        }
        Command::FireTimer(uuid) => timer::fire(state, uuid, policy, now),
        Command::Replay(delivery) => replay::revive(state, delivery, policy, now),
        Command::Notify(delivery) => notify(state, delivery),
    };
    if settle::may_settle(state, &events) {
        settle::settle(state, policy, now, &mut events);
    }
    end_if_done(state, policy, now, &mut events);
    events
}

/// Puts a notice to the owner of an endpoint into the outbox, unless a repeated command has done it.
fn notify(state: &State, delivery: &Delivery) -> Vec<Event> {
    let is_new = state.delivery(delivery.id).is_none();
    let delivery = Box::new(delivery.clone());
    let sms = SharedList::default();
    is_new.then_some(Event::DeliveryScheduled { delivery, sms }).into_iter().collect()
}

/// Returns the event of a record that changes nothing.
fn ignored(
    kind: RecordKind,
    account: AccountId,
    sms: Option<SmsId>,
    source: &Source,
    reason: IgnoreReason,
) -> Event {
    Event::RecordIgnored(IgnoredRecord {
        kind,
        account,
        sms,
        reason,
        source: source.clone(),
        waited: false,
    })
}

/// Returns the event of a report that was accepted before and changes nothing after all.
fn ignored_after_all(report: &Collected, reason: IgnoreReason) -> Event {
    Event::RecordIgnored(IgnoredRecord {
        kind: RecordKind::Report,
        account: report.account,
        sms: Some(report.sms.clone()),
        reason,
        source: report.source.clone(),
        waited: true,
    })
}

/// Explains to operators why a record is refused that would make a row of up to `bytes`.
fn too_large(bytes: usize) -> String {
    format!(
        "with this record, the row of its phonon-uuid would need up to {bytes} bytes, but may have only \
         {STATE_BYTES_MAX} (attached keys count once per SMS): replay it when the other deliveries of the uuid are \
         done, or shorten it"
    )
}

/// Ends the correlation if nothing of it is left after `events`.
fn end_if_done(state: &State, policy: &Policy, now: Timestamp, events: &mut Vec<Event>) {
    let mut open = match &state.correlation {
        Correlation::Open(flow) => Some((flow.identity.account, flow.collection)),
        Correlation::Unknown
        | Correlation::AwaitingFlow(_)
        | Correlation::Silent { .. }
        | Correlation::Ended { .. } => None,
    };
    let mut left = state.deliveries.len();
    for event in &*events {
        if let Event::FlowAccepted(flow) = event {
            open = Some((flow.identity.account, flow.collection));
        } else if let Event::CollectionClosed(closed) = event {
            open = open.map(|(account, _)| (account, *closed));
        }
        left += usize::from(event.begun().is_some());
        left = left.saturating_sub(usize::from(event.ended().is_some()));
    }
    let Some((account, collection)) = open.filter(|_| left == 0 && !events.is_empty()) else {
        return;
    };
    match collection {
        Collection::Open { .. } => return,
        Collection::Complete | Collection::NotWanted => {
            if let Correlation::Open(flow) = &state.correlation {
                // Earlier versions closed collections without an event for each report that was left.
                phase2::end_rest_of_closed(state, flow, events);
            }
            events.push(Event::CorrelationEnded);
        }
        // `Event::ReportTimedOut` has reported the end already.
        Collection::TimedOut => {}
    }
    let until = now.plus_ms(policy.correlation.dedup_window_ms);
    events.push(Event::MarkerKept { account, until });
}

/// Returns the account of the flow, or `None` while the flow is unknown.
fn flow_account(state: &State) -> Option<AccountId> {
    match &state.correlation {
        Correlation::Unknown | Correlation::AwaitingFlow(_) => None,
        Correlation::Open(flow) => Some(flow.identity.account),
        Correlation::Silent { flow, .. } => Some(flow.account),
        Correlation::Ended { account, .. } => Some(*account),
    }
}

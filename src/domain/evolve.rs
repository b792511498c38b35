//! Applies events to the state.

use super::render::merge;
use super::size::{bounded_mapped, bounded_outcomes};
use super::state::SEEN_MAX;
use super::{
    AccountId, Collected, Collection, Correlation, DeliveryId, Due, EndedWebhook, Event, Flow,
    Mapped, Phase, Rendering, SmsId, State, Timestamp,
};

/// Returns the state after `event`. Never fails: an event that does not fit changes nothing, so that a replay of the
/// events gives the same state.
#[must_use]
pub fn evolve(mut state: State, event: &Event) -> State {
    #[cfg(test)]
    super::tests::work::count();
    match event {
        Event::FlowStarted { started, .. } => state.started = Some(*started),
        Event::StartExpired => forget_start(&mut state),
        Event::FlowAccepted(flow) => open(&mut state, flow),
        Event::FlowSilenced { identity, reason, until, .. } => {
            state.correlation =
                Correlation::Silent { flow: *identity, reason: *reason, until: *until };
        }
        Event::ReportAccepted { report, .. } => accept_report(&mut state, report),
        Event::ReportAdopted { sms } => adopted(&mut state, sms),
        Event::RecordIgnored(record) => {
            if let (true, Some(sms)) = (record.waited, &record.sms) {
                remove_report(&mut state, |r| r.account == record.account && r.sms == *sms);
            }
        }
        Event::RecordDeadLettered { record, .. } => {
            if let (Some(account), Some(sms)) = (record.account, &record.sms) {
                remove_report(&mut state, |r| r.account == account && r.sms == *sms);
            }
        }
        Event::DeliveryScheduled { delivery, sms } => {
            spend_reports(&mut state, sms, delivery.phase);
            state.deliveries.push(delivery.as_ref().clone());
        }
        Event::Replayed { delivery } => state.deliveries.push(delivery.as_ref().clone()),
        Event::CollectionClosed(collection) => close(&mut state, *collection),
        Event::Gathering(until) => {
            if let Correlation::Open(flow) = &mut state.correlation {
                flow.gathers_until = *until;
            }
        }
        Event::AttemptFailed { delivery, attempt, outcome, at, retry_at } => {
            if let Some(row) = state.deliveries.iter_mut().find(|row| row.id == *delivery) {
                row.attempts = *attempt;
                row.first_attempt_at = row.first_attempt_at.or(Some(*at));
                row.last_attempt_at = Some(*at);
                row.last_outcome = Some(Box::new(outcome.stored()));
                if let Some(due) = retry_at {
                    row.due = Due::At(*due);
                }
            }
        }
        Event::DeliveryRendered { delivery, body, rendering, at } => {
            if let Some(row) = state.deliveries.iter_mut().find(|row| row.id == *delivery) {
                row.body = body.clone();
                row.rendering = rendering.clone();
                row.due = Due::At(*at);
            }
        }
        Event::Delivered { delivery, at, outcome, .. } => {
            finish(&mut state, delivery.id, *at);
            keep_mapped(&mut state, delivery.account, &outcome.mapped);
        }
        Event::OutcomeKept { ended, .. } => keep_outcome(&mut state, ended),
        Event::RuleDeferred(deferred) => state.deferred.push(deferred.as_ref().clone()),
        Event::RuleJudged(id) => state.deferred.retain(|it| it.delivery.id != *id),
        Event::DeadLettered { delivery, at, .. } => finish(&mut state, delivery.id, *at),
        Event::MarkerKept { account, until } => {
            forget_answers(&mut state);
            state.correlation = Correlation::Ended { account: *account, until: *until };
        }
        Event::MarkerExpired => state.correlation = Correlation::Unknown,
        Event::ReportTimedOut { .. } | Event::RuleSkipped(_) | Event::CorrelationEnded => {}
    }
    state
}

/// Opens the correlation. Reports that waited stay with the flow until each is adopted or ignored.
fn open(state: &mut State, flow: &Flow) {
    let waiting = take_waiting(state);
    let is_kept = flow.record.is_some()
        && state.started.is_none_or(|started| started.account == flow.identity.account);
    if !is_kept {
        forget_answers(state);
    }
    let mut flow = flow.clone();
    flow.reports = waiting;
    state.correlation = Correlation::Open(flow);
}

/// Ends the collection. Phase 2 needs neither reports nor keys any more.
fn close(state: &mut State, collection: Collection) {
    if let Correlation::Open(flow) = &mut state.correlation {
        flow.collection = collection;
        flow.gathers_until = None;
        for report in &mut flow.reports {
            report.body = None;
        }
        flow.keys = None;
    }
}

fn take_waiting(state: &mut State) -> Vec<Collected> {
    match std::mem::take(&mut state.correlation) {
        Correlation::AwaitingFlow(reports) => reports,
        other @ (Correlation::Unknown
        | Correlation::Open(_)
        | Correlation::Silent { .. }
        | Correlation::Ended { .. }) => {
            state.correlation = other;
            Vec::new()
        }
    }
}

fn reports_mut(state: &mut State) -> Option<&mut Vec<Collected>> {
    match &mut state.correlation {
        Correlation::AwaitingFlow(reports) => Some(reports),
        Correlation::Open(flow) => Some(&mut flow.reports),
        Correlation::Unknown | Correlation::Silent { .. } | Correlation::Ended { .. } => None,
    }
}

fn accept_report(state: &mut State, report: &Collected) {
    if state.correlation == Correlation::Unknown {
        state.correlation = Correlation::AwaitingFlow(Vec::new());
    }
    let Some(reports) = reports_mut(state) else { return };
    let mut report = report.clone();
    // Reports are kept in the order in which they came.
    if let Some(index) = reports.iter().position(|known| known.is_about_the_same(&report)) {
        let mut seen = reports.remove(index).seen;
        seen.append(&mut report.seen);
        let surplus = seen.len().saturating_sub(SEEN_MAX);
        seen.drain(..surplus);
        report.seen = seen;
    }
    reports.push(report);
}

fn adopted(state: &mut State, sms: &SmsId) {
    if let Correlation::Open(flow) = &mut state.correlation {
        let account = flow.identity.account;
        for report in &mut flow.reports {
            if report.account == account && report.sms == *sms {
                *report = report.adopted();
            }
        }
    }
}

fn remove_report(state: &mut State, which: impl Fn(&Collected) -> bool) {
    let Some(reports) = reports_mut(state) else { return };
    reports.retain(|report| !which(report));
    if state.correlation == Correlation::AwaitingFlow(Vec::new()) {
        state.correlation = Correlation::Unknown;
    }
}

/// Marks the reports of `sms` as sent. The body of phase 2 contains them, so their own copies are dropped. After a
/// rule's webhook the copies are kept, because phase 2 still needs them.
fn spend_reports(state: &mut State, sms: &[SmsId], phase: Phase) {
    if let Correlation::Open(flow) = &mut state.correlation {
        for report in flow.reports.iter_mut().filter(|report| sms.contains(&report.sms)) {
            report.sent = true;
            if phase == Phase::Two {
                report.body = None;
            }
        }
    }
}

/// Removes a delivery, and makes the deliveries due that wait for it. One that is not rendered waits until it is.
fn finish(state: &mut State, id: DeliveryId, at: Timestamp) {
    let Some(index) = state.deliveries.iter().position(|row| row.id == id) else { return };
    let finished = state.deliveries.remove(index);
    for row in &mut state.deliveries {
        let is_rendered = !matches!(row.rendering, Rendering::Pending(_));
        if row.due == Due::Waiting && is_rendered && row.waits_for(&finished) {
            row.due = Due::At(at);
        }
    }
}

fn forget_start(state: &mut State) {
    state.started = None;
    if !matches!(state.correlation, Correlation::Open(_)) {
        forget_answers(state);
    }
}

/// Forgets the values and outcomes of answers, which no later webhook may use.
fn forget_answers(state: &mut State) {
    state.mapped.clear();
    state.outcomes.clear();
}

/// Keeps the values that an answer gave for later webhooks of the same uuid, if these may use variables.
fn keep_mapped(state: &mut State, account: AccountId, newer: &[Mapped]) {
    if owner(state) == Some(account) {
        merge(&mut state.mapped, newer);
        bounded_mapped(&mut state.mapped);
    }
}

/// Keeps the outcome of a webhook in place of an earlier one, under the same condition.
fn keep_outcome(state: &mut State, ended: &EndedWebhook) {
    if owner(state) == Some(ended.account) {
        state.outcomes.retain(|it| (it.account, &it.webhook) != (ended.account, &ended.webhook));
        state.outcomes.push(ended.clone());
        bounded_outcomes(&mut state.outcomes);
    }
}

/// Returns the account whose webhooks may use answers.
fn owner(state: &State) -> Option<AccountId> {
    match &state.correlation {
        Correlation::Open(flow) => flow.record.as_ref().map(|_| flow.identity.account),
        Correlation::Unknown
        | Correlation::AwaitingFlow(_)
        | Correlation::Silent { .. }
        | Correlation::Ended { .. } => state.started.map(|started| started.account),
    }
}

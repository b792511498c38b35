//! Compares the latest row of a uuid in the changelog with its events.

use super::history::{History, Stage};
use super::life::{Life, When, webhook_hash};
use super::reports::report_hash;
use super::violation::{Violation, What, shown};
use crate::domain::{
    Collected, Collection, Correlation, Deferred, DeliveryId, Due, Phase, Rendering, State,
    Timestamp,
};

/// The largest tolerated difference between instances' clocks, where a time decides whether an event may be deleted.
const CLOCKS_DIFFER_MS: u64 = 600_000;

/// The part of a row that is compared.
#[derive(Debug)]
pub(super) struct Row {
    stage: Stage,
    collection: Option<Collection>,
    /// When the flow was accepted, where that is known.
    accepted_at: Option<Timestamp>,
    reports: u32,
    reports_hash: u64,
    timer: Option<Timestamp>,
    deliveries: Box<[RowDelivery]>,
    /// Whether a rule waits for no delivery in the outbox.
    has_stuck_rule: bool,
}

/// The part of a delivery that is compared.
#[derive(Debug)]
struct RowDelivery {
    id: DeliveryId,
    phase: Phase,
    due: Due,
    /// Whether it is not rendered yet. Then the deliveries in `after` must end first.
    pending: bool,
    after: Box<[DeliveryId]>,
    scheduled_at: Timestamp,
    webhook: u32,
    attempts: u32,
    replays: u32,
}

impl Row {
    pub(super) fn of(state: &State) -> Self {
        let mut row = Self {
            stage: Stage::Unknown,
            collection: None,
            accepted_at: None,
            reports: 0,
            reports_hash: 0,
            timer: state.timer(),
            deliveries: Box::default(),
            has_stuck_rule: false,
        };
        match &state.correlation {
            Correlation::Unknown => {}
            Correlation::AwaitingFlow(reports) => {
                row.stage = Stage::Awaiting;
                row.reports = u32::try_from(reports.len()).unwrap_or(u32::MAX);
                row.reports_hash = sum(reports.iter().map(hash));
            }
            Correlation::Open(flow) => {
                row.stage = Stage::Open;
                row.collection = Some(flow.collection);
                row.accepted_at = Some(flow.accepted_at);
            }
            Correlation::Silent { .. } => row.stage = Stage::Silent,
            Correlation::Ended { .. } => row.stage = Stage::Ended,
        }
        let deliveries = state.deliveries.iter().map(|delivery| RowDelivery {
            id: delivery.id,
            phase: delivery.phase,
            due: delivery.due,
            pending: matches!(delivery.rendering, Rendering::Pending(_)),
            after: match &delivery.rendering {
                Rendering::Pending(pending) => awaited(state, &pending.after).into(),
                Rendering::Fixed | Rendering::Done(_) => Box::default(),
            },
            scheduled_at: delivery.scheduled_at,
            webhook: webhook_hash(delivery.webhook.as_str()),
            attempts: delivery.attempts,
            replays: delivery.replays,
        });
        row.deliveries = deliveries.collect();
        let is_stuck = |rule: &Deferred| {
            let awaited = awaited(state, rule.after());
            !row.deliveries.iter().any(|it| awaited.contains(&it.id))
        };
        row.has_stuck_rule = state.deferred.iter().any(is_stuck);
        row
    }
}

/// Returns the ids in `after`. Those of rules that wait are replaced by the ids that these wait for.
fn awaited(state: &State, after: &[DeliveryId]) -> Vec<DeliveryId> {
    let mut awaited = after.to_vec();
    // One round replaces the rules of at least one step, and there are no more steps than rules.
    for rule in state.deferred.iter().flat_map(|_| &state.deferred) {
        let before = awaited.len();
        awaited.retain(|id| *id != rule.delivery.id);
        if awaited.len() < before {
            awaited.extend_from_slice(rule.after());
        }
    }
    awaited
}

fn hash(report: &Collected) -> u64 {
    let source = &report.source;
    let (account, sms) = (report.account.0, report.sms.as_str());
    report_hash(account, sms, &source.topic, (source.partition, source.offset, source.index))
}

fn sum(hashes: impl Iterator<Item = u64>) -> u64 {
    hashes.fold(0, u64::wrapping_add)
}

/// Compares a uuid's row with its events.
pub(super) struct Comparison<'a> {
    pub(super) uuid: &'a str,
    pub(super) history: Option<&'a History>,
    pub(super) row: Option<&'a Row>,
    /// All events from this time on are there. `None`: all events are.
    pub(super) since: Option<Timestamp>,
    pub(super) say: &'a mut dyn FnMut(Violation),
}

impl Comparison<'_> {
    fn unexplained(&mut self, id: Option<DeliveryId>, says: String) {
        let violation = Violation::new(What::UnexplainedState, says).of(self.uuid);
        (self.say)(match id {
            Some(id) => violation.about(id),
            None => violation,
        });
    }

    /// Returns whether the event of something at this time may be deleted.
    fn may_be_gone(&self, at: Timestamp) -> bool {
        self.since.is_some_and(|since| at < since.plus_ms(CLOCKS_DIFFER_MS))
    }

    /// Reports what the events do not explain.
    pub(super) fn compare(mut self) {
        self.stage();
        self.waiting();
        self.deliveries();
    }

    fn stage(&mut self) {
        let reported = self.history.map_or(Stage::Unknown, |history| history.stage);
        let reported =
            if self.history.is_none() && self.since.is_some() { Stage::Unsure } else { reported };
        let is = self.row.map_or(Stage::Unknown, |row| row.stage);
        let fits = match reported {
            Stage::Unsure => {
                let accepted_at = self.row.and_then(|row| row.accepted_at);
                accepted_at.is_none_or(|at| self.may_be_gone(at))
            }
            Stage::Unknown | Stage::Awaiting | Stage::Open => is == reported,
            // A marker stays for the rest of its time, and is removed then.
            Stage::Silent | Stage::Ended => is == reported || is == Stage::Unknown,
        };
        if !fits {
            let says = match (self.history, self.row) {
                (None, _) => "the changelog has a row of it, but no event mentions it".to_owned(),
                (Some(_), None) => {
                    format!(
                        "the events say that {}; the changelog has no row of it",
                        reported.shown()
                    )
                }
                (Some(_), Some(_)) => {
                    format!(
                        "the events say that {}; the changelog says that {}",
                        reported.shown(),
                        is.shown()
                    )
                }
            };
            self.unexplained(None, says);
            return;
        }
        let timed_out = self.history.is_some_and(|history| history.timed_out);
        let collection = self.row.and_then(|row| row.collection);
        if reported == Stage::Open
            && collection.is_some_and(|c| (c == Collection::TimedOut) != timed_out)
        {
            let not = if timed_out { "" } else { "not " };
            let says = format!(
                "report_timed_out was {not}reported, but the state of the reports in the changelog is {collection:?}"
            );
            self.unexplained(None, says);
        }
    }

    fn waiting(&mut self) {
        let Some(history) = self.history.filter(|history| !history.cut) else { return };
        let reported = history.reports.len();
        match history.stage {
            Stage::Awaiting => {
                let hash = history.reports.hash();
                let waiting = self.row.filter(|row| row.stage == Stage::Awaiting);
                if let Some(row) = waiting.filter(|row| row.reports_hash != hash) {
                    let says = format!(
                        "the reports that wait for the flow differ: {reported} in the events, {} in the changelog",
                        row.reports
                    );
                    self.unexplained(None, says);
                }
            }
            Stage::Silent if reported > 0 => {
                let says = format!(
                    "{reported} reports waited for the flow, which sends no webhook, and no event reports their end"
                );
                (self.say)(Violation::new(What::Lost, says).of(self.uuid));
            }
            Stage::Unsure | Stage::Unknown | Stage::Open | Stage::Silent | Stage::Ended => {}
        }
    }

    fn deliveries(&mut self) {
        let rows = self.row.map_or(&[][..], |row| &row.deliveries);
        for life in self.history.into_iter().flat_map(History::live) {
            match rows.iter().find(|delivery| delivery.id == life.id) {
                Some(delivery) => {
                    if let Some(says) = difference(life, delivery) {
                        self.unexplained(Some(life.id), says);
                    }
                }
                None => {
                    let says = "by its events, the delivery has not ended, but the changelog does not have it";
                    self.unexplained(Some(life.id), says.to_owned());
                }
            }
            if life.last {
                let says = "its last attempt is reported, but not that it became a dead letter";
                let violation = Violation::new(What::Lost, says.to_owned());
                (self.say)(violation.of(self.uuid).about(life.id));
            }
        }
        for (index, delivery) in rows.iter().enumerate() {
            let known = self.history.and_then(|history| history.life(delivery.id));
            let says = match known {
                _ if rows.iter().take(index).any(|other| other.id == delivery.id) => {
                    "the changelog's row has the delivery twice"
                }
                Some(life) if life.live => continue,
                Some(_) => "by its events, the delivery has ended, but the changelog still has it",
                None if self.may_be_gone(delivery.scheduled_at) => continue,
                None => "the changelog has the delivery, but no event mentions it",
            };
            self.unexplained(Some(delivery.id), says.to_owned());
        }
    }
}

/// Returns how the delivery's row differs from its events.
fn difference(life: &Life, delivery: &RowDelivery) -> Option<String> {
    let due = match (life.due, delivery.due) {
        (When::At(reported), Due::At(is)) => reported == is,
        (When::Waiting, Due::Waiting) | (When::Unsure, _) => true,
        (When::AtOrWaiting(reported), due) => due == Due::Waiting || due == Due::At(reported),
        (When::At(_), Due::Waiting) | (When::Waiting, Due::At(_)) => false,
    };
    if !due {
        return Some(format!(
            "the events say that it is due {}; the changelog says {}",
            shown_when(life.due),
            shown_due(delivery.due)
        ));
    }
    let differ = |reported: u32, is: u32| reported != u32::MAX && reported != is;
    if differ(life.attempts, delivery.attempts) || differ(life.replays, delivery.replays) {
        return Some(format!(
            "the events report {} attempts and {} replays; the changelog has {} and {}",
            life.attempts, life.replays, delivery.attempts, delivery.replays
        ));
    }
    if !life.unsure && life.since != delivery.scheduled_at {
        let (reported, is) = (shown(life.since), shown(delivery.scheduled_at));
        return Some(format!(
            "the events say that it was scheduled at {reported}; the changelog says at {is}"
        ));
    }
    let same = life.webhook == delivery.webhook && life.phase == delivery.phase.number();
    (!same).then(|| "the changelog has another webhook or phase of it than its events".to_owned())
}

fn shown_when(when: When) -> String {
    match when {
        When::At(at) => format!("at {}", shown(at)),
        When::Waiting => "after phase 1".to_owned(),
        When::AtOrWaiting(at) => format!("at {} or after phase 1", shown(at)),
        When::Unsure => "at an unknown time".to_owned(),
    }
}

fn shown_due(due: Due) -> String {
    match due {
        Due::At(at) => format!("at {}", shown(at)),
        Due::Waiting => "after phase 1".to_owned(),
    }
}

impl Row {
    /// Reports deliveries and flows that wait for something that can't happen, whatever the events say.
    pub(super) fn stuck(&self, uuid: &str, say: &mut dyn FnMut(Violation)) {
        for delivery in &self.deliveries {
            let waited_for = |other: &&RowDelivery| {
                delivery.after.contains(&other.id) || !delivery.pending && other.phase == Phase::One
            };
            if delivery.due == Due::Waiting && !self.deliveries.iter().any(|it| waited_for(&it)) {
                let says =
                    "it waits for another delivery, but no such delivery is unfinished".to_owned();
                say(Violation::new(What::Stuck, says).of(uuid).about(delivery.id));
            }
        }
        if self.has_stuck_rule {
            let says = "a rule waits for a delivery that is not on its way".to_owned();
            say(Violation::new(What::Stuck, says).of(uuid));
        }
        let closed = match self.collection {
            Some(Collection::Complete | Collection::TimedOut | Collection::NotWanted) => true,
            Some(Collection::Open { .. }) | None => false,
        };
        if closed && self.deliveries.is_empty() {
            let says =
                "it has no delivery and waits for no report, but it has not ended".to_owned();
            say(Violation::new(What::Stuck, says).of(uuid));
        }
    }

    /// Reports timers and attempts that were due before `before`.
    pub(super) fn overdue(&self, uuid: &str, before: Timestamp, say: &mut dyn FnMut(Violation)) {
        if let Some(due) = self.timer.filter(|due| *due < before) {
            let says = format!(
                "{}; the timer that ends this state was due at {}",
                self.stage.shown(),
                shown(due)
            );
            say(Violation::new(What::Overdue, says).of(uuid));
        }
        for delivery in &self.deliveries {
            if let Due::At(due) = delivery.due
                && due < before
            {
                let says = format!(
                    "attempt {} was due at {}, but was not made",
                    delivery.attempts.saturating_add(1),
                    shown(due)
                );
                say(Violation::new(What::Overdue, says).of(uuid).about(delivery.id));
            }
        }
    }
}

//! Follows the events of one uuid, and checks that each follows from those before it.
//!
//! The rules are not used: they may have been different then. Some transitions have no event: a marker is kept, a uuid
//! is forgotten, a report that waited is adopted, a collection is closed. So more than one state may fit.

use super::ledger::Entry;
use super::life::{Life, When};
use super::reports::{Accepted, Reports};
use super::violation::{Book, Violation, What, shown};
use crate::codec::event::{About, Fact};
use crate::domain::{DeliveryId, RecordKind, Timestamp};

/// The progress of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Unknown, because events are deleted.
    Unsure,
    /// There was no event, or the uuid is forgotten.
    Unknown,
    /// Reports wait for their flow complete record.
    Awaiting,
    /// The flow was accepted, and not all of its webhooks are done.
    Open,
    /// No webhook is sent. The uuid may be forgotten since.
    Silent,
    /// All webhooks are done. The uuid may be forgotten since.
    Ended,
}

/// The history of one uuid.
#[derive(Debug)]
pub(super) struct History {
    pub(super) stage: Stage,
    /// Earlier events are deleted.
    pub(super) cut: bool,
    pub(super) timed_out: bool,
    pub(super) ended_at: Timestamp,
    pub(super) lives: Vec<Life>,
    pub(super) reports: Reports,
}

/// The context of an event.
pub(super) struct FactContext<'a> {
    pub(super) uuid: &'a str,
    pub(super) at: Timestamp,
    /// The place of the event's record.
    pub(super) source: Option<Entry>,
    /// The minimum time for which an ended uuid is remembered, if it is known.
    pub(super) dedup_window_ms: Option<u64>,
    pub(super) book: &'a mut Book,
}

impl FactContext<'_> {
    fn say(&mut self, what: What, id: Option<DeliveryId>, says: String) {
        let violation = Violation::new(what, says).of(self.uuid);
        self.book.note(match id {
            Some(id) => violation.about(id),
            None => violation,
        });
    }
}

impl History {
    pub(super) fn new(cut: bool) -> Self {
        Self {
            stage: if cut { Stage::Unsure } else { Stage::Unknown },
            cut,
            timed_out: false,
            ended_at: Timestamp::default(),
            lives: Vec::new(),
            reports: Reports::default(),
        }
    }

    pub(super) fn life(&self, id: DeliveryId) -> Option<&Life> {
        self.lives.iter().find(|life| life.id == id)
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Life> {
        self.lives.iter().filter(|life| life.live)
    }

    /// Applies an event, and reports what does not follow from the events before it.
    pub(super) fn apply(&mut self, fact: &Fact<'_>, mut context: FactContext<'_>) {
        let context = &mut context;
        match fact {
            Fact::FlowAccepted(_) => self.flow(Stage::Open, context),
            Fact::ReportAccepted { account, sms, waiting, source } => {
                let report = Accepted::new(*account, sms, source, context.source);
                self.report(report, *waiting, context);
            }
            Fact::RecordIgnored { record: RecordKind::Flow, reason, .. } => {
                self.ignored(reason, context)
            }
            // A start is accepted only if the uuid is not remembered. So the deliveries of an earlier start are
            // forgotten.
            Fact::FlowStarted(_) => {
                for life in self.lives.iter_mut().filter(|life| life.phase == 0 && !life.live) {
                    life.former = true;
                }
            }
            Fact::RecordIgnored { record: RecordKind::Start, .. } => {}
            Fact::Rendered(about) => self.rendered(about, context),
            Fact::RecordIgnored { record: RecordKind::Report, .. } => {
                self.reports.end(context.source);
            }
            Fact::RecordDeadLettered { reason, .. } if reason == "flow_missing" => {
                self.missing(context)
            }
            Fact::RecordDeadLettered { .. }
            | Fact::RecordReplayed { .. }
            | Fact::Input(_)
            | Fact::Repartitioned { .. }
            | Fact::Other => {}
            Fact::Scheduled { about, due_at, pending, account, sms } => {
                self.reports.carried(about.phase, *account, sms);
                self.scheduled(about, *due_at, *pending, context);
            }
            Fact::AttemptFailed { about, attempt, retry_at } => {
                self.attempt(about, *attempt, context);
                self.retry(about.id, *retry_at);
            }
            Fact::Delivered { about, attempt, status } => {
                self.attempt(about, *attempt, context);
                self.end(about, true, status.unwrap_or(0), context);
            }
            Fact::DeadLettered { about, attempts, replays, .. } => {
                self.dead_lettered(about, *attempts, *replays, context);
                self.end(about, false, 0, context);
            }
            Fact::Replayed { about, replays } => self.replayed(about, *replays, context),
            Fact::ReportTimedOut => {
                self.expect(&[Stage::Open], "report_timed_out", context);
                if self.timed_out && self.stage == Stage::Open {
                    let says = "report_timed_out is reported twice for one flow".to_owned();
                    context.say(What::Twice, None, says);
                }
                (self.stage, self.timed_out) = (Stage::Open, true);
                // This event is the word about all reports that no webhook carries.
                self.reports = Reports::default();
                self.settle(context.at);
            }
            Fact::CorrelationEnded { reports_sent } => {
                self.expect(&[Stage::Open], "correlation_ended", context);
                if let Some(life) = self.lives.iter().find(|life| life.live) {
                    let says =
                        "correlation_ended is reported before the delivery has ended".to_owned();
                    context.say(What::Order, Some(life.id), says);
                }
                // Earlier versions closed collections without a word about the reports that were left.
                if reports_sent.is_some() {
                    self.accounted(context);
                }
                self.finish(Stage::Ended, context.at);
            }
        }
    }

    fn retry(&mut self, id: DeliveryId, retry_at: Option<Timestamp>) {
        if let Some(life) = self.lives.iter_mut().find(|life| life.id == id) {
            life.last = retry_at.is_none();
            life.due = retry_at.map_or(life.due, When::At);
        }
    }

    /// Reports accepted reports that ended without a word.
    fn accounted(&self, context: &mut FactContext<'_>) {
        let left = self.reports.left();
        if !self.cut && left > 0 {
            let says = format!(
                "correlation_ended is reported, but {left} accepted reports are in no webhook and no event reports \
                 their end"
            );
            context.say(What::Lost, None, says);
        }
    }

    fn expect(&self, stages: &[Stage], event: &str, context: &mut FactContext<'_>) {
        if self.stage != Stage::Unsure && !stages.contains(&self.stage) {
            let says = format!("{event} is reported while {}", self.stage.shown());
            context.say(What::Order, None, says);
        }
    }

    /// Applies the flow complete record of the uuid.
    fn flow(&mut self, stage: Stage, context: &mut FactContext<'_>) {
        if self.stage == Stage::Open {
            let says = "a flow complete record is accepted before the webhooks of an earlier one have ended";
            context.say(What::Twice, None, says.to_owned());
        }
        self.remembered(context);
        // Deliveries that are not finished were replayed after the uuid was forgotten.
        for life in &mut self.lives {
            life.former = true;
        }
        (self.stage, self.timed_out) = (stage, false);
        if stage == Stage::Silent {
            self.ended_at = context.at;
        }
    }

    /// Checks that the marker of an ended uuid was kept for its time, if that is known.
    fn remembered(&self, context: &mut FactContext<'_>) {
        let kept = matches!(self.stage, Stage::Silent | Stage::Ended);
        if let Some(window) = context.dedup_window_ms.filter(|_| kept)
            && context.at.ms_since(self.ended_at) < window
        {
            let ended = shown(self.ended_at);
            let says =
                format!("it ended at {ended} and begins again before dedup_window_s has passed");
            context.say(What::Twice, None, says);
        }
    }

    fn ignored(&mut self, reason: &str, context: &mut FactContext<'_>) {
        match reason {
            // Only the uuid's own flow complete record is ignored for these reasons.
            "webhook_disabled" | "no_default_webhook" => self.flow(Stage::Silent, context),
            "late" => self.expect(&[Stage::Ended], "a late flow complete record", context),
            _ => {
                let expected = [Stage::Open, Stage::Silent];
                self.expect(&expected, "an ignored second flow complete record", context);
            }
        }
    }

    fn report(&mut self, report: Accepted, waits: bool, context: &mut FactContext<'_>) {
        if !waits {
            self.expect(&[Stage::Open], "a report of an accepted flow", context);
            if self.stage == Stage::Unsure {
                self.stage = Stage::Open;
            }
            self.reports.accept(report);
            return;
        }
        if self.stage == Stage::Open {
            context.say(
                What::Order,
                None,
                "a report waits for its flow, which was accepted already".to_owned(),
            );
            return;
        }
        if self.stage != Stage::Awaiting {
            self.remembered(context);
            self.reports = Reports::default();
            self.stage = Stage::Awaiting;
        }
        self.reports.accept(report);
    }

    /// Applies the end of a report whose flow never came.
    fn missing(&mut self, context: &mut FactContext<'_>) {
        let known = self.reports.end(context.source) || context.source.is_none();
        if !self.cut && (self.stage != Stage::Awaiting || !known) {
            let says =
                "a report that does not wait for its flow becomes a dead letter with the reason \
                 flow_missing"
                    .to_owned();
            context.say(What::Order, None, says);
        }
        if self.stage == Stage::Awaiting && self.reports.len() == 0 {
            self.stage = if self.cut { Stage::Unsure } else { Stage::Unknown };
        }
    }

    fn scheduled(
        &mut self,
        about: &About<'_>,
        due_at: Option<Timestamp>,
        pending: bool,
        context: &mut FactContext<'_>,
    ) {
        // A rule can schedule its delivery at the start of a flow, before any other event.
        if about.phase != 0 {
            self.expect(&[Stage::Open], "delivery_scheduled", context);
        }
        if about.phase != 0 && self.stage == Stage::Unsure {
            self.stage = Stage::Open;
        }
        let waited_for = |life: &Life| life.live && (life.phase == 1 || pending);
        if due_at.is_none() && !self.lives.iter().any(waited_for) && !self.cut {
            let says =
                "the delivery waits for another one, but no such delivery is unfinished".to_owned();
            context.say(What::Stuck, Some(about.id), says);
        }
        let mut life = Life {
            due: due_at.map_or(When::Waiting, When::At),
            held: due_at.is_none() && !pending,
            pending,
            ..Life::begin(about, context.at)
        };
        if let Some(known) = self.lives.iter_mut().find(|known| known.id == about.id) {
            if known.live || !known.former && !known.unsure {
                let says = "delivery_scheduled is reported twice for one delivery".to_owned();
                context.say(What::Twice, Some(about.id), says);
            }
            life.scheduled = known.scheduled.saturating_add(1);
            (life.attempts_total, life.replays_max) = (known.attempts_total, known.replays_max);
            *known = life;
        } else {
            self.add(life);
        }
    }

    fn replayed(&mut self, about: &About<'_>, replays: u32, context: &mut FactContext<'_>) {
        // It may wait for phase 1, or for the delivery that gives its variables values.
        let others = self.lives.iter().any(|life| life.live && life.id != about.id);
        let mut life = Life { replays, replays_max: replays, ..Life::begin(about, context.at) };
        if others || self.cut {
            life.due = When::AtOrWaiting(context.at);
        }
        life.scheduled = 0;
        match self.lives.iter_mut().find(|known| known.id == about.id) {
            Some(known) => {
                if known.live && !known.unsure {
                    let says = "replayed is reported for a delivery that has not ended".to_owned();
                    context.say(What::Twice, Some(about.id), says);
                }
                life.replays_max = known.replays_max.max(replays);
                (life.attempts_total, life.scheduled) = (known.attempts_total, known.scheduled);
                (life.former, life.held) = (known.former, known.held);
                *known = life;
            }
            None => {
                if !self.cut {
                    let says =
                        "replayed is reported for a delivery that was never scheduled".to_owned();
                    context.say(What::Order, Some(about.id), says);
                }
                self.add(life);
            }
        }
    }

    /// Adds a delivery without spare room: there are many uuids, and most have one or two deliveries.
    fn add(&mut self, life: Life) {
        self.lives.reserve_exact(1);
        self.lives.push(life);
    }

    /// Returns the delivery of an event. Reports a delivery that was never scheduled or has ended.
    fn on_its_way(
        &mut self,
        about: &About<'_>,
        event: &str,
        context: &mut FactContext<'_>,
    ) -> Option<&mut Life> {
        let index = self.lives.iter().position(|life| life.id == about.id);
        let Some(index) = index else {
            if self.cut {
                let unsure = Life {
                    unsure: true,
                    due: When::Unsure,
                    attempts: u32::MAX,
                    replays: u32::MAX,
                    scheduled: 0,
                    ..Life::begin(about, context.at)
                };
                self.add(unsure);
                return self.lives.last_mut();
            }
            let says = format!("{event} is reported for a delivery that was never scheduled");
            context.say(What::Order, Some(about.id), says);
            return None;
        };
        let life = self.lives.get_mut(index)?;
        if !life.live {
            let says = format!("{event} is reported for a delivery that has ended");
            context.say(What::Twice, Some(about.id), says);
        }
        Some(life)
    }

    fn attempt(&mut self, about: &About<'_>, attempt: u32, context: &mut FactContext<'_>) {
        let at = context.at;
        let Some(life) = self.on_its_way(about, "an attempt", context) else { return };
        let (attempts, due, last) = (life.attempts, life.due, life.last);
        (life.attempts, life.attempts_total) = (attempt, life.attempts_total.saturating_add(1));
        if !life.live {
            return;
        }
        if attempts != u32::MAX && attempt != attempts.saturating_add(1) {
            let says = format!("attempt {attempt} is reported after attempt {attempts}");
            let what = if attempt <= attempts { What::Twice } else { What::Order };
            context.say(what, Some(about.id), says);
        }
        if last {
            let says = "an attempt is reported after the last one".to_owned();
            context.say(What::Order, Some(about.id), says);
        }
        match due {
            When::Waiting => {
                let says = format!(
                    "it was attempted by {}, but the delivery that it waits for has not ended",
                    shown(at)
                );
                context.say(What::Early, Some(about.id), says);
            }
            When::At(_) | When::AtOrWaiting(_) | When::Unsure => {}
        }
    }

    /// A delivery that waited to be rendered becomes due.
    fn rendered(&mut self, about: &About<'_>, context: &mut FactContext<'_>) {
        let at = context.at;
        let Some(life) = self.on_its_way(about, "delivery_rendered", context) else { return };
        (life.due, life.pending) = (When::At(at), false);
    }

    fn dead_lettered(
        &mut self,
        about: &About<'_>,
        attempts: u32,
        replays: u32,
        context: &mut FactContext<'_>,
    ) {
        let Some(life) = self.on_its_way(about, "dead_lettered", context) else { return };
        let known = (life.attempts, life.replays);
        (life.attempts, life.replays) = (attempts, replays);
        let differ = |known: u32, reported: u32| known != u32::MAX && known != reported;
        if life.live && (differ(known.0, attempts) || differ(known.1, replays)) {
            let says = format!(
                "dead_lettered reports {attempts} attempts and {replays} replays, but the events before it report {} \
                 and {}",
                known.0, known.1
            );
            context.say(What::Order, Some(about.id), says);
        }
    }

    /// Ends a life. The end of phase 1 makes the deliveries due that wait for it.
    fn end(&mut self, about: &About<'_>, delivered: bool, status: u16, context: &FactContext<'_>) {
        let Some(life) = self.lives.iter_mut().find(|life| life.id == about.id) else { return };
        (life.live, life.last) = (false, false);
        if delivered {
            (life.delivered, life.status) = (true, status);
        }
        if life.phase == 1 {
            for life in self.lives.iter_mut().filter(|life| life.live && !life.pending) {
                life.due = match life.due {
                    When::Waiting => When::At(context.at),
                    When::AtOrWaiting(_) => When::Unsure,
                    other @ (When::At(_) | When::Unsure) => other,
                };
            }
        }
        self.settle(context.at);
    }

    /// After a time-out no further event reports the end: the correlation ends with its last delivery.
    fn settle(&mut self, at: Timestamp) {
        if self.stage == Stage::Open && self.timed_out && !self.lives.iter().any(|life| life.live) {
            // The deleted events may be about further deliveries that are not finished.
            self.finish(if self.cut { Stage::Unsure } else { Stage::Ended }, at);
        }
    }

    fn finish(&mut self, stage: Stage, at: Timestamp) {
        (self.stage, self.timed_out, self.ended_at) = (stage, false, at);
        self.reports = Reports::default();
    }
}

impl Stage {
    pub(super) const fn shown(self) -> &'static str {
        match self {
            Self::Unsure => "its state is not fully known",
            Self::Unknown => "it is unknown",
            Self::Awaiting => "its reports wait for their flow",
            Self::Open => "its webhooks have not ended",
            Self::Silent => "its flow sends no webhook",
            Self::Ended => "it has ended",
        }
    }
}

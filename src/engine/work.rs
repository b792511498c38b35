//! A batch of decisions. Nothing of it is written before the whole batch is committed.

mod base;
mod endpoints;
mod inputs;
mod letters;
mod outbound;
mod traced;

pub(super) use base::Base;
pub(super) use endpoints::shown;
pub(super) use outbound::Outbound;
pub(super) use traced::Traced;

use super::outbox::Abandoned;
use crate::clock;
use crate::codec::event::{self, EventContext, InputEvent, ReloadEvent};
use crate::codec::row::{self, Landmark, Meta};
use crate::delivery::{Attempted, BreakerState, Lanes};
use crate::domain::{
    AccountId, Collected, Command, Correlation, DeadLetterReason, EndpointEvent, EndpointState,
    Event, PhononUuid, Policy, State, StatusClass, Timestamp, WebhookName, decide, evolve,
};
use crate::failpoint::{self, Failpoint};
use crate::log::{Record, TopicPartition};
use crate::store::{Family, RowKey, StoreError};
use outbound::Target;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use traced::Decision;

/// A uuid's state before and after the batch.
pub(super) struct Slot {
    pub(super) partition: i32,
    pub(super) uuid: PhononUuid,
    pub(super) old: Arc<State>,
    pub(super) new: Arc<State>,
    /// The size of the new state's row.
    pub(super) row_bytes: usize,
}

impl Slot {
    /// Returns whether the batch has changed the state.
    pub(super) fn is_changed(&self) -> bool {
        !Arc::ptr_eq(&self.old, &self.new) && self.old != self.new
    }
}

/// An endpoint's state before and after the batch.
pub(super) struct EndpointSlot {
    pub(super) old: EndpointState,
    pub(super) new: EndpointState,
}

/// Everything that a decision depends on, beside the state and the command.
pub(super) struct View<'a> {
    pub(super) policy: &'a Policy,
    /// The number of partitions that own uuids.
    pub(super) partitions: u32,
    pub(super) now: Timestamp,
    pub(super) lanes: &'a Lanes,
}

/// A fact that metrics and logs report once the batch is committed.
pub(super) enum DeferredReport {
    /// An event of a uuid.
    Event(PhononUuid, Event),
    /// A record was forwarded.
    Forwarded(TopicPartition),
    /// A record says nothing that concerns the daemon.
    Skipped(TopicPartition),
    /// A record could not be read.
    Bad {
        place: TopicPartition,
        offset: i64,
        reason: DeadLetterReason,
        detail: String,
    },
    /// A final report of a flow that is known came this long after the flow.
    ReportDelay(Duration),
    /// An event of an endpoint.
    Endpoint(WebhookName, EndpointEvent),
    Breaker(WebhookName, BreakerState),
    /// A change of an input partition.
    Input(InputEvent),
    /// A configuration was read again; the reload has logged it.
    Reload,
}

/// A batch of decisions.
#[derive(Default)]
pub(super) struct Work {
    slots: Vec<Slot>,
    index: HashMap<(i32, PhononUuid), usize>,
    endpoints: BTreeMap<(i32, WebhookName), EndpointSlot>,
    outbound: Outbound,
    /// The offset after the last record that was read, by input partition.
    pub(super) offsets: BTreeMap<TopicPartition, i64>,
    /// The last record that was read of each input partition without a topic id.
    pub(super) landmarks: BTreeMap<TopicPartition, Landmark>,
    /// The outcomes in the batch. They are recorded again if the batch can't be committed.
    pub(super) outcomes: Vec<Attempted>,
    /// The deliveries that become dead letters without an attempt.
    pub(super) abandoned: Vec<Abandoned>,
    /// The number of deliveries to each endpoint that became dead letters.
    dead_letters: BTreeMap<WebhookName, u32>,
    /// The reloads in the batch. Another batch reports them if this one can't be committed.
    pub(super) reload_events: Vec<ReloadEvent>,
    /// The records' part of the reader's budget.
    pub(super) read_bytes: usize,
    pub(super) reports: Vec<DeferredReport>,
    /// The spans of the batch, if traces are recorded.
    pub(super) traced: Option<Traced>,
    /// All decisions, for a simulation that repeats them.
    #[cfg(test)]
    pub(super) witness: Vec<super::tests::Witness>,
}

impl Work {
    /// Creates an empty batch with the buffer of an earlier one.
    pub(super) fn reusing(former: Outbound) -> Self {
        Self { outbound: Outbound::reusing(former), ..Self::default() }
    }

    /// Takes the records to be written. [`Work::seal`] comes first.
    pub(super) fn take_outbound(&mut self) -> Outbound {
        std::mem::take(&mut self.outbound)
    }

    /// Returns whether there is nothing to commit.
    pub(super) fn is_empty(&self) -> bool {
        self.reports.is_empty() && self.offsets.is_empty()
    }

    /// Returns the number of its outcomes and reports.
    pub(super) fn weight(&self) -> usize {
        self.outcomes.len() + self.reports.len()
    }

    /// Returns the uuids of the batch.
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Returns the endpoints of the batch.
    pub(super) fn endpoints(&self) -> &BTreeMap<(i32, WebhookName), EndpointSlot> {
        &self.endpoints
    }

    /// Takes the uuids whose state the batch has changed.
    pub(super) fn take_changed(&mut self) -> impl Iterator<Item = Slot> {
        self.index.clear();
        std::mem::take(&mut self.slots).into_iter().filter(Slot::is_changed)
    }

    /// Returns the state that the batch leaves of `uuid`, if it has one.
    fn state(&self, partition: i32, uuid: &PhononUuid) -> Option<Arc<State>> {
        let index = self.index.get(&(partition, uuid.clone()))?;
        self.slots.get(*index).map(|slot| slot.new.clone())
    }

    /// Notes that a record was read, and its landmark if topics have no ids. Returns the offset that was expected, if
    /// the batch has read from the input partition before.
    pub(super) fn read(&mut self, record: &Record, lacks_ids: bool) -> Option<i64> {
        if lacks_ids {
            self.landmarks.insert(record.place.clone(), record.landmark());
        }
        let next = record.offset + 1;
        match self.offsets.get_mut(&record.place) {
            Some(offset) => Some(std::mem::replace(offset, next)),
            None => self.offsets.insert(record.place.clone(), next),
        }
    }

    /// Decides `command`. Returns whether that produced an event. `raw` is the record that contained the command.
    pub(super) fn command<F: Family>(
        &mut self,
        base: &Base<'_, F>,
        uuid: &PhononUuid,
        command: &Command,
        raw: Option<&Record>,
        view: &View<'_>,
    ) -> Result<bool, StoreError> {
        let index = self.slot(base, uuid)?;
        let Some(state) = self.slots.get(index).map(|slot| &slot.new) else { return Ok(false) };
        let begin = self.traced.as_ref().map(|_| clock::wall_since_epoch());
        let events = decide(state, command, view.policy, view.now);
        if let (Some(traced), Some(begin)) = (&mut self.traced, begin) {
            traced.decided(&Decision { uuid, command, events: &events, begin });
        }
        failpoint::pass(Failpoint::Deciding);
        #[cfg(test)]
        self.witness.push(super::tests::Witness {
            partition: base.number(),
            uuid: uuid.clone(),
            command: command.clone(),
            now: view.now,
        });
        let account = account(state, command);
        let is_news = !events.is_empty();
        let sent_back = raw.filter(|raw| raw.letter.is_some());
        let sent_back = sent_back.map(|raw| (raw, letters::became(&events, &raw.source)));
        if is_news {
            self.apply(index, account, events, raw, view);
        }
        if let Some((raw, became)) = sent_back {
            self.letter_settled(raw, Some((uuid, account)), became, view);
        }
        Ok(is_news)
    }

    /// Publishes the events of a decision about a uuid, and changes its state by them.
    fn apply(
        &mut self,
        index: usize,
        account: Option<AccountId>,
        events: Vec<Event>,
        raw: Option<&Record>,
        view: &View<'_>,
    ) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let uuid = slot.uuid.clone();
        // The committed row has the state, too. So the first decision about a uuid copies it.
        let mut state = Arc::unwrap_or_clone(std::mem::replace(&mut slot.new, slot.old.clone()));
        for event in events {
            self.publish(&uuid, account, &state, &event, raw, view);
            self.reports.extend(report_delay(&state, &event).map(DeferredReport::ReportDelay));
            state = evolve(state, &event);
            self.reports.push(DeferredReport::Event(uuid.clone(), event));
        }
        if let Some(slot) = self.slots.get_mut(index) {
            slot.new = Arc::new(state);
        }
    }

    fn slot<F: Family>(
        &mut self,
        base: &Base<'_, F>,
        uuid: &PhononUuid,
    ) -> Result<usize, StoreError> {
        let key = (base.number(), uuid.clone());
        if let Some(index) = self.index.get(&key) {
            return Ok(*index);
        }
        let state = base.state(uuid)?;
        let index = self.slots.len();
        self.slots.push(Slot {
            partition: base.number(),
            uuid: uuid.clone(),
            new: state.clone(),
            old: state,
            row_bytes: 0,
        });
        self.index.insert(key, index);
        Ok(index)
    }

    fn publish(
        &mut self,
        uuid: &PhononUuid,
        account: Option<AccountId>,
        before: &State,
        event: &Event,
        raw: Option<&Record>,
        view: &View<'_>,
    ) {
        let key = self.outbound.append(uuid.as_str().as_bytes());
        let start = self.outbound.buffer.len();
        let context = EventContext { uuid, account, at: view.now };
        if event::write_event(&mut self.outbound.buffer, &context, before, event) {
            let value = start..self.outbound.buffer.len();
            self.outbound.leave(Target::Events, Some(key.clone()), Some(value), Vec::new());
        }
        match event {
            Event::DeadLettered { delivery, reason, .. } => {
                *self.dead_letters.entry(delivery.webhook.clone()).or_default() += 1;
                self.delivery_dead_letter(uuid, key, delivery, *reason, view);
            }
            Event::RecordDeadLettered { record, reason, detail } => {
                let headers =
                    event::record_headers(&record.source, *reason, record.account, detail);
                let payload = record.payload.as_ref().or(raw.and_then(|raw| raw.payload.as_ref()));
                let own = (!record.headers.is_empty()).then_some(&record.headers);
                let foreign = own.or(raw.map(|raw| &raw.headers)).cloned().unwrap_or_default();
                self.raw_dead_letter(Some(key), payload, headers, foreign);
            }
            Event::FlowStarted { .. }
            | Event::FlowAccepted(_)
            | Event::FlowSilenced { .. }
            | Event::ReportAccepted { .. }
            | Event::ReportAdopted { .. }
            | Event::RecordIgnored(_)
            | Event::DeliveryScheduled { .. }
            | Event::DeliveryRendered { .. }
            | Event::StartExpired
            | Event::CollectionClosed(_)
            | Event::AttemptFailed { .. }
            | Event::Delivered { .. }
            | Event::Replayed { .. }
            | Event::ReportTimedOut { .. }
            | Event::RuleSkipped(_)
            | Event::OutcomeKept { .. }
            | Event::RuleDeferred(_)
            | Event::RuleJudged(_)
            | Event::CorrelationEnded
            | Event::MarkerKept { .. }
            | Event::Gathering(_)
            | Event::MarkerExpired => {}
        }
    }

    /// Forwards a record that another partition owns.
    pub(super) fn forward(
        &mut self,
        record: &Record,
        uuid: &PhononUuid,
        owner: i32,
        headers: Vec<(&'static str, String)>,
    ) {
        let key = self.outbound.append(uuid.as_str().as_bytes());
        let value = self.outbound.append(record.bytes());
        self.outbound.leave(Target::Inbox(owner), Some(key), Some(value), headers);
        self.outbound.pass_on(record.headers.clone());
        self.reports.push(DeferredReport::Forwarded(record.place.clone()));
    }

    /// Notes that a record says nothing that concerns the daemon.
    pub(super) fn skipped(&mut self, record: &Record) {
        self.reports.push(DeferredReport::Skipped(record.place.clone()));
    }

    /// Adds the changed rows and the partitions' meta rows. No decision may follow.
    pub(super) fn seal(&mut self, metas: &BTreeMap<i32, Meta>) -> BTreeMap<i32, Range<usize>> {
        let outbound = &mut self.outbound;
        for slot in self.slots.iter_mut().filter(|slot| slot.is_changed()) {
            let start = outbound.buffer.len();
            RowKey::write_state(&slot.uuid, &mut outbound.buffer);
            let key = start..outbound.buffer.len();
            let start = outbound.buffer.len();
            if !slot.new.is_empty() {
                row::encode_state(&slot.new, &mut outbound.buffer);
            }
            slot.row_bytes = outbound.buffer.len() - start;
            let value = (!slot.new.is_empty()).then_some(start..outbound.buffer.len());
            outbound.leave(Target::Changelog(slot.partition), Some(key), value, Vec::new());
        }
        let mut rows = BTreeMap::new();
        for ((partition, webhook), EndpointSlot { old, new }) in std::mem::take(&mut self.endpoints)
        {
            if old == new {
                continue;
            }
            let start = outbound.buffer.len();
            RowKey::write_endpoint(&webhook, &mut outbound.buffer);
            let key = start..outbound.buffer.len();
            let start = outbound.buffer.len();
            row::encode_endpoint(&new, &mut outbound.buffer);
            let value = (new != EndpointState::default()).then_some(start..outbound.buffer.len());
            outbound.leave(Target::Changelog(partition), Some(key), value, Vec::new());
            self.endpoints.insert((partition, webhook), EndpointSlot { old, new });
        }
        for (partition, meta) in metas {
            let key = outbound.append(RowKey::META);
            let start = outbound.buffer.len();
            row::encode_meta(meta, &mut outbound.buffer);
            let value = start..outbound.buffer.len();
            rows.insert(*partition, value.clone());
            outbound.leave(Target::Changelog(*partition), Some(key), Some(value), Vec::new());
        }
        rows
    }
}

/// Returns the time from a flow to the final report of one of its SMS that `event` accepts or adopts.
fn report_delay(before: &State, event: &Event) -> Option<Duration> {
    let is_final = |report: &Collected| report.class == StatusClass::Final;
    let Correlation::Open(flow) = &before.correlation else { return None };
    let report = if let Event::ReportAccepted { report, .. } = event {
        report
    } else if let Event::ReportAdopted { sms } = event {
        flow.reports.iter().find(|it| it.sms == *sms)?
    } else {
        return None;
    };
    let ms = report.source.timestamp.ms_since(flow.source.timestamp);
    is_final(report).then_some(Duration::from_millis(ms))
}

/// Returns the account of a uuid, if it is known.
fn account(state: &State, command: &Command) -> Option<AccountId> {
    match command {
        Command::AcceptStart(start, _) => return Some(start.account),
        Command::AcceptFlow(flow, _) => return Some(flow.account),
        Command::AcceptReport(report, _) => return Some(report.account),
        Command::Replay(delivery) | Command::Notify(delivery) => return Some(delivery.account),
        Command::RecordOutcome { .. } | Command::GiveUp { .. } | Command::FireTimer(_) => {}
    }
    match &state.correlation {
        Correlation::Unknown => {
            let started = state.started.map(|started| started.account);
            started.or_else(|| state.deliveries.first().map(|delivery| delivery.account))
        }
        Correlation::AwaitingFlow(reports) => reports.first().map(|report| report.account),
        Correlation::Open(flow) => Some(flow.identity.account),
        Correlation::Silent { flow, .. } => Some(flow.account),
        Correlation::Ended { account, .. } => Some(*account),
    }
}

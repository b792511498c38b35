//! Decides all committed commands again: the result is the state that the changelog must have. Counts events on the
//! way.

use super::Witness;
use super::port::Row;
use super::timing::Timing;
use crate::codec::row;
use crate::delivery::Job;
use crate::domain::fates::Fates;
use crate::domain::{
    Command, Delivery, DeliveryId, Due, NOTICE_INTERVAL_MS, PhononUuid, Policy, Source, State,
    Timestamp, WebhookName, decide, evolve, hold_ms,
};
use crate::store::RowKey;
use std::collections::{BTreeMap, BTreeSet};

/// Without faults, an outcome is committed within this time after the answer.
const LATE_MS: u64 = 1000;

/// The record of everything that was committed.
pub(super) struct Ledger {
    policy: Policy,
    pub(super) states: BTreeMap<PhononUuid, State>,
    /// The results of the reports of each uuid.
    fates: BTreeMap<PhononUuid, Fates>,
    /// How many times each record of the inputs was decided.
    pub(super) decided: BTreeMap<(String, i32, i64, i64, Option<u32>), u32>,
    /// The inputs that were deleted and created again. Their records may be decided twice.
    pub(super) recreated: BTreeSet<String>,
    /// Unrecorded attempts of processes that are alive, by instance.
    pub(super) open: BTreeMap<usize, BTreeSet<(DeliveryId, u32)>>,
    /// The number of attempts whose outcome a fault took.
    pub(super) excused: u64,
    pub(super) recorded: u64,
    /// The offset of the last decided record, by uuid and input partition.
    last: BTreeMap<(PhononUuid, String, i32), (i64, Option<u32>)>,
    /// The committed times until which endpoints asked for a pause. Each partition keeps its own.
    held: BTreeMap<(i32, WebhookName), Timestamp>,
    /// When an operator last enabled an endpoint. The commands are decided within [`LATE_MS`], and end pauses.
    enabled_ms: Option<i64>,
    /// The number of attempts that began in such a pause.
    pub(super) intrusions: u64,
    /// When the last notice of each kind was due, by webhook and kind.
    notices: BTreeMap<(String, String), Timestamp>,
    /// Notices that came too early.
    pub(super) early_notices: Vec<String>,
    pub(super) timing: Timing,
    pub(super) faults: Vec<String>,
}

impl Ledger {
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            policy,
            states: BTreeMap::new(),
            fates: BTreeMap::new(),
            decided: BTreeMap::new(),
            recreated: BTreeSet::new(),
            open: BTreeMap::new(),
            excused: 0,
            recorded: 0,
            last: BTreeMap::new(),
            held: BTreeMap::new(),
            enabled_ms: None,
            intrusions: 0,
            notices: BTreeMap::new(),
            early_notices: Vec::new(),
            timing: Timing::default(),
            faults: Vec::new(),
        }
    }

    /// Records that an attempt has begun.
    pub(super) fn begun(&mut self, node: usize, job: &Job, now: Timestamp, world_ms: i64) {
        self.timing.begun(job, world_ms);
        self.open.entry(node).or_default().insert((job.id, job.attempt));
        let held = self.held.get(&(job.partition, job.webhook.clone()));
        let is_held = held.is_some_and(|until| *until > now);
        self.intrusions += u64::from(is_held);
    }

    /// Records that an attempt that had begun could not be made.
    pub(super) fn put_back(&mut self, node: usize, job: &Job) {
        if let Some(open) = self.open.get_mut(&node) {
            open.remove(&(job.id, job.attempt));
        }
    }

    /// Forgets the unrecorded attempts of a process. Each may cost this number of requests.
    pub(super) fn excuse(&mut self, node: usize, each: u64) {
        self.excused += each * self.open.remove(&node).unwrap_or_default().len() as u64;
    }

    /// Records a committed transaction.
    pub(super) fn committed(
        &mut self,
        node: usize,
        decided: &[Witness],
        rows: &[Row],
        world_ms: i64,
    ) {
        let mut touched = BTreeSet::new();
        for Witness { partition, uuid, command, now } in decided {
            touched.insert((*partition, uuid.clone()));
            self.count(node, command);
            self.place(uuid, command);
            let state = self.states.remove(uuid).unwrap_or_default();
            if self.enabled_ms.is_none_or(|ms| world_ms > ms + LATE_MS.cast_signed()) {
                self.hold(*partition, &state, command, *now);
            }
            let events = decide(&state, command, &self.policy, *now);
            self.timing.committed(&state, command, &events, &self.policy, world_ms);
            let state = events.iter().fold(state, evolve);
            let lost = self.fates.entry(uuid.clone()).or_default().decided(&events, &state);
            self.faults.extend(lost.into_iter().map(|says| format!("{uuid}: {says}")));
            self.states.insert(uuid.clone(), state);
        }
        for (partition, key, value) in rows {
            let Some(RowKey::State(uuid)) = RowKey::parse(key) else { continue };
            let row =
                value.as_ref().map(|value| row::decode_state(value).expect("a row of the engine"));
            let row = row.unwrap_or_default();
            let own = self.states.get(&uuid).cloned().unwrap_or_default();
            if row != own {
                let unlike = super::checks::unlike(&row, &own);
                self.faults.push(format!(
                    "partition {partition}, {uuid}: the row that node {node} committed, and the result of the commands: {unlike}"
                ));
            }
        }
    }

    /// Checks that the records of one input stay in order, whatever way they take to the partition that owns their
    /// uuid.
    fn place(&mut self, uuid: &PhononUuid, command: &Command) {
        let (Command::AcceptStart(_, source)
        | Command::AcceptFlow(_, source)
        | Command::AcceptReport(_, source)) = command
        else {
            return;
        };
        if self.recreated.contains(&*source.topic) {
            return;
        }
        let key = (uuid.clone(), source.topic.to_string(), source.partition);
        let place = (source.offset, source.index);
        let before = self.last.insert(key, place);
        if before.is_some_and(|before| before > place) {
            self.faults.push(format!(
                "{uuid}: {} {} {} was decided after {before:?}",
                source.topic, source.partition, source.offset
            ));
        }
    }

    /// Forgets all pauses, because an operator enables an endpoint.
    pub(super) fn forget_holds(&mut self, world_ms: i64) {
        self.enabled_ms = Some(world_ms);
        self.held.clear();
    }

    fn hold(&mut self, partition: i32, state: &State, command: &Command, now: Timestamp) {
        if let Command::RecordOutcome { delivery, attempt, outcome } = command
            && let Some(delivery) = state.delivery(*delivery)
            && let policy = self.policy.webhook(&delivery.webhook)
            && let Some(ms) = hold_ms(outcome, &policy.retry, delivery.id, *attempt)
        {
            let ms = ms.min(policy.retry_after_max_ms);
            // The lane counts from the answer on.
            let until = now.plus_ms(ms.saturating_sub(LATE_MS));
            self.held.insert((partition, delivery.webhook.clone()), until);
        }
    }

    /// Checks that the owner of an endpoint gets at most one notice of each kind per hour.
    fn notified(&mut self, notice: &Delivery) {
        let text = String::from_utf8_lossy(&notice.body);
        let value: serde_json::Value = serde_json::from_str(&text).expect("a notice is JSON");
        let of =
            |place| value.pointer(place).and_then(serde_json::Value::as_str).map(str::to_owned);
        let key = (of("/data/webhook").expect("a webhook"), of("/type").expect("a type"));
        let Due::At(due) = notice.due else { panic!("{notice:?}") };
        if let Some(before) = self.notices.insert(key.clone(), due)
            && due.ms_since(before) < NOTICE_INTERVAL_MS
        {
            self.early_notices.push(format!("{key:?}: notices at {before:?} and at {due:?}"));
        }
    }

    fn count(&mut self, node: usize, command: &Command) {
        match command {
            Command::AcceptStart(_, source)
            | Command::AcceptFlow(_, source)
            | Command::AcceptReport(_, source) => {
                let Source { topic, partition, offset, timestamp, index, trace: _ } = source;
                let key = (topic.to_string(), *partition, *offset, timestamp.as_ms(), *index);
                *self.decided.entry(key).or_default() += 1;
            }
            Command::RecordOutcome { delivery, attempt, .. } => {
                let open = self.open.entry(node).or_default();
                if open.remove(&(*delivery, *attempt)) {
                    self.recorded += 1;
                }
            }
            Command::Notify(notice) => self.notified(notice),
            Command::GiveUp { .. } | Command::FireTimer(_) | Command::Replay(_) => {}
        }
    }
}

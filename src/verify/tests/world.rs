//! A world of topics in memory, written by the daemon's own writers: its decisions, transaction by transaction.

use crate::codec::command::{COMMAND_HEADER, REPLAY, write_replay};
use crate::codec::event::{
    EventContext, delivery_headers, record_headers, write_delivery_dead_letter, write_event,
    write_record_dead_lettered,
};
use crate::codec::header;
use crate::codec::letter::{LetterHead, LetterKind, read_delivery};
use crate::codec::row::{self, InputOffset, Meta, Owner, TopicId};
use crate::codec::source::Unwrap;
use crate::domain::{
    AccountId, AccountPolicy, Command, CorrelationPolicy, DeadLetterReason, DeliveryReport, Event,
    FlowComplete, FlowId, Header, Headers, OnReportTimeout, Phase2Order, Phase2Wait, PhononUuid,
    Policy, RawRecord, RecordKind, RetrySchedule, SmsId, Source, State, StatusTable, Timestamp,
    WebhookName, WebhookPolicy, decide, evolve, owner,
};
use crate::log::{Forward, TopicPartition, forward_headers};
use crate::store::RowKey;
use crate::verify::ReceiverEntry;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) const FLOWS: &str = "flows";
pub(super) const REPORTS: &str = "reports";
pub(super) const INBOX: &str = "inbox";
pub(super) const OWNERS: u32 = 2;
pub(super) const EVENTS: u32 = 3;
pub(super) const LETTERS: u32 = 2;
pub(super) const OURS: AccountId = AccountId(28);
pub(super) const OTHER: AccountId = AccountId(29);
pub(super) const STRANGER: AccountId = AccountId(30);

/// A record of any topic.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) offset: i64,
    /// The transaction that wrote it.
    pub(super) txn: u64,
    pub(super) at: Timestamp,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Entry {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the headers without those of the daemon.
    pub(super) fn foreign_headers(&self) -> Vec<Header> {
        let foreign = self.headers.iter().filter(|(name, _)| !header::is_own(name));
        foreign
            .map(|(name, value)| Header { name: (*name).into(), value: Some(value.clone().into()) })
            .collect()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
}

/// The partitions of a topic.
pub(super) type Log = Vec<Vec<Entry>>;

pub(super) struct World {
    pub(super) policy: Policy,
    pub(super) now: Timestamp,
    pub(super) txn: u64,
    pub(super) states: BTreeMap<PhononUuid, State>,
    pub(super) inputs: BTreeMap<&'static str, Log>,
    pub(super) events: Log,
    pub(super) letters: Log,
    pub(super) changelog: Log,
    /// The offsets that the group committed, by transaction.
    pub(super) commits: Vec<(u64, TopicPartition, i64)>,
    pub(super) positions: BTreeMap<TopicPartition, i64>,
    pub(super) requests: Vec<ReceiverEntry>,
    /// Whether retention has removed the records before the first ones.
    pub(super) cut: bool,
    /// The first offsets of inputs from which retention has removed records.
    pub(super) firsts: BTreeMap<&'static str, Vec<i64>>,
    /// The ids of topics.
    pub(super) ids: BTreeMap<Arc<str>, TopicId>,
    pub(super) replaced: BTreeSet<(Arc<str>, i32)>,
    /// The envelopes from which records are taken.
    pub(super) unwrap: Unwrap,
    /// The owner of the rows that are written.
    pub(super) owner: Option<Owner>,
}

/// Returns a time of the world, in units of 100 s.
pub(super) fn time(units: i64) -> Timestamp {
    Timestamp::from_ms(1_700_000_000_000 + units * UNIT_MS)
}

pub(super) const UNIT_MS: i64 = 100_000;

pub(super) fn uuid(name: &str) -> PhononUuid {
    PhononUuid::new(name).unwrap()
}

pub(super) fn policy() -> Policy {
    let unit = UNIT_MS.unsigned_abs();
    let account = |webhook| AccountPolicy {
        notify_on_delivery: true,
        webhook_enabled: Some(true),
        default_webhook: WebhookName::new(webhook),
        ..AccountPolicy::default()
    };
    Policy {
        definitions: Arc::new(crate::definition::Defined::default()),
        correlation: CorrelationPolicy {
            phase2_wait: Phase2Wait::All,
            phase2_order: Phase2Order::Strict,
            on_report_timeout: OnReportTimeout::End,
            phase2_gather_ms: 0,
            correlation_ttl_ms: 1000 * unit,
            report_timeout_ms: 2000 * unit,
            dedup_window_ms: 500 * unit,
        },
        statuses: StatusTable::default(),
        accounts: [(OURS, account("crm")), (OTHER, account("other"))].into_iter().collect(),
        webhooks: imbl::OrdMap::new(),
        webhook_defaults: WebhookPolicy {
            attempts_max: 3,
            age_max_ms: 10_000 * unit,
            retry_after_max_ms: 1000 * unit,
            disable_after_ms: 5000 * unit,
            retry: RetrySchedule {
                intervals_ms: vec![10 * unit, 20 * unit],
                randomization_factor: 0.0,
            },
        },
    }
}

pub(super) fn flow(of: &PhononUuid, account: AccountId, sms: Option<&[&str]>) -> FlowComplete {
    let ids = |sms: &[&str]| sms.iter().filter_map(|id| SmsId::new(id)).collect();
    FlowComplete {
        record: bytes::Bytes::new(),
        uuid: of.clone(),
        account,
        flow: Some(FlowId(200)),
        webhook_enabled: None,
        sms: sms.map(ids),
        body: Bytes::from_static(b"{\"keys\":[]}"),
        keys: 8..10,
        content: 1,
    }
}

pub(super) fn report(
    of: &PhononUuid,
    account: AccountId,
    sms: &str,
    status: &str,
) -> DeliveryReport {
    DeliveryReport {
        uuid: of.clone(),
        account,
        sms: SmsId::new(sms).unwrap(),
        status: status.into(),
        body: Bytes::from(format!("{{\"id\":\"{sms}\"}}")),
        raw: None,
        headers: Headers::default(),
        content: xxhash_rust::xxh3::xxh3_64(format!("{account}{sms}{status}").as_bytes()),
    }
}

/// The content of a record, on which the decision depends.
pub(super) enum Said {
    Flow(FlowComplete),
    Report(DeliveryReport),
    Bad,
    /// It says nothing that concerns the daemon.
    Skipped,
}

impl World {
    pub(super) fn new() -> Self {
        let log = |partitions: u32| vec![Vec::new(); partitions as usize];
        let inputs = [FLOWS, REPORTS, INBOX].map(|topic| (topic, log(OWNERS)));
        Self {
            policy: policy(),
            now: time(0),
            txn: 0,
            states: BTreeMap::new(),
            inputs: inputs.into(),
            events: log(EVENTS),
            letters: log(LETTERS),
            changelog: log(OWNERS),
            commits: Vec::new(),
            positions: BTreeMap::new(),
            requests: Vec::new(),
            cut: false,
            firsts: BTreeMap::new(),
            ids: BTreeMap::new(),
            replaced: BTreeSet::new(),
            unwrap: Unwrap::default(),
            owner: None,
        }
    }

    pub(super) fn state(&self, of: &PhononUuid) -> State {
        self.states.get(of).cloned().unwrap_or_default()
    }

    /// Writes a record to an input, without reading it.
    pub(super) fn write(
        &mut self,
        topic: &'static str,
        partition: i32,
        key: Option<&str>,
        headers: Vec<(&'static str, String)>,
        value: &[u8],
    ) -> Source {
        let (at, txn) = (self.now, self.txn);
        let log = &mut self.inputs.get_mut(topic).unwrap()[partition as usize];
        let key = key.map(|key| key.as_bytes().to_vec());
        let offset = i64::try_from(log.len()).unwrap();
        log.push(Entry { offset, txn, at, key, value: Some(value.to_vec()), headers });
        Source { topic: topic.into(), partition, offset, timestamp: at, index: None, trace: None }
    }

    /// Writes and reads a record. If `astray`, it is in a partition that does not own it, and its copy is read too.
    pub(super) fn say(&mut self, said: &Said, astray: bool) {
        let (topic, of) = match said {
            Said::Flow(flow) => (FLOWS, Some(flow.uuid.clone())),
            Said::Report(report) => (REPORTS, Some(report.uuid.clone())),
            Said::Bad => (FLOWS, None),
            Said::Skipped => (REPORTS, None),
        };
        let key = of.as_ref().map(PhononUuid::as_str);
        let own = key.map_or(0, |key| owner(key.as_bytes(), OWNERS));
        let partition = if astray { (own + 1) % OWNERS.cast_signed() } else { own };
        let source = self.write(topic, partition, key, Vec::new(), b"{}");
        if astray {
            self.forward(topic, own, key.unwrap_or_default(), &source);
            self.read_copy(own, said, &source);
        } else {
            self.read(said, &source, &source.clone());
        }
    }

    /// Copies a record in the wrong partition to the inbox.
    pub(super) fn forward(&mut self, topic: &'static str, own: i32, key: &str, source: &Source) {
        let kind = if topic == FLOWS { RecordKind::Flow } else { RecordKind::Report };
        self.txn += 1;
        let headers = forward_headers(Forward::Record(kind), source);
        self.write(INBOX, own, Some(key), headers, b"{}");
        self.commit(std::slice::from_ref(source), &[]);
    }

    /// Reads the next copy in the inbox.
    pub(super) fn read_copy(&mut self, own: i32, said: &Said, source: &Source) {
        let here = self.unread_inbox(own);
        self.read(said, source, &here);
    }

    fn unread_inbox(&self, own: i32) -> Source {
        let place = TopicPartition { topic: INBOX.into(), partition: own };
        let offset = self.positions.get(&place).copied().unwrap_or(0);
        Source {
            topic: place.topic,
            partition: place.partition,
            offset,
            timestamp: self.now,
            index: None,
            trace: None,
        }
    }

    /// Reads the record at `here`.
    pub(super) fn read(&mut self, said: &Said, source: &Source, here: &Source) {
        self.txn += 1;
        match said {
            Said::Flow(flow) => {
                let command = Command::AcceptFlow(Box::new(flow.clone()), source.clone());
                self.act(&flow.uuid, &command, std::slice::from_ref(here));
            }
            Said::Report(report) => {
                let command = Command::AcceptReport(Box::new(report.clone()), source.clone());
                self.act(&report.uuid, &command, std::slice::from_ref(here));
            }
            Said::Bad => {
                self.bad(source);
                self.commit(std::slice::from_ref(here), &[]);
            }
            Said::Skipped => self.commit(std::slice::from_ref(here), &[]),
        }
    }

    fn bad(&mut self, source: &Source) {
        let raw = RawRecord {
            kind: None,
            account: None,
            sms: None,
            payload: None,
            headers: Headers::default(),
            source: source.clone(),
        };
        let (reason, mut out) = (DeadLetterReason::Undecodable, Vec::new());
        write_record_dead_lettered(&mut out, self.now, &raw, reason, "no JSON");
        let (txn, at) = (self.txn, self.now);
        append(&mut self.events[0], txn, at, None, Some(out), Vec::new());
        let headers = record_headers(source, reason, None, "no JSON");
        append(&mut self.letters[0], txn, at, None, Some(b"{}".to_vec()), headers);
    }

    /// Applies a command that comes from no record: an outcome or a timer.
    pub(super) fn tick(&mut self, of: &PhononUuid, command: &Command) -> usize {
        self.txn += 1;
        self.act(of, command, &[])
    }

    /// Replays a dead letter of a delivery, as an operator would.
    pub(super) fn replay(&mut self, letter: &Entry) {
        let source =
            LetterHead::read(|name| letter.header(name), letter.at).unwrap().source.unwrap();
        let (of, delivery) = read_delivery(letter.value.as_ref().unwrap(), source).unwrap();
        let mut value = Vec::new();
        write_replay(&mut value, &of, &delivery);
        let own = owner(of.as_str().as_bytes(), OWNERS);
        self.txn += 1;
        let headers = vec![(COMMAND_HEADER, REPLAY.to_owned())];
        let here = self.write(INBOX, own, Some(of.as_str()), headers, &value);
        self.txn += 1;
        self.act(&of, &Command::Replay(Box::new(delivery)), &[here]);
    }

    /// Returns the dead letters of deliveries.
    pub(super) fn delivery_letters(&self) -> Vec<Entry> {
        let all = self.letters.iter().flatten();
        let ours = all
            .filter(|entry| entry.header("ringback.kind") == Some(LetterKind::Delivery.as_str()));
        ours.cloned().collect()
    }

    fn act(&mut self, of: &PhononUuid, command: &Command, read: &[Source]) -> usize {
        let before = self.state(of);
        let events = decide(&before, command, &self.policy, self.now);
        let mut state = before.clone();
        for event in &events {
            self.publish(of, &state, event);
            state = evolve(state, event);
        }
        let changed: &[_] = if state == before { &[] } else { &[(of.clone(), state.clone())] };
        self.commit(read, changed);
        self.states.insert(of.clone(), state);
        events.len()
    }

    fn publish(&mut self, of: &PhononUuid, state: &State, event: &Event) {
        let (txn, at) = (self.txn, self.now);
        let key = of.as_str().as_bytes();
        let mut out = Vec::new();
        if write_event(&mut out, &EventContext { uuid: of, account: None, at }, state, event) {
            let log = &mut self.events[owner(key, EVENTS) as usize];
            append(log, txn, at, Some(key.to_vec()), Some(out), Vec::new());
        }
        let mut value = Vec::new();
        let headers = if let Event::DeadLettered { delivery, reason, .. } = event {
            write_delivery_dead_letter(&mut value, of, delivery, *reason, None);
            delivery_headers(delivery, *reason)
        } else if let Event::RecordDeadLettered { record, reason, detail } = event {
            record_headers(&record.source, *reason, record.account, detail)
        } else {
            return;
        };
        let log = &mut self.letters[owner(key, LETTERS) as usize];
        append(log, txn, at, Some(key.to_vec()), Some(value), headers);
    }

    /// Writes an event about an input, which belongs to no uuid.
    pub(super) fn publish_input(&mut self, topic: &str, event: Vec<u8>) {
        let (txn, at, key) = (self.txn, self.now, topic.as_bytes());
        let log = &mut self.events[owner(key, EVENTS) as usize];
        append(log, txn, at, Some(key.to_vec()), Some(event), Vec::new());
    }

    /// Ends a transaction: commits the offsets of the records in `read`, and writes the changed rows.
    fn commit(&mut self, read: &[Source], changed: &[(PhononUuid, State)]) {
        let (txn, at) = (self.txn, self.now);
        let mut touched: Vec<i32> = Vec::new();
        for source in read {
            let place = TopicPartition { topic: source.topic.clone(), partition: source.partition };
            touched.push(source.partition);
            self.positions.insert(place.clone(), source.offset + 1);
            self.commits.push((txn, place, source.offset + 1));
        }
        for (of, state) in changed {
            let own = owner(of.as_str().as_bytes(), OWNERS);
            touched.push(own);
            let (mut key, mut value) = (Vec::new(), Vec::new());
            RowKey::write_state(of, &mut key);
            row::encode_state(state, &mut value);
            let value = Some(value).filter(|_| !state.is_empty());
            append(&mut self.changelog[own as usize], txn, at, Some(key), value, Vec::new());
        }
        touched.sort_unstable();
        touched.dedup();
        for number in touched {
            let mut value = Vec::new();
            row::encode_meta(&self.meta(number), &mut value);
            let key = Some(RowKey::META.to_vec());
            append(&mut self.changelog[number as usize], txn, at, key, Some(value), Vec::new());
        }
    }

    fn meta(&self, number: i32) -> Meta {
        let ours = self.positions.iter().filter(|(place, _)| place.partition == number);
        let offsets = ours.map(|(place, offset)| InputOffset {
            topic: place.topic.clone(),
            partition: place.partition,
            next_offset: *offset,
            topic_id: self.ids.get(&place.topic).cloned(),
            landmark: None,
        });
        Meta { offsets: offsets.collect(), committed_at: self.now, owner: self.owner.clone() }
    }
}

/// Transactions leave a marker, which takes an offset too.
fn append(
    log: &mut Vec<Entry>,
    txn: u64,
    at: Timestamp,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(&'static str, String)>,
) {
    let offset = log.last().map_or(0, |last| last.offset + 1 + i64::from(last.txn != txn));
    log.push(Entry { offset, txn, at, key, value, headers });
}

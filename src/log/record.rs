//! A record of an input topic, decoded.

use super::headers;
use crate::codec::command::{self, COMMAND_HEADER, InboxCommand, LETTER_HEADER};
use crate::codec::event::{parse_rfc3339, rfc3339};
use crate::codec::header;
use crate::codec::row::Landmark;
use crate::codec::source::{
    Bad, Decoded, Decoder, Item, ItemContent, SchemaId, Unwrap, is_framing_header,
};
use crate::codec::trace_context;
use crate::domain::{
    Command, DeadLetterReason, DeliveryReport, EndpointCommand, Header, Headers, PhononUuid,
    RecordKind, Source, Timestamp, WebhookName, owner,
};
use bytes::Bytes;
use rdkafka::TopicPartitionList;
use rdkafka::message::{BorrowedHeaders, Message};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The content of an input topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Source events of one kind.
    Source(RecordKind),
    /// Forwarded records and commands.
    Inbox,
}

/// The input topics, and the number of partitions that own uuids.
#[derive(Clone, Debug)]
pub struct Topics {
    /// Every input topic with its role.
    pub roles: BTreeMap<Arc<str>, Role>,
    /// The number of partitions of the changelog.
    pub partitions: u32,
    /// The inputs whose number of partitions differs from the inbox's. The group assigns their partitions differently
    /// from the inbox's, so none of them belongs to the owner of its number.
    pub other_partition_counts: BTreeSet<Arc<str>>,
    /// The envelopes from which records are taken.
    pub unwrap: Unwrap,
    /// Whether the traces of producers are continued.
    pub continues_traces: bool,
}

/// A partition of an input topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

/// Converts partitions for librdkafka.
pub(super) fn list<'a>(places: impl IntoIterator<Item = &'a TopicPartition>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for place in places {
        list.add_partition(&place.topic, place.partition);
    }
    list
}

/// One record that was read.
#[derive(Clone, Debug)]
pub struct Record {
    /// The partition that it was read from, for which its offset is committed.
    pub place: TopicPartition,
    /// Its offset in that partition.
    pub offset: i64,
    pub at: Timestamp,
    /// Its original position. A forwarded record's differs from `place`.
    pub source: Source,
    pub body: RecordBody,
    pub key: Option<Bytes>,
    /// Its value; `None`: a tombstone.
    pub payload: Option<Bytes>,
    /// Its headers, without those of this daemon.
    pub headers: Headers,
    /// The position of the dead letter that was replayed as this record.
    pub letter: Option<Box<str>>,
    /// How often it was sent from one partition of the inbox to another. `None`: it was not forwarded.
    pub inbox_hops: Option<u8>,
}

/// The content of a record.
#[derive(Clone, Debug)]
pub enum RecordBody {
    /// A source event, or an operator's command.
    Command {
        /// The uuid that it is about.
        uuid: PhononUuid,
        /// The partition that owns the uuid.
        owner: i32,
        /// The kind of headers to forward it with, if another partition owns the uuid.
        forward: Forward,
        command: Box<Command>,
    },
    /// A command about an endpoint, for the partition that holds the record.
    Endpoint { webhook: WebhookName, command: EndpointCommand<'static> },
    /// A note in the inbox for readers of the topic. It has no effect.
    Note,
    /// A record that says nothing that concerns the daemon, such as that a document was deleted.
    Skipped,
    /// An array of reports, each a record of its own with the place of the array.
    Items(Vec<Record>),
    /// A record that can't be decoded.
    Bad(Bad),
}

impl Record {
    /// Returns the landmark by which the record's log is recognised.
    #[must_use]
    pub fn landmark(&self) -> Landmark {
        let key = self.key.as_ref().map_or(&[][..], |key| key);
        Landmark::of(self.offset, self.at, key, self.bytes())
    }

    /// Returns the number of records that it stands for: the items of an array, or itself.
    #[must_use]
    pub fn count(&self) -> usize {
        if let RecordBody::Items(items) = &self.body { items.len().max(1) } else { 1 }
    }

    /// Returns its size as the read budget counts it: values and headers, and `each` for every record.
    #[must_use]
    pub fn cost(&self, each: usize) -> usize {
        let RecordBody::Items(items) = &self.body else { return self.bytes().len() + each };
        let of_items = items.iter().map(|item| item.bytes().len() + headers_bytes(&item.headers));
        self.bytes().len() + of_items.map(|bytes| bytes + each).sum::<usize>()
    }

    /// Returns the headers with which it is forwarded to the partition that owns its uuid.
    #[must_use]
    pub fn forward_headers(&self, forward: Forward) -> Vec<(&'static str, String)> {
        let mut headers = forward_headers(forward, &self.source);
        headers.extend(self.letter.as_ref().map(|letter| (LETTER_HEADER, letter.to_string())));
        headers.extend(
            self.inbox_hops.map(|hops| (header::INBOX_HOPS, hops.saturating_add(1).to_string())),
        );
        headers
    }

    /// Makes it a bad record if instances send it to each other.
    fn end_loop(&mut self) {
        if let RecordBody::Command { owner, .. } = &self.body
            && *owner != self.place.partition
            && self.inbox_hops.is_some_and(|hops| hops >= INBOX_HOPS_MAX)
        {
            let problem = "instances of different versions send the record to each other, because they disagree about \
                           the owner of its uuid: replay it when all instances have the same version";
            self.body = RecordBody::Bad(Bad::undecodable(problem));
        }
    }

    /// Returns its value, which is empty for a tombstone.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.payload.as_ref().map_or(&[], |payload| payload)
    }
}

/// The largest number of hops in the inbox. During an upgrade, instances of two versions may disagree about the owner of
/// a uuid. They would send its records to each other for ever.
const INBOX_HOPS_MAX: u8 = 4;

/// The most bytes of headers that the records of one array have together. Each may be forwarded with its own copy, or
/// become a dead letter.
const ITEM_HEADERS_BYTES_MAX: usize = 16 << 20;

fn headers_bytes(headers: &[Header]) -> usize {
    let value = |header: &Header| header.value.as_ref().map_or(0, Bytes::len);
    headers.iter().map(|header| header.name.len() + value(header)).sum()
}

/// The headers of a forwarded record: its kind and its original position.
///
/// An item of an array also has its index.
pub const FORWARDED_HEADERS: [&str; 5] = [
    header::KIND,
    header::SOURCE_TOPIC,
    header::SOURCE_PARTITION,
    header::SOURCE_OFFSET,
    header::SOURCE_TIMESTAMP,
];

/// The kind of a forwarded record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// A source event of this kind.
    Record(RecordKind),
    Replay,
}

/// Returns the headers of a record that is forwarded to its owner.
#[must_use]
pub fn forward_headers(forward: Forward, source: &Source) -> Vec<(&'static str, String)> {
    let kind = match forward {
        Forward::Record(kind) => kind,
        Forward::Replay => return vec![(COMMAND_HEADER, command::REPLAY.to_owned())],
    };
    let values = [
        kind.as_str().to_owned(),
        source.topic.to_string(),
        source.partition.to_string(),
        source.offset.to_string(),
        rfc3339(source.timestamp),
    ];
    let index = source.index.map(|index| (header::SOURCE_INDEX, index.to_string()));
    FORWARDED_HEADERS.into_iter().zip(values).chain(index).collect()
}

/// The result of decoding one record.
pub(crate) enum Reading {
    Done(Box<Record>),
    /// The schema with this id must be fetched first.
    NeedsSchema(SchemaId),
}

impl Topics {
    /// Decodes a message of an input topic or of the inbox.
    pub(crate) fn read(&self, decoder: &mut Decoder, message: &impl MessageView) -> Reading {
        let (topic, role) = self.role(message.topic_name());
        let place = TopicPartition { topic: topic.clone(), partition: message.partition_number() };
        let here = Source {
            topic,
            partition: place.partition,
            offset: message.offset_number(),
            timestamp: message.time(),
            index: None,
            trace: None,
        };
        let (kind, mut source, inbox_hops) = match role {
            Role::Source(kind) => (Some(kind), here, None),
            Role::Inbox => match origin(|name| message.header(name)) {
                Some((kind, source)) => (Some(kind), source, Some(hops(message))),
                None => (None, here, None),
            },
        };
        let payload = message.bytes().unwrap_or(&[]);
        let headers: Headers = message.foreign_headers().into();
        if self.continues_traces {
            source.trace = trace_context::of_headers(&headers).map(Arc::new);
        }
        let record = |body, headers| Record {
            offset: message.offset_number(),
            at: message.time(),
            place: place.clone(),
            source: source.clone(),
            body,
            key: message.key_bytes().map(Bytes::copy_from_slice),
            payload: message.bytes().map(Bytes::copy_from_slice),
            headers,
            letter: kind.and_then(|_| letter(message.header(LETTER_HEADER)?)),
            inbox_hops,
        };
        if let (Role::Inbox, Some(name)) = (role, message.header(COMMAND_HEADER)) {
            return Reading::Done(Box::new(record(self.command(name, payload), headers)));
        }
        let decoded = match kind {
            Some(kind) => decoder.decode_with(kind, payload, &headers),
            None => Decoded::Bad(Bad {
                reason: DeadLetterReason::Undecodable,
                detail: "the record in the inbox has no ringback.kind header".to_owned(),
                account: None,
            }),
        };
        let body = match decoded {
            Decoded::Start(start) => {
                let uuid = start.uuid.clone();
                let command = Command::AcceptStart(start, source.clone());
                self.about(uuid, RecordKind::Start, command)
            }
            Decoded::Flow(flow) => {
                let uuid = flow.uuid.clone();
                let command = Command::AcceptFlow(flow, source.clone());
                self.about(uuid, RecordKind::Flow, command)
            }
            Decoded::Report(report) => self.report(*report, &headers, source.clone()),
            Decoded::Items(items) => {
                let array = record(RecordBody::Skipped, headers);
                return Reading::Done(Box::new(self.items(array, items)));
            }
            Decoded::Skipped => RecordBody::Skipped,
            Decoded::NeedsSchema(id) => return Reading::NeedsSchema(id),
            Decoded::Bad(bad) => RecordBody::Bad(bad),
        };
        let mut record = record(body, headers);
        record.end_loop();
        Reading::Done(Box::new(record))
    }

    fn about(&self, uuid: PhononUuid, kind: RecordKind, command: Command) -> RecordBody {
        RecordBody::Command {
            owner: owner(uuid.as_str().as_bytes(), self.partitions),
            uuid,
            forward: Forward::Record(kind),
            command: Box::new(command),
        }
    }

    fn report(&self, report: DeliveryReport, headers: &Headers, source: Source) -> RecordBody {
        let report = Box::new(DeliveryReport { headers: headers.clone(), ..report });
        let uuid = report.uuid.clone();
        self.about(uuid, RecordKind::Report, Command::AcceptReport(report, source))
    }

    /// Returns `array` with its items. Each is a record with the place of the array. The dead letter that was replayed
    /// as the array is that of its first item.
    fn items(&self, mut array: Record, items: Vec<Item>) -> Record {
        // The items are JSON, whatever the array was.
        let headers = if array.headers.iter().any(|it| is_framing_header(&it.name)) {
            array.headers.iter().filter(|it| !is_framing_header(&it.name)).cloned().collect()
        } else {
            array.headers.clone()
        };
        if headers_bytes(&headers).saturating_mul(items.len()) > ITEM_HEADERS_BYTES_MAX {
            let problem = "the array is too long for its headers, which each of its records has";
            array.body = RecordBody::Bad(Bad::undecodable(problem));
            return array;
        }
        let mut letter = array.letter.take();
        let records = items.into_iter().zip(0_u32..).map(|(item, index)| {
            let source = Source { index: Some(index), ..array.source.clone() };
            let body = match item.content {
                ItemContent::Report(report) => self.report(*report, &headers, source.clone()),
                ItemContent::Skipped => RecordBody::Skipped,
                ItemContent::Bad(bad) => RecordBody::Bad(bad),
            };
            let is_skipped = matches!(body, RecordBody::Skipped);
            let letter = if is_skipped { None } else { letter.take() };
            Record {
                place: array.place.clone(),
                offset: array.offset,
                at: array.at,
                source,
                body,
                key: array.key.clone(),
                payload: Some(item.raw),
                headers: headers.clone(),
                letter,
                inbox_hops: array.inbox_hops,
            }
        });
        array.body = RecordBody::Items(records.collect());
        array.letter = letter;
        array
    }

    /// Decodes a command in the inbox. An undecodable command is handled like any undecodable record.
    fn command(&self, name: &str, payload: &[u8]) -> RecordBody {
        match command::read_command(name, payload) {
            Ok(InboxCommand::Of(uuid, command)) => RecordBody::Command {
                owner: owner(uuid.as_str().as_bytes(), self.partitions),
                uuid,
                forward: Forward::Replay,
                command: Box::new(command),
            },
            Ok(InboxCommand::About(webhook, command)) => RecordBody::Endpoint { webhook, command },
            Ok(InboxCommand::Note) => RecordBody::Note,
            Err(detail) => RecordBody::Bad(Bad {
                reason: DeadLetterReason::Undecodable,
                detail: detail.to_owned(),
                account: None,
            }),
        }
    }

    fn role(&self, topic: &str) -> (Arc<str>, Role) {
        match self.roles.get_key_value(topic) {
            Some((name, role)) => (name.clone(), *role),
            // The consumer subscribes to no other topics.
            None => (topic.into(), Role::Inbox),
        }
    }
}

/// Returns `text` if it is the position of a dead letter.
fn letter(text: &str) -> Option<Box<str>> {
    command::read_place(text).map(|_| text.into())
}

/// Returns how often a message was sent from one partition of the inbox to another.
fn hops(message: &impl MessageView) -> u8 {
    message.header(header::INBOX_HOPS).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Reads the kind and the original position of a forwarded record from its headers.
#[must_use]
pub fn origin<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<(RecordKind, Source)> {
    let [kind, topic, partition, offset, timestamp] = FORWARDED_HEADERS.map(&header);
    let kind = RecordKind::ALL.into_iter().find(|k| Some(k.as_str()) == kind)?;
    let source = Source {
        topic: topic?.into(),
        partition: partition?.parse().ok()?,
        offset: offset?.parse().ok()?,
        timestamp: timestamp_of(timestamp?)?,
        index: header(header::SOURCE_INDEX).and_then(|text| text.parse().ok()),
        trace: None,
    };
    Some((kind, source))
}

/// Parses a timestamp. An earlier version wrote milliseconds.
fn timestamp_of(text: &str) -> Option<Timestamp> {
    text.parse().ok().map(Timestamp::from_ms).or_else(|| parse_rfc3339(text))
}

/// The parts of a message that decoding needs, borrowed or owned.
pub(crate) trait MessageView {
    fn topic_name(&self) -> &str;
    fn partition_number(&self) -> i32;
    fn offset_number(&self) -> i64;
    fn time(&self) -> Timestamp;
    fn key_bytes(&self) -> Option<&[u8]>;
    /// Returns the value; `None`: a tombstone.
    fn bytes(&self) -> Option<&[u8]>;
    fn header(&self, name: &str) -> Option<&str>;
    /// Returns the headers, without those of this daemon.
    fn foreign_headers(&self) -> Vec<Header>;
}

impl<M: Message> MessageView for M
where
    M::Headers: HeaderView,
{
    fn topic_name(&self) -> &str {
        self.topic()
    }

    fn partition_number(&self) -> i32 {
        self.partition()
    }

    fn offset_number(&self) -> i64 {
        self.offset()
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_ms(self.timestamp().to_millis().unwrap_or(0))
    }

    fn key_bytes(&self) -> Option<&[u8]> {
        self.key()
    }

    fn bytes(&self) -> Option<&[u8]> {
        self.payload()
    }

    fn header(&self, name: &str) -> Option<&str> {
        headers::text(self.headers()?.list(), name)
    }

    fn foreign_headers(&self) -> Vec<Header> {
        let Some(found) = self.headers() else { return Vec::new() };
        let foreign = headers::each(found.list()).filter(|(name, _)| !header::is_own(name));
        let kept = foreign.map(|(name, value)| Header {
            name: name.into(),
            value: value.map(Bytes::copy_from_slice),
        });
        kept.collect()
    }
}

pub(super) trait HeaderView {
    fn list(&self) -> &BorrowedHeaders;
}

impl HeaderView for BorrowedHeaders {
    fn list(&self) -> &BorrowedHeaders {
        self
    }
}

impl HeaderView for rdkafka::message::OwnedHeaders {
    fn list(&self) -> &BorrowedHeaders {
        self.as_borrowed()
    }
}

#[cfg(test)]
pub(super) mod tests;

//! Shows the offsets at which inputs are read next, and moves them while no daemon runs.
//!
//! A position is stored in two places: in the meta row of the changelog partition that the input partition belongs to,
//! and in the consumer group's offset. The daemon continues at the earlier one. So both are moved in one transaction,
//! together with an event that reports the move. An input whose number of partitions differs from the inbox's has only
//! the group's offset.

mod position;

pub use position::{Position, Unusable};

use crate::clock;
use crate::codec::event::{self, InputChange, InputEvent, MovedBy};
use crate::codec::row::{self, InputOffset, Meta};
use crate::failpoint::{self, Failpoint};
use crate::log::{
    self, Begin, Cluster, GroupOffset, HasMembers, Identity, KafkaSettings, LandmarkReader,
    LogError, NeededBy, Operation, Outgoing, PositionReader, Progress, ScanFrom, ScanRange,
    Scanner, Steward, TopicNames, TopicPartition, TransactionError, TransactionFault, Unavailable,
};
use crate::store::RowKey;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The reason why positions could not be read or moved.
#[derive(Debug, thiserror::Error)]
pub enum OffsetsError {
    /// Kafka can't be reached, or refused a request.
    #[error(transparent)]
    Kafka(#[from] Unavailable),
    /// Another command with the same transactional id has begun.
    #[error(
        "another `ringback offsets` or `ringback changelog rebuild` has begun; nothing was changed"
    )]
    TakenOver,
    /// Daemons run.
    #[error(transparent)]
    Members(#[from] HasMembers),
    /// The request does not fit the topics, the configuration or the state.
    #[error("{0}")]
    Refused(String),
}

impl From<LogError> for OffsetsError {
    fn from(error: LogError) -> Self {
        Self::Kafka(error.into())
    }
}

impl From<TransactionError> for OffsetsError {
    fn from(error: TransactionError) -> Self {
        if error.fault == TransactionFault::Fenced {
            Self::TakenOver
        } else {
            let advice = "Kafka refuses the transaction; `ringback offsets show` says whether it was committed";
            Self::Kafka(Unavailable::Transaction { advice, source: error })
        }
    }
}

/// The destination of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// The current position plus this many records.
    Records(u64),
    Offset(i64),
    /// The beginning, the end, or a time.
    Begin(Begin),
}

/// A planned move of one position.
#[derive(Clone, Debug)]
pub struct Move {
    pub position: Position,
    pub to: i64,
}

impl Move {
    /// Returns the offset at which a daemon would continue without the move.
    #[must_use]
    pub fn from(&self) -> i64 {
        self.position.next()
    }
}

/// A request to move positions.
#[derive(Clone, Debug)]
pub struct MoveRequest {
    pub topic: String,
    /// The partition. `None`: all partitions.
    pub partition: Option<i32>,
    pub aim: Aim,
    /// The command that moves the positions.
    pub by: MovedBy,
}

/// The positions of all inputs, to be shown or moved.
pub struct Offsets {
    kafka: KafkaSettings,
    topics: TopicNames,
    cluster: Cluster,
    scanner: Scanner,
    positions: PositionReader,
    landmarks: LandmarkReader,
}

/// The state of Kafka that a move depends on.
struct Seen {
    identity: Identity,
    counts: BTreeMap<String, u32>,
    /// The meta rows of the changelog partitions whose rows are usable.
    metas: BTreeMap<i32, Meta>,
    unusable: BTreeMap<i32, Unusable>,
}

impl Offsets {
    /// Creates the Kafka clients. They connect with the first request.
    ///
    /// # Errors
    /// A property of `[kafka.client]` is wrong.
    pub fn new(kafka: &KafkaSettings, topics: &TopicNames) -> Result<Self, OffsetsError> {
        Ok(Self {
            kafka: kafka.clone(),
            topics: topics.clone(),
            cluster: Cluster::new(kafka)?,
            scanner: Scanner::new(kafka)?,
            positions: PositionReader::new(kafka)?,
            landmarks: LandmarkReader::new(kafka),
        })
    }

    /// Returns the positions of all inputs, including the inbox. Without usable rows these are the group's. Blocks.
    ///
    /// # Errors
    /// Kafka does not answer or denies a right.
    pub fn show(&self) -> Result<Vec<Position>, OffsetsError> {
        let seen = self.look(NeededBy::Offsets)?;
        let mut positions = Vec::new();
        for topic in self.inputs() {
            let mut of_topic = self.positions(topic, None, &seen)?;
            self.note_read_up(topic, &mut of_topic)?;
            positions.extend(of_topic);
        }
        Ok(positions)
    }

    /// Sets `is_read_up` for the partitions that have no record left.
    fn note_read_up(&self, topic: &str, positions: &mut [Position]) -> Result<(), OffsetsError> {
        let behind = positions.iter().filter(|position| position.lag() > 0);
        let ranges: Vec<ScanRange> = behind
            .map(|position| {
                let (first, from, end) = (position.first, position.next(), position.end);
                ScanRange { partition: position.place.partition, first, from, end }
            })
            .collect();
        let mut silent: BTreeSet<i32> = ranges.iter().map(|range| range.partition).collect();
        let mut watch = |_: Progress<'_>| ControlFlow::Continue(());
        let _whole = self.scanner.scan(topic, &ranges, &mut watch, &mut |record| {
            silent.remove(&record.partition());
            if silent.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        for position in positions {
            position.is_read_up = silent.contains(&position.place.partition);
        }
        Ok(())
    }

    /// Returns the positions of all inputs for the command `by`, which writes them elsewhere. Blocks.
    ///
    /// # Errors
    /// Kafka does not answer, or the changelog's rows are not the state of this group.
    pub fn read(&self, by: NeededBy) -> Result<Vec<Position>, OffsetsError> {
        let seen = self.look_to_move(by)?;
        let positions = self.inputs().map(|topic| self.positions(topic, None, &seen));
        Ok(positions.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Plans the moves of `request` without changing anything. Blocks.
    ///
    /// # Errors
    /// The group has members, Kafka can't be read, or the request is refused.
    pub fn plan(&self, request: &MoveRequest) -> Result<Vec<Move>, OffsetsError> {
        self.check_alone()?;
        if !self.inputs().any(|topic| topic == request.topic) {
            let inputs = self.inputs().collect::<Vec<_>>().join(", ");
            let topic = &request.topic;
            let text =
                format!("{topic} is not an input of this configuration; [topics] has {inputs}");
            return Err(OffsetsError::Refused(text));
        }
        let seen = self.look_to_move(NeededBy::Move)?;
        let positions = self.positions(&request.topic, request.partition, &seen)?;
        if positions.is_empty() {
            let (topic, partition) = (&request.topic, request.partition.unwrap_or(0));
            let text = format!("topic {topic} does not exist, or has no partition {partition}");
            return Err(OffsetsError::Refused(text));
        }
        let mut moves = Vec::new();
        for position in positions {
            let to = self.target(&position, request)?;
            moves.push(Move { position, to });
        }
        Ok(moves)
    }

    /// Moves the positions of `request` in one transaction, and returns the moves. Blocks.
    ///
    /// # Errors
    /// Nothing was moved, or the result of the commit is unknown.
    pub fn apply(&self, request: &MoveRequest) -> Result<Vec<Move>, OffsetsError> {
        // Opening the steward fences another command that still runs, and aborts its open transaction.
        let steward = Steward::open(&self.kafka)?;
        let moves = self.plan(request)?;
        let seen = self.look_to_move(NeededBy::Move)?;
        steward.begin()?;
        let sent = self.send(&steward, &moves, request.by, &seen);
        failpoint::pass(Failpoint::PositionsSent);
        let offsets = match sent.and_then(|offsets| self.check_alone().map(|()| offsets)) {
            Ok(offsets) => offsets,
            Err(error) => {
                steward.abort();
                return Err(error);
            }
        };
        steward.commit(&offsets)?;
        Ok(moves)
    }

    /// Sends events and meta rows. Returns the group's offsets, which the caller commits.
    fn send(
        &self,
        steward: &Steward,
        moves: &[Move],
        by: MovedBy,
        seen: &Seen,
    ) -> Result<BTreeMap<TopicPartition, GroupOffset>, OffsetsError> {
        let now = clock::now();
        let mut offsets = BTreeMap::new();
        let mut metas: BTreeMap<i32, Meta> = BTreeMap::new();
        for moved in moves {
            let Move { position, to } = moved;
            let Position { place, group, owner, topic, .. } = position;
            let mut changelog = group.as_ref().and_then(|group| group.changelog.clone());
            if let Some((owner, meta)) = owner.and_then(|it| Some((it, seen.metas.get(&it)?))) {
                let meta = metas.entry(owner).or_insert_with(|| meta.clone());
                set(meta, position, *to);
                meta.committed_at = now;
                let named = meta.owner.as_ref().and_then(|owner| owner.changelog.clone());
                changelog = named.or(changelog);
            }
            let landmark = position.kept_landmark();
            let offset = GroupOffset { offset: *to, topic: topic.clone(), changelog, landmark };
            offsets.insert(place.clone(), offset);
            let change = InputChange::Moved { from: moved.from(), to: *to, by };
            let TopicPartition { topic, partition } = place.clone();
            let mut value = Vec::new();
            event::write_input_event(&mut value, now, &InputEvent { topic, partition, change });
            steward.send(&Outgoing {
                topic: &self.topics.events,
                key: Some(place.topic.as_bytes()),
                value: Some(&value),
                ..Outgoing::default()
            })?;
        }
        for (partition, meta) in metas {
            let mut value = Vec::new();
            row::encode_meta(&meta, &mut value);
            steward.send(&Outgoing {
                topic: &self.topics.changelog,
                partition: Some(partition),
                changelog: true,
                key: Some(RowKey::META),
                value: Some(&value),
                ..Outgoing::default()
            })?;
        }
        Ok(offsets)
    }

    fn inputs(&self) -> impl Iterator<Item = &str> {
        let sources = self.topics.sources().map(|(name, _)| name.as_str());
        sources.chain([self.topics.inbox.as_str()])
    }

    fn check_alone(&self) -> Result<(), OffsetsError> {
        Ok(self.cluster.check_alone(&self.kafka.group_id, REQUEST_TIMEOUT)??)
    }

    fn look(&self, by: NeededBy) -> Result<Seen, OffsetsError> {
        log::insist_on_groups(&self.kafka, &self.topics, by)?;
        let topic = &self.topics.changelog;
        let identity = self.cluster.identity(&self.topics.identified(), REQUEST_TIMEOUT)?;
        let (needed, ask) = (self.topics.identified(), Operation::Describe);
        let counts = self.cluster.partition_counts(needed, ask, REQUEST_TIMEOUT)?;
        let (mut metas, mut unusable) = (BTreeMap::new(), BTreeMap::new());
        if identity.topics.contains_key(topic.as_str()) {
            // Waits for open transactions, which may still be committed.
            self.positions.settled(&self.scanner, topic, ScanFrom::Beginning)?;
            for newest in self.scanner.newest(topic, RowKey::META)? {
                let Some(bytes) = newest.value else { continue };
                let unreadable = |error: row::RowError| LogError::Topic {
                    topic: topic.clone(),
                    what: format!("the meta row of partition {}: {error}", newest.partition),
                };
                let meta = row::decode_meta(&bytes).map_err(unreadable)?;
                match Unusable::of(&meta, &self.kafka.group_id) {
                    Some(why) => drop(unusable.insert(newest.partition, why)),
                    None => drop(metas.insert(newest.partition, meta)),
                }
            }
        }
        Ok(Seen { identity, counts, metas, unusable })
    }

    /// Like `look`, but fails if rows belong to another group or to an interrupted rebuild.
    fn look_to_move(&self, by: NeededBy) -> Result<Seen, OffsetsError> {
        let seen = self.look(by)?;
        if let Some((partition, unusable)) = seen.unusable.first_key_value() {
            let (topic, why) = (&self.topics.changelog, unusable.explain(&self.kafka.group_id));
            return Err(OffsetsError::Refused(format!(
                "topic {topic}, partition {partition}: {why}"
            )));
        }
        Ok(seen)
    }

    fn positions(
        &self,
        topic: &str,
        partition: Option<i32>,
        seen: &Seen,
    ) -> Result<Vec<Position>, OffsetsError> {
        let ranges = self.scanner.all(topic, ScanFrom::Beginning)?;
        let place = |partition| TopicPartition { topic: topic.into(), partition };
        let places: Vec<TopicPartition> =
            ranges.iter().map(|range| place(range.partition)).collect();
        let mut committed = match places.as_slice() {
            [] => BTreeMap::new(),
            places => self.positions.offsets(places)?,
        };
        let count = |topic: &str| seen.counts.get(topic);
        let alike = |_: &&u32| count(&self.topics.inbox).is_none_or(|it| count(topic) == Some(it));
        let owners = count(&self.topics.changelog).filter(alike).copied().unwrap_or(0);
        let mut positions = Vec::new();
        for range in ranges {
            if partition.is_some_and(|partition| partition != range.partition) {
                continue;
            }
            let place = place(range.partition);
            let owner = Some(range.partition).filter(|number| number.cast_unsigned() < owners);
            let meta = owner.and_then(|owner| seen.metas.get(&owner));
            let mut stood = meta.into_iter().flat_map(|meta| &meta.offsets);
            let mut position = Position {
                group: committed.remove(&place),
                state: stood.find(|it| is_of(it, &place)).cloned(),
                unusable: owner.and_then(|owner| seen.unusable.get(&owner)).cloned(),
                owner,
                first: range.first,
                end: range.end,
                topic: seen.identity.topic(topic).cloned(),
                is_read_up: false,
                is_replaced: false,
                place,
            };
            if let Some(landmark) = position.landmark() {
                let found = self.landmarks.find_one(&position.place, landmark)?;
                position.is_replaced = found.is_other(topic == self.topics.inbox);
            }
            positions.push(position);
        }
        Ok(positions)
    }

    /// Returns the new offset for a position.
    fn target(&self, position: &Position, request: &MoveRequest) -> Result<i64, OffsetsError> {
        let Position { place, first, end, .. } = position;
        let from = position.next();
        let to = match request.aim {
            Aim::Records(records) => {
                from.saturating_add(i64::try_from(records).unwrap_or(i64::MAX))
            }
            Aim::Offset(offset) => offset,
            Aim::Begin(Begin::Beginning) => *first,
            Aim::Begin(Begin::End) => *end,
            Aim::Begin(Begin::Time(at)) => {
                let wants = [(place.partition, ScanFrom::Time(at))];
                let ranges = self.scanner.ranges(&place.topic, &wants)?;
                ranges.first().map_or(*end, |range| range.from)
            }
        };
        let TopicPartition { topic, partition } = place;
        if request.by == MovedBy::Skip && to < from {
            return Err(OffsetsError::Refused(format!(
                "{topic}, partition {partition}, continues at offset {from}, and {to} is before it: to move \
                 backwards, use `ringback offsets reset`"
            )));
        }
        if !(*first..=*end).contains(&to) {
            return Err(OffsetsError::Refused(format!(
                "{topic}, partition {partition}, has the offsets {first} to {end}, but not {to}"
            )));
        }
        Ok(to)
    }
}

fn is_of(offset: &InputOffset, place: &TopicPartition) -> bool {
    offset.topic == place.topic && offset.partition == place.partition
}

fn set(meta: &mut Meta, position: &Position, next_offset: i64) {
    let TopicPartition { topic, partition } = position.place.clone();
    let (topic_id, landmark) = (position.topic.clone(), position.kept_landmark());
    let moved = InputOffset { topic, partition, next_offset, topic_id, landmark };
    match meta.offsets.iter_mut().find(|it| is_of(it, &position.place)) {
        Some(offset) => *offset = moved,
        None => meta.offsets.push(moved),
    }
}

//! Sends the letters of a plan one by one, at the given rate, with a few hundred in a transaction.

use super::note::{Note, Passed};
use super::plan::{Fate, Plan, Planned, Summary};
use super::since::note_home;
use super::{Letter, Letters, Progress, ReplayError, Stage, Watch};
use crate::codec::command::{COMMAND_HEADER, LETTER_HEADER, RECORD_REPLAYED, REPLAY, write_replay};
use crate::codec::header;
use crate::codec::letter::{LetterKind, read_delivery};
use crate::domain::owner;
use crate::log::{Mark, Outgoing, Replayer, ScanFrom, ScanRange, ScanRecord, Scanned, TopicNames};
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// A transaction is committed when it reaches one of these limits. Readers of the inbox wait while it is open.
const RECORDS_MAX: u64 = 500;
const BYTES_MAX: usize = 4 << 20;
const AGE_MAX: Duration = Duration::from_millis(200);
const WATCH_INTERVAL: Duration = Duration::from_millis(50);

impl Letters {
    /// Sends the letters of `plan`, at most `rate` per second. Blocks until all are sent, or the watch stops it. Then
    /// everything sent so far is committed, and the same call continues from there.
    ///
    /// # Errors
    /// Kafka fails. What was committed counts, and the same call continues from there.
    pub fn replay(
        &self,
        plan: &Plan,
        rate: Option<NonZeroU32>,
        watch: Watch<'_>,
    ) -> Result<Summary, ReplayError> {
        if plan.is_idle() {
            return Ok(plan.summary_of(0, true));
        }
        let inbox_partitions = self.partitions(&self.topics.inbox)?;
        let replayer = Replayer::open(&self.kafka)?;
        let letters = self.partitions(&self.topics.dead_letter)?;
        // Opening the replayer has fenced a previous replay, which may have sent letters since the plan was made.
        let anew;
        let plan = if plan.marks.read(letters)? != plan.found || self.others_sent(plan)? {
            anew = self.plan(&plan.filter, plan.max, &mut *watch)?;
            &anew
        } else {
            plan
        };
        let mut run = Run {
            plan,
            topics: &self.topics,
            replayer,
            inbox_partitions,
            positions: plan.parts.iter().map(|part| (part.partition, part.position)).collect(),
            passed: plan.passed,
            open: None,
            pace: Pace::new(rate),
            buffer: Vec::new(),
            watched: Instant::now(),
            all: plan.to_replay(),
        };
        let mut failure = None;
        let mut ended = Ended::All;
        let ranges: Vec<ScanRange> =
            plan.parts.iter().map(|part| part.range(part.position)).collect();
        if run.is_spent() {
            ended = Ended::Max;
        } else {
            let _ = self.scanner.read(&self.topics.dead_letter, &ranges, &mut |scanned| {
                let taken = match scanned {
                    Scanned::Record(record) => run.record(record, watch),
                    Scanned::Progress { .. } => Ok(run.report_progress(watch)),
                };
                match taken {
                    Ok(ControlFlow::Continue(())) => ControlFlow::Continue(()),
                    Ok(ControlFlow::Break(how)) => {
                        ended = how;
                        ControlFlow::Break(())
                    }
                    Err(error) => {
                        failure = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
        }
        if let Some(error) = failure {
            return Err(error);
        }
        run.finish(ended)
    }

    /// Returns whether another replay has sent letters since the plan was made.
    fn others_sent(&self, plan: &Plan) -> Result<bool, ReplayError> {
        let topic = &self.topics.inbox;
        let wants: Vec<_> =
            plan.inbox.iter().map(|range| (range.partition, ScanFrom::Offset(range.end))).collect();
        let ranges = self.scanner.ranges(topic, &wants)?;
        let mut silent = |_: Progress| ControlFlow::Continue(());
        let flow = self.scan(topic, Stage::Inbox, &ranges, &mut silent, &mut |record| {
            if matches!(record.header(COMMAND_HEADER), Some(REPLAY | RECORD_REPLAYED)) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok(flow.is_break())
    }
}

/// The reason why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// All letters were passed.
    All,
    /// The maximum number of letters was replayed.
    Max,
    /// The watch stopped it.
    Interrupted,
}

struct Open {
    since: Instant,
    records: u64,
    bytes: usize,
}

struct Run<'a> {
    plan: &'a Plan,
    topics: &'a TopicNames,
    replayer: Replayer,
    inbox_partitions: u32,
    positions: Vec<(i32, i64)>,
    passed: Passed,
    open: Option<Open>,
    pace: Pace,
    buffer: Vec<u8>,
    watched: Instant,
    all: u64,
}

impl Run<'_> {
    /// Returns how many letters this call has sent.
    fn done(&self) -> u64 {
        self.passed.replayed - self.plan.passed.replayed
    }

    /// Returns whether the run has reached its maximum.
    fn is_spent(&self) -> bool {
        self.plan.max.is_some_and(|max| self.passed.replayed >= max)
    }

    /// Reports the progress to the watch.
    fn report_progress(&mut self, watch: Watch<'_>) -> ControlFlow<Ended> {
        self.watched = Instant::now();
        let progress = Progress { stage: Stage::Sending, done: self.done(), all: self.all };
        if watch(progress).is_break() {
            ControlFlow::Break(Ended::Interrupted)
        } else {
            ControlFlow::Continue(())
        }
    }

    fn record(
        &mut self,
        record: &ScanRecord<'_>,
        watch: Watch<'_>,
    ) -> Result<ControlFlow<Ended>, ReplayError> {
        let taken = match Letter::of(record) {
            Some(letter) => self.letter(&letter, watch)?,
            None => ControlFlow::Continue(()),
        };
        // A record before which the run was interrupted is not done.
        if taken != ControlFlow::Break(Ended::Interrupted) {
            self.pass(record.partition(), record.offset());
        }
        Ok(taken)
    }

    fn letter(
        &mut self,
        letter: &Letter<'_>,
        watch: Watch<'_>,
    ) -> Result<ControlFlow<Ended>, ReplayError> {
        let Some(fate) = self.fate(letter.place) else { return Ok(ControlFlow::Continue(())) };
        if fate == Fate::Replay {
            let turn = self.pace(watch)?;
            if turn.is_break() {
                return Ok(turn);
            }
            self.send(letter)?;
        }
        match fate {
            Fate::Replay => self.passed.replayed += 1,
            Fate::Delivered => self.passed.delivered += 1,
            Fate::Older => self.passed.older += 1,
            Fate::Sent => self.passed.sent += 1,
            Fate::Unfit => self.passed.unfit += 1,
        }
        Ok(if self.is_spent() { ControlFlow::Break(Ended::Max) } else { ControlFlow::Continue(()) })
    }

    fn fate(&self, place: (i32, i64)) -> Option<Fate> {
        let letters: &[Planned] = &self.plan.letters;
        let index = letters.binary_search_by_key(&place, |letter| letter.place).ok()?;
        letters.get(index).map(|letter| letter.fate)
    }

    /// Waits until the letter may be sent. Commits an open transaction in time.
    fn pace(&mut self, watch: Watch<'_>) -> Result<ControlFlow<Ended>, ReplayError> {
        loop {
            if self.watched.elapsed() >= WATCH_INTERVAL {
                let flow = self.report_progress(&mut *watch);
                if flow.is_break() {
                    return Ok(flow);
                }
            }
            let wait = self.pace.wait();
            let full = self.open.as_ref().is_some_and(|open| {
                open.records >= RECORDS_MAX
                    || open.bytes >= BYTES_MAX
                    || open.since.elapsed() + wait >= AGE_MAX
            });
            if full {
                self.commit(false)?;
            }
            if wait.is_zero() {
                return Ok(ControlFlow::Continue(()));
            }
            std::thread::sleep(wait.min(WATCH_INTERVAL));
        }
    }

    fn send(&mut self, letter: &Letter<'_>) -> Result<(), ReplayError> {
        if self.open.is_none() {
            self.replayer.begin()?;
            self.open = Some(Open { since: Instant::now(), records: 0, bytes: 0 });
        }
        // A letter that the plan sends has a source.
        let Some(source) = letter.head.source.clone() else { return Ok(()) };
        match letter.head.kind {
            LetterKind::Record => {
                let (partition, offset) = letter.place;
                let place = (LETTER_HEADER, format!("{partition}:{offset}"));
                self.replayer.send(&Outgoing {
                    topic: &source.topic,
                    partition: Some(source.partition),
                    key: letter.key,
                    value: letter.value,
                    headers: std::slice::from_ref(&place),
                    foreign: &letter.foreign_headers(),
                    ..Outgoing::default()
                })?;
                // The inbox gets a note, because the record is hard to find among the records of its topic.
                self.replayer.send(&Outgoing {
                    topic: &self.topics.inbox,
                    partition: Some(note_home(partition, self.inbox_partitions)),
                    changelog: false,
                    key: letter.key,
                    value: Some(b"{}"),
                    headers: &[(COMMAND_HEADER, RECORD_REPLAYED.to_owned()), place],
                    ..Outgoing::default()
                })?;
            }
            LetterKind::Delivery => {
                let Some((uuid, delivery)) =
                    letter.value.and_then(|value| read_delivery(value, source))
                else {
                    return Ok(());
                };
                self.buffer.clear();
                write_replay(&mut self.buffer, &uuid, &delivery);
                let key = uuid.as_str().as_bytes();
                let (partition, offset) = letter.place;
                let headers = [
                    (COMMAND_HEADER, REPLAY.to_owned()),
                    (header::WEBHOOK_ID, delivery.id.to_string()),
                    (LETTER_HEADER, format!("{partition}:{offset}")),
                ];
                self.replayer.send(&Outgoing {
                    topic: &self.topics.inbox,
                    partition: Some(owner(key, self.inbox_partitions)),
                    key: Some(key),
                    value: Some(&self.buffer),
                    headers: &headers,
                    ..Outgoing::default()
                })?;
            }
        }
        if let Some(open) = &mut self.open {
            open.records += 1;
            open.bytes += letter.value.map_or(0, <[u8]>::len);
        }
        Ok(())
    }

    /// Marks everything up to and including this offset as done.
    fn pass(&mut self, partition: i32, offset: i64) {
        if let Some((_, position)) = self.positions.iter_mut().find(|(p, _)| *p == partition) {
            *position = offset + 1;
        }
    }

    fn commit(&mut self, done: bool) -> Result<(), ReplayError> {
        if self.open.is_none() {
            self.replayer.begin()?;
        }
        let filter = &self.plan.filter;
        let marks: Vec<Mark> = self
            .plan
            .parts
            .iter()
            .zip(&self.positions)
            .map(|(part, (partition, offset))| {
                let note = Note {
                    start: part.start,
                    end: part.end,
                    since_ms: filter.since.as_ref().map(|when| when.at.as_ms()),
                    until_ms: filter.until.as_ref().map(|when| when.at.as_ms()),
                    done,
                    passed: self.passed,
                };
                Mark { partition: *partition, offset: *offset, note: note.write() }
            })
            .collect();
        self.open = None;
        Ok(self.replayer.commit(&self.plan.marks, &marks)?)
    }

    fn finish(mut self, ended: Ended) -> Result<Summary, ReplayError> {
        let finished = ended != Ended::Interrupted;
        if ended == Ended::All {
            // The last offsets of a partition may belong to no record.
            self.positions =
                self.plan.parts.iter().map(|part| (part.partition, part.end)).collect();
        }
        self.commit(finished)?;
        Ok(self.plan.summary_of(self.done(), finished))
    }
}

/// Spreads the records of a second evenly.
pub struct Pace {
    interval: Duration,
    next: Instant,
}

impl Pace {
    /// Creates a pace of at most `rate` records per second. `None`: as many as possible.
    #[must_use]
    pub fn new(rate: Option<NonZeroU32>) -> Self {
        let interval = rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.get());
        Self { interval, next: Instant::now() }
    }

    /// Returns the time until the next record may be sent. Zero means that it may be sent now, and takes its turn.
    pub fn wait(&mut self) -> Duration {
        let now = Instant::now();
        let wait = self.next.saturating_duration_since(now);
        if wait.is_zero() {
            // Turns that were missed while Kafka was slow are made up, but at most those of [`AGE_MAX`].
            let late = now.checked_sub(AGE_MAX).unwrap_or(now);
            self.next = self.next.max(late) + self.interval;
        }
        wait
    }
}

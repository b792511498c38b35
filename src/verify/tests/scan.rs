//! Passes the records that a scan of the world sees to the evidence, at one moment or at several.

use super::world::{EVENTS, Entry, FLOWS, INBOX, LETTERS, Log, OWNERS, REPORTS, World};
use crate::domain::RecordKind;
use crate::log::TopicPartition;
use crate::verify::{Changelog, Evidence, Input, InputRecord, Layout, Options, OwnTopic, Report};
use std::sync::Arc;

impl World {
    pub(super) fn layout(&self) -> Layout {
        let firsts = |log: &Log| {
            log.iter()
                .map(|partition| partition.first().filter(|_| self.cut).map_or(0, |e| e.offset))
                .collect()
        };
        let input = |topic: &str, kind| Input {
            topic: topic.into(),
            compacted: false,
            kind: Some(kind),
            firsts: self.firsts.get(topic).cloned().unwrap_or_default(),
            partitions: OWNERS,
        };
        let own = |name: &str, log: &Log| OwnTopic { name: name.into(), firsts: firsts(log) };
        Layout {
            inputs: vec![input(FLOWS, RecordKind::Flow), input(REPORTS, RecordKind::Report)],
            inbox: own(INBOX, &self.inputs[INBOX]),
            events: own("events", &self.events),
            dead_letters: own("dead-letters", &self.letters),
            changelog: Changelog {
                name: "changelog".into(),
                partitions: OWNERS,
                moving_from: Vec::new(),
                ends: Vec::new(),
            },
            ids: self.ids.clone(),
            replaced: self.replaced.clone(),
            owner: self.owner.clone(),
            unwrap: self.unwrap,
            dedup_window_ms: Some(self.policy.correlation.dedup_window_ms),
        }
    }

    pub(super) fn options(&self) -> Options {
        Options { at_rest: false, now: self.now, overdue_ms: 60_000, repeats_max: None }
    }

    pub(super) fn at_rest(&self) -> Options {
        Options { at_rest: true, ..self.options() }
    }

    /// Verifies the current world.
    pub(super) fn verify(&self, options: &Options) -> Report {
        self.evidence().finish(options)
    }

    pub(super) fn evidence(&self) -> Evidence {
        let mut evidence = Evidence::new(self.layout());
        let moment = Moment::now(self);
        self.feed(&mut evidence, &moment);
        if let Some(changes) = evidence.changes() {
            evidence = Evidence::knowing(self.layout(), changes);
            self.feed(&mut evidence, &moment);
        }
        evidence
    }

    /// Passes everything that was there at `moment`.
    pub(super) fn feed(&self, evidence: &mut Evidence, moment: &Moment) {
        let at = |place: &TopicPartition, txn| {
            let until = self.commits.iter().filter(|commit| commit.0 <= txn && commit.1 == *place);
            until.map(|commit| commit.2).next_back()
        };
        for place in self.positions.keys() {
            let (before, after) = (moment.committed_before, moment.committed_after);
            evidence.committed(place, at(place, before), at(place, after));
        }
        for topic in &moment.order {
            match *topic {
                "events" => each(&self.events, &moment.events, &mut |partition, entry| {
                    evidence.event(
                        partition,
                        entry.offset,
                        entry.key.as_deref(),
                        entry.value.as_deref(),
                    );
                }),
                "letters" => each(&self.letters, &moment.letters, &mut |partition, entry| {
                    let header = |name: &str| entry.header(name);
                    evidence.dead_letter(
                        partition,
                        entry.offset,
                        entry.at,
                        entry.key.as_deref(),
                        header,
                        entry.value.as_deref(),
                    );
                }),
                "changelog" => each(&self.changelog, &moment.changelog, &mut |partition, entry| {
                    evidence.changelog(
                        partition,
                        entry.offset,
                        entry.key.as_deref(),
                        entry.value.as_deref(),
                    );
                }),
                _ => {
                    for (topic, log) in &self.inputs {
                        let ends = if *topic == INBOX { &moment.inbox } else { &[u64::MAX; 2] };
                        each(log, ends, &mut |partition, entry| {
                            let place = TopicPartition { topic: Arc::from(*topic), partition };
                            let record = InputRecord {
                                offset: entry.offset,
                                timestamp: entry.at,
                                key: entry.key.as_deref(),
                                payload: entry.value.as_deref().unwrap_or_default(),
                            };
                            let header = |name: &str| entry.header(name);
                            evidence.source(&place, &record, header, &|| entry.foreign_headers());
                        });
                    }
                }
            }
        }
        for request in &self.requests {
            evidence.request(*request);
        }
    }
}

/// For each topic, the last transaction that is committed when it is read.
pub(super) struct Moment {
    pub(super) committed_before: u64,
    pub(super) committed_after: u64,
    pub(super) events: [u64; EVENTS as usize],
    pub(super) letters: [u64; LETTERS as usize],
    pub(super) inbox: [u64; OWNERS as usize],
    pub(super) changelog: [u64; OWNERS as usize],
    pub(super) order: [&'static str; 4],
}

impl Moment {
    pub(super) fn now(world: &World) -> Self {
        let txn = world.txn;
        Self {
            committed_before: txn,
            committed_after: txn,
            events: [txn; 3],
            letters: [txn; 2],
            inbox: [txn; 2],
            changelog: [txn; 2],
            order: ["events", "letters", "changelog", "inputs"],
        }
    }
}

fn each(log: &Log, ends: &[u64], take: &mut dyn FnMut(i32, &Entry)) {
    for ((partition, entries), end) in (0_i32..).zip(log).zip(ends) {
        for entry in entries.iter().filter(|entry| entry.txn <= *end) {
            take(partition, entry);
        }
    }
}

//! The coordinator of the simulated consumer group: classic protocol, eager, range, static members.

use crate::log::TopicPartition;
use std::collections::{BTreeMap, BTreeSet};

/// `session.timeout.ms`
pub(super) const SESSION_TIMEOUT_MS: u64 = 10_000;
/// `max.poll.interval.ms`: whoever has not joined again by then is out.
pub(super) const REBALANCE_TIMEOUT_MS: u64 = 300_000;

/// A process's place in the group.
#[derive(Clone, Debug)]
struct Member {
    instance: usize,
    session_until_ms: u64,
    /// It has joined the rebalance that is going on.
    has_joined: bool,
    places: Vec<TopicPartition>,
}

/// What a member is told when it polls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Nothing has changed.
    Stay,
    /// Give everything back and join again.
    Rejoin,
    /// The rebalance goes on.
    Wait,
    /// This is yours now.
    Take { generation: u64, places: Vec<TopicPartition> },
    /// You are no member any more.
    Gone,
}

/// The group.
#[derive(Default)]
pub(super) struct Group {
    members: BTreeMap<u64, Member>,
    next_member: u64,
    pub(super) generation: u64,
    /// When the rebalance that is going on ends at the latest.
    rebalance_until_ms: Option<u64>,
    /// The input topics' partitions.
    pub(super) places: Vec<TopicPartition>,
    /// How often anything has changed that a member is told.
    pub(super) changes: u64,
}

impl Group {
    /// A process of `instance` joins, and gets its member id. One that comes back within the session takes its former
    /// self's place.
    pub(super) fn join(&mut self, instance: usize, now_ms: u64) -> u64 {
        let former = self.members.iter().find(|(_, member)| member.instance == instance);
        let former = former.map(|(id, _)| *id);
        self.changes += 1;
        self.next_member += 1;
        let id = self.next_member;
        let session_until_ms = now_ms + SESSION_TIMEOUT_MS;
        if let Some(member) = former.and_then(|id| self.members.remove(&id)) {
            let has_joined = self.rebalance_until_ms.is_some();
            self.members.insert(id, Member { session_until_ms, has_joined, ..member });
            return id;
        }
        let member = Member { instance, session_until_ms, has_joined: true, places: Vec::new() };
        self.members.insert(id, member);
        self.rebalance(now_ms);
        id
    }

    fn rebalance(&mut self, now_ms: u64) {
        self.rebalance_until_ms.get_or_insert(now_ms + REBALANCE_TIMEOUT_MS);
    }

    /// A member that has given everything back joins the rebalance.
    pub(super) fn rejoin(&mut self, id: u64) {
        if let Some(member) = self.members.get_mut(&id) {
            self.changes += 1;
            member.has_joined = true;
            member.places.clear();
        }
    }

    /// A process is alive, and will be until it falls silent.
    pub(super) fn beat(&mut self, id: u64) {
        if let Some(member) = self.members.get_mut(&id) {
            member.session_until_ms = u64::MAX;
        }
    }

    /// A process is stopped, or dead.
    pub(super) fn falls_silent(&mut self, id: u64, now_ms: u64) {
        if let Some(member) = self.members.get_mut(&id) {
            member.session_until_ms = member.session_until_ms.min(now_ms + SESSION_TIMEOUT_MS);
        }
    }

    /// Whether a commit in the name of this member and generation is taken.
    pub(super) fn accepts(&self, id: u64, generation: u64) -> bool {
        self.generation == generation && self.members.contains_key(&id)
    }

    /// When something happens by itself next.
    pub(super) fn next_ms(&self) -> Option<u64> {
        let sessions = self.members.values().map(|member| member.session_until_ms);
        let sessions = sessions.filter(|until| *until < u64::MAX);
        sessions.chain(self.rebalance_until_ms).min()
    }

    /// Throws out who is late, and ends the rebalance when everybody has joined.
    pub(super) fn settle(&mut self, now_ms: u64) {
        let before = self.members.len();
        self.members.retain(|_, member| member.session_until_ms > now_ms);
        if self.members.len() < before {
            self.changes += 1;
            self.rebalance(now_ms);
        }
        let Some(until_ms) = self.rebalance_until_ms else { return };
        if until_ms <= now_ms {
            self.members.retain(|_, member| member.has_joined);
        }
        if self.members.values().any(|member| !member.has_joined) {
            return;
        }
        self.changes += 1;
        self.rebalance_until_ms = None;
        self.generation += 1;
        self.assign();
    }

    /// `range`: of each topic a run of partitions, in the order of the members.
    fn assign(&mut self) {
        let topics: BTreeSet<_> = self.places.iter().map(|place| place.topic.clone()).collect();
        let count = self.members.len();
        let mut order: Vec<_> =
            self.members.iter().map(|(id, member)| (member.instance, *id)).collect();
        order.sort_unstable();
        for member in self.members.values_mut() {
            member.places.clear();
            member.has_joined = false;
        }
        for topic in topics {
            let all: Vec<_> = self.places.iter().filter(|place| place.topic == topic).collect();
            let mut rest = all.as_slice();
            for (index, (_, id)) in order.iter().enumerate() {
                let share = all.len() / count + usize::from(index < all.len() % count);
                let (own, left) = rest.split_at(share);
                rest = left;
                if let Some(member) = self.members.get_mut(id) {
                    member.places.extend(own.iter().map(|place| (*place).clone()));
                }
            }
        }
    }

    /// What the member is told that stands at this generation.
    pub(super) fn word(&self, id: u64, generation: Option<u64>) -> Word {
        let Some(member) = self.members.get(&id) else { return Word::Gone };
        if self.rebalance_until_ms.is_some() {
            return if member.has_joined { Word::Wait } else { Word::Rejoin };
        }
        if generation == Some(self.generation) {
            return Word::Stay;
        }
        Word::Take { generation: self.generation, places: member.places.clone() }
    }
}

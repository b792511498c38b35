//! The coordinator of the simulated consumer group: classic protocol, eager, range, static members.

use crate::log::TopicPartition;
use std::collections::{BTreeMap, BTreeSet};

/// `session.timeout.ms`
pub(super) const SESSION_TIMEOUT_MS: u64 = 10_000;
/// `max.poll.interval.ms`: a member that has not joined again by then is removed.
pub(super) const REBALANCE_TIMEOUT_MS: u64 = 300_000;

/// A process in the group.
#[derive(Clone, Debug)]
struct Member {
    instance: usize,
    session_until_ms: u64,
    /// Whether it has joined the present rebalance.
    has_joined: bool,
    places: Vec<TopicPartition>,
}

/// The group's answer to the poll of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Stay,
    /// The member has to give its partitions back and join again.
    Rejoin,
    /// The rebalance has not ended.
    Wait,
    /// The partitions that the member owns from now on.
    Take {
        generation: u64,
        places: Vec<TopicPartition>,
    },
    /// The process is not a member of the group.
    Gone,
}

#[derive(Default)]
pub(super) struct Group {
    members: BTreeMap<u64, Member>,
    next_member: u64,
    pub(super) generation: u64,
    /// The latest end of the present rebalance.
    rebalance_until_ms: Option<u64>,
    /// The input topics' partitions.
    pub(super) places: Vec<TopicPartition>,
    /// The number of changes that members can see.
    pub(super) changes: u64,
}

impl Group {
    /// Adds a process of `instance` to the group. Returns its member id. A process that returns within the session
    /// takes the place of the former one.
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

    /// Lets a member without partitions join the rebalance.
    pub(super) fn rejoin(&mut self, id: u64) {
        if let Some(member) = self.members.get_mut(&id) {
            self.changes += 1;
            member.has_joined = true;
            member.places.clear();
        }
    }

    /// Keeps a member's session alive until it falls silent.
    pub(super) fn beat(&mut self, id: u64) {
        if let Some(member) = self.members.get_mut(&id) {
            member.session_until_ms = u64::MAX;
        }
    }

    /// Starts the session timeout of a process that is stopped or dead.
    pub(super) fn falls_silent(&mut self, id: u64, now_ms: u64) {
        if let Some(member) = self.members.get_mut(&id) {
            member.session_until_ms = member.session_until_ms.min(now_ms + SESSION_TIMEOUT_MS);
        }
    }

    /// Returns whether a commit of this member and generation is accepted.
    pub(super) fn accepts(&self, id: u64, generation: u64) -> bool {
        self.generation == generation && self.members.contains_key(&id)
    }

    /// Returns when the next timeout changes something.
    pub(super) fn next_ms(&self) -> Option<u64> {
        let sessions = self.members.values().map(|member| member.session_until_ms);
        let sessions = sessions.filter(|until| *until < u64::MAX);
        sessions.chain(self.rebalance_until_ms).min()
    }

    /// Removes members whose time is over. Ends the rebalance once all members have joined.
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

    /// `range`: each topic is divided into runs of partitions, in the order of the members.
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

    /// Returns the answer to a member that is in this generation.
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

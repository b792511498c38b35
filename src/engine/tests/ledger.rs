//! What was committed, decided once more: the state that the changelog has to have, and what was counted on the way.

use super::Witness;
use super::port::Row;
use crate::codec::row;
use crate::domain::{Command, DeliveryId, PhononUuid, Rules, Source, State, decide, evolve};
use crate::store::RowKey;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that was committed.
pub(super) struct Ledger {
    rules: Rules,
    pub(super) states: BTreeMap<PhononUuid, State>,
    /// How often each record of the inputs was decided.
    pub(super) decided: BTreeMap<(String, i32, i64), u32>,
    /// Attempts that were begun by a process that is alive and are not recorded.
    pub(super) open: BTreeMap<usize, BTreeSet<(DeliveryId, u32)>>,
    /// Attempts whose outcome a fault took.
    pub(super) excused: u64,
    pub(super) recorded: u64,
    pub(super) faults: Vec<String>,
}

impl Ledger {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            states: BTreeMap::new(),
            decided: BTreeMap::new(),
            open: BTreeMap::new(),
            excused: 0,
            recorded: 0,
            faults: Vec::new(),
        }
    }

    /// An attempt was begun.
    pub(super) fn begun(&mut self, node: usize, id: DeliveryId, attempt: u32) {
        self.open.entry(node).or_default().insert((id, attempt));
    }

    /// Whatever the process has begun and not recorded is forgotten, and each may cost so many requests.
    pub(super) fn excuse(&mut self, node: usize, each: u64) {
        self.excused += each * self.open.remove(&node).unwrap_or_default().len() as u64;
    }

    /// A transaction was committed.
    pub(super) fn committed(&mut self, node: usize, decided: &[Witness], rows: &[Row]) {
        let mut touched = BTreeSet::new();
        for Witness { partition, uuid, command, now } in decided {
            touched.insert((*partition, uuid.clone()));
            self.count(node, command);
            let state = self.states.remove(uuid).unwrap_or_default();
            let events = decide(&state, command, &self.rules, *now);
            let state = events.iter().fold(state, evolve);
            self.states.insert(uuid.clone(), state);
        }
        for (partition, key, value) in rows {
            let Some(RowKey::State(uuid)) = RowKey::parse(key) else { continue };
            let row = value.as_ref().map(|value| row::decode_state(value).expect("a row of ours"));
            let row = row.unwrap_or_default();
            let own = self.states.get(&uuid).cloned().unwrap_or_default();
            if row != own {
                let unlike = super::checks::unlike(&row, &own);
                self.faults.push(format!(
                    "partition {partition}, {uuid}: node {node} has committed, and what was decided makes, {unlike}"
                ));
            }
        }
    }

    fn count(&mut self, node: usize, command: &Command) {
        match command {
            Command::AcceptFlow(_, source) | Command::AcceptReport(_, source) => {
                let Source { topic, partition, offset, .. } = source;
                *self.decided.entry((topic.to_string(), *partition, *offset)).or_default() += 1;
            }
            Command::RecordOutcome { delivery, attempt, .. } => {
                let open = self.open.entry(node).or_default();
                if open.remove(&(*delivery, *attempt)) {
                    self.recorded += 1;
                }
            }
            Command::GiveUp { .. } | Command::FireTimer(_) | Command::Replay(_) => {}
        }
    }
}

//! The accepted reports of one uuid, until something tells what became of each.
//!
//! A report ends in a webhook that carries it, in a newer report of its SMS, in `record_ignored`, in a dead letter, or in
//! `report_timed_out`.

use super::ledger::Entry;
use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64;

/// A report that was accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    account: i64,
    sms: u64,
    /// Where it stands; nothing: in a topic that is no input any more.
    source: Option<Entry>,
    /// What the row is compared by.
    hash: u64,
    /// A rule's webhook carries it. Where an earlier version scheduled that, the report may be ignored all the same.
    by_rule: bool,
}

impl Accepted {
    pub(super) fn new(
        account: i64,
        sms: &str,
        (topic, partition, offset): (&str, i32, i64),
        source: Option<Entry>,
    ) -> Self {
        let hash = report_hash(account, sms, topic, partition, offset);
        Self { account, sms: xxh3_64(sms.as_bytes()), source, hash, by_rule: false }
    }
}

/// Of an accepted report: whose, of which SMS, and where it stands.
pub(super) fn report_hash(
    account: i64,
    sms: &str,
    topic: &str,
    partition: i32,
    offset: i64,
) -> u64 {
    let parts = [account.cast_unsigned(), xxh3_64(sms.as_bytes()), xxh3_64(topic.as_bytes())];
    let place = [i64::from(partition).cast_unsigned(), offset.cast_unsigned()];
    parts.into_iter().chain(place).fold(1, |hash: u64, part| {
        (hash ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    })
}

/// The reports that have not ended.
#[derive(Debug, Default)]
pub(super) struct Reports(Vec<Accepted>);

impl Reports {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the word about the record at `source` is its second, since it was accepted.
    pub(super) fn holds(&self, source: Option<Entry>) -> bool {
        source.is_some() && self.0.iter().any(|known| known.source == source)
    }

    /// All of them, in a number.
    pub(super) fn hash(&self) -> u64 {
        self.0.iter().map(|known| known.hash).fold(0, u64::wrapping_add)
    }

    /// Of how many nothing tells what became of them. Of a topic that is no input any more, nobody knows.
    pub(super) fn left(&self) -> usize {
        self.0.iter().filter(|known| known.source.is_some() && !known.by_rule).count()
    }

    /// A newer report of an SMS is the end of the one before.
    pub(super) fn accept(&mut self, report: Accepted) {
        self.0.retain(|known| (known.account, known.sms) != (report.account, report.sms));
        self.0.push(report);
    }

    /// The report at `source` was ignored or given up. Whether it is known.
    pub(super) fn end(&mut self, source: Option<Entry>) -> bool {
        let before = self.0.len();
        self.0.retain(|known| known.source.is_none() || known.source != source);
        self.0.len() < before
    }

    /// A webhook of `phase` carries the reports of `sms`.
    pub(super) fn carried(&mut self, phase: u8, account: Option<i64>, sms: &[Cow<'_, str>]) {
        let hashes: Vec<u64> = sms.iter().map(|sms| xxh3_64(sms.as_bytes())).collect();
        let is_carried = |known: &Accepted| {
            account.is_none_or(|account| account == known.account) && hashes.contains(&known.sms)
        };
        if phase == 0 {
            for known in self.0.iter_mut().filter(|known| is_carried(known)) {
                known.by_rule = true;
            }
        } else {
            self.0.retain(|known| !is_carried(known));
        }
    }
}

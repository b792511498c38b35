//! The accepted reports of one uuid that have not ended.
//!
//! A report ends in a webhook that carries it, in a newer report of its SMS, in `record_ignored`, in a dead letter, or
//! in `report_timed_out`.

use super::ledger::Entry;
use crate::codec::event::RecordPosition;
use crate::domain::canonical_uuid;
use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64;

/// A report that was accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    account: i64,
    sms: u64,
    /// The place of its record. `None`: the topic is no longer an input.
    source: Option<Entry>,
    /// Identifies the report, to compare it with the row.
    hash: u64,
    /// Whether a rule's webhook carries it. If an earlier version scheduled that, the report may also be ignored.
    by_rule: bool,
}

impl Accepted {
    pub(super) fn new(
        account: i64,
        sms: &str,
        position: &RecordPosition<'_>,
        source: Option<Entry>,
    ) -> Self {
        let (topic, index) = (&position.topic, position.index);
        let hash = report_hash(account, sms, topic, (position.partition, position.offset, index));
        Self { account, sms: sms_hash(sms), source, hash, by_rule: false }
    }
}

/// Returns the hash of an SMS, the same for each spelling of its id.
fn sms_hash(sms: &str) -> u64 {
    let canonical = canonical_uuid(sms);
    xxh3_64(canonical.as_deref().unwrap_or(sms).as_bytes())
}

/// Hashes the account, the SMS and the place of an accepted report: topic, partition, offset, and index in an array.
pub(super) fn report_hash(
    account: i64,
    sms: &str,
    topic: &str,
    (partition, offset, index): (i32, i64, Option<u32>),
) -> u64 {
    let parts = [account.cast_unsigned(), sms_hash(sms), xxh3_64(topic.as_bytes())];
    let place = [i64::from(partition).cast_unsigned(), offset.cast_unsigned()];
    let parts = parts.into_iter().chain(place).chain(index.map(u64::from));
    parts.fold(1, |hash: u64, part| {
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

    /// Returns whether the record at `source` was accepted, so that a word about it is its second.
    pub(super) fn holds(&self, source: Option<Entry>) -> bool {
        source.is_some() && self.0.iter().any(|known| known.source == source)
    }

    /// Returns a number that identifies all reports, in any order.
    pub(super) fn hash(&self) -> u64 {
        self.0.iter().map(|known| known.hash).fold(0, u64::wrapping_add)
    }

    /// Returns the number of reports without an end. Leaves out reports of topics that are no longer inputs.
    pub(super) fn left(&self) -> usize {
        self.0.iter().filter(|known| known.source.is_some() && !known.by_rule).count()
    }

    /// Adds a report. It ends an older report of the same SMS.
    pub(super) fn accept(&mut self, report: Accepted) {
        self.0.retain(|known| (known.account, known.sms) != (report.account, report.sms));
        self.0.push(report);
    }

    /// Removes the report at `source`, which was ignored or became a dead letter. Returns whether it was there.
    pub(super) fn end(&mut self, source: Option<Entry>) -> bool {
        let before = self.0.len();
        self.0.retain(|known| known.source.is_none() || known.source != source);
        self.0.len() < before
    }

    /// Applies a webhook of `phase` that carries the reports of `sms`.
    pub(super) fn carried(&mut self, phase: u8, account: Option<i64>, sms: &[Cow<'_, str>]) {
        let hashes: Vec<u64> = sms.iter().map(|sms| sms_hash(sms)).collect();
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

//! Compares the rows of both changelogs, in whatever order their logs have them.
//!
//! A log may contain several rows of a uuid, and the last one counts. So the hashes of the last rows are kept until a
//! log is read to its end. If they are too many, the uuids are divided into slices, and both logs are read once for
//! each slice.

use super::{Progress, Repartition, RepartitionError, Watch, go_on};
use crate::codec::row;
use crate::domain::{EndpointState, PhononUuid, WebhookName, owner};
use crate::log::{ScanFrom, ScanRange, ScanRecord, Scanned};
use crate::store::RowKey;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The most rows of each changelog whose hashes are in memory together: at most 100 MB for both.
const ROWS_MAX: usize = 1 << 20;
/// The factor by which the slices become more if one is too large.
const SLICES_FACTOR: u64 = 4;

/// The rows of endpoints, by partition.
pub(super) type Endpoints = BTreeMap<(i32, WebhookName), EndpointState>;

/// The result of a comparison that found no difference.
#[derive(Default)]
pub(super) struct Compared {
    /// The number of rows of uuids.
    pub(super) rows: u64,
    /// The endpoints' rows of the former changelog.
    pub(super) former: Endpoints,
    /// The endpoints' rows of the new changelog, which an interrupted run has written.
    pub(super) new: Endpoints,
}

/// The uuids whose hash has this remainder.
#[derive(Clone, Copy)]
struct Slice {
    number: u64,
    of: u64,
}

/// The last rows of the uuids of a slice, as hashes.
struct Live {
    slice: Slice,
    rows_max: usize,
    rows: HashMap<u128, u64>,
    /// The rows in a partition that does not own their uuid.
    misplaced: u64,
}

/// A slice has more rows than fit into memory.
#[derive(Debug, PartialEq, Eq)]
struct TooMany;

impl Live {
    fn new(slice: Slice, rows_max: usize) -> Self {
        Self { slice, rows_max, rows: HashMap::new(), misplaced: 0 }
    }

    /// Takes the row of a uuid; without a value, the row is deleted.
    fn take(
        &mut self,
        uuid: &PhononUuid,
        value: Option<&[u8]>,
        is_misplaced: bool,
    ) -> Result<(), TooMany> {
        let uuid = uuid.as_str().as_bytes();
        let key = xxh3_128(uuid);
        // The map's own hash must not depend on the slice.
        if xxh3_64(uuid).checked_rem(self.slice.of) != Some(self.slice.number) {
            return Ok(());
        }
        self.misplaced += u64::from(is_misplaced);
        match value {
            Some(value) => drop(self.rows.insert(key, xxh3_64(value))),
            None => drop(self.rows.remove(&key)),
        }
        if self.rows.len() > self.rows_max { Err(TooMany) } else { Ok(()) }
    }

    fn differences(&self, new: &Self) -> Differences {
        let mut found = Differences { misplaced: new.misplaced, ..Differences::default() };
        for (key, value) in &self.rows {
            match new.rows.get(key) {
                None => found.missing += 1,
                Some(other) => found.different += u64::from(other != value),
            }
        }
        found.surplus = new.rows.keys().filter(|key| !self.rows.contains_key(*key)).count() as u64;
        found
    }
}

/// The numbers of rows of the new changelog that are wrong.
#[derive(Debug, Default, PartialEq, Eq)]
struct Differences {
    missing: u64,
    different: u64,
    surplus: u64,
    misplaced: u64,
}

impl Repartition {
    /// Compares the rows of the former changelog, whose whole log is `former`, with those of the new one.
    pub(super) fn compare(
        &self,
        former: &[ScanRange],
        watch: Watch<'_>,
    ) -> Result<Compared, RepartitionError> {
        let new =
            self.positions.settled(&self.scanner, &self.new.changelog, ScanFrom::Beginning)?;
        let mut slices = 1;
        loop {
            match self.compare_slices(slices, (former, &new), watch)? {
                Ok(compared) => return Ok(compared),
                Err(TooMany) => slices *= SLICES_FACTOR,
            }
        }
    }

    fn compare_slices(
        &self,
        slices: u64,
        (former, new): (&[ScanRange], &[ScanRange]),
        watch: Watch<'_>,
    ) -> Result<Result<Compared, TooMany>, RepartitionError> {
        let mut compared = Compared::default();
        let spans = |ranges: &[ScanRange]| ranges.iter().map(|it| it.end.abs_diff(it.first)).sum();
        let (one, other): (u64, u64) = (spans(former), spans(new));
        let all = (one + other) * slices;
        for number in 0..slices {
            let (mut theirs, mut ours) =
                [(); 2].map(|()| Live::new(Slice { number, of: slices }, ROWS_MAX)).into();
            let base = (one + other) * number;
            let mut see = |done: u64| watch(Progress::Comparing { done: base + done, all });
            let topic = &self.topics.changelog;
            let read = self.read(topic, former, &mut theirs, &mut compared.former, &mut see)?;
            if read.is_err() {
                return Ok(Err(TooMany));
            }
            let mut see = |done: u64| watch(Progress::Comparing { done: base + one + done, all });
            let topic = &self.new.changelog;
            let read = self.read(topic, new, &mut ours, &mut compared.new, &mut see)?;
            if read.is_err() {
                return Ok(Err(TooMany));
            }
            self.judge(&theirs.differences(&ours))?;
            compared.rows += ours.rows.len() as u64;
        }
        Ok(Ok(compared))
    }

    fn read(
        &self,
        topic: &str,
        ranges: &[ScanRange],
        live: &mut Live,
        endpoints: &mut Endpoints,
        see: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Result<(), TooMany>, RepartitionError> {
        let partitions = (topic == self.new.changelog).then_some(self.request.partitions);
        let mut result: Result<Result<(), TooMany>, RepartitionError> = Ok(Ok(()));
        let _whole = self.scanner.read(topic, ranges, &mut |scanned| {
            result = match scanned {
                Scanned::Progress { done, .. } => go_on(see(done)).map(Ok),
                Scanned::Record(record) => take(topic, record, partitions, live, endpoints),
            };
            if matches!(result, Ok(Ok(()))) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        result
    }

    fn judge(&self, found: &Differences) -> Result<(), RepartitionError> {
        if *found == Differences::default() {
            return Ok(());
        }
        let Differences { missing, different, surplus, misplaced } = found;
        let (old, new) = (&self.topics.changelog, &self.new.changelog);
        Err(RepartitionError::Refused(format!(
            "topic {new} does not have the rows of topic {old}: {missing} rows are missing, {different} differ, {surplus} are \
             too many, {misplaced} are in a wrong partition. Another program has written to it. Nothing was changed for the \
             instances. Delete the topics {new} and {} and run this command again",
            self.new.inbox
        )))
    }
}

fn take(
    topic: &str,
    record: &ScanRecord<'_>,
    partitions: Option<u32>,
    live: &mut Live,
    endpoints: &mut Endpoints,
) -> Result<Result<(), TooMany>, RepartitionError> {
    let partition = record.partition();
    match record.key().and_then(RowKey::parse) {
        Some(RowKey::State(uuid)) => {
            let own = partitions.map(|count| owner(uuid.as_str().as_bytes(), count));
            let is_misplaced = own.is_some_and(|own| own != partition);
            Ok(live.take(&uuid, record.value(), is_misplaced))
        }
        Some(RowKey::Endpoint(webhook)) => {
            let key = (partition, webhook);
            match record.value().map(|value| row::decode_endpoint(&Bytes::copy_from_slice(value))) {
                None => drop(endpoints.remove(&key)),
                Some(Ok(state)) => drop(endpoints.insert(key, state)),
                Some(Err(error)) => {
                    return Err(RepartitionError::Refused(format!(
                        "topic {topic}, partition {partition}, offset {}: the row of an endpoint: {error}",
                        record.offset()
                    )));
                }
            }
            Ok(Ok(()))
        }
        Some(RowKey::Meta) | None => Ok(Ok(())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Log = Vec<(u8, Option<u8>)>;

    fn live(log: &Log, slice: Slice, rows_max: usize) -> Result<Live, TooMany> {
        let mut live = Live::new(slice, rows_max);
        for (uuid, value) in log {
            let uuid = PhononUuid::new(&format!("u-{uuid}")).unwrap();
            live.take(&uuid, value.as_ref().map(std::slice::from_ref), false)?;
        }
        Ok(live)
    }

    /// Returns the sum of the differences in all slices.
    fn differences(one: &Log, other: &Log, of: u64) -> Differences {
        let mut sum = Differences::default();
        for number in 0..of {
            let slice = Slice { number, of };
            let found =
                live(one, slice, 100).unwrap().differences(&live(other, slice, 100).unwrap());
            sum.missing += found.missing;
            sum.different += found.different;
            sum.surplus += found.surplus;
        }
        sum
    }

    /// The same by a map of the rows themselves.
    fn expected(one: &Log, other: &Log) -> Differences {
        let rows = |log: &Log| {
            let mut rows = BTreeMap::new();
            for (uuid, value) in log {
                match value {
                    Some(value) => drop(rows.insert(*uuid, *value)),
                    None => drop(rows.remove(uuid)),
                }
            }
            rows
        };
        let (one, other) = (rows(one), rows(other));
        let mut found = Differences::default();
        for (uuid, value) in &one {
            match other.get(uuid) {
                None => found.missing += 1,
                Some(theirs) => found.different += u64::from(theirs != value),
            }
        }
        found.surplus = other.keys().filter(|uuid| !one.contains_key(uuid)).count() as u64;
        found
    }

    fn log() -> impl Strategy<Value = Log> {
        proptest::collection::vec((0..12_u8, proptest::option::of(0..3_u8)), 0..40)
    }

    proptest! {
        #[test]
        fn differences_are_those_of_the_last_rows_in_any_number_of_slices(
            one in log(), other in log(), of in 1..6_u64,
        ) {
            prop_assert_eq!(differences(&one, &other, of), expected(&one, &other));
            prop_assert_eq!(differences(&one, &one, of), Differences::default());
        }
    }

    #[test]
    fn a_slice_with_too_many_rows_says_so() {
        let log: Log = (0..5).map(|uuid| (uuid, Some(0))).collect();
        let whole = Slice { number: 0, of: 1 };
        assert!(live(&log, whole, 5).is_ok());
        assert_eq!(live(&log, whole, 4).err(), Some(TooMany));
        let deleted: Log = (0..5).flat_map(|uuid| [(uuid, Some(0)), (uuid, None)]).collect();
        assert!(live(&deleted, whole, 1).is_ok(), "deleted rows need no memory");
    }

    #[test]
    fn rows_in_a_wrong_partition_are_counted_even_if_they_are_deleted_later() {
        let whole = Slice { number: 0, of: 1 };
        let (former, mut new) = (Live::new(whole, 9), Live::new(whole, 9));
        let uuid = PhononUuid::new("u-1").unwrap();
        new.take(&uuid, Some(b"row"), true).unwrap();
        new.take(&uuid, None, false).unwrap();
        let wanted = Differences { misplaced: 1, ..Differences::default() };
        assert_eq!(former.differences(&new), wanted);
    }
}

//! Every version reads the rows, stores and changelogs of all earlier versions. They are kept in `tests/fixtures`, one
//! folder per version that changed any of them. A folder is never changed.

mod fixture;
mod forwarded;
mod rows;
mod shown;

use super::{BULK_BYTES, Restored, Target, Wanted};
use crate::codec::row::{self, RowError};
use crate::domain::{PhononUuid, Timestamp};
use crate::store::{Checkpoint, DueKey, Partition, Rocks, RowKey, Store, StoreError, WriteBack};
use bytes::Bytes;
use fixture::{Change, FIXTURES, Fixture};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Returns a target on the store in `directory`.
fn target(directory: &Path) -> (Store, Target<Rocks>) {
    let store = Store::open(directory).unwrap();
    let partition = store.partition(0).unwrap();
    (
        store,
        Target::new(Wanted { partition, places: Vec::new(), is_held: false }, BULK_BYTES).unwrap(),
    )
}

/// Takes the changes as a restore does. The first one has the offset `offset`.
fn take(target: &mut Target<Rocks>, offset: i64, changes: &[Change]) -> Result<(), StoreError> {
    let mut changes = (offset..).zip(changes);
    changes.try_for_each(|(offset, change)| {
        assert_eq!(offset, change.offset);
        target.row(offset, &change.key, change.value.as_deref())
    })
}

/// Returns everything that can be read of a partition, one value per line.
fn content(partition: &Partition, restored: &Restored, keys: &BTreeSet<Vec<u8>>) -> Vec<String> {
    let mut lines = Vec::new();
    for key in keys {
        if let Some(RowKey::State(uuid)) = RowKey::parse(key)
            && let Some(row) = partition.row(&uuid).unwrap()
        {
            let state = row::decode_state(&row).unwrap();
            lines.extend(shown::lines(&format!("state {uuid}"), &shown::state(&state)));
        }
    }
    for (webhook, endpoint) in &restored.endpoints {
        lines.extend(shown::lines(&format!("endpoint {webhook}"), &shown::endpoint(endpoint)));
    }
    let meta = row::decode_meta(&partition.meta().unwrap().unwrap()).unwrap();
    lines.extend(shown::lines("meta", &shown::meta(&meta)));
    lines.extend(shown::lines("tally", &shown::tally(&restored.checkpoint.tally)));
    for ((webhook, class), (rows, first)) in &restored.backlogs {
        lines.push(format!("lane {webhook} {class:?} = {rows} from {:?}", first.due.as_ms()));
        for due in partition.due(webhook, DueKey::first(*class)) {
            let (key, uuid) = due.unwrap();
            lines.push(format!("due {webhook} {class:?} {} {} = {uuid}", key.due.as_ms(), key.id));
        }
    }
    let (ever, never) = (Timestamp::from_ms(i64::MIN), Timestamp::from_ms(i64::MAX - 1));
    for timer in partition.timers(ever, never) {
        let timer = timer.unwrap();
        lines.push(format!("timer {} = {}", timer.due.as_ms(), timer.uuid));
    }
    for flow in partition.awaiting(ever) {
        let flow = flow.unwrap();
        lines.push(format!("awaiting reports since {} = {}", flow.since.as_ms(), flow.uuid));
    }
    lines
}

fn finished(target: Target<Rocks>, changes: &[Change], next_offset: i64) -> Vec<String> {
    let partition = target.partition.clone();
    let restored = target.finished(next_offset).unwrap();
    assert_eq!(restored.checkpoint.next_offset, next_offset);
    content(&partition, &restored, &changes.iter().map(|change| change.key.clone()).collect())
}

/// Returns the content of an empty store after a restore of the changes.
fn restored_from_nothing(changes: &[Change]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let (_store, mut target) = target(directory.path());
    take(&mut target, 0, changes).unwrap();
    finished(target, changes, signed(changes.len()))
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap()
}

/// Checks that every line that was expected when the fixture was made is present. The newest fixture must have no other
/// lines.
#[track_caller]
fn assert_expected(fixture: &Fixture, lines: &[String]) {
    let expected = fixture.expected();
    let missing: Vec<_> = expected.iter().filter(|line| !lines.contains(line)).collect();
    assert!(
        missing.is_empty(),
        "version {} has another content now: {missing:#?}",
        fixture.version
    );
    if fixture.is_newest() {
        let more: Vec<_> = lines.iter().filter(|line| !expected.contains(line)).collect();
        assert!(more.is_empty(), "make a fixture of the version that writes these: {more:#?}");
    }
}

#[test]
fn no_fixture_has_changed() {
    for fixture in FIXTURES {
        fixture.assert_unchanged();
    }
    let folders = fixture::folders();
    assert_eq!(folders, FIXTURES.iter().map(|fixture| fixture.version).collect::<Vec<_>>());
}

#[test]
fn rows_of_every_version_read_as_they_were_written() {
    for fixture in FIXTURES {
        assert_expected(fixture, &restored_from_nothing(&fixture.changes()));
    }
}

#[test]
fn stores_of_every_version_open_and_continue_with_the_changelog() {
    for fixture in FIXTURES {
        let changes = fixture.changes();
        let directory = fixture.copy_of_store();
        let (_store, mut target) = target(directory.path());
        let next = target.checkpoint.next_offset;
        let (before, behind) = changes.split_at(usize::try_from(next).unwrap());
        assert!(!behind.is_empty(), "the changelog is longer than the store");
        // A store with another layout is not continued, but restored from nothing.
        assert!(!before.is_empty() || !fixture.is_newest());
        take(&mut target, next, behind).unwrap();
        assert_expected(fixture, &finished(target, &changes, signed(changes.len())));
    }
}

#[test]
fn stores_of_every_version_equal_a_restore_of_their_part_of_the_changelog() {
    for fixture in FIXTURES {
        let directory = fixture.copy_of_store();
        let (_store, target) = target(directory.path());
        let next = target.checkpoint.next_offset;
        if next == 0 {
            continue;
        }
        let before = &fixture.changes()[..usize::try_from(next).unwrap()];
        assert_eq!(finished(target, before, next), restored_from_nothing(before));
    }
}

/// A new variant in `rows` has to be in a fixture: otherwise no later version would be tested with it.
#[test]
fn the_newest_fixture_is_what_this_version_writes() {
    let (changes, _) = rows::changes();
    assert_eq!(restored_from_nothing(&changes), FIXTURES.last().unwrap().expected());
}

/// The checkpoint of a write never exceeds the rows that are written.
#[test]
fn a_killed_restore_continues_where_its_rows_end() {
    let (small, _) = rows::changes();
    let known = small.len();
    let changes = rows::large(small, 10);
    let expected = restored_from_nothing(&changes);
    let directory = tempfile::tempdir().unwrap();
    let (store, mut first) = target(directory.path());
    take(&mut first, 0, &changes[..known]).unwrap();
    let _ = first.finished(signed(known)).unwrap();
    drop(store);
    let (store, mut killed) = target(directory.path());
    take(&mut killed, signed(known), &changes[known..]).unwrap();
    drop((killed, store));
    let (_store, mut last) = target(directory.path());
    let next = last.checkpoint.next_offset;
    assert!((signed(known) + 1..signed(changes.len())).contains(&next), "{known}, {next}");
    take(&mut last, next, &changes[usize::try_from(next).unwrap()..]).unwrap();
    assert_eq!(finished(last, &changes, signed(changes.len())), expected);
}

/// A restore may be interrupted after any record. It continues with the durable rows, and has the same result.
#[test]
fn a_restore_in_two_parts_has_the_same_result() {
    for fixture in FIXTURES {
        let changes = fixture.changes();
        for cut in (1..changes.len()).step_by(5) {
            let directory = tempfile::tempdir().unwrap();
            let (before, behind) = changes.split_at(cut);
            // The meta row comes before every cut, as it does in a commit.
            let (store, mut first) = target(directory.path());
            take(&mut first, 0, before).unwrap();
            let _ = first.finished(signed(cut)).unwrap();
            drop(store);
            let (_store, mut second) = target(directory.path());
            assert_eq!(second.checkpoint.next_offset, signed(cut));
            take(&mut second, signed(cut), behind).unwrap();
            assert_expected(fixture, &finished(second, &changes, signed(changes.len())));
        }
    }
}

/// Returns a row with an unknown schema.
fn newer_row() -> Vec<u8> {
    [&[0xc3, 1][..], &0xfeed_u64.to_le_bytes(), &[0, 0]].concat()
}

/// Returns the errors of two restores, from nothing and from a store, if the changelog has one more record. The store's
/// old content stays.
fn refusals(key: &[u8], value: &[u8]) -> [String; 2] {
    let fixture = FIXTURES.last().unwrap();
    let mut changes = fixture.changes();
    let offset = signed(changes.len());
    changes.push(Change { offset, key: key.to_vec(), value: Some(value.to_vec()) });
    let empty = tempfile::tempdir().unwrap();
    [empty, fixture.copy_of_store()].map(|directory| {
        let (store, mut target) = target(directory.path());
        let next = target.checkpoint.next_offset;
        let taken = take(&mut target, next, &changes[usize::try_from(next).unwrap()..]);
        let end = taken.and_then(|()| target.finished(offset + 1).map(|_| ()));
        let error = end.expect_err("a newer version's record is refused");
        // The store may contain the record only in its original form, which the newer version can read. Rows that
        // indexes depend on are parsed before they are written.
        let partition = store.partition(0).unwrap();
        if partition.checkpoint().unwrap().next_offset > offset {
            let meta = partition.meta().unwrap().unwrap();
            assert!(key.starts_with(b"e") || (key == b"m" && *meta == *value));
        }
        assert!(matches!(error, StoreError::Newer { partition: 0, .. }), "{error:?}");
        error.to_string()
    })
}

#[test]
fn rows_of_a_newer_version_are_refused_by_name_and_kept() {
    for (key, what) in [
        (&b"sopen-waiting"[..], "the row of open-waiting"),
        (b"snew", "the row of new"),
        (b"ecrm", "the row of the endpoint crm"),
        (b"m", "the meta row"),
    ] {
        for error in refusals(key, &newer_row()) {
            assert!(error.contains(what) && error.contains("000000000000feed"), "{error}");
            assert!(error.contains("newer version") && error.contains("run"), "{error}");
        }
    }
    for error in refusals(b"xkey", b"value") {
        assert!(error.contains("the changelog's record") && error.contains("newer"), "{error}");
    }
}

/// A store in use that meets such a row returns the same error.
#[test]
fn a_newer_row_in_the_store_is_refused_too() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let partition = store.partition(0).unwrap();
    let uuid = PhononUuid::new("u").unwrap();
    let mut batch = partition.batch(0);
    let nothing = crate::store::Derived::default();
    batch.put(&partition, &uuid, &nothing, &nothing, &newer_row());
    partition.commit(&mut batch).unwrap();
    let rows = WriteBack::new(partition, Checkpoint::default(), &BTreeMap::new(), BTreeMap::new());
    assert!(matches!(rows.state(&uuid), Err(StoreError::Newer { .. })));
}

#[test]
fn a_damaged_row_is_not_reported_as_a_newer_one() {
    let cut = Bytes::from_static(&[0xc3, 1, 0]);
    assert!(matches!(row::decode_state(&cut), Err(RowError::NotARow)));
    let directory = tempfile::tempdir().unwrap();
    let (_store, mut target) = target(directory.path());
    target.row(0, b"su", Some(&cut)).unwrap();
    let Err(error) = target.finished(1) else { panic!("the row is damaged") };
    // The changelog is at fault: another store would be restored from the same row.
    assert!(matches!(error, StoreError::Changelog { .. }), "{error:?}");
}

/// `RINGBACK_FIXTURE=2 cargo test --release --lib -- --ignored a_new_fixture_is_written`
#[test]
#[ignore = "it writes what this version writes: see tests/fixtures/README.md"]
fn a_new_fixture_is_written() {
    let version = std::env::var("RINGBACK_FIXTURE").expect("RINGBACK_FIXTURE names the version");
    let (changes, split) = rows::changes();
    let directory = tempfile::tempdir().unwrap();
    {
        let (_store, mut target) = target(directory.path());
        take(&mut target, 0, &changes[..split]).unwrap();
        let _ = target.finished(signed(split)).unwrap();
    }
    let expected = restored_from_nothing(&changes);
    fixture::write(&version, &changes, &expected, directory.path());
}

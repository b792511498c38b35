//! When a store is set aside, how often, and when not.

use super::OnCorruption;
use crate::domain::Timestamp;
use crate::store::damage::Mark;
use crate::store::damage::tests::{filled, flip, found};
use crate::store::{Store, StoreError, Why, copies, set_aside};
use crate::telemetry::Metrics;
use std::path::Path;

fn open(directory: &Path, on: OnCorruption) -> Result<(), StoreError> {
    Store::open_or_restore(directory, on, &Metrics::new(&[])).map(drop)
}

fn open_at(directory: &Path, now: Timestamp) -> Result<(), StoreError> {
    Store::recover(directory, OnCorruption::Restore, &Metrics::new(&[]), now).map(drop)
}

fn damage(directory: &Path) {
    for list in found(directory, "MANIFEST-") {
        flip(&list);
    }
}

#[test]
fn a_damaged_store_makes_room_for_a_new_one_or_stops_the_process() {
    let parent = tempfile::tempdir().unwrap();
    let store = parent.path().join("data");
    let metrics = Metrics::new(&[]);
    let counted = || {
        let text = metrics.render(crate::telemetry::Format::Text, Timestamp::from_ms(0));
        text.contains("ringback_store_corruptions_total 1")
    };
    filled(&store);
    open(&store, OnCorruption::Restore).unwrap();
    assert_eq!(copies(&store), [], "it is intact");
    damage(&store);
    let error = open(&store, OnCorruption::Stop).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("on_corruption") && text.contains("move the directory away"), "{text}");
    assert!(copies(&store).is_empty() && !counted());
    let opened = Store::open_or_restore(&store, OnCorruption::Restore, &metrics).unwrap();
    assert_eq!(opened.partition(0).unwrap().rows().count(), 0);
    assert!(copies(&store).len() == 1 && counted());
}

#[test]
fn a_marked_store_is_set_aside_even_if_it_can_be_opened() {
    let parent = tempfile::tempdir().unwrap();
    let store = parent.path().join("data");
    filled(&store);
    let corrupt = StoreError::Corrupt { partition: 0, what: "a row".to_owned() };
    Store::open(&store).unwrap().mark(&corrupt);
    let error = open(&store, OnCorruption::Stop).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    open(&store, OnCorruption::Restore).unwrap();
    open(&store, OnCorruption::Restore).unwrap();
    assert_eq!(copies(&store).len(), 1, "and only once");
}

#[test]
fn a_third_damage_within_an_hour_is_not_restored_and_after_it_the_oldest_copy_goes() {
    let parent = tempfile::tempdir().unwrap();
    let store = parent.path().join("data");
    let at = Timestamp::from_ms;
    for minute in 0..2 {
        filled(&store);
        damage(&store);
        open_at(&store, at(minute * 60_000)).unwrap();
    }
    filled(&store);
    damage(&store);
    let error = open_at(&store, at(3_599_999)).unwrap_err();
    let text = error.to_string();
    let before = copies(&store);
    assert!(matches!(error, StoreError::Repeatedly { .. }) && text.contains("disk"), "{text}");
    assert!(
        before.len() == 2 && before.iter().all(|copy| text.contains(copy.path.to_str().unwrap()))
    );
    // A copy that an operator wanted must not be removed.
    let other = parent.path().join("other");
    filled(&other);
    let replaced = set_aside(&other, Why::Replaced, "", at(0)).unwrap().copy;
    let kept = parent.path().join("data.replaced-19600101T000000.000Z");
    std::fs::rename(replaced, &kept).unwrap();
    open_at(&store, at(3_600_000)).unwrap();
    let after = copies(&store);
    assert!(after.len() == 3 && after[0].path == kept && after[1] == before[1], "{after:?}");
}

/// A move that was begun is finished: half of the store is already aside, so there is no store to leave alone.
#[test]
fn a_move_that_was_begun_is_finished_under_every_setting_and_after_repeated_damage() {
    for on in [OnCorruption::Restore, OnCorruption::Stop] {
        let parent = tempfile::tempdir().unwrap();
        let store = parent.path().join("data");
        let at = Timestamp::from_ms;
        for minute in 0..2 {
            filled(&store);
            damage(&store);
            open_at(&store, at(minute * 60_000)).unwrap();
        }
        filled(&store);
        let into = "damaged-19700101T000200.000Z";
        let mark = Mark { says: "bits are flipped".to_owned(), into: Some(into.to_owned()) };
        mark.write(&store, at(120_000)).unwrap();
        let opened = Store::recover(&store, on, &Metrics::new(&[]), at(180_000));
        assert_eq!(opened.unwrap().partition(0).unwrap().rows().count(), 0, "{on:?}");
        assert!(copies(&store).iter().any(|copy| copy.path == store.join(into)), "{on:?}");
    }
}

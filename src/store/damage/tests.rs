//! RocksDB's texts for damage and for other errors.

use super::{MARK, Mark, SURROUNDINGS, damage_known, is_shown_by};
use crate::domain::{PhononUuid, Timestamp};
use crate::store::{Derived, Store, StoreError, StoreView};
use crate::telemetry::with_causes;
use std::path::{Path, PathBuf};

/// Creates a store with rows in tables.
pub(in crate::store) fn filled(directory: &Path) {
    let store = Store::open(directory).unwrap();
    for number in 0..2 {
        let partition = store.partition(number).unwrap();
        let mut batch = partition.batch(0);
        for n in 0..200 {
            let uuid = PhononUuid::new(&format!("uuid-{number}-{n}")).unwrap();
            let nothing = Derived::default();
            batch.put(&partition, &uuid, &nothing, &nothing, format!("row {n} {n}").as_bytes());
        }
        partition.commit(&mut batch).unwrap();
        partition.flush().unwrap();
    }
}

/// Returns the files of a store whose names begin or end with `part`.
pub(in crate::store) fn found(directory: &Path, part: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(part) || name.ends_with(part)
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no {part}");
    found
}

/// Flips bits in the middle of a file.
pub(in crate::store) fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    let end = bytes.len().min(middle + 16);
    for byte in &mut bytes[middle..end] {
        *byte ^= 0x55;
    }
    std::fs::write(path, bytes).unwrap();
}

fn cut(path: &Path) {
    let length = std::fs::metadata(path).unwrap().len();
    std::fs::File::options().write(true).open(path).unwrap().set_len(length / 2).unwrap();
}

/// Opens the store and reads all of it, as a daemon and as `verify`.
fn read_all(directory: &Path) -> Result<(), StoreError> {
    if let Some(view) = StoreView::open(directory)? {
        for number in view.partitions() {
            view.read(*number, &mut |_, _| {})?;
        }
    }
    let store = Store::open(directory)?;
    for number in 0..2 {
        for row in store.partition(number)?.rows() {
            row?;
        }
    }
    Ok(())
}

#[test]
fn rocksdbs_text_shows_each_kind_of_damage() {
    type Damage = (&'static str, fn(&Path));
    const DAMAGES: [Damage; 8] = [
        ("bits of a table are flipped", |store| {
            found(store, ".sst").iter().for_each(|it| flip(it))
        }),
        ("a table is cut", |store| cut(&found(store, ".sst")[0])),
        ("a table is gone", |store| std::fs::remove_file(&found(store, ".sst")[0]).unwrap()),
        ("a table is empty", |store| std::fs::write(&found(store, ".sst")[0], "").unwrap()),
        ("bits of the list are flipped", |store| flip(&found(store, "MANIFEST-")[0])),
        ("the list is gone", |store| std::fs::remove_file(&found(store, "MANIFEST-")[0]).unwrap()),
        ("CURRENT is empty", |store| std::fs::write(store.join("CURRENT"), "").unwrap()),
        ("CURRENT is noise", |store| std::fs::write(store.join("CURRENT"), [7; 40]).unwrap()),
    ];
    for (what, damage) in DAMAGES {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path());
        read_all(directory.path()).unwrap();
        damage(directory.path());
        let error = read_all(directory.path()).expect_err(what);
        assert!(error.is_damage(), "{what}: {error:?}");
        println!("{what}: {}", with_causes(&error));
    }
}

/// RocksDB would take it for a new store, and delete the present files.
#[test]
fn a_store_without_current_is_known_to_be_damaged_and_a_new_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(damage_known(directory.path()), None);
    drop(Store::open(directory.path()).unwrap());
    // A store has this form while it is created: CURRENT is the first file that counts.
    std::fs::remove_file(directory.path().join("CURRENT")).unwrap();
    found(directory.path(), ".log").iter().for_each(|log| std::fs::remove_file(log).unwrap());
    assert_eq!(damage_known(directory.path()), None);
    filled(directory.path());
    assert_eq!(damage_known(directory.path()), None);
    std::fs::remove_file(directory.path().join("CURRENT")).unwrap();
    assert!(damage_known(directory.path()).unwrap().contains("no file CURRENT"));
}

/// The store's own log is empty, so a torn end after a power cut or damage anywhere in it loses nothing.
#[test]
fn a_torn_or_invalid_log_is_not_damage() {
    for noise in [&b""[..], &[7; 40], b"\x01\x02\x03\x04\x40\x00\x01torn off in the mid"] {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path());
        {
            let store = Store::open(directory.path()).unwrap();
            store.partition(0).unwrap().clear().unwrap();
        }
        for log in found(directory.path(), ".log") {
            assert_eq!(std::fs::metadata(&log).unwrap().len(), 0, "something is logged");
            std::fs::write(log, noise).unwrap();
        }
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.partition(0).unwrap().rows().count(), 0);
        assert_eq!(store.partition(1).unwrap().rows().count(), 200);
    }
}

#[test]
fn an_error_that_another_store_would_also_have_is_not_damage() {
    let directory = tempfile::tempdir().unwrap();
    let open = Store::open(directory.path()).unwrap();
    let error = Store::open(directory.path()).map(|_| ()).expect_err("it is open");
    assert!(!error.is_damage(), "{error:?}");
    drop(open);
    let within = directory.path().join("file");
    std::fs::write(&within, "no directory").unwrap();
    assert_eq!(damage_known(&within), None, "a file in the directory's place");
    for nowhere in [&within, &within.join("below"), Path::new("/proc/no/such/place")] {
        let error = Store::open(nowhere).map(|_| ()).expect_err("it can't be made");
        assert!(!error.is_damage(), "{error:?}");
    }
    // RocksDB's texts for files and systems that a test can't create.
    const SAID: [&str; 10] = [
        "Corruption: Can't access /000012.sst: IO error: Permission denied: while stat a file for size: s/000012.sst",
        "Corruption: Can't access /000012.sst: IO error: Input/output error: while stat a file for size: s/000012.sst",
        "Corruption: Can't access /000012.sst: IO error: Some new error: while stat a file for size: s/000012.sst",
        "IO error: Too many open files: While open a file for random read: s/000012.sst",
        "IO error: Input/output error: While pread offset 0 len 4096: s/000012.sst",
        "IO error: No space left on device: While appending to file: s/000012.sst",
        "IO error: No such file or directory: While open a file for appending: s/scratch/0.sst",
        "IO error: While lock file: s/LOCK: Resource temporarily unavailable",
        "Corruption: Unknown Footer version. Maybe this file was created with newer version of RocksDB?",
        "Invalid argument: Column families not opened: partition-0",
    ];
    for said in SAID {
        assert!(!is_shown_by(said), "{said}");
    }
    // However RocksDB wraps the text, and even without "IO error".
    for words in SURROUNDINGS {
        let said = format!("Corruption: Can't access /000012.sst: {words}");
        assert!(!is_shown_by(&said), "{said}");
        let said = format!("IO error: No such file: stat a file for size: s/000012.sst: {words}");
        assert!(!is_shown_by(&said), "{said}");
    }
}

/// RocksDB's texts when it opens a table, reads a manifest, or checks the size of a file.
#[test]
fn a_missing_file_that_rocksdb_knows_of_is_damage() {
    for said in [
        "IO error: No such file or directory: While open a file for random read: s/000012.sst: No such file or directory",
        "IO error: No such file or directory: While opening a file for sequentially reading: s/MANIFEST-000004",
        "IO error: No such file or directory: while stat a file for size: s/000012.sst: No such file or directory",
    ] {
        assert!(is_shown_by(said), "{said}");
    }
}

#[test]
fn a_mark_is_left_for_damage_only_and_is_known_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.mark(&StoreError::Newer { partition: 1, what: "a row".to_owned() });
    store.mark(&StoreError::Changelog { partition: 1, what: "a row".to_owned() });
    assert_eq!(damage_known(directory.path()), None);
    store.mark(&StoreError::Corrupt { partition: 1, what: "the row of u".to_owned() });
    assert!(damage_known(directory.path()).unwrap().contains("the row of u"));
    // A crash of the machine may leave an empty mark.
    std::fs::write(directory.path().join(MARK), "").unwrap();
    assert!(damage_known(directory.path()).unwrap().contains("can't be read"));
    let moving = Mark { says: "x".to_owned(), into: Some("damaged-1".to_owned()) };
    moving.write(directory.path(), Timestamp::from_ms(0)).unwrap();
    assert_eq!(Mark::read(directory.path()), Some(moving));
}

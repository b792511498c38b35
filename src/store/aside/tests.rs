//! However a store is moved, the copy is complete, nothing of the store is left behind, and no other file has moved.

use super::{Aside, MARK, Mark, NOTE, Why, copies, copy_name, copy_of, set_aside};
use crate::domain::Timestamp;
use crate::store::damage::tests::{filled, found};
use crate::store::{Store, StoreError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_123);
const NAME: &str = "damaged-20231114T221320.123Z";

fn damaged(directory: &Path) -> PathBuf {
    set_aside(directory, Why::Damaged, "bits are flipped", NOW).unwrap().copy
}

/// Checks that the store has moved to `copy` as a whole, and that a new one can take its place.
#[track_caller]
fn assert_moved(directory: &Path, copy: &Path) {
    let rows = |directory: &Path, number| {
        let store = Store::open(directory).unwrap();
        store.partition(number).unwrap().rows().count()
    };
    assert_eq!((rows(copy, 0), rows(copy, 1)), (200, 200));
    assert_eq!((rows(directory, 0), rows(directory, 1)), (0, 0));
    assert!(std::fs::read_to_string(copy.join(NOTE)).unwrap().contains("bits are flipped"));
    assert!(!copy.join(MARK).exists() && !directory.join(MARK).exists());
    assert_eq!(copies(directory), [Aside { path: copy.to_owned(), why: Why::Damaged, at: NOW }]);
}

#[test]
fn a_directory_with_only_a_store_is_renamed_and_created_again_with_its_permissions() {
    let parent = tempfile::tempdir().unwrap();
    let store = parent.path().join("data");
    filled(&store);
    std::fs::set_permissions(&store, std::fs::Permissions::from_mode(0o700)).unwrap();
    let copy = damaged(&store);
    assert_eq!(copy, parent.path().join(format!("data.{NAME}")));
    assert_eq!(std::fs::metadata(&store).unwrap().permissions().mode() & 0o777, 0o700);
    assert_moved(&store, &copy);
}

#[test]
fn another_copy_in_the_same_millisecond_gets_a_name_of_its_own() {
    let parent = tempfile::tempdir().unwrap();
    let store = parent.path().join("data");
    filled(&store);
    let first = damaged(&store);
    filled(&store);
    let second = damaged(&store);
    assert_eq!(second, parent.path().join("data.damaged-20231114T221320.124Z"));
    let paths: Vec<PathBuf> = copies(&store).into_iter().map(|copy| copy.path).collect();
    assert_eq!(paths, [first, second]);
}

#[test]
fn a_store_beside_other_files_is_moved_into_a_directory() {
    let parent = tempfile::tempdir().unwrap();
    let store = parent.path().join("data");
    filled(&store);
    std::fs::create_dir(store.join("lost+found")).unwrap();
    std::fs::write(store.join("notes.txt"), "mine").unwrap();
    let copy = damaged(&store);
    assert_eq!(copy, store.join(NAME));
    assert!(store.join("lost+found").exists() && store.join("notes.txt").exists());
    assert_moved(&store, &copy);
}

#[test]
fn a_link_is_kept_and_the_store_is_moved_within_its_target() {
    let parent = tempfile::tempdir().unwrap();
    let (disk, store) = (parent.path().join("disk"), parent.path().join("data"));
    filled(&disk);
    std::os::unix::fs::symlink(&disk, &store).unwrap();
    let copy = damaged(&store);
    assert!(store.is_symlink() && disk.join(NAME).join("CURRENT").exists());
    assert_moved(&store, &copy);
}

/// However many files have moved before a kill, the rest follows to the same place. A different reason at the second
/// call changes nothing.
#[test]
fn an_interrupted_move_is_finished() {
    let parent = tempfile::tempdir().unwrap();
    for moved in 0..=count_of_files() {
        let store = parent.path().join(format!("data-{moved}"));
        filled(&store);
        let mut names: Vec<PathBuf> = found(&store, "");
        // The lock is moved last.
        names.sort_by_key(|name| name.ends_with("LOCK"));
        let copy = store.join(NAME);
        let mark = Mark { says: "bits are flipped".to_owned(), into: Some(NAME.to_owned()) };
        mark.write(&store, NOW).unwrap();
        if moved > 0 {
            std::fs::create_dir(&copy).unwrap();
        }
        for name in names.iter().take(moved) {
            std::fs::rename(name, copy.join(name.file_name().unwrap())).unwrap();
        }
        let later = NOW.plus_ms(5000);
        let aside = set_aside(&store, Why::Replaced, "bits are flipped", later).unwrap();
        assert_eq!((&aside.copy, aside.why), (&copy, Why::Damaged), "{moved}");
        drop(aside);
        assert_moved(&store, &copy);
    }
}

/// A process that can write a mark must not choose the place where files go.
#[test]
fn a_mark_with_a_foreign_name_does_not_decide_the_place() {
    let parent = tempfile::tempdir().unwrap();
    let store = parent.path().join("data");
    let absolute = parent.path().join("elsewhere");
    for elsewhere in ["../elsewhere", absolute.to_str().unwrap(), "elsewhere", ""] {
        filled(&store);
        let into = Some(elsewhere.to_owned());
        let mark = Mark { says: "bits are flipped".to_owned(), into };
        mark.write(&store, NOW).unwrap();
        let copy = damaged(&store);
        assert_eq!(copy, parent.path().join(format!("data.{NAME}")), "{elsewhere}");
        std::fs::remove_dir_all(copy).unwrap();
        std::fs::remove_dir_all(&store).unwrap();
    }
}

/// The test needs another process, since RocksDB's lock belongs to the process.
#[test]
fn a_store_that_another_process_has_open_is_not_moved() {
    const INSIDE: &str = "RINGBACK_TEST_STORE";
    if let Ok(store) = std::env::var(INSIDE) {
        let error = set_aside(Path::new(&store), Why::Damaged, "x", NOW).unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }), "{error:?}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let open = Store::open(directory.path()).unwrap();
    let before = found(directory.path(), "").len();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let name = "store::aside::tests::a_store_that_another_process_has_open_is_not_moved";
    command.args(["--exact", name, "--test-threads=1"]).env(INSIDE, directory.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!((copies(directory.path()), found(directory.path(), "").len()), (vec![], before));
    drop(open);
}

fn count_of_files() -> usize {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    found(directory.path(), "").len()
}

#[test]
fn files_that_are_not_a_stores_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("CURRENT"), "mine").unwrap();
    std::fs::write(directory.path().join("notes.txt"), "mine").unwrap();
    let error = set_aside(directory.path(), Why::Damaged, "CURRENT is noise", NOW).unwrap_err();
    assert!(matches!(error, StoreError::NoStore { .. }), "{error:?}");
    assert_eq!(found(directory.path(), "").len(), 2);
    assert_eq!(copies(directory.path()), []);
}

#[test]
fn the_name_of_a_copy_says_why_and_when() {
    assert_eq!(copy_name(Why::Damaged, NOW), NAME);
    for why in Why::ALL {
        assert_eq!(copy_of(&copy_name(why, NOW)), Some((why, NOW)));
    }
    for other in [
        "damaged-",
        "damaged-2023",
        "damaged",
        "../damaged-20231114T221320.123Z",
        "lost-20231114T221320.123Z",
    ] {
        assert_eq!(copy_of(other), None, "{other}");
    }
}

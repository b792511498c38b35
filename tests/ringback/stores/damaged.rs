//! A store with damaged files is set aside, and a new one is restored from the changelog: nothing is lost or sent
//! twice.

use super::failing;
use crate::harness::daemon::{Daemon, Done};
use crate::harness::disk::Disk;
use crate::harness::samples::Random;
use crate::harness::stage::Stage;
use crate::harness::verify::report;
use crate::harness::{PATIENCE, invariants, wait_until};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const FAILED: i32 = 1;
pub(crate) const SET_ASIDE: &str = "the store is damaged: it is set aside";

/// A kind of damage. `counts` says whether the store must be replaced.
struct Damage {
    name: &'static str,
    done: fn(&Path),
    counts: bool,
}

const DAMAGES: [Damage; 10] = [
    Damage { name: "table-flipped", done: |store| each(store, ".sst", flip), counts: true },
    Damage { name: "table-cut", done: |store| each(store, ".sst", cut), counts: true },
    Damage { name: "table-gone", done: |store| remove(&found(store, ".sst")[0]), counts: true },
    Damage { name: "list-flipped", done: |store| each(store, "MANIFEST-", flip), counts: true },
    Damage { name: "list-gone", done: |store| each(store, "MANIFEST-", remove), counts: true },
    Damage { name: "current-cut", done: |store| each(store, "CURRENT", cut), counts: true },
    Damage {
        name: "current-empty",
        done: |store| each(store, "CURRENT", noise_of::<0>),
        counts: true,
    },
    Damage { name: "current-gone", done: |store| each(store, "CURRENT", remove), counts: true },
    // The daemon does not need the content of these files.
    Damage { name: "log-noise", done: |store| each(store, ".log", noise_of::<300>), counts: false },
    Damage {
        name: "options-noise",
        done: |store| each(store, "OPTIONS-", noise_of::<300>),
        counts: false,
    },
];

fn found(store: &Path, part: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(store).expect("a store").map_while(Result::ok);
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
        name.starts_with(part) || name.ends_with(part)
    };
    let found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_one).collect();
    assert!(!found.is_empty(), "there is no {part}");
    found
}

pub(crate) fn each(store: &Path, part: &str, damage: fn(&Path)) {
    found(store, part).iter().for_each(|path| damage(path));
}

pub(crate) fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes.iter_mut().skip(middle).take(16).for_each(|byte| *byte ^= 0x55);
    std::fs::write(path, bytes).expect("the file can be written");
}

fn cut(path: &Path) {
    let bytes = std::fs::read(path).expect("a file");
    std::fs::write(path, &bytes[..bytes.len() / 2]).expect("the file can be written");
}

fn remove(path: &Path) {
    std::fs::remove_file(path).expect("a file to remove");
}

fn noise_of<const BYTES: usize>(path: &Path) {
    std::fs::write(path, [0x5a; BYTES]).expect("the file can be written");
}

/// A few cases run at a time, because each spends most of its time waiting.
#[test]
fn each_damaged_store_is_set_aside_and_restored() {
    for some in DAMAGES.chunks(3) {
        std::thread::scope(|scope| {
            for damage in some {
                // A panic's message contains the thread's name.
                let thread = std::thread::Builder::new().name(damage.name.to_owned());
                thread.spawn_scoped(scope, || restored(damage)).expect("a thread");
            }
        });
    }
}

fn restored(damage: &Damage) {
    let scene = Scene::open(&format!("damaged-{}", damage.name));
    let store = scene.store.clone();
    (damage.done)(&store);
    let broken = scene.stage.verified(0, &[]);
    assert_eq!(is_named(&broken), damage.counts, "{}: {broken:?}", damage.name);
    if !damage.counts {
        let daemon = scene.stage.start();
        assert_eq!(daemon.metric("ringback_store_corruptions_total", &[]), Some(0.0));
        scene.ends(daemon, &[]);
        return;
    }
    let daemon = scene.restart();
    let copy = copy_of(&store);
    assert_eq!(daemon.metric("ringback_store_corruptions_total", &[]), Some(1.0));
    let logged = daemon.logged();
    let line = logged.lines().find(|line| line.contains(SET_ASIDE)).expect("a line");
    let paths = [&store, &copy].map(|path| path.to_str().expect("a plain path").to_owned());
    assert!(line.contains("ERROR") && paths.iter().all(|path| line.contains(path)), "{line}");
    scene.ends(daemon, &[copy]);
}

/// Returns whether `ringback verify` reports that the store is damaged.
fn is_named(verified: &Done) -> bool {
    let report = report(verified);
    let mut violations = report["violations"].as_array().expect("a list").iter();
    violations.any(|violation| {
        violation["what"] == "store" && violation["says"].to_string().contains("is damaged")
    })
}

/// Returns the path of the store that was set aside. Panics unless there is exactly one.
pub(crate) fn copy_of(store: &Path) -> PathBuf {
    let (parent, name) = (store.parent().expect("a parent"), store.file_name().expect("a name"));
    let beside = format!("{}.damaged-", name.to_str().expect("a plain name"));
    let all = [(parent, beside.as_str()), (store, "damaged-")].map(|(place, prefix)| {
        let entries = std::fs::read_dir(place).expect("a directory").map_while(Result::ok);
        let is_copy = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
        };
        entries.map(|entry| entry.path()).filter(is_copy).collect::<Vec<_>>()
    });
    let [copy] = <[PathBuf; 1]>::try_from(all.concat()).expect("one copy");
    copy
}

/// Deliveries that wait, and the store that holds them.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    uuids: Vec<String>,
    recovered: Arc<AtomicBool>,
    pub(crate) store: PathBuf,
}

impl Scene {
    /// Creates a scene whose daemon has stopped and has written all rows to tables.
    pub(crate) fn open(name: &str) -> Self {
        Self::at(name, |_| {})
    }

    /// Like `open`. Calls `prepare` with the store's directory before there is a store.
    fn at(name: &str, prepare: impl FnOnce(&Path)) -> Self {
        let uuids = Random::seeded(35).uuids(50);
        let (stage, recovered) = failing(name, &uuids);
        let store = stage.instance_dir(0).join("data");
        std::fs::create_dir_all(&store).expect("a directory");
        prepare(&store);
        let mut daemon = stage.start();
        stage.wait_events("attempt_failed", uuids.len());
        daemon.stop();
        Self { stage, uuids, recovered, store }
    }

    /// Starts a daemon and waits until the damaged store is set aside and the daemon is ready. Damage that shows late
    /// takes a second start.
    pub(crate) fn restart(&self) -> Daemon {
        let mut daemon = self.stage.spawn(0);
        wait_until("the store is set aside", PATIENCE, || {
            if daemon.logged().contains(SET_ASIDE) {
                return Some(());
            }
            if let Some(code) = daemon.ended() {
                assert!(code == FAILED && daemon.logged().contains("marked so for the next start"));
                daemon = self.stage.spawn(0);
            }
            None
        });
        daemon.wait_ready();
        daemon
    }

    /// Lets the endpoint recover. Panics unless everything is delivered, nothing is wrong, and exactly these copies
    /// exist.
    pub(crate) fn ends(&self, daemon: Daemon, copies: &[PathBuf]) {
        self.recovered.store(true, Ordering::Relaxed);
        self.stage.send_reports_of(&self.uuids);
        self.is_whole(daemon, copies);
    }

    /// Like `ends`, but sends no reports, because they were sent before.
    fn is_whole(&self, mut daemon: Daemon, copies: &[PathBuf]) {
        invariants::wait_delivered(&self.stage, &self.uuids, PATIENCE);
        invariants::wait_consumed(&self.stage, PATIENCE);
        daemon.stop();
        invariants::assert_delivered(&self.stage, &self.uuids, usize::MAX);
        let counts = self.stage.verify();
        assert_eq!(counts["store_partitions"], 2, "{counts}");
        let aside = report(&self.stage.verified(0, &["--at-rest"]))["set_aside"].clone();
        let path = |copy: &Value| PathBuf::from(copy["path"].as_str().expect("a path"));
        let paths: Vec<PathBuf> = aside.as_array().expect("a list").iter().map(path).collect();
        assert_eq!(paths, copies, "verify names the copies");
        for copy in copies {
            let note = std::fs::read_to_string(copy.join("SET-ASIDE-BECAUSE.json"));
            assert!(note.expect("a note").contains("says") && !found(copy, "IDENTITY").is_empty());
        }
    }
}

/// Flips the bytes of a table's rows, but not the blocks at its end, which are read when the table is opened.
fn flip_rows(path: &Path) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::options().read(true).write(true).open(path).expect("a file");
    let length = file.metadata().expect("a file").len();
    let mut bytes = vec![0; usize::try_from(length.saturating_sub(4096)).expect("a small file")];
    file.read_exact_at(&mut bytes, 0).expect("the file can be read");
    bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
    file.write_all_at(&bytes, 0).expect("the file can be written");
}

/// The daemon has the store open and finds the damage when it reads a row. It ends, and its next start restores the
/// store.
#[test]
fn a_store_that_is_damaged_while_the_daemon_runs_is_marked_and_set_aside_at_the_next_start() {
    let uuids = Random::seeded(36).uuids(200);
    let (stage, recovered) = failing("damaged-running", &uuids);
    recovered.store(true, Ordering::Relaxed);
    let store = stage.instance_dir(0).join("data");
    let mut daemon = stage.start();
    stage.wait_events("delivered", uuids.len());
    daemon.stop();
    let mut daemon = stage.start();
    each(&store, ".sst", flip_rows);
    assert!(is_named(&stage.verified(0, &[])), "verify reads everything and finds the damage");
    // For these reports the daemon reads the uuids' rows from the store.
    stage.send_reports_of(&uuids);
    let said = daemon.wait_end(FAILED, PATIENCE);
    assert!(said.contains("the store is damaged, and marked so for the next start"), "{said}");
    assert!(!said.contains(SET_ASIDE), "a running daemon does not replace its store: {said}");
    let mark = std::fs::read_to_string(store.join("SET-ASIDE.json")).expect("a mark");
    assert!(mark.contains("Corruption"), "{mark}");
    let scene = Scene { stage, uuids, recovered, store };
    let daemon = scene.stage.start();
    let copy = copy_of(&scene.store);
    assert_eq!(daemon.metric("ringback_store_corruptions_total", &[]), Some(1.0));
    scene.is_whole(daemon, &[copy]);
}

#[test]
fn a_damaged_store_ends_the_daemon_if_on_corruption_is_stop() {
    let mut scene = Scene::open("damaged-stop");
    each(&scene.store, "MANIFEST-", flip);
    scene.stage.set("store.on_corruption", "stop");
    for _ in 0..2 {
        let said = scene.stage.ends_with(FAILED);
        let last = said.lines().last().expect("a last line");
        let path = scene.store.to_str().expect("a plain path");
        for words in [path, "[store] on_corruption", "move the directory away", "is damaged"] {
            assert!(last.contains(words), "{words:?} is missing: {last}");
        }
        assert!(!said.contains(SET_ASIDE));
    }
    assert_eq!(found(&scene.stage.instance_dir(0), "data"), [scene.store.clone()]);
    // The message advises this.
    std::fs::rename(&scene.store, scene.stage.instance_dir(0).join("elsewhere")).expect("a move");
    let daemon = scene.stage.start();
    scene.ends(daemon, &[]);
}

#[test]
fn a_store_that_another_instance_has_open_is_not_moved() {
    let scene = Scene::open("damaged-locked");
    let mut daemon = scene.stage.start();
    let mark = scene.store.join("SET-ASIDE.json");
    std::fs::write(&mark, "{\"says\": \"it is broken\"}").expect("a mark");
    let mut stage = scene.stage;
    stage.set("store.directory", scene.store.to_str().expect("a plain path"));
    let said = stage.spawn(1).wait_end(FAILED, PATIENCE);
    assert!(said.contains("is another instance running there"), "{said}");
    assert!(mark.exists() && !said.contains(SET_ASIDE));
    daemon.wait_ready();
    // The running daemon does not notice the mark. Its next start does.
    daemon.stop();
    let scene = Scene { stage, ..scene };
    let daemon = scene.restart();
    let copy = copy_of(&scene.store);
    scene.ends(daemon, &[copy]);
}

/// A mount point can't be renamed, so the files are moved to a directory inside it.
#[test]
fn a_damaged_store_on_its_own_disk_is_moved_once_the_disk_has_room() {
    let mut disk = None;
    let scene = Scene::at("damaged-disk", |store| disk = Disk::mount(store, 64));
    let Some(disk) = disk else { return };
    each(&scene.store, ".sst", cut);
    disk.remount("ro");
    scene.refuses("ead-only");
    disk.remount("rw");
    let filler = scene.store.join("filler");
    let full = std::io::copy(
        &mut std::io::repeat(0),
        &mut std::fs::File::create(&filler).expect("a file"),
    );
    assert!(full.is_err_and(|error| error.kind() == std::io::ErrorKind::StorageFull));
    scene.refuses("No space left");
    remove(&filler);
    let daemon = scene.restart();
    let copy = copy_of(&scene.store);
    assert_eq!(copy.parent(), Some(scene.store.as_path()));
    scene.ends(daemon, &[copy]);
}

impl Scene {
    /// Panics unless the daemon ends with this message and moves nothing.
    fn refuses(&self, says: &str) {
        let said = self.stage.ends_with(FAILED);
        let last = said.lines().last().expect("a last line");
        assert!(last.contains(says), "{says:?} is missing: {last}");
        assert!(!said.contains(SET_ASIDE), "{said}");
        let names = found(&self.store, "");
        assert!(
            !names.iter().any(|path| path.to_string_lossy().contains("damaged-2")),
            "{names:?}"
        );
    }
}

#[test]
fn a_directory_that_holds_no_store_is_left_alone() {
    let stage = Stage::new("damaged-foreign");
    let store = stage.instance_dir(0).join("data");
    std::fs::create_dir_all(&store).expect("a directory");
    std::fs::write(store.join("CURRENT"), "mine\n").expect("a file");
    std::fs::write(store.join("notes.txt"), "mine").expect("a file");
    let said = stage.ends_with(FAILED);
    assert!(
        said.contains("there is no store in") && said.contains("name another directory"),
        "{said}"
    );
    let left = std::fs::read_to_string(store.join("CURRENT")).expect("the file is there");
    assert!(left == "mine\n" && store.join("notes.txt").exists());
    assert_eq!(found(&stage.instance_dir(0), "data"), [store]);
}

/// The daemon is killed while it moves the files, or after the last one. The next start completes the move once.
#[cfg(feature = "failpoints")]
#[test]
fn a_kill_while_a_store_is_set_aside_loses_nothing() {
    for point in ["moving:1", "moving:4", "set-aside:1"] {
        let name = point.replace(':', "-");
        let mut scene = Scene::open(&format!("damaged-{name}"));
        // A foreign file makes the daemon move the store's files one by one.
        std::fs::write(scene.store.join("notes.txt"), "mine").expect("a file");
        each(&scene.store, "MANIFEST-", flip);
        scene.stage.set_variable("RINGBACK_FAILPOINT", point);
        let (point, _) = point.split_once(':').expect("a name");
        scene.stage.spawn(0).wait_abort(point, PATIENCE);
        scene.stage.clear_variables();
        let daemon = scene.stage.start();
        let copy = copy_of(&scene.store);
        assert!(scene.store.join("notes.txt").exists());
        scene.ends(daemon, &[copy]);
    }
}

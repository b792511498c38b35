//! The store's disk fails: the daemon says so and ends, and goes on where it was once the disk is well.

use crate::harness::daemon::Daemon;
use crate::harness::disk::Disk;
use crate::harness::samples::{Random, flow, report, with};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, invariants};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

const FAILED: i32 = 1;
/// What a life that ends by itself may leave to be repeated.
const IN_HAND: i64 = 32 + 100;
/// So many flows of so much do not fit into what the store may use, nor into what it keeps in memory.
const FLOWS: usize = 3000;
const KEY_BYTES: usize = 12_000;

/// A stage whose store stands apart, and whose daemon may repeat little.
fn stage(name: &str) -> (Stage, PathBuf) {
    let mut stage = Stage::new(name);
    let store = stage.instance_dir(0).join("store");
    stage.set("store.directory", store.to_str().expect("a plain path"));
    stage.set("delivery.in_flight_max", 32);
    stage.set("delivery.uncommitted_max", 100);
    stage.set_webhook("in_flight_max", 32);
    (stage, store)
}

/// Sends flows whose rows stay, for their reports are still to come, and are large and can't be packed.
fn send_flows(stage: &Stage, seed: u64) -> Vec<String> {
    let mut random = Random::seeded(seed);
    let uuids = random.uuids(FLOWS);
    let noise = |random: &mut Random| {
        let letters = (0..KEY_BYTES)
            .map(|_| char::from(33 + u8::try_from(random.within(0..90)).expect("small")));
        letters.collect::<String>()
    };
    for some in uuids.chunks(200) {
        let flows: Vec<Value> = some
            .iter()
            .map(|uuid| {
                let keys = json!([{"name": "$flow.key.noise", "value": noise(&mut random)}]);
                with(flow(uuid, &["s-1"]), "keys", keys)
            })
            .collect();
        stage.send_flows(&flows);
    }
    uuids
}

/// The disk is well again: the daemon goes on, and all of it is delivered.
fn goes_on(stage: &Stage, uuids: &[String], lives: i64) {
    let mut daemon = stage.start();
    let reports: Vec<Value> = uuids.iter().map(|uuid| report(uuid, "s-1", "DELIVERED")).collect();
    stage.send_reports(&reports);
    invariants::wait_delivered(stage, uuids, Duration::from_secs(90));
    daemon.stop();
    let repeats_max = lives * IN_HAND;
    let most = usize::try_from(repeats_max).expect("small");
    let repeats = invariants::assert_delivered(stage, uuids, most);
    println!("{repeats} repeats, at most {repeats_max} are explained");
    stage.verify_with(0, &["--at-rest", "--repeats-max", &repeats_max.to_string()]);
}

/// Nothing was amiss but the disk: a few flows are delivered, each once.
fn goes_on_with_little(stage: &Stage) {
    let uuids = Random::seeded(94).uuids(20);
    let flows: Vec<Value> = uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect();
    stage.send_flows(&flows);
    goes_on(stage, &uuids, 0);
}

/// Panics unless the daemon ends by itself and says this about its store. Returns the line.
#[track_caller]
fn ends(daemon: &mut Daemon, said: &[&str]) {
    let logged = daemon.wait_end(FAILED, PATIENCE);
    let last = logged.lines().last().expect("a last word");
    println!("{last}");
    for words in said {
        assert!(last.contains(words), "{words:?} is missing: {last}");
    }
}

#[test]
fn a_full_disk_ends_the_daemon_and_with_room_it_goes_on() {
    let (stage, store) = stage("disks-full");
    let Some(disk) = Disk::mount(&store, 16) else { return };
    let mut daemon = stage.start();
    let uuids = send_flows(&stage, 91);
    let path = store.to_str().expect("a plain path");
    let said = [path, "[store] directory", "disk is full", "make room", ".sst"];
    ends(&mut daemon, &said);
    // Nothing has changed: it says the same again.
    ends(&mut stage.spawn(0), &[path, "disk is full"]);
    disk.remount("size=512m");
    goes_on(&stage, &uuids, 2);
}

#[test]
fn a_disk_that_refuses_to_write_ends_the_daemon_and_afterwards_it_goes_on() {
    let (mut stage, store) = stage("disks-error");
    stage.set_shell("trap '' XFSZ");
    let mut daemon = stage.start();
    // The kernel refuses to make any file of the process longer than this.
    let limit = std::process::Command::new("prlimit")
        .args(["--fsize=2200000", "--pid", &daemon.pid().to_string()])
        .status();
    assert!(limit.expect("prlimit runs").success());
    let uuids = send_flows(&stage, 92);
    let path = store.to_str().expect("a plain path");
    ends(&mut daemon, &[path, "[store] directory", "RLIMIT_FSIZE", ".sst"]);
    goes_on(&stage, &uuids, 1);
}

#[test]
fn a_store_that_is_removed_underneath_ends_the_daemon_and_is_restored() {
    let (stage, store) = stage("disks-removed");
    let mut daemon = stage.start();
    std::fs::remove_dir_all(&store).expect("a store to remove");
    let uuids = send_flows(&stage, 93);
    let path = store.to_str().expect("a plain path");
    ends(&mut daemon, &[path, "[store] directory", "removed its files"]);
    goes_on(&stage, &uuids, 1);
}

#[test]
fn a_disk_that_can_only_be_read_is_told_at_the_start() {
    let (stage, store) = stage("disks-read-only");
    let Some(disk) = Disk::mount(&store, 16) else { return };
    disk.remount("ro");
    let path = store.to_str().expect("a plain path");
    ends(&mut stage.spawn(0), &[path, "[store] directory", "read-only"]);
    disk.remount("rw");
    goes_on_with_little(&stage);
}

#[test]
fn a_directory_that_is_none_is_told_at_the_start() {
    let (stage, store) = stage("disks-file");
    stage.write_config(0, 1);
    std::fs::write(&store, "not a directory").expect("a file");
    let path = store.to_str().expect("a plain path");
    ends(&mut stage.spawn(0), &[path, "[store] directory", "something else stands there"]);
    std::fs::remove_file(&store).expect("the file");
    goes_on_with_little(&stage);
}

#[test]
fn a_store_that_another_instance_has_open_is_told_at_the_start() {
    let (stage, store) = stage("disks-shared");
    let mut daemon = stage.start();
    let path = store.to_str().expect("a plain path");
    ends(&mut stage.spawn(1), &[path, "[store] directory", "another instance"]);
    daemon.wait_ready();
    daemon.stop();
    goes_on_with_little(&stage);
}

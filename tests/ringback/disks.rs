//! Failures of the store's disk: the daemon reports the failure, ends, and continues once the disk works again.

use crate::harness::daemon::Daemon;
use crate::harness::disk::Disk;
use crate::harness::samples::{Random, flow, report, with};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, invariants};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

const FAILED: i32 = 1;
/// The largest number of deliveries that a daemon which ends by itself may leave to be repeated.
const IN_HAND: i64 = 32 + 100;
/// This many flows of this size fit neither into the store's space nor into its memory.
const FLOWS: usize = 3000;
const KEY_BYTES: usize = 12_000;

/// Creates a stage whose store has its own directory, and whose daemon may repeat only a few deliveries.
fn stage(name: &str) -> (Stage, PathBuf) {
    let mut stage = Stage::new(name);
    let store = stage.instance_dir(0).join("store");
    stage.set("store.directory", store.to_str().expect("a plain path"));
    stage.set("delivery.in_flight_max", 32);
    stage.set("delivery.uncommitted_max", 100);
    stage.set_webhook("in_flight_max", 32);
    (stage, store)
}

/// Sends flows whose rows stay, because their reports have not come. The rows are large and can't be compressed.
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

/// Starts the daemon after the disk was repaired, and panics unless everything is delivered.
fn continues(stage: &Stage, uuids: &[String], lives: i64) {
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

/// Like `continues`, with a few flows and without repeats, because nothing but the disk had failed.
fn continues_with_a_few(stage: &Stage) {
    let uuids = Random::seeded(94).uuids(20);
    let flows: Vec<Value> = uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect();
    stage.send_flows(&flows);
    continues(stage, &uuids, 0);
}

/// Panics unless the daemon ends by itself and its last line contains all of `said`.
#[track_caller]
fn assert_ends(daemon: &mut Daemon, said: &[&str]) {
    let logged = daemon.wait_end(FAILED, PATIENCE);
    let last = logged.lines().last().expect("a last line");
    println!("{last}");
    for words in said {
        assert!(last.contains(words), "{words:?} is missing: {last}");
    }
}

#[test]
fn a_full_disk_ends_the_daemon_which_continues_once_there_is_room() {
    let (stage, store) = stage("disks-full");
    let Some(disk) = Disk::mount(&store, 16) else { return };
    let mut daemon = stage.start();
    let uuids = send_flows(&stage, 91);
    let path = store.to_str().expect("a plain path");
    let said = [path, "[store] directory", "disk is full", "make room", ".sst"];
    assert_ends(&mut daemon, &said);
    // The disk is still full, so that another start reports the same.
    assert_ends(&mut stage.spawn(0), &[path, "disk is full"]);
    disk.remount("size=512m");
    continues(&stage, &uuids, 2);
}

#[test]
fn a_failed_write_ends_the_daemon_which_continues_once_writes_succeed() {
    let (mut stage, store) = stage("disks-error");
    stage.set_shell("trap '' XFSZ");
    let mut daemon = stage.start();
    // With this limit, the kernel refuses to extend any of the process's files beyond this size.
    let limit = std::process::Command::new("prlimit")
        .args(["--fsize=2200000", "--pid", &daemon.pid().to_string()])
        .status();
    assert!(limit.expect("prlimit runs").success());
    let uuids = send_flows(&stage, 92);
    let path = store.to_str().expect("a plain path");
    assert_ends(&mut daemon, &[path, "[store] directory", "RLIMIT_FSIZE", ".sst"]);
    continues(&stage, &uuids, 1);
}

#[test]
fn a_store_that_is_removed_under_a_running_daemon_ends_it_and_is_restored() {
    let (stage, store) = stage("disks-removed");
    let mut daemon = stage.start();
    std::fs::remove_dir_all(&store).expect("a store to remove");
    let uuids = send_flows(&stage, 93);
    let path = store.to_str().expect("a plain path");
    assert_ends(&mut daemon, &[path, "[store] directory", "its files were removed"]);
    continues(&stage, &uuids, 1);
}

#[test]
fn a_read_only_disk_is_reported_at_the_start() {
    let (stage, store) = stage("disks-read-only");
    let Some(disk) = Disk::mount(&store, 16) else { return };
    disk.remount("ro");
    let path = store.to_str().expect("a plain path");
    assert_ends(&mut stage.spawn(0), &[path, "[store] directory", "read-only"]);
    disk.remount("rw");
    continues_with_a_few(&stage);
}

#[test]
fn a_file_in_place_of_the_store_directory_is_reported_at_the_start() {
    let (stage, store) = stage("disks-file");
    stage.write_config(0, 1);
    std::fs::write(&store, "not a directory").expect("a file");
    let path = store.to_str().expect("a plain path");
    assert_ends(&mut stage.spawn(0), &[path, "[store] directory", "another file is in its place"]);
    std::fs::remove_file(&store).expect("the file");
    continues_with_a_few(&stage);
}

#[test]
fn a_store_that_another_instance_has_open_is_reported_at_the_start() {
    let (stage, store) = stage("disks-shared");
    let mut daemon = stage.start();
    let path = store.to_str().expect("a plain path");
    assert_ends(&mut stage.spawn(1), &[path, "[store] directory", "another instance"]);
    daemon.wait_ready();
    daemon.stop();
    continues_with_a_few(&stage);
}

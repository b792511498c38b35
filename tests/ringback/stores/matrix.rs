//! An instance starts with different contents of its store's directory, after a kill and after a stop: the result is
//! the same.

use super::failing;
use crate::harness::daemon::{Daemon, copy_dir};
use crate::harness::samples::{Random, flow};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, invariants};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

const IN_FLIGHT_MAX: i64 = 8;
const UNCOMMITTED_MAX: i64 = 16;

/// The content of the store's directory at the second start.
#[derive(Clone, Copy, Debug)]
enum Back {
    /// The store that the instance left there.
    Kept,
    /// Nothing: the directory was deleted.
    Deleted,
    /// An old copy that was made while the instance was stopped.
    Clean,
    /// An old copy that was made while the instance was running.
    Hot,
    /// Files of different times, as in a copy that takes longer than a restart. This is no consistent store, and is set
    /// aside.
    Torn,
    /// The store of an instance that had other partitions.
    Others,
}

const BACK: [Back; 6] =
    [Back::Kept, Back::Deleted, Back::Clean, Back::Hot, Back::Torn, Back::Others];

#[test]
fn any_store_leads_to_the_same_result_after_a_kill() {
    matrix("kill", Daemon::kill, 1);
}

#[test]
fn any_store_leads_to_the_same_result_after_a_stop() {
    matrix("stop", Daemon::stop, 0);
}

/// Runs a few cases at a time, because each spends most of its time waiting.
fn matrix(how: &str, end: fn(&mut Daemon), kills: i64) {
    for some in BACK.chunks(3) {
        std::thread::scope(|scope| {
            for back in some {
                // A panic's message contains the thread's name.
                let thread = std::thread::Builder::new().name(format!("{back:?}, {how}"));
                let run = move || restarted(*back, how, end, kills);
                thread.spawn_scoped(scope, run).expect("a thread");
            }
        });
    }
}

fn restarted(back: Back, how: &str, end: impl FnOnce(&mut Daemon), kills: i64) {
    let name = format!("stores-{how}-{back:?}").to_lowercase();
    let uuids = Random::seeded(34).uuids(40);
    let (early, late) = uuids.split_at(20);
    let (mut stage, recovered) = failing(&name, early);
    stage.set("delivery.in_flight_max", IN_FLIGHT_MAX);
    stage.set_webhook("in_flight_max", IN_FLIGHT_MAX);
    stage.set("delivery.uncommitted_max", UNCOMMITTED_MAX);
    stage.set("delivery.attempts_max", 1000);
    let other = matches!(back, Back::Others).then(|| stage.start_instance(1));
    let mut daemon = stage.start();
    stage.wait_events("attempt_failed", early.len());
    let copy = copied(back, &stage, &mut daemon, late);
    if let Some(mut other) = other {
        // So far the other instance has owned one of the two partitions.
        other.stop();
    }
    recovered.store(true, Ordering::Relaxed);
    stage.send_reports_of(early);
    stage.wait_events("delivered", early.len());
    end(&mut daemon);
    put_back(back, &store(&stage, 0), copy.as_deref());
    daemon = stage.start();
    assert_eq!(
        daemon.logged().contains("it is set aside"),
        matches!(back, Back::Torn),
        "{back:?}, {how}"
    );
    stage.verify_beside();
    stage.send_reports_of(late);
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    let kills = kills + kills_before(back);
    let repeats_max = (kills * (IN_FLIGHT_MAX + UNCOMMITTED_MAX)).to_string();
    let counts = stage.verify_with(0, &["--at-rest", "--repeats-max", &repeats_max]);
    assert_eq!(counts["store_partitions"], 2, "{back:?}, {how}: {counts}");
}

/// Returns how many kills the making of the copy takes.
fn kills_before(back: Back) -> i64 {
    match back {
        Back::Kept | Back::Deleted | Back::Clean | Back::Others => 0,
        Back::Hot => 1,
        Back::Torn => 2,
    }
}

fn store(stage: &Stage, instance: u8) -> PathBuf {
    stage.instance_dir(instance).join("data")
}

/// Sends the rest of the flows. Returns a copy of the store that was made before them, or while they were processed.
fn copied(back: Back, stage: &Stage, daemon: &mut Daemon, late: &[String]) -> Option<PathBuf> {
    let flows: Vec<Value> = late.iter().map(|uuid| flow(uuid, &["s-1"])).collect();
    let copy = stage.instance_dir(0).join("copy");
    match back {
        Back::Kept | Back::Deleted | Back::Others => {}
        Back::Clean => {
            daemon.stop();
            copy_dir(&store(stage, 0), &copy);
            *daemon = stage.start();
        }
        Back::Hot | Back::Torn => {
            // The restart writes rows to the store, so that the copy is not empty.
            daemon.kill();
            *daemon = stage.start();
            stage.send_flows(&flows);
            stage.wait_events("attempt_failed", stage.receiver.count() + late.len());
            if matches!(back, Back::Torn) {
                copy_torn(stage, daemon, &copy);
            } else {
                copy_dir(&store(stage, 0), &copy);
            }
            return Some(copy);
        }
    }
    stage.send_flows(&flows);
    match back {
        Back::Kept | Back::Deleted => None,
        Back::Clean | Back::Hot | Back::Torn => Some(copy),
        Back::Others => Some(store(stage, 1)),
    }
}

fn put_back(back: Back, store: &Path, copy: Option<&Path>) {
    if matches!(back, Back::Kept) {
        return;
    }
    std::fs::remove_dir_all(store).expect("a store to delete");
    if let Some(copy) = copy {
        copy_dir(copy, store);
    }
}

/// Copies the tables first, and the files that list the tables after a restart.
fn copy_torn(stage: &Stage, daemon: &mut Daemon, to: &Path) {
    let store = store(stage, 0);
    let is_list = |name: &str| !name.ends_with(".sst");
    let copy = |lists: bool| {
        for entry in std::fs::read_dir(&store).expect("a directory").map_while(Result::ok) {
            let name = entry.file_name().into_string().expect("a plain name");
            if entry.path().is_file() && is_list(&name) == lists {
                std::fs::copy(entry.path(), to.join(name)).expect("a copy");
            }
        }
    };
    std::fs::create_dir_all(to).expect("a directory");
    copy(false);
    daemon.kill();
    *daemon = stage.start();
    copy(true);
}

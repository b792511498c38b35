//! Something else happens while positions are moved: either the whole move is made or none of it.

use super::{moved, position, send};
use crate::harness::daemon::Done;
use crate::harness::samples::Random;
use crate::harness::stage::Stage;
use crate::harness::stopped::Stopped;
use crate::harness::{PATIENCE, broker, invariants};
use serde_json::Value;

/// Creates a stage on which two records are read and eight wait.
fn waiting(name: &str, seed: u64) -> Stage {
    let stage = Stage::on(broker::shared(), name, 1);
    let uuids = Random::seeded(seed).uuids(10);
    let (read, rest) = uuids.split_at(2);
    send(&stage, read);
    let mut daemon = stage.start();
    stage.receiver.wait_for(read.len(), PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    send(&stage, rest);
    stage
}

fn skip<'a>(topic: &'a str, records: &'a str, how: &'a str) -> [&'a str; 9] {
    ["offsets", "skip", "--topic", topic, "--partition", "0", "--records", records, how]
}

/// Starts a command that skips three records, and stops it once it has sent the positions but before it commits them.
fn begun(stage: &Stage) -> Stopped {
    let topic = stage.topic("flow-complete");
    stage.alone(&skip(&topic, "3", "--dry-run")).succeeds();
    stage.command_until("positions-sent", &skip(&topic, "3", "--yes"))
}

fn positions(stage: &Stage) -> (Value, Value) {
    let position = position(stage, "flow-complete");
    (position["group_offset"].clone(), position["state_offset"].clone())
}

fn fails(done: &Done, says: &str) {
    assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
    assert!(done.err.contains(says), "{says:?} is missing: {}", done.err);
}

#[test]
fn when_two_moves_overlap_the_first_one_changes_nothing() {
    let stage = waiting("offsets-twice", 931);
    let first = begun(&stage);
    stage.alone(&skip(&stage.topic("flow-complete"), "5", "--yes")).succeeds();
    fails(&first.go_on(), "has begun; nothing was changed");
    assert_eq!(positions(&stage), (7.into(), 7.into()));
    assert_eq!(moved(&stage), [(2.into(), 7.into(), "skip".into())]);
}

#[test]
fn a_move_fails_if_an_instance_starts_meanwhile() {
    let stage = waiting("offsets-joined", 932);
    let first = begun(&stage);
    let member = stage.kafka.join(&stage.group(), &stage.topic("flow-complete"));
    fails(&first.go_on(), "has 1 members: stop all instances");
    drop(member);
    assert_eq!(positions(&stage), (2.into(), 2.into()));
    assert_eq!(moved(&stage), []);
}

#[test]
fn a_move_that_is_killed_changes_nothing_and_can_be_repeated() {
    let stage = waiting("offsets-killed", 933);
    begun(&stage).kill();
    assert_eq!(positions(&stage), (2.into(), 2.into()));
    assert_eq!(moved(&stage), []);
    stage.alone(&skip(&stage.topic("flow-complete"), "3", "--yes")).succeeds();
    assert_eq!(positions(&stage), (5.into(), 5.into()));
    assert_eq!(moved(&stage), [(2.into(), 5.into(), "skip".into())]);
    let mut daemon = stage.start();
    stage.receiver.wait_for(2 + 5, PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    assert_eq!(stage.receiver.count(), 2 + 5);
    stage.verify();
}

//! Something else happens during a rebuild: the rebuild does not complete, and the next one continues it.

use super::{delivers, rebuild, waiting};
use crate::harness::daemon::Done;
use crate::harness::kafka::Record;
use crate::harness::stage::Stage;
use crate::harness::stopped::Stopped;

const REBUILD: [&str; 3] = ["changelog", "rebuild", "--yes"];
const UNFINISHED: &str = "a rebuild of the changelog was interrupted";

/// Deletes the changelog and stops a rebuild that has written the rows of the first partition but has not completed it.
fn begun(stage: &Stage) -> Stopped {
    stage.delete_topic("changelog");
    stage.alone(&["changelog", "rebuild", "--dry-run"]).succeeds();
    stage.command_until("rebuilt", &REBUILD)
}

fn fails(done: &Done, says: &str) {
    assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
    assert!(done.err.contains(says), "{says:?} is missing: {}", done.err);
}

/// Returns the number of uuid rows that were written to the changelog.
fn rows_written(stage: &Stage) -> usize {
    let rows = stage.kafka.read(&stage.topic("changelog"));
    rows.iter().filter(|row| row.key.as_deref().is_some_and(|key| key[0] == b's')).count()
}

#[test]
fn when_two_rebuilds_overlap_the_first_one_stops_and_no_row_is_written_twice() {
    let (stage, recovered, uuids) = waiting("rebuild-twice", 911);
    let first = begun(&stage);
    let second = rebuild(&stage);
    second.succeeds();
    assert!(second.out.contains("this one continues it"), "{}", second.out);
    fails(&first.go_on(), "another rebuild or `ringback offsets` has begun");
    assert_eq!(rows_written(&stage), uuids.len());
    delivers(&stage, &recovered, &uuids);
}

#[test]
fn a_rebuild_does_not_complete_if_an_instance_starts_meanwhile() {
    let (stage, recovered, uuids) = waiting("rebuild-joined", 912);
    let first = begun(&stage);
    let member = stage.kafka.join(&stage.group(), &stage.topic("flow-complete"));
    fails(&first.go_on(), "has 1 members: stop all instances");
    drop(member);
    assert!(stage.refused().contains(UNFINISHED));
    rebuild(&stage).succeeds();
    assert_eq!(rows_written(&stage), uuids.len());
    delivers(&stage, &recovered, &uuids);
}

/// The test follows the advice of the message from beginning to end.
#[test]
fn a_rebuild_does_not_complete_if_another_producer_writes_a_row_meanwhile() {
    let (stage, recovered, uuids) = waiting("rebuild-foreign", 913);
    let first = begun(&stage);
    let topic = stage.topic("changelog");
    let mut foreign = stage.kafka.read(&topic).swap_remove(0);
    foreign.key = Some(b"sforeign".to_vec());
    let (partition, key, value) = (Some(foreign.partition), foreign.key, foreign.value);
    stage.kafka.produce(&[Record { topic, partition, key, value, timestamp_ms: None }]);
    fails(&first.go_on(), "do not have the same rows");
    assert!(stage.refused().contains(UNFINISHED));
    fails(&rebuild(&stage), "Delete topic");
    stage.delete_topic("changelog");
    rebuild(&stage).succeeds();
    delivers(&stage, &recovered, &uuids);
}

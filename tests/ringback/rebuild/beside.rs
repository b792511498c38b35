//! Others do something while a rebuild is on its way: it is not completed, and the next one goes on.

use super::{delivers, rebuild, waiting};
use crate::harness::daemon::Done;
use crate::harness::kafka::Record;
use crate::harness::stage::Stage;
use crate::harness::stopped::Stopped;

const REBUILD: [&str; 3] = ["changelog", "rebuild", "--yes"];
const UNFINISHED: &str = "a rebuild of the changelog was interrupted";

/// The changelog is gone, and a rebuild has written the rows of the first partition; it has not completed them.
fn begun(stage: &Stage) -> Stopped {
    stage.delete_topic("changelog");
    stage.alone(&["changelog", "rebuild", "--dry-run"]).succeeds();
    stage.command_until("rebuilt", &REBUILD)
}

fn fails(done: &Done, says: &str) {
    assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
    assert!(done.err.contains(says), "{says:?} is missing: {}", done.err);
}

/// How many rows of uuids were written to the changelog.
fn rows_written(stage: &Stage) -> usize {
    let rows = stage.kafka.read(&stage.topic("changelog"));
    rows.iter().filter(|row| row.key.as_deref().is_some_and(|key| key[0] == b's')).count()
}

#[test]
fn of_two_rebuilds_at_once_the_first_stops_and_no_row_is_written_twice() {
    let (stage, recovered, uuids) = waiting("rebuild-twice", 911);
    let first = begun(&stage);
    let second = rebuild(&stage);
    second.succeeds();
    assert!(second.out.contains("this one goes on"), "{}", second.out);
    fails(&first.go_on(), "another rebuild or `ringback offsets` has begun");
    assert_eq!(rows_written(&stage), uuids.len());
    delivers(&stage, &recovered, &uuids);
}

#[test]
fn an_instance_that_starts_during_a_rebuild_keeps_it_from_being_completed() {
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

/// Its advice is followed to its end.
#[test]
fn a_row_of_somebody_else_keeps_a_rebuild_from_being_completed() {
    let (stage, recovered, uuids) = waiting("rebuild-foreign", 913);
    let first = begun(&stage);
    let topic = stage.topic("changelog");
    let mut foreign = stage.kafka.read(&topic).swap_remove(0);
    foreign.key = Some(b"sforeign".to_vec());
    let (partition, key, value) = (Some(foreign.partition), foreign.key, foreign.value);
    stage.kafka.produce(&[Record { topic, partition, key, value, timestamp_ms: None }]);
    fails(&first.go_on(), "does not hold what the store holds");
    assert!(stage.refused().contains(UNFINISHED));
    fails(&rebuild(&stage), "Delete topic");
    stage.delete_topic("changelog");
    rebuild(&stage).succeeds();
    delivers(&stage, &recovered, &uuids);
}

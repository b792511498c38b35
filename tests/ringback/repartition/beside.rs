//! Something else happens during a repartition: it is finished whole or not at all, and can be continued.

use super::{arguments, delivers, repartition, switch, waiting};
use crate::harness::daemon::Done;
use crate::harness::kafka::Record;
use crate::harness::samples::Random;
use crate::harness::stage::Stage;
use crate::harness::stopped::Stopped;
use crate::harness::{PATIENCE, invariants};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// Starts a repartition to five partitions, and stops it at this failpoint.
fn begun(stage: &Stage, point: &str) -> Stopped {
    stage.command_until(point, &arguments("5"))
}

fn fails(done: &Done, says: &str) {
    assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
    assert!(done.err.contains(says), "{says:?} is missing: {}", done.err);
}

/// Panics if a row was copied twice. The rows of a uuid differ from each other.
fn assert_nothing_copied_twice(stage: &Stage, changelog: &str) {
    let rows = stage.kafka.read(changelog);
    let rows = rows.iter().filter(|row| row.key.as_deref().is_some_and(|key| key[0] == b's'));
    let rows: Vec<_> =
        rows.filter_map(|row| Some((row.key.as_ref()?, row.value.as_ref()?))).collect();
    assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), rows.len());
}

/// Waits until the group has no members.
fn wait_alone(stage: &Stage) {
    let topic = stage.topic("inbox");
    stage.alone(&["offsets", "reset", "--topic", &topic, "--to", "end", "--dry-run"]).succeeds();
}

#[test]
fn a_repartition_that_is_killed_at_any_point_is_continued() {
    let (mut stage, recovered, mut uuids) = waiting("repartition-killed", 1911);
    // More rows than one transaction may have.
    let more = Random::seeded(1912).uuids(1500);
    stage.send_flows_of(&more);
    recovered.store(true, Ordering::Relaxed);
    let mut daemon = stage.start();
    stage.wait_events("delivered", uuids.len() + more.len());
    daemon.stop();
    begun(&stage, "rows-copied").kill();
    // A daemon with the new configuration does not start on a part of the rows.
    let former = ["changelog", "inbox"].map(|kind| stage.topic(kind));
    switch(&mut stage, "5");
    let early = stage.refused();
    assert!(early.contains("unfinished copy of topic repartition-killed.changelog"), "{early}");
    for (kind, topic) in ["changelog", "inbox"].into_iter().zip(former) {
        stage.rename(kind, topic);
    }
    begun(&stage, "rows-compared").kill();
    // The instances can go on meanwhile.
    let mut daemon = stage.start();
    stage.send_reports_of(&uuids);
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    daemon.stop();
    uuids.extend(more);
    begun(&stage, "switch-sent").kill();
    begun(&stage, "switched").kill();
    let again = stage.command(&arguments("5"));
    again.succeeds();
    for text in ["this is done", "changelog = \"repartition-killed.changelog-5\""] {
        assert!(again.out.contains(text), "{}", again.out);
    }
    assert!(stage.refused().contains("was replaced by `ringback repartition`"));
    switch(&mut stage, "5");
    assert_nothing_copied_twice(&stage, "repartition-killed.changelog-5");
    delivers(&stage, &recovered, &uuids);
}

#[test]
fn a_repartition_changes_nothing_if_an_instance_starts_meanwhile() {
    let (mut stage, recovered, uuids) = waiting("repartition-joined", 1913);
    let first = begun(&stage, "switch-sent");
    let member = stage.kafka.join(&stage.group(), &stage.topic("flow-complete"));
    fails(&first.go_on(), "has 1 members");
    drop(member);
    // The instances go on as before, and the command can be repeated.
    let (done, rest) = uuids.split_at(uuids.len() / 2);
    let mut daemon = stage.start();
    recovered.store(true, Ordering::Relaxed);
    stage.send_reports_of(done);
    invariants::wait_delivered(&stage, done, PATIENCE);
    daemon.stop();
    repartition(&mut stage, "5");
    stage.send_reports_of(rest);
    delivers(&stage, &recovered, &uuids);
}

#[test]
fn a_repartition_changes_nothing_if_an_instance_has_started_and_stopped_meanwhile() {
    let (mut stage, recovered, mut uuids) = waiting("repartition-visited", 1914);
    let first = begun(&stage, "rows-compared");
    let mut daemon = stage.start();
    let more = Random::seeded(1915).uuids(5);
    stage.send_flows_of(&more);
    uuids.extend(more);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    wait_alone(&stage);
    fails(&first.go_on(), "has written to the topics meanwhile");
    repartition(&mut stage, "5");
    delivers(&stage, &recovered, &uuids);
}

#[test]
fn when_two_repartitions_overlap_the_first_one_stops() {
    let (mut stage, recovered, uuids) = waiting("repartition-twice", 1916);
    let first = begun(&stage, "switch-sent");
    repartition(&mut stage, "5");
    fails(&first.go_on(), "has begun, so this command has stopped");
    assert_nothing_copied_twice(&stage, "repartition-twice.changelog-5");
    delivers(&stage, &recovered, &uuids);
}

#[test]
fn an_instance_that_was_paused_forwards_nothing_to_the_former_inbox() {
    let (mut stage, recovered, mut uuids) = waiting("repartition-paused", 1918);
    // The inputs have other numbers of partitions than the inbox, so that all records are forwarded.
    for kind in ["flow-complete", "sms-delivery-report"] {
        stage.kafka.grow_topic(&stage.topic(kind), 4);
    }
    let mut paused = stage.start();
    paused.signal("STOP");
    let former = stage.topic("inbox");
    repartition(&mut stage, "5");
    let ends = |topic: &str| [0, 1].map(|partition| stage.kafka.end(topic, partition));
    let before = ends(&former);
    let more = Random::seeded(1919).uuids(40);
    stage.send_flows_of(&more);
    uuids.extend(more);
    paused.signal("CONT");
    let ended = paused.wait_end(crate::harness::daemon::EX_CONFIG, PATIENCE);
    assert!(ended.contains("was replaced by `ringback repartition`"), "{ended}");
    assert_eq!(ends(&former), before);
    recovered.store(true, Ordering::Relaxed);
    let mut daemon = stage.start();
    stage.send_reports_of(&uuids);
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    // The paused instance may have sent requests again, when it went on and before it knew that it was paused.
    invariants::assert_delivered(&stage, &uuids, usize::MAX);
    stage.verify();
}

/// The test follows the advice of the message from beginning to end.
#[test]
fn a_row_that_another_program_has_written_to_the_copy_is_found() {
    let (mut stage, recovered, uuids) = waiting("repartition-foreign", 1917);
    let first = begun(&stage, "rows-copied");
    let topic = "repartition-foreign.changelog-5";
    let rows = stage.kafka.read(topic);
    let mut rows =
        rows.into_iter().filter(|row| row.key.as_deref().is_some_and(|key| key[0] == b's'));
    let (one, other) = (rows.next().expect("a row"), rows.next_back().expect("another row"));
    assert_ne!(one.key, other.key);
    // One uuid gets the row of another one, and one is deleted.
    let of = |key: Option<Vec<u8>>, value: Option<Vec<u8>>, partition: i32| Record {
        topic: topic.to_owned(),
        partition: Some(partition),
        key,
        value,
        timestamp_ms: None,
    };
    stage
        .kafka
        .produce(&[of(one.key, other.value, one.partition), of(other.key, None, other.partition)]);
    let failed = first.go_on();
    fails(&failed, "1 rows are missing, 1 differ, 0 are too many, 0 are in a wrong partition");
    assert!(failed.err.contains("Delete the topics repartition-foreign.changelog-5 and"));
    fails(&stage.command(&arguments("5")), "1 rows are missing, 1 differ");
    let inbox = "repartition-foreign.inbox-5";
    stage.kafka.delete_topics(&[topic, inbox]);
    crate::harness::wait_until("the topics are deleted", PATIENCE, || {
        (stage.kafka.partitions(topic) + stage.kafka.partitions(inbox) == 0).then_some(())
    });
    repartition(&mut stage, "5");
    delivers(&stage, &recovered, &uuids);
}

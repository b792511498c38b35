//! Repartitions that do not begin, or that are interrupted before the instances are stopped.

use super::{arguments, delivers, repartition, waiting};
use crate::harness::kafka::Record;
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, invariants};
use ringback::codec::row::{self, Meta, Owner};
use serde_json::Value;

/// Runs a repartition with these arguments, and panics unless it is refused with this text.
#[track_caller]
fn refused(stage: &Stage, more: &[&str], says: &str) {
    let done = stage.command(&[&["repartition", "--yes"], more].concat());
    assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
    assert!(done.err.contains(says), "{says:?} is missing: {}", done.err);
}

/// Writes a meta row to partition 0 of `topic`.
fn write_meta(stage: &Stage, topic: &str, owner: Owner) {
    let mut value = Vec::new();
    row::encode_meta(&Meta { owner: Some(owner), ..Meta::default() }, &mut value);
    let key = Some(b"m".to_vec());
    let topic = topic.to_owned();
    let record = Record { topic, partition: Some(0), key, value: Some(value), timestamp_ms: None };
    stage.kafka.produce(&[record]);
}

#[test]
fn requests_that_do_not_fit_the_topics_are_refused() {
    let (mut stage, recovered, uuids) = waiting("repartition-refused", 1921);
    refused(&stage, &["--partitions", "2"], "already has 2 partitions");
    let inbox = stage.topic("inbox");
    let used = ["--partitions", "5", "--changelog", &inbox];
    refused(&stage, &used, "is in use ([topics])");
    let same = ["--partitions", "5", "--changelog", "x", "--inbox", "x"];
    refused(&stage, &same, "must be two topics");
    // Topics that exist: with another number of partitions, and with records of somebody else.
    let (three, rows, empty) =
        ("repartition-refused.three", "repartition-refused.rows", "repartition-refused.empty");
    let plain = "repartition-refused.plain";
    let compacted: &[(&str, &str)] = &[("cleanup.policy", "compact")];
    stage.kafka.create_topics(&[
        (three, 3, &[][..]),
        (rows, 5, &[]),
        (empty, 5, compacted),
        (plain, 5, &[]),
    ]);
    let other = ["--partitions", "5", "--changelog", three];
    refused(&stage, &other, "exists and has 3 partitions instead of 5");
    let other = ["--partitions", "5", "--inbox", three];
    refused(&stage, &other, "exists and has 3 partitions instead of 5");
    let value = Some(b"{}".to_vec());
    let record = Record { topic: rows.to_owned(), value, ..Record::default() };
    stage.kafka.produce(&[record]);
    let foreign = ["--partitions", "5", "--inbox", rows];
    refused(&stage, &foreign, "has records that do not come from an unfinished");
    write_meta(&stage, rows, Owner { group: "other".into(), partitions: 5, ..Owner::default() });
    let foreign = ["--partitions", "5", "--changelog", rows];
    refused(&stage, &foreign, "has records that do not come from an unfinished");
    let dry = ["repartition", "--partitions", "5", "--changelog", empty, "--dry-run", "--json"];
    let dry = stage.command(&dry);
    dry.succeeds();
    let plan: Value = serde_json::from_str(&dry.out).expect("JSON");
    assert_eq!((&plan["state"], &plan["done"]), (&"new".into(), &false.into()), "{plan}");
    assert_eq!(stage.kafka.partitions("repartition-refused.inbox-5"), 0, "nothing was created");
    let plain = ["--partitions", "5", "--changelog", plain];
    refused(&stage, &plain, "cleanup.policy must be compact");
    // An empty topic with the right number may have been created with settings of its own.
    let args = ["repartition", "--partitions", "5", "--changelog", empty, "--yes", "--json"];
    let done = stage.command(&args);
    done.succeeds();
    let done: Value = serde_json::from_str(&done.out).expect("JSON");
    assert_eq!((&done["done"], &done["rows"]), (&true.into(), &uuids.len().into()), "{done}");
    stage.rename("changelog", empty.to_owned());
    stage.rename("inbox", "repartition-refused.inbox-5".to_owned());
    delivers(&stage, &recovered, &uuids);
    // It can go back to the former number in the same way.
    stage.kafka.delete_topics(&[
        "repartition-refused.changelog",
        "repartition-refused.plain",
        rows,
        three,
    ]);
    let back = ["repartition", "--partitions", "2", "--changelog", "repartition-refused.back"];
    stage.command(&[&back[..], &["--yes"]].concat()).succeeds();
    stage.rename("changelog", "repartition-refused.back".to_owned());
    stage.rename("inbox", "repartition-refused.inbox-2".to_owned());
    let mut daemon = stage.start();
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    stage.verify();
}

#[test]
fn a_changelog_without_usable_rows_is_refused() {
    let stage = Stage::on(broker::shared(), "repartition-unusable", 1);
    refused(&stage, &["--partitions", "5"], "has no rows: delete the topics");
    let topic = stage.topic("changelog");
    let group: std::sync::Arc<str> = stage.group().into();
    let owner = |group: &std::sync::Arc<str>, partitions| Owner {
        group: group.clone(),
        partitions,
        ..Owner::default()
    };
    for (owner, says) in [
        (owner(&"other".into(), 1), "belong to the consumer group other"),
        (owner(&group, 4), "are spread over 4 partitions"),
        (
            Owner { rebuilt_up_to: Some("u-1".into()), ..owner(&group, 1) },
            "a rebuild of the changelog was interrupted",
        ),
        (
            Owner { copies: Some("former".into()), ..owner(&group, 1) },
            "is an unfinished copy of topic former",
        ),
    ] {
        write_meta(&stage, &topic, owner);
        refused(&stage, &["--partitions", "5"], says);
    }
    let missing = Stage::without_topics(broker::shared(), "repartition-missing");
    refused(&missing, &["--partitions", "5"], "does not exist: there is nothing to copy");
}

#[test]
fn instances_go_on_if_the_command_ends_while_it_waits_for_them() {
    let (mut stage, recovered, uuids) = waiting("repartition-waits", 1922);
    let mut daemon = stage.start();
    let late = stage.command(&[&arguments("5")[..], &["--wait", "0"]].concat());
    assert_eq!(late.code, Some(1), "{late:?}");
    assert!(late.err.contains("the time of --wait is over"), "{late:?}");
    let mut waits = stage.launch("repartition", &arguments("5"));
    waits.wait_said("stop all instances now");
    waits.signal("INT");
    let interrupted = waits.wait();
    assert_eq!(interrupted.code, Some(1), "{interrupted:?}");
    assert!(interrupted.err.contains("interrupted; run the same command again"));
    assert!(interrupted.out.contains("an interrupted run has copied a part"), "{interrupted:?}");
    // The daemon has noticed nothing.
    let failed = stage.wait_events("attempt_failed", 20).len();
    stage.wait_events("attempt_failed", failed + 20);
    daemon.stop();
    repartition(&mut stage, "5");
    delivers(&stage, &recovered, &uuids);
}

#[test]
fn instances_start_after_two_repartitions_whose_topics_none_has_used() {
    for (seed, last) in [(1923, "2"), (1924, "3")] {
        let (mut stage, recovered, uuids) = waiting(&format!("repartition-twice-{last}"), seed);
        repartition(&mut stage, "5");
        repartition(&mut stage, last);
        // The store has rows of the first changelog.
        delivers(&stage, &recovered, &uuids);
    }
}

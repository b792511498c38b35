//! An inbox with more partitions than the changelog.

use crate::harness::daemon::{Daemon, Done};
use crate::harness::kafka::Message;
use crate::harness::receiver::Answer;
use crate::harness::samples::{Random, flow, report};
use crate::harness::stage::{Stage, WEBHOOK};
use crate::harness::{PATIENCE, broker, invariants, wait_until};
use serde_json::Value;

/// The partitions of the enlarged inbox. The other topics have 4, so that two instances share the inbox in another way.
const LARGE: i32 = 5;
/// The uuid of the flow that is refused first, and replayed through the inbox.
const REFUSED: &str = "refused";

/// Sends flows and reports, and panics unless both phases of each are delivered once.
fn deliver(stage: &Stage, uuids: &[String]) {
    let sent = stage.receiver.count();
    stage.send_flows(&uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect::<Vec<Value>>());
    let reports = uuids.iter().map(|uuid| report(uuid, "s-1", "DELIVERED"));
    stage.send_reports(&reports.collect::<Vec<Value>>());
    let wanted = sent + 2 * uuids.len();
    stage.receiver.wait_for(wanted, PATIENCE);
    invariants::wait_consumed(stage, PATIENCE);
    assert_eq!(stage.receiver.count(), wanted);
}

fn succeeds(stage: &Stage, arguments: &[&str]) -> Done {
    let done = stage.command(arguments);
    assert_eq!(done.code, Some(0), "{arguments:?}: {}{}", done.out, done.err);
    done
}

/// Makes a dead letter of one flow, replays it and waits for its delivery.
fn replay(stage: &Stage) {
    stage.send_flows(&[flow(REFUSED, &[])]);
    stage.dead_letters(1, PATIENCE);
    succeeds(stage, &["dead-letter", "replay", "--yes"]);
    stage.events().wait("it is delivered", PATIENCE, |events| {
        let is = |event: &Message| {
            let event = event.json();
            event["type"] == "delivered" && event["phonon_uuid"] == REFUSED
        };
        events.iter().any(is)
    });
}

/// Records in partitions that the changelog lacks are forwarded. Nothing is lost or sent twice, before and after an
/// operator replaces the topic.
#[test]
fn an_inbox_with_too_many_partitions_forwards_everything_until_it_is_replaced() {
    let mut random = Random::seeded(908);
    let [before, during, after] = [20, 40, 20].map(|count| random.uuids(count));
    let stage = Stage::on(broker::shared(), "inbox-large", 4);
    let inbox = stage.topic("inbox");
    stage.receiver.script(|request, nth| {
        let refuses = request.uuid() == REFUSED && nth == 1;
        Answer::status(if refuses { 400 } else { 200 })
    });
    let mut daemon = stage.start();
    deliver(&stage, &before);
    daemon.stop();

    stage.kafka.grow_topic(&inbox, LARGE);
    let mut daemons = [0, 1].map(|number| stage.spawn(number));
    daemons.iter_mut().for_each(Daemon::wait_ready);
    for daemon in &daemons {
        let warned = daemon.logged();
        for words in ["it has 5 partitions, the changelog has 4", "different numbers of partitions"]
        {
            assert!(warned.contains(words), "{words}: {warned}");
        }
    }
    deliver(&stage, &during);
    invariants::assert_delivered(&stage, &[before.as_slice(), &during].concat(), 0);
    let forwarded = stage.kafka.read(&inbox).len();
    assert_eq!(forwarded, 2 * during.len(), "every record is forwarded once");
    replay(&stage);
    succeeds(&stage, &["webhook", "enable", WEBHOOK]);
    invariants::wait_consumed(&stage, PATIENCE);
    daemons.iter_mut().for_each(Daemon::stop);

    // The steps of ops/guide/partitions.md.
    succeeds(&stage, &["offsets", "show"]);
    stage.kafka.delete_topics(&[&inbox]);
    wait_until("the topic is deleted and created again", PATIENCE, || {
        let done = stage.command(&["topics", "--create"]);
        done.out.contains(&format!("created {inbox}")).then_some(())
    });
    assert_eq!(stage.kafka.partitions(&inbox), 4);
    let mut daemon = stage.start();
    deliver(&stage, &after);
    assert!(stage.kafka.read(&inbox).is_empty(), "the daemon forwards nothing now");
    daemon.stop();
    stage.verify();
}

/// The inputs have fewer partitions than the inbox. Nevertheless a position in the inbox is moved in both of its
/// places, and a store counts as current.
#[test]
fn with_a_larger_inbox_positions_are_moved_and_the_changelog_is_rebuilt() {
    let mut random = Random::seeded(909);
    let [before, after] = [10, 10].map(|count| random.uuids(count));
    let stage = Stage::new("inbox-moved");
    stage.kafka.grow_topic(&stage.topic("inbox"), 3);
    let mut daemon = stage.start();
    deliver(&stage, &before);
    daemon.stop();
    stage.delete_topic("changelog");
    stage.alone(&["changelog", "rebuild", "--yes"]).succeeds();
    succeeds(&stage, &["webhook", "enable", WEBHOOK]);
    let inbox = stage.topic("inbox");
    let position = || {
        let shown = succeeds(&stage, &["offsets", "show", "--json"]);
        let lines =
            shown.out.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let mut lines = lines.filter(|line| line["topic"] == *inbox && line["partition"] == 0);
        lines.next().expect("the partition is shown")
    };
    let end = position()["end_offset"].clone();
    let reset = ["offsets", "reset", "--topic", &inbox, "--partition", "0", "--to", "end", "--yes"];
    stage.alone(&reset).succeeds();
    let moved = position();
    assert_eq!((&moved["state_offset"], &moved["group_offset"]), (&end, &end), "{moved}");
    let mut daemon = stage.start();
    deliver(&stage, &after);
    daemon.stop();
    invariants::assert_delivered(&stage, &[before, after].concat(), 0);
}

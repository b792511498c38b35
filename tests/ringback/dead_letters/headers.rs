//! A dead letter and its replay keep a record whole: the headers of its producer, and the tombstone.

use super::replay;
use crate::harness::PATIENCE;
use crate::harness::kafka::{Message, Record};
use crate::harness::samples::{flow, report, with};
use crate::harness::stage::Stage;
use crate::harness::wait_until;
use serde_json::json;

type Raw<'a> = (&'a str, Option<&'a [u8]>);

/// The producer's headers, in this order: with a repeated name, with bytes that are not text, with an empty value and
/// with null.
const FOREIGN: [Raw<'static>; 6] = [
    ("trace", Some(b"one")),
    ("ringback.reason", Some(b"ours wins")),
    ("bytes", Some(b"\x00\xff\xfe")),
    ("trace", Some(b"two")),
    ("null", None),
    ("ringback.custom", Some(b"")),
];

/// Returns the headers that are passed on. A foreign header with the name of one of the daemon's own headers is
/// dropped.
fn kept() -> Vec<(String, Option<Vec<u8>>)> {
    let foreign = FOREIGN.iter().filter(|(name, _)| *name != "ringback.reason");
    foreign.map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec))).collect()
}

/// Returns the headers that the daemon did not write.
fn others(message: &Message) -> Vec<(String, Option<Vec<u8>>)> {
    let ours = |name: &str| name.starts_with("ringback.") && name != "ringback.custom";
    message.raw_headers.iter().filter(|(name, _)| !ours(name)).cloned().collect()
}

/// The records: undecodable bytes, a tombstone, a record of an unknown account, and a report whose flow never comes.
#[test]
fn headers_and_tombstones_are_kept_in_the_dead_letter_and_in_its_replay() {
    let mut stage = Stage::new("letters-headers");
    stage.set("correlation.correlation_ttl_s", 2);
    let mut daemon = stage.start();
    let topic = stage.topic("flow-complete");
    let at = |value: Option<Vec<u8>>| Record {
        topic: topic.clone(),
        partition: Some(0),
        key: Some(b"some-key".to_vec()),
        value,
        ..Record::default()
    };
    let strange = with(flow("strange", &[]), "accountID", json!(99)).to_string().into_bytes();
    let mut records = vec![at(Some(b"{\"no".to_vec())), at(None), at(Some(strange))];
    records.push(stage.record("sms-delivery-report", &report("alone", "s-1", "DELIVERED")));
    stage.kafka.produce_raw(&records, &FOREIGN);
    let letters = stage.dead_letters(4, PATIENCE);
    for reason in ["undecodable", "unknown_account", "flow_missing"] {
        let of: Vec<_> =
            letters.iter().filter(|it| it.header("ringback.reason") == reason).collect();
        assert_eq!(of.len(), if reason == "undecodable" { 2 } else { 1 }, "{letters:?}");
        for letter in of {
            assert_eq!(others(letter), kept(), "{reason}");
        }
    }
    let is_tombstone = |letter: &&Message| letter.value.is_none();
    assert_eq!(letters.iter().filter(is_tombstone).count(), 1, "{letters:?}");
    daemon.stop();

    let done = replay(&stage, &[]);
    assert_eq!(done["replayed"], 4, "{done}");
    for (kind, count) in [("flow-complete", 3), ("sms-delivery-report", 1)] {
        let read = || stage.kafka.read(&stage.topic(kind));
        let found = wait_until("the replays are there", PATIENCE, || {
            Some(read()).filter(|found| found.len() == 2 * count)
        });
        let (first, again): (Vec<_>, Vec<_>) =
            found.iter().partition(|it| it.header("ringback.reason") == "ours wins");
        assert_eq!((first.len(), again.len()), (count, count));
        for replayed in again {
            assert_eq!(others(replayed), kept());
            let own = replayed.raw_headers.len() - kept().len();
            assert_eq!((own, replayed.header("ringback.letter").is_empty()), (1, false));
            // A replay's key may differ: a forwarded record has its uuid as its key.
            let same = |it: &&&Message| it.value == replayed.value;
            assert_eq!(first.iter().filter(same).count(), 1, "{replayed:?}");
        }
    }
}

/// A command's header on a foreign record has no effect, also when the record is forwarded.
#[test]
fn a_foreign_header_is_no_command() {
    let stage = Stage::new("letters-no-command");
    let mut daemon = stage.start();
    // One record in each partition, so that those in a partition which does not own the uuid are forwarded.
    let partitions = stage.kafka.partitions(&stage.topic("flow-complete"));
    let value = flow("plain", &[]).to_string().into_bytes();
    let records = (0..partitions).map(|partition| Record {
        topic: stage.topic("flow-complete"),
        partition: Some(partition),
        key: None,
        value: Some(value.clone()),
        ..Record::default()
    });
    let headers: [Raw<'_>; 2] =
        [("ringback.command", Some(b"disable_endpoint")), ("ringback.kind", Some(b"x"))];
    stage.kafka.produce_raw(&records.collect::<Vec<_>>(), &headers);
    stage.receiver.wait_for(1, PATIENCE);
    daemon.stop();
    assert_eq!(stage.kafka.read(&stage.topic("dead-letter")).len(), 0);
}

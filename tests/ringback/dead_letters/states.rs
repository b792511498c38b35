//! The state of each dead letter, and the number of open ones.

use super::{dead_letter, events, failing_endpoint, list, make_letters, replay, summary};
use crate::harness::daemon::Daemon;
use crate::harness::kafka::Record;
use crate::harness::receiver::now_ms;
use crate::harness::samples::{ACCOUNT, Random, flow, with};
use crate::harness::stage::{Stage, WEBHOOK};
use crate::harness::{PATIENCE, broker, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

const OPEN: &str = "ringback_dead_letters_open";
const DAY_MS: i64 = 86_400_000;

/// Returns the states of the letters that match, by phonon-uuid, oldest first.
fn states(stage: &Stage, arguments: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut states: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for letter in list(stage, arguments) {
        let text = |name: &str| letter[name].as_str().unwrap_or("none").to_owned();
        states.entry(text("phonon_uuid")).or_default().push(text("state"));
    }
    states
}

fn wanted(states: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
    let owned = |words: &&[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    states.iter().map(|(uuid, words)| ((*uuid).to_owned(), owned(words))).collect()
}

#[test]
fn the_letter_of_each_delivery_shows_its_state() {
    let stage = Stage::new("letters-states");
    let repaired = failing_endpoint(&stage, 400);
    let mut daemon = stage.start();
    make_letters(&stage, &["u-1", "u-2", "u-3"]);
    let letters = stage.dead_letters(3, PATIENCE);
    daemon.stop();
    let id = |uuid: &str| {
        let of = letters.iter().find(|letter| letter.json()["phonon_uuid"] == uuid);
        of.expect("its letter").json()["webhook_id"].as_str().expect("an id").to_owned()
    };
    let all = |state: &[&str]| -> BTreeMap<String, Vec<String>> {
        let of = ["u-1", "u-2", "u-3"].into_iter().zip(state);
        wanted(&of.map(|(uuid, word)| (uuid, std::slice::from_ref(word))).collect::<Vec<_>>())
    };
    assert_eq!(states(&stage, &[]), all(&["open", "open", "open"]));
    assert_eq!(states(&stage, &["--open"]), all(&["open", "open", "open"]));
    assert_eq!(list(&stage, &[])[0]["replayed_at"], Value::Null);

    // No daemon runs, so that the replay waits in the inbox.
    replay(&stage, &[&id("u-1")]);
    assert_eq!(states(&stage, &[]), all(&["replayed", "open", "open"]));
    let shown = summary(&dead_letter(&stage, &["show", &id("u-1"), "--json"]));
    assert_eq!((&shown["state"], &shown["delivered_at"]), (&json!("replayed"), &Value::Null));
    assert!(shown["replayed_at"].is_string(), "{shown}");

    // The delivery is refused again. Only the newer letter is open.
    let mut daemon = stage.start();
    stage.dead_letters(4, PATIENCE);
    let expected =
        wanted(&[("u-1", &["replayed", "open"]), ("u-2", &["open"]), ("u-3", &["open"])]);
    assert_eq!(states(&stage, &[]), expected);
    assert_eq!(states(&stage, &["--open"]), all(&["open", "open", "open"]));
    // The older letter is not open either when the filter excludes the newer one.
    let until = list(&stage, &[]).iter().rev().find_map(|letter| {
        let is_newer = letter["phonon_uuid"] == "u-1";
        is_newer.then(|| letter["at"].as_str().expect("a time").to_owned())
    });
    let older = states(&stage, &["--until", &until.expect("a letter of u-1")]);
    assert_eq!(older.get("u-1"), Some(&vec!["replayed".to_owned()]));

    repaired.store(true, Ordering::SeqCst);
    replay(&stage, &[&id("u-2")]);
    events(&stage, "delivered", 1);
    let expected =
        wanted(&[("u-1", &["replayed", "open"]), ("u-2", &["delivered"]), ("u-3", &["open"])]);
    assert_eq!(states(&stage, &[]), expected);
    let shown = summary(&dead_letter(&stage, &["show", &id("u-2"), "--json"]));
    assert!(shown["replayed_at"].is_string() && shown["delivered_at"].is_string(), "{shown}");
    let text = dead_letter(&stage, &["list", "--webhook", WEBHOOK]);
    let headings = text.out.lines().next().unwrap_or_default();
    assert!(headings.starts_with("PLACE      STATE"), "{text:?}");
    assert!(text.out.contains(" delivered ") && text.out.contains(" open "), "{text:?}");

    // `--open` lists the letters that a replay would send.
    let open = list(&stage, &["--open"]).len();
    let plan = replay(&stage, &["--open", "--dry-run"]);
    assert_eq!(plan["replayed"], open, "{plan}");
    replay(&stage, &["--open"]);
    events(&stage, "delivered", 3);
    let expected = wanted(&[
        ("u-1", &["delivered", "delivered"]),
        ("u-2", &["delivered"]),
        ("u-3", &["delivered"]),
    ]);
    assert_eq!(states(&stage, &[]), expected);
    assert!(list(&stage, &["--open"]).is_empty());
    let none = dead_letter(&stage, &["list", "--open"]);
    assert!(none.err.contains("no dead letter matches"), "{none:?}");
    let none = stage.command(&["dead-letter", "show", "--open"]);
    assert_eq!(none.code, Some(1), "{none:?}");
    daemon.stop();
}

#[test]
fn the_letter_of_each_record_shows_its_state() {
    let mut stage = Stage::new("letters-states-records");
    let mut daemon = stage.start();
    let early = with(flow("early", &[]), "accountID", json!(77));
    stage.send_flows(&[early]);
    let mut nameless = flow("", &[]);
    nameless.as_object_mut().expect("an object").remove("phononUuid");
    let named = |key: &str, value: &str| Record {
        key: Some(key.as_bytes().to_vec()),
        ..stage.raw("flow-complete", value)
    };
    let bad = [named("cut", "{\"no"), named("nameless", &nameless.to_string())];
    stage.kafka.produce(&bad);
    stage.dead_letters(3, PATIENCE);
    let all = |word: &str| wanted(&[("cut", &[word]), ("early", &[word]), ("nameless", &[word])]);
    assert_eq!(states(&stage, &[]), all("open"));
    daemon.stop();

    // The replayed records wait in their topic, because no daemon runs.
    assert_eq!(replay(&stage, &["--until", "0s"])["replayed"], 3);
    assert_eq!(states(&stage, &[]), all("replayed"));
    let again = replay(&stage, &["--dry-run"]);
    assert_eq!((&again["replayed"], &again["skipped_sent"]), (&json!(0), &json!(3)), "{again}");

    // The causes remain, so that each record becomes a dead letter again.
    let mut daemon = stage.start();
    stage.dead_letters(6, PATIENCE);
    let answers = events(&stage, "record_replayed", 3);
    assert!(answers.iter().all(|event| event["became"] == "dead_lettered"), "{answers:?}");
    let both: &[&str] = &["replayed", "open"];
    let expected = wanted(&[("cut", both), ("early", both), ("nameless", both)]);
    assert_eq!(states(&stage, &[]), expected);
    daemon.stop();

    // After the account is configured, its replayed record is accepted.
    stage.add_account(77);
    stage.add_webhook("late", 77, &stage.receiver.url("/late"));
    let mut daemon = stage.start();
    replay(&stage, &["--reason", "unknown_account", "--account", "77"]);
    stage.receiver.wait_for(1, PATIENCE);
    let answers = events(&stage, "record_replayed", 4);
    let accepted = answers.iter().find(|event| event["became"] == "accepted").expect("it is read");
    assert_eq!(accepted["phonon_uuid"], "early");
    let expected =
        wanted(&[("cut", both), ("early", &["replayed", "delivered"]), ("nameless", both)]);
    assert_eq!(states(&stage, &[]), expected);
    assert_eq!(list(&stage, &["--open"]).len(), 2);
    let newest = list(&stage, &["--reason", "unknown_account"]);
    let place = newest[1]["place"].as_str().expect("a place");
    let shown = summary(&dead_letter(&stage, &["show", place, "--json"]));
    assert!(shown["delivered_at"].is_string(), "{shown}");
    // `verify` finds no violation.
    wait_until("`verify` succeeds", PATIENCE, || {
        let done = stage.command(&["verify"]);
        (done.code == Some(0)).then_some(())
    });
    daemon.stop();
}

/// Kafka has deleted records of the inbox. A letter that is older than the inbox's retention may have been replayed by
/// one of them.
#[test]
fn a_letter_older_than_the_retention_of_the_inbox_has_an_unknown_state() {
    let stage = Stage::new("letters-states-old");
    let mut daemon = stage.start();
    let now = i64::try_from(now_ms()).expect("a time");
    let letter = |uuid: &str, days: i64| {
        let at = now - days * DAY_MS;
        let (topic, timestamp_ms) = (stage.topic("dead-letter"), Some(at));
        let key = Some(uuid.as_bytes().to_vec());
        let value = Some(b"{".to_vec());
        Record { topic, partition: Some(0), key, value, timestamp_ms }
    };
    let headers = [
        ("ringback.kind", "record"),
        ("ringback.reason", "undecodable"),
        ("ringback.source.topic", "gone"),
        ("ringback.source.partition", "0"),
        ("ringback.source.offset", "7"),
    ];
    stage.kafka.produce_with(&[letter("old", 9), letter("young", 5)], &headers);
    let open = |count: f64| {
        wait_until("the gauge", PATIENCE, || {
            (daemon.metric(OPEN, &[("reason", "undecodable")]) == Some(count)).then_some(())
        });
    };
    // Nothing was deleted from the inbox.
    assert_eq!(states(&stage, &[]), wanted(&[("old", &["open"]), ("young", &["open"])]));
    open(2.0);
    let (inbox, note) = (stage.topic("inbox"), [("ringback.command", "record_replayed")]);
    for partition in [0, 1] {
        let record = Record { partition: Some(partition), ..stage.raw("inbox", "{}") };
        stage.kafka.produce_with(&[record], &note);
        stage.kafka.delete_records(&inbox, partition, 1);
    }
    let expected = wanted(&[("old", &["unknown"]), ("young", &["open"])]);
    assert_eq!(states(&stage, &[]), expected);
    assert_eq!(states(&stage, &["--open"]), expected, "it may be open");
    open(1.0);
    daemon.stop();
    assert_eq!(stage.dead_letters(2, PATIENCE).len(), 2, "a note is not an invalid command");
}

/// Returns the sum over all instances, or `None` until each has counted its letters.
fn sum(daemons: &[&Daemon]) -> Option<f64> {
    daemons.iter().map(|daemon| daemon.metric(OPEN, &[])).sum()
}

fn wait_open(daemons: &[&Daemon], count: usize) {
    let wanted = f64::from(u32::try_from(count).expect("small"));
    wait_until(&format!("{count} open letters"), 2 * PATIENCE, || {
        (sum(daemons) == Some(wanted)).then_some(())
    });
}

#[test]
fn open_letters_are_counted_over_crashes_and_shared_among_instances() {
    let mut stage = Stage::on(broker::shared(), "letters-open", 4);
    stage.set("delivery.attempts_max", 1);
    stage.add_account(29);
    stage.add_webhook("other", 29, &stage.receiver.url("/other"));
    let repaired = failing_endpoint(&stage, 400);
    let mut first = stage.start_instance(0);
    let uuids = Random::seeded(6).uuids(40);
    let account = |index: usize| if index < 10 { 29 } else { ACCOUNT };
    let flows: Vec<Value> = uuids
        .iter()
        .enumerate()
        .map(|(index, uuid)| with(flow(uuid, &[]), "accountID", json!(account(index))))
        .collect();
    stage.send_flows(&flows);
    stage.kafka.produce(&[stage.raw("flow-complete", "{no")]);
    stage.dead_letters(41, PATIENCE);
    wait_open(&[&first], 41);
    assert_eq!(first.metric(OPEN, &[("reason", "refused")]), Some(40.0));
    assert_eq!(first.metric(OPEN, &[("reason", "undecodable")]), Some(1.0));
    assert_eq!(first.metric(OPEN, &[("reason", "flow_missing")]), Some(0.0));

    // First the replayed letters are refused again, and the count stays. Then they are delivered, and the count falls
    // by ten.
    replay(&stage, &["--webhook", "other"]);
    stage.dead_letters(51, PATIENCE);
    wait_open(&[&first], 41);
    repaired.store(true, Ordering::SeqCst);
    replay(&stage, &["--webhook", "other"]);
    events(&stage, "delivered", 10);
    wait_open(&[&first], 31);
    assert_eq!(list(&stage, &["--open"]).len(), 31);

    // A restarted instance counts the same number, and two instances together count each letter once.
    first.kill();
    let mut first = stage.start_instance(0);
    wait_open(&[&first], 31);
    let mut second = stage.start_instance(1);
    wait_until("both own partitions", 2 * PATIENCE, || {
        (first.partitions() == 2 && second.partitions() == 2).then_some(())
    });
    wait_open(&[&first, &second], 31);
    for daemon in [&first, &second] {
        let own = daemon.metric(OPEN, &[]).expect("it counts");
        assert!(own > 0.0 && own < 31.0, "{own}");
    }
    // Letters that are delivered and letters that Kafka deletes are no longer open.
    replay(&stage, &["--webhook", WEBHOOK, "--max", "5"]);
    wait_open(&[&first, &second], 26);
    let letters = stage.topic("dead-letter");
    let gone = list(&stage, &["--open"]);
    let gone = gone.iter().filter(|it| it["place"].as_str().expect("text").starts_with("1:"));
    let gone = gone.count();
    assert!(gone > 0);
    stage.kafka.delete_records(&letters, 1, stage.kafka.end(&letters, 1));
    wait_open(&[&first, &second], 26 - gone);
    first.kill();
    wait_open(&[&second], 26 - gone);
    assert_eq!(list(&stage, &["--open"]).len(), 26 - gone);
    second.stop();
}

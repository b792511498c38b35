//! The operator's commands for dead letters: `list`, `show` and `replay`.

mod headers;
mod shown;
mod states;
mod terminal;

use crate::harness::PATIENCE;
use crate::harness::broker;
use crate::harness::child::free_port;
use crate::harness::daemon::{Daemon, Done, command};
use crate::harness::kafka::{Message, Record};
use crate::harness::receiver::Answer;
use crate::harness::samples::{ACCOUNT, Random, flow, phase_1, with};
use crate::harness::stage::{Stage, WEBHOOK};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const EX_USAGE: i32 = 2;
const EX_TEMPFAIL: i32 = 75;

/// Runs `ringback dead-letter …` and panics unless it exits with 0.
fn dead_letter(stage: &Stage, arguments: &[&str]) -> Done {
    let done = stage.command(&[&["dead-letter"], arguments].concat());
    assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
    done
}

/// Runs `ringback dead-letter replay … --json` and returns its summary.
fn replay(stage: &Stage, arguments: &[&str]) -> Value {
    summary(&dead_letter(stage, &[&["replay", "--json"], arguments].concat()))
}

fn summary(done: &Done) -> Value {
    serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}"))
}

fn list(stage: &Stage, arguments: &[&str]) -> Vec<Value> {
    let done = dead_letter(stage, &[&["list", "--json"], arguments].concat());
    done.out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Waits for `count` events of a type, and returns all events of this type.
fn events(stage: &Stage, kind: &str, count: usize) -> Vec<Value> {
    let mut tail = stage.events();
    // Compares the first bytes only. Parsing each event of a large run each time would take long.
    let needle = format!("{{\"type\":\"{kind}\"").into_bytes();
    let is =
        |event: &&Message| event.value.as_deref().is_some_and(|value| value.starts_with(&needle));
    let enough = |events: &[Message]| events.iter().filter(is).count() >= count;
    let seen = tail.wait(&format!("{count} × {kind}"), PATIENCE, enough);
    seen.iter().filter(is).map(Message::json).collect()
}

/// Makes the endpoint answer `bad` until the returned switch is set.
fn failing_endpoint(stage: &Stage, bad: u16) -> Arc<AtomicBool> {
    let repaired = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&repaired);
    stage
        .receiver
        .script(move |_, _| Answer::status(if switch.load(Ordering::SeqCst) { 200 } else { bad }));
    repaired
}

/// Sends flows of phase 1 only. The failing endpoint makes each a dead letter.
fn make_letters(stage: &Stage, uuids: &[&str]) {
    stage.send_flows(&uuids.iter().map(|uuid| flow(uuid, &[])).collect::<Vec<_>>());
}

#[test]
fn letters_are_listed_shown_and_filtered() {
    let mut stage = Stage::new("letters-list");
    stage.set("delivery.attempts_max", 2);
    stage.add_account(29);
    stage.add_webhook("other", 29, &stage.receiver.url("/other"));
    stage.receiver.script(|request, _| {
        Answer::status(if request.path == "/other" { 500 } else { 400 }).body("no")
    });
    let mut daemon = stage.start();
    make_letters(&stage, &["u-1", "u-2"]);
    stage.send_flows(&[with(flow("u-3", &[]), "accountID", json!(29))]);
    stage.send_flows(&[with(flow("u-4", &[]), "accountID", json!(99))]);
    stage.kafka.produce(&[stage.raw("flow-complete", "{\"no")]);
    stage.dead_letters(5, PATIENCE);
    daemon.stop();

    let count = |arguments: &[&str]| list(&stage, arguments).len();
    assert_eq!(count(&[]), 5);
    assert_eq!(count(&["--reason", "refused"]), 2);
    assert_eq!(count(&["--webhook", "other"]), 1);
    assert_eq!(count(&["--webhook", "other", "--reason", "refused"]), 0);
    assert_eq!(count(&["--account", "28"]), 2);
    assert_eq!((count(&["--phase", "1"]), count(&["--phase", "2"])), (3, 0));
    assert_eq!((count(&["--since", "1h"]), count(&["--until", "1h"])), (5, 0));
    assert_eq!(
        count(&["--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00+05:30"]),
        0
    );

    let letters = list(&stage, &["--webhook", "other"]);
    let letter = &letters[0];
    assert_eq!(letter["kind"], "delivery");
    assert_eq!(letter["reason"], "attempts_exhausted");
    assert_eq!(letter["phonon_uuid"], "u-3");
    assert_eq!((&letter["account_id"], &letter["attempts"]), (&json!(29), &json!(2)));
    let place = letter["place"].as_str().expect("a place");
    let id = letter["webhook_id"].as_str().expect("an id");
    for target in [place, id] {
        let shown = summary(&dead_letter(&stage, &["show", target, "--json"]));
        assert_eq!(shown["webhook_id"], id);
        let delivery = &shown["delivery"];
        assert_eq!(delivery["last_outcome"]["response_status_code"], 500);
        let body: Value = serde_json::from_str(delivery["request"]["body"].as_str().expect("text"))
            .expect("a body");
        assert_eq!(body, phase_1(&flow("u-3", &[])));
        assert_eq!(shown["headers"]["ringback.webhook"], "other");
    }
    let record = summary(&dead_letter(&stage, &["show", "--reason", "undecodable", "--json"]));
    assert_eq!((&record["kind"], &record["value"]), (&json!("record"), &json!("{\"no")));
    let text = dead_letter(&stage, &["show", id]);
    assert!(text.out.contains("attempts_exhausted") && text.out.contains("u-3"), "{text:?}");
    let text = dead_letter(&stage, &["list"]);
    assert!(text.out.starts_with("PLACE") && text.out.lines().count() == 6, "{text:?}");
    let nothing = stage.command(&["dead-letter", "show", "0:999999"]);
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
}

#[test]
fn a_replay_sends_the_same_webhook_with_a_fresh_count_of_attempts() {
    let mut stage = Stage::new("letters-life");
    stage.set("delivery.attempts_max", 2);
    let repaired = failing_endpoint(&stage, 500);
    let daemon = stage.start();
    make_letters(&stage, &["u-1"]);
    let first = &stage.dead_letters(1, PATIENCE)[0];
    let id = first.json()["webhook_id"].as_str().expect("an id").to_owned();
    assert_eq!(first.json()["replays"], 0);

    // The endpoint still fails: after the same number of attempts there is another dead letter.
    let done = replay(&stage, &[&id]);
    assert_eq!((&done["matched"], &done["replayed"]), (&json!(1), &json!(1)), "{done}");
    assert_eq!(done["by_reason"], json!({"attempts_exhausted": 1}));
    assert_eq!(done["by_webhook"], json!({ WEBHOOK: 1 }));
    let letters = stage.dead_letters(2, PATIENCE);
    let second = letters.iter().find(|letter| letter.json()["replays"] == 1).expect("its letter");
    assert_eq!((&second.json()["webhook_id"], &second.json()["attempts"]), (&json!(id), &json!(2)));
    let replayed = events(&stage, "replayed", 1);
    assert_eq!((&replayed[0]["webhook_id"], &replayed[0]["replays"]), (&json!(id), &json!(1)));
    assert_eq!((&replayed[0]["webhook"], &replayed[0]["phase"]), (&json!(WEBHOOK), &json!(1)));

    // Both letters match. Only the newer one is replayed, and delivered.
    repaired.store(true, Ordering::SeqCst);
    let plan = replay(&stage, &["--dry-run"]);
    assert_eq!((&plan["matched"], &plan["skipped_older"]), (&json!(2), &json!(1)), "{plan}");
    assert_eq!(plan["replayed"], 1, "{plan}");
    let done = replay(&stage, &[]);
    assert_eq!((&done["replayed"], &done["finished"]), (&json!(1), &json!(true)), "{done}");
    let delivered = events(&stage, "delivered", 1);
    assert_eq!((&delivered[0]["webhook_id"], &delivered[0]["attempts"]), (&json!(id), &json!(1)));
    let by_id = stage.receiver.by_id();
    let requests = &by_id[&id];
    assert_eq!((by_id.len(), requests.len()), (1, 5), "2 attempts, 2 attempts, 1 attempt");
    assert!(requests.iter().all(|request| request.body == requests[0].body));
    let replays = daemon.metric("ringback_replays_total", &[]);
    assert_eq!(replays, Some(2.0));
}

#[test]
fn letters_that_were_delivered_since_are_skipped_and_counted() {
    let stage = Stage::new("letters-since");
    let repaired = failing_endpoint(&stage, 400);
    let mut daemon = stage.start();
    make_letters(&stage, &["u-1", "u-2", "u-3", "u-4", "u-5"]);
    let letters = stage.dead_letters(5, PATIENCE);
    repaired.store(true, Ordering::SeqCst);
    for letter in &letters[..2] {
        let id = letter.json()["webhook_id"].as_str().expect("an id").to_owned();
        replay(&stage, &[&id]);
    }
    events(&stage, "delivered", 2);
    daemon.stop();

    // No daemon runs: replays wait in the inbox.
    let plan = replay(&stage, &["--reason", "refused", "--dry-run"]);
    let numbers = |summary: &Value| {
        ["matched", "replayed", "skipped_delivered", "skipped_sent"]
            .map(|name| summary[name].clone())
    };
    assert_eq!(numbers(&plan), [5, 3, 2, 0].map(|number| json!(number)), "{plan}");
    let done = replay(&stage, &["--reason", "refused"]);
    assert_eq!(numbers(&done), numbers(&plan), "{done}");
    // Another filter matches the same letters, whose replays still wait.
    let other = replay(&stage, &["--webhook", WEBHOOK]);
    assert_eq!(numbers(&other), [5, 0, 2, 3].map(|number| json!(number)), "{other}");
    // The same filter continues behind the letters of its former run.
    let again = replay(&stage, &["--reason", "refused"]);
    assert_eq!(numbers(&again), [0, 0, 0, 0].map(|number| json!(number)), "{again}");

    let mut daemon = stage.start();
    events(&stage, "delivered", 5);
    daemon.stop();
    let by_id = stage.receiver.by_id();
    assert_eq!(by_id.len(), 5);
    assert!(by_id.values().all(|requests| requests.len() == 2), "refused once, delivered once");
}

#[test]
fn a_replayed_record_returns_to_its_topic_and_partition() {
    let mut stage = Stage::new("letters-record");
    let mut daemon = stage.start();
    let early = with(flow("u-1", &[]), "accountID", json!(77));
    stage.send_flows(std::slice::from_ref(&early));
    let letter = stage.dead_letters(1, PATIENCE).remove(0);
    assert_eq!(letter.header("ringback.reason"), "unknown_account");
    // A truncated record can't be replayed, nor can a record of a topic that is not an input.
    let source = stage.topic("flow-complete");
    let other = stage.topic("events");
    for (topic, cut) in [(&source, "ringback.truncated-from-bytes"), (&other, "more")] {
        let headers = [
            ("ringback.kind", "record"),
            ("ringback.reason", "unknown_account"),
            ("ringback.source.topic", topic.as_str()),
            ("ringback.source.partition", "0"),
            ("ringback.source.offset", "7"),
            (cut, "20000000"),
        ];
        stage.kafka.produce_with(&[stage.raw("dead-letter", "{")], &headers);
    }
    stage.add_account(77);
    stage.add_webhook("late", 77, &stage.receiver.url("/late"));
    daemon.stop();
    let mut daemon = stage.start();
    let done = replay(&stage, &["--reason", "unknown_account"]);
    assert_eq!((&done["matched"], &done["replayed"]), (&json!(3), &json!(1)), "{done}");
    assert_eq!(done["not_replayable"], 2, "{done}");
    let requests = stage.receiver.wait_for(1, PATIENCE);
    assert_eq!(requests[0].json(), phase_1(&early));
    let records = stage.kafka.read(&source);
    assert_eq!(records.len(), 2);
    let same = |record: &Message| (record.partition, record.key.clone(), record.value.clone());
    assert_eq!(same(&records[0]), same(&records[1]));
    daemon.stop();
}

#[test]
fn a_replay_warns_of_a_removed_webhook_and_waits_until_it_is_configured() {
    let mut stage = Stage::new("letters-gone");
    stage.add_account(29);
    stage.add_webhook("other", 29, &stage.receiver.url("/other"));
    let repaired = failing_endpoint(&stage, 400);
    let mut daemon = stage.start();
    stage.send_flows(&[with(flow("u-1", &[]), "accountID", json!(29))]);
    stage.dead_letters(1, PATIENCE);
    daemon.stop();
    repaired.store(true, Ordering::SeqCst);
    let other = stage.receiver.url("/other");
    stage.no_webhooks();
    stage.add_webhook(WEBHOOK, ACCOUNT, &stage.receiver.url("/crm"));
    let done = dead_letter(&stage, &["replay", "--yes"]);
    assert!(done.err.contains("other, which is not configured"), "{done:?}");
    let mut daemon = stage.start();
    events(&stage, "replayed", 1);
    daemon.stop();
    assert_eq!(stage.receiver.requests().len(), 1, "the replay waits for the webhook");
    stage.add_webhook("other", 29, &other);
    let mut daemon = stage.start();
    events(&stage, "delivered", 1);
    daemon.stop();
}

/// An invalid command becomes a dead letter, and the records behind it are still read. A command in a partition that
/// does not own its uuid is forwarded.
#[test]
fn an_invalid_command_is_a_dead_letter_and_a_misplaced_one_is_forwarded() {
    let stage = Stage::new("letters-inbox");
    let mut daemon = stage.start();
    let garbage: Vec<(&str, &[u8])> =
        vec![("replay", b"\xff\x00garbage"), ("replay", b"{}"), ("replay", b""), ("dance", b"{}")];
    for (name, value) in &garbage {
        let record = Record { partition: Some(0), ..stage.raw("inbox", value.to_vec()) };
        stage.kafka.produce_with(&[record], &[("ringback.command", name)]);
    }
    let command = |uuid: &str| {
        json!({
            "webhook_id": format!("msg_{:032x}", uuid.len()), "phonon_uuid": uuid, "account_id": ACCOUNT,
            "webhook": WEBHOOK, "phase": 1, "replays": 4, "body": "{\"by\":\"hand\"}",
            "source": {"topic": "t", "partition": 0, "offset": 1, "timestamp": "2026-11-21T09:00:00Z"},
        })
    };
    // One of the two partitions does not own the uuid.
    for partition in [0, 1] {
        let value = command("u").to_string();
        let record = Record { partition: Some(partition), ..stage.raw("inbox", value) };
        stage.kafka.produce_with(&[record], &[("ringback.command", "replay")]);
        events(&stage, "replayed", usize::try_from(partition).expect("small") + 1);
        events(&stage, "delivered", usize::try_from(partition).expect("small") + 1);
    }
    let letters = stage.dead_letters(garbage.len(), PATIENCE);
    daemon.stop();
    for (offset, (_, value)) in garbage.iter().enumerate() {
        let of = |letter: &&Message| letter.header("ringback.source.offset") == offset.to_string();
        let letter = letters.iter().find(of).expect("a letter for each");
        assert_eq!(letter.header("ringback.reason"), "undecodable");
        assert_eq!(letter.value.as_deref().unwrap_or_default(), *value);
        assert_eq!(letter.header("ringback.source.topic"), stage.topic("inbox"));
    }
    let requests = stage.receiver.requests();
    assert!(requests.iter().all(|request| request.text() == "{\"by\":\"hand\"}"));
    assert_eq!(requests.len(), 2);
    let back = replay(&stage, &["--reason", "undecodable"]);
    assert_eq!((&back["matched"], &back["not_replayable"]), (&json!(4), &json!(4)), "{back}");
}

/// The state after an outage of many endpoints: 10,000 dead letters of three reasons.
struct Outage {
    stage: Stage,
    daemon: Daemon,
    /// Uuids of letters with the reason `attempts_exhausted`.
    exhausted: BTreeSet<String>,
    early: BTreeSet<String>,
}

const LETTERS: usize = 10_000;
const EARLY: usize = 100;
const MAX: usize = 2000;

fn after_an_outage() -> Outage {
    let mut stage = Stage::new("letters-night");
    stage.set("delivery.attempts_max", 1);
    for (account, name) in [(29, "refusing"), (30, "early")] {
        stage.add_account(account);
        stage.add_webhook(name, account, &stage.receiver.url(&format!("/{name}")));
    }
    stage.add_account(31);
    stage.add_webhook("blocked", 31, "http://10.1.2.3/hooks");
    let repaired = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&repaired);
    stage.receiver.script(move |request, _| {
        Answer::status(match request.path.as_str() {
            _ if switch.load(Ordering::SeqCst) => 200,
            "/refusing" => 400,
            _ => 500,
        })
    });
    let daemon = stage.start();
    let uuids = Random::seeded(4).uuids(LETTERS);
    let account = |index: usize| match index {
        0..EARLY => 30,
        EARLY..4000 => ACCOUNT,
        4000..7000 => 29,
        _ => 31,
    };
    let flows: Vec<Value> = (0..)
        .zip(&uuids)
        .map(|(index, uuid)| with(flow(uuid, &[]), "accountID", json!(account(index))))
        .collect();
    stage.send_flows(&flows);
    stage.dead_letters(LETTERS, 3 * PATIENCE);
    repaired.store(true, Ordering::SeqCst);
    let set = |uuids: &[String]| uuids.iter().cloned().collect();
    let (exhausted, early) = (set(&uuids[..4000]), set(&uuids[..EARLY]));
    Outage { stage, daemon, exhausted, early }
}

/// There are 10,000 letters. `--reason … --rate 500 --max 2000` is interrupted after a third and killed after two
/// thirds. In total it sends exactly the 2,000 letters that the dry run announced, each once.
#[test]
fn an_interrupted_replay_resumes_and_sends_each_letter_once() {
    let Outage { stage, mut daemon, exhausted, early } = after_an_outage();
    replay(&stage, &["--webhook", "early"]);
    events(&stage, "delivered", EARLY);
    let before = stage.receiver.requests().len();

    let filter = ["--reason", "attempts_exhausted", "--max", "2000"];
    let plan = replay(&stage, &[&filter[..], &["--dry-run"]].concat());
    assert_eq!(
        (&plan["matched"], &plan["skipped_delivered"]),
        (&json!(4000), &json!(EARLY)),
        "{plan}"
    );
    assert_eq!((&plan["replayed"], &plan["left"]), (&json!(MAX), &json!(1900)), "{plan}");
    assert_eq!(stage.receiver.requests().len(), before, "a dry run sends nothing");

    let arguments = [&["dead-letter", "replay", "--json", "--rate", "500"], &filter[..]].concat();
    let mut run = stage.launch("first", &arguments);
    stage.receiver.wait_for(before + MAX / 3, PATIENCE);
    run.signal("INT");
    let first = run.wait();
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.err.contains("run the same command again"), "{first:?}");
    let first = summary(&first);
    assert_eq!(first["finished"], false, "{first}");
    let sent = first["replayed"].as_u64().expect("a number");
    assert!((600..MAX as u64).contains(&sent), "{first}");

    let mut run = stage.launch("second", &arguments);
    stage.receiver.wait_for(before + 2 * MAX / 3, PATIENCE);
    run.signal("KILL");
    assert_eq!(run.wait().code, None);

    let last = summary(&stage.launch("third", &arguments).wait());
    for name in ["matched", "replayed", "skipped_delivered", "left", "by_reason", "by_webhook"] {
        assert_eq!(last[name], plan[name], "{name}: {last}");
    }
    assert_eq!((&last["resumed"], &last["finished"]), (&json!(true), &json!(true)), "{last}");
    let now = last["replayed_now"].as_u64().expect("a number");
    assert!(now > 0 && now < MAX as u64 - sent, "{last}");

    events(&stage, "delivered", EARLY + MAX);
    daemon.stop();
    let delivered = events(&stage, "delivered", EARLY + MAX);
    let ids: BTreeSet<&str> = delivered.iter().filter_map(|e| e["webhook_id"].as_str()).collect();
    assert_eq!((ids.len(), delivered.len()), (EARLY + MAX, EARLY + MAX), "each once");
    let of = |event: &Value| event["phonon_uuid"].as_str().expect("a uuid").to_owned();
    assert!(delivered.iter().all(|event| exhausted.contains(&of(event))));
    assert_eq!(delivered.iter().filter(|event| early.contains(&of(event))).count(), EARLY);
    assert_eq!(events(&stage, "replayed", EARLY + MAX).len(), EARLY + MAX);
    assert_eq!(stage.receiver.requests().len(), before + MAX, "each request once");

    // The run has finished. The same command now begins another run behind it.
    let rest = replay(&stage, &["--reason", "attempts_exhausted", "--dry-run"]);
    let passed = rest["skipped_delivered"].as_u64().expect("a number");
    assert_eq!(rest["replayed"], 1900, "{rest}");
    assert!(passed <= EARLY as u64, "{rest}");
    assert_eq!(rest["resumed"], false, "{rest}");
}

/// Two operators replay at once, with filters that match the same letters. The second replay takes over, and the first
/// one reports this.
#[test]
fn a_second_replay_takes_over_and_nothing_is_sent_twice() {
    let stage = Stage::new("letters-two");
    let repaired = failing_endpoint(&stage, 400);
    let mut daemon = stage.start();
    let uuids = Random::seeded(5).uuids(200);
    make_letters(&stage, &uuids.iter().map(String::as_str).collect::<Vec<_>>());
    stage.dead_letters(uuids.len(), PATIENCE);
    repaired.store(true, Ordering::SeqCst);
    let mut slow =
        stage.launch("slow", &["dead-letter", "replay", "--rate", "20", "--reason", "refused"]);
    events(&stage, "replayed", 20);
    let second = replay(&stage, &["--webhook", WEBHOOK]);
    let first = slow.wait();
    assert_eq!(first.code, Some(1), "{first:?}");
    assert!(first.err.contains("another replay has started"), "{first:?}");
    let (replayed, skipped) = (&second["replayed"], &second["skipped_sent"]);
    let skipped = skipped.as_u64().unwrap_or(0) + second["skipped_delivered"].as_u64().unwrap_or(0);
    assert!(skipped >= 20, "{second}");
    assert_eq!(replayed.as_u64().map(|replayed| replayed + skipped), Some(200), "{second}");
    events(&stage, "delivered", uuids.len());
    daemon.stop();
    assert_eq!(events(&stage, "delivered", uuids.len()).len(), uuids.len());
    assert_eq!(events(&stage, "replayed", uuids.len()).len(), uuids.len(), "each was sent once");
}

#[test]
fn wrong_usage_exits_with_2_and_an_unreachable_kafka_with_75() {
    for arguments in [
        &["dead-letter"][..],
        &["dead-letter", "replay", "nonsense"],
        &["dead-letter", "list", "0:1"],
        &["dead-letter", "list", "--phase", "3"],
        &["dead-letter", "list", "--reason", "whim"],
        &["dead-letter", "list", "--since", "yesterday"],
        &["dead-letter", "replay", "--rate", "0"],
        &["dead-letter", "replay", "--max", "0"],
    ] {
        assert_eq!(command(arguments).code, Some(EX_USAGE), "{arguments:?}");
    }
    for name in ["list", "show", "replay"] {
        let help = command(&["dead-letter", name, "--help"]);
        let last = help.out.trim_end().lines().last().unwrap_or_default();
        assert!(
            help.out.contains("Example:\n") && last.contains("ringback dead-letter"),
            "{help:?}"
        );
    }
    let mut stage = Stage::without_topics(broker::shared(), "letters-alone");
    for name in ["list", "show", "replay"] {
        let done = stage.command(&["dead-letter", name]);
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.err.contains("ringback topics --create"), "{done:?}");
    }
    stage.set("kafka.bootstrap_servers", format!("127.0.0.1:{}", free_port()));
    for name in ["list", "show", "replay"] {
        let start = std::time::Instant::now();
        let done = stage.command(&["dead-letter", name]);
        assert_eq!(done.code, Some(EX_TEMPFAIL), "{done:?}");
        assert!(done.err.contains("Kafka at 127.0.0.1"), "{done:?}");
        assert!(start.elapsed() < Duration::from_secs(30), "{name}: {:?}", start.elapsed());
    }
}

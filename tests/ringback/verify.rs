//! `ringback verify`: it accepts everything that a daemon meets in a long day, and names each kind of damage.

use crate::harness::child::free_port;
use crate::harness::daemon::{Done, EX_CONFIG, command};
use crate::harness::kafka::{Message, Record};
use crate::harness::receiver::Answer;
use crate::harness::samples::{Random, flow, report, with};
use crate::harness::stage::Stage;
use crate::harness::verify::report as said;
use crate::harness::{PATIENCE, broker, changelog, invariants};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const EX_TEMPFAIL: i32 = 75;

fn wait_events(stage: &Stage, kind: &str, count: usize) {
    stage.events().wait(&format!("{count} × {kind}"), PATIENCE, |events| {
        events.iter().filter(|event| event.json()["type"] == *kind).count() >= count
    });
}

/// Plays retries, refusals, replays, misplaced and unreadable records, late and missing ones, timeouts, and a crash.
fn eventful(stage: &mut Stage) {
    stage.set("delivery.attempts_max", 3);
    stage.add_account(29);
    stage.add_webhook("broken", 29, &stage.receiver.url("/broken"));
    let repaired = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&repaired);
    stage.receiver.script(move |request, nth| match (request.path.as_str(), nth) {
        ("/broken", _) if !switch.load(Ordering::SeqCst) => Answer::status(400),
        ("/broken", _) => Answer::status(200),
        (_, 1) => Answer::status(500),
        _ => Answer::status(201),
    });
    let mut daemon = stage.start();
    let uuids = Random::seeded(71).uuids(25);
    let flows: Vec<Value> = uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect();
    let reports: Vec<Value> = uuids.iter().map(|uuid| report(uuid, "s-1", "DELIVERED")).collect();
    stage.send_reports(&reports[..10]);
    stage.send_flows(&flows);
    stage.send_flows(&flows[..3]);
    stage.receiver.wait_for(10, PATIENCE);
    daemon.kill();
    let mut daemon = stage.start();
    stage.send_reports(&reports[10..]);
    // Misplaced records, unreadable ones, and one of an unknown account.
    let astray = stage.record("flow-complete", &flow("astray", &[]));
    let records =
        [0, 1, 2].map(|partition| Record { partition: Some(partition), ..astray.clone() });
    stage.kafka.produce(&records);
    stage.kafka.produce(&[
        stage.raw("sms-delivery-report", "garbage"),
        Record { key: Some(b"bad".to_vec()), ..stage.raw("inbox", "garbage") },
    ]);
    stage.send_flows(&[with(flow("stranger", &[]), "accountID", json!(99))]);
    // Deliveries that become dead letters, and are replayed once the endpoint works.
    let refused = ["r-1", "r-2"].map(|uuid| with(flow(uuid, &[]), "accountID", json!(29)));
    stage.send_flows(&refused);
    wait_events(stage, "dead_lettered", 5);
    repaired.store(true, Ordering::SeqCst);
    let done = stage.command(&["dead-letter", "replay", "--webhook", "broken", "--yes"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    wait_events(stage, "replayed", 2);
    wait_events(stage, "delivered", 25 + 25 + 1 + 2);
    daemon.stop();
    // Flows whose reports come too late, and a misplaced report without a key whose flow never comes.
    stage.set("correlation.report_timeout_s", 3);
    stage.set("correlation.correlation_ttl_s", 3);
    let mut daemon = stage.start();
    let lone: Vec<String> = (0..5).map(|number| format!("lone-{number}")).collect();
    stage.send_flows(&lone.iter().map(|uuid| flow(uuid, &["s-1"])).collect::<Vec<_>>());
    let report_of = |uuid: &String| report(uuid, "s-1", "SENT");
    let orphan = report("orphan", "s-1", "SENT").to_string();
    stage.kafka.produce(&[stage.raw("sms-delivery-report", orphan)]);
    wait_events(stage, "report_timed_out", 5);
    wait_events(stage, "dead_lettered", 6);
    wait_events(stage, "delivered", 53 + 5);
    stage.send_reports(&lone.iter().map(report_of).collect::<Vec<_>>());
    wait_events(stage, "record_ignored", 3 + 2 + 5);
    daemon.stop();
}

#[track_caller]
fn named(done: &Done, what: &[&str], uuid: &str) {
    assert_eq!(done.code, Some(1), "{done:?}");
    let report = said(done);
    let violations = report["violations"].as_array().expect("a list");
    let fits = |violation: &&Value| {
        violation["uuid"] == *uuid && what.iter().any(|word| violation["what"] == **word)
    };
    assert!(violations.iter().any(|v| fits(&v)), "{what:?} of {uuid}: {report:#}");
}

/// Returns the key of a uuid's row.
fn row_key(uuid: &str) -> Vec<u8> {
    [b"s".as_slice(), uuid.as_bytes()].concat()
}

#[test]
fn verify_accepts_an_eventful_day_and_names_later_damage() {
    let mut stage = Stage::on(broker::shared(), "verify-day", 3);
    eventful(&mut stage);
    let counts = stage.verify();
    assert_eq!(
        (&counts["unread"], &counts["moving"], &counts["scattered"]),
        (&json!(0), &json!(0), &json!(0))
    );
    assert_eq!((&counts["replayed"], &counts["given_up"]), (&json!(2), &json!(2)));
    assert_eq!(counts["store_partitions"], 3, "verify compares the store: {counts}");
    assert!(
        counts["rows"].as_u64() > Some(30) && counts["rows"] == counts["store_rows"],
        "{counts}"
    );

    // Scripts read these words of the report.
    let text = stage.command(&["verify"]);
    assert_eq!(text.code, Some(0), "{text:?}");
    assert!(
        text.out.starts_with("no violation\n") && text.out.contains("3 partitions compared"),
        "{text:?}"
    );

    damage_the_store(&stage);
    damage_the_topics(&stage);
}

fn damage_the_store(stage: &Stage) {
    let rows = changelog::left(&stage.kafka.read(&stage.topic("changelog")));
    let ((partition, key), _) = rows.iter().find(|((_, key), _)| key[0] == b's').expect("a row");
    let uuid = String::from_utf8_lossy(&key[1..]).into_owned();
    let directory = stage.instance_dir(0).join("data");
    let options = rocksdb::Options::default();
    let families = rocksdb::DB::list_cf(&options, &directory).expect("a store");
    let db = rocksdb::DB::open_cf(&options, &directory, &families).expect("no daemon has it open");
    let family = db.cf_handle(&format!("partition-{partition}")).expect("the partition");
    let row = db.get_cf(&family, key).expect("the store can be read").expect("the row is there");
    db.delete_cf(&family, key).expect("the store can be written");
    db.flush_cf(&family).expect("the store can be flushed");
    named(&stage.verified(0, &[]), &["store"], &uuid);
    db.put_cf(&family, key, row).expect("the store can be written");
    db.flush_cf(&family).expect("the store can be flushed");
    // Here `verify` reads the store while another process, this test, has it open.
    stage.verify();
}

fn damage_the_topics(stage: &Stage) {
    let produce = |kind: &str, partition, key: &[u8], value: Option<Vec<u8>>| {
        let topic = stage.topic(kind);
        stage.kafka.produce(&[Record {
            topic,
            partition: Some(partition),
            key: Some(key.to_vec()),
            value,
            ..Record::default()
        }]);
    };
    let events = stage.kafka.read(&stage.topic("events"));
    let delivered = events.iter().find(|event| event.json()["type"] == "delivered");
    let delivered: &Message = delivered.expect("an event");
    let key = delivered.key.clone().expect("a key");
    produce("events", delivered.partition, &key, delivered.value.clone());
    named(&stage.verified(0, &[]), &["twice"], &String::from_utf8_lossy(&key));

    let rows = changelog::left(&stage.kafka.read(&stage.topic("changelog")));
    let ((partition, _), row) = rows.iter().find(|((_, key), _)| key[0] == b's').expect("a row");
    produce("changelog", *partition, &row_key("foreign"), Some(row.clone()));
    named(&stage.verified(0, &[]), &["unexplained_state", "partition"], "foreign");

    let words: Vec<&Message> =
        events.iter().filter(|event| event.json()["type"] == "flow_accepted").collect();
    let accepted = words.last().expect("an event");
    let uuid = String::from_utf8_lossy(accepted.key.as_deref().expect("a key")).into_owned();
    let original = accepted.json();
    let mut elsewhere = original.clone();
    elsewhere["source"]["offset"] = json!(1_000_000);
    produce(
        "events",
        accepted.partition,
        uuid.as_bytes(),
        Some(elsewhere.to_string().into_bytes()),
    );
    named(&stage.verified(0, &[]), &["unexplained_event"], &uuid);

    produce("changelog", 0, b"junk", Some(b"junk".to_vec()));
    let report = said(&stage.verified(0, &[]));
    let junk =
        report["violations"].as_array().expect("a list").iter().find(|v| v["what"] == "unreadable");
    let junk = junk.unwrap_or_else(|| panic!("{report:#}"));
    assert_eq!((&junk["topic"], &junk["partition"]), (&json!(stage.topic("changelog")), &json!(0)));
    for name in ["what", "uuid", "webhook_id", "topic", "partition", "offset", "says"] {
        assert!(junk.get(name).is_some(), "{name}: {junk}");
    }
    let text = stage.command(&["verify"]);
    assert_eq!(text.code, Some(1), "{text:?}");
    assert!(text.out.contains("\nunreadable  ") && text.out.contains(" violations\n"), "{text:?}");
}

#[test]
fn verify_reports_no_violation_beside_a_running_daemon() {
    let mut stage = Stage::on(broker::shared(), "verify-beside", 3);
    stage.set("correlation.dedup_window_s", 2);
    stage.set("kafka.commit_interval_ms", 20);
    stage.receiver.script(|request, nth| {
        let fails = nth == 1 && request.body.len() % 3 == 0;
        Answer::status(if fails { 500 } else { 200 }).after(Duration::from_millis(2))
    });
    let mut daemon = stage.start();
    let uuids = Random::seeded(72).uuids(3000);
    let mut moving = 0;
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            for some in uuids.chunks(60) {
                let flows: Vec<Value> = some.iter().map(|uuid| flow(uuid, &["s-1"])).collect();
                let reports: Vec<Value> =
                    some.iter().map(|uuid| report(uuid, "s-1", "DELIVERED")).collect();
                stage.send_reports(&reports[..30]);
                stage.send_flows(&flows);
                stage.send_reports(&reports[30..]);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        while !sending.is_finished() {
            moving += stage.verify_beside()["moving"].as_u64().expect("a number");
        }
    });
    println!("{moving} uuids changed during the checks");
    assert!(moving > 0, "the daemon worked during the checks");
    invariants::wait_delivered(&stage, &uuids, Duration::from_secs(60));
    stage.verify_beside();
    daemon.stop();
    let counts = stage.verify();
    assert_eq!((&counts["delivered"], &counts["repeats"]), (&json!(6000), &json!(0)));
}

#[test]
fn verify_compares_the_receivers_log_and_rejects_a_malformed_one() {
    let mut stage = Stage::new("verify-receiver");
    let mut daemon = stage.start();
    stage.send_flows(&[flow("seen", &[])]);
    wait_events(&stage, "correlation_ended", 1);
    daemon.stop();
    stage.verify();
    let path = stage.instance_dir(0).join("log.jsonl");
    let path = path.to_str().expect("a plain path").to_owned();
    let with_log = |text: &str| {
        std::fs::write(&path, text).expect("a log");
        stage.command(&["verify", "--json", "--receiver-log", &path, "--repeats-max", "0"])
    };
    named(&with_log(""), &["unseen"], "seen");
    let id = stage.receiver.requests()[0].id().to_owned();
    let line = |status: u16, body: &str| {
        let at = "2026-01-01T00:00:00Z";
        format!("{}\n", json!({"at": at, "webhook_id": id, "status": status, "body": body}))
    };
    assert_eq!(with_log(&line(200, "a")).code, Some(0));
    named(&with_log(&line(503, "a")), &["unseen"], "seen");
    named(&with_log(&[line(503, "a"), line(200, "b")].concat()), &["body"], "seen");
    let repeated = said(&with_log(&[line(503, "a"), line(200, "a")].concat()));
    assert_eq!(
        (&repeated["violations"][0]["what"], &repeated["counts"]["repeats"]),
        (&json!("repeats"), &json!(1))
    );
    let bad = with_log("{\"at\":\"2026-01-01T00:00:00Z\"}");
    assert_eq!(bad.code, Some(2), "{bad:?}");
    assert!(bad.err.contains("line 1") && bad.err.contains("verify --help"), "{bad:?}");

    stage.set("kafka.bootstrap_servers", format!("127.0.0.1:{}", free_port()));
    let away = stage.command(&["verify"]);
    assert_eq!(away.code, Some(EX_TEMPFAIL), "{away:?}");
    let done = command(&["verify", "--config", "/nowhere/ringback.toml"]);
    assert_eq!(done.code, Some(EX_CONFIG), "{done:?}");
}

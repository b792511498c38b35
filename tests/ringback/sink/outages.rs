//! A sink whose database is away or hangs: at the start, while it runs, and when it is stopped.

use super::{FIELD, SINK, answers_of, assert_agree, count};
use crate::harness::daemon::Daemon;
use crate::harness::database::{self, Database};
use crate::harness::kafka::Message;
use crate::harness::proxy::{self, Does, Meets};
use crate::harness::samples::{Random, flow, report};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, wait_until};
use mongodb::bson::doc;
use std::time::Duration;

#[test]
fn while_the_database_is_away_the_sink_waits_and_says_so() {
    let mut own = Database::start("sink-away-database");
    let mut stage = Stage::new("sink-away");
    own.of(&stage).configure(&mut stage);
    own.of(&stage).insert_sms(&["w-1", "w-2"]);
    own.kill();
    // It waits at its start.
    let mut sink = stage.spawn_sink(SINK);
    let waits = sink.wait_answer("/readyz", 503);
    assert!(!waits.is_empty());
    wait_until("the sink names the database", PATIENCE, || {
        sink.get("/readyz")
            .ok()
            .filter(|(_, body)| body.contains("waiting for MongoDB at 127.0.0.1:"))
    });
    own.restart();
    sink.wait_ready();
    let _daemon = stage.start();
    stage.send_flows(&[flow("away", &["w-1", "w-2"])]);
    own.kill();
    let reports = ["w-1", "w-2"].map(|sms| report("away", sms, "DELIVERED"));
    stage.send_reports(&reports);
    wait_until("the sink waits for the database", PATIENCE, || {
        let waits = sink.get("/readyz").ok()?;
        (waits.0 == 503 && waits.1.contains("waiting for MongoDB")).then_some(())
    });
    let lag = |sink: &Daemon| sink.metric("ringback_consumer_lag", &[]).unwrap_or(0.0);
    wait_until("the sink shows its lag", PATIENCE, || (lag(&sink) > 0.0).then_some(()));
    assert_eq!(sink.get("/livez").expect("an answer").0, 200);
    own.restart();
    own.of(&stage).wait("the answer is written", PATIENCE, |all| count(all.get("w-2")) == 1);
    sink.wait_ready();
    wait_until("no lag is left", PATIENCE, || (lag(&sink) == 0.0).then_some(()));
    assert_agree(&stage, &own.of(&stage).all());
    sink.stop_within(Duration::from_secs(5));
}

#[test]
fn while_the_database_hangs_the_sink_lags_and_no_answer_is_lost() {
    let own = Database::start("sink-slow-database");
    let mut stage = Stage::new("sink-slow");
    own.of(&stage).configure(&mut stage);
    stage.set("sink.mongodb.request_timeout_ms", 1000);
    own.of(&stage).insert_sms(&["s-1", "s-2"]);
    let (_daemon, mut sink) = (stage.start(), stage.start_sink(SINK));
    own.signal("STOP");
    stage.send_flows(&[flow("slow", &["s-1", "s-2"])]);
    stage.send_reports(&["s-1", "s-2"].map(|sms| report("slow", sms, "DELIVERED")));
    wait_until("two tries have failed", PATIENCE, || {
        sink.metric("ringback_sink_write_errors_total", &[]).filter(|tries| *tries >= 2.0)
    });
    wait_until("the sink shows its lag", PATIENCE, || {
        sink.metric("ringback_consumer_lag", &[]).filter(|lag| *lag > 0.0)
    });
    let (status, reasons) = sink.get("/readyz").expect("an answer");
    assert!(status == 503 && reasons.contains("waiting for MongoDB"), "{reasons}");
    own.signal("CONT");
    let all = own.of(&stage).wait("both answers are written", PATIENCE, |all| {
        all.values().all(|document| count(Some(document)) == 1)
    });
    assert_agree(&stage, &all);
    sink.wait_ready();
    sink.stop();
}

/// Until the first command has failed, the database is the reason already.
#[test]
fn a_sink_that_starts_while_the_database_hangs_says_at_once_for_what_it_waits() {
    let own = Database::start("sink-first-database");
    let mut stage = Stage::new("sink-first");
    own.of(&stage).configure(&mut stage);
    own.signal("STOP");
    let mut sink = stage.spawn_sink(SINK);
    wait_until("the sink names the database", PATIENCE, || {
        let (_, reasons) = sink.get("/readyz").ok()?;
        assert!(!reasons.contains("no partitions assigned"), "{reasons}");
        reasons.contains("waiting for MongoDB at 127.0.0.1:").then_some(())
    });
    own.signal("CONT");
    sink.wait_ready();
    sink.stop();
}

#[test]
fn a_sink_that_is_stopped_while_writes_fail_ends_in_time_and_loses_nothing() {
    let mut own = Database::start("sink-stopped-database");
    let mut stage = Stage::new("sink-stopped");
    own.of(&stage).configure(&mut stage);
    stage.set("sink.mongodb.request_timeout_ms", 60_000);
    own.of(&stage).insert_sms(&["p-1", "p-2"]);
    let (group, events) = (format!("{}.sink.mongodb", stage.group()), stage.topic("events"));
    for (uuid, sms, hangs) in [("hangs", "p-1", true), ("fails", "p-2", false)] {
        let (mut daemon, mut sink) = (stage.start(), stage.start_sink(SINK));
        match hangs {
            true => own.signal("STOP"),
            false => own.kill(),
        }
        stage.send_flows(&[flow(uuid, &[sms])]);
        stage.send_reports(&[report(uuid, sms, "DELIVERED")]);
        let end = |message: &Message| {
            let event = message.json();
            event["type"] == "delivered" && event["sms_id"] == sms
        };
        let end = wait_until("the answer is in the events", PATIENCE, || {
            stage.kafka.read(&events).into_iter().find(|message| end(message))
        });
        wait_until("the sink has read the answer", PATIENCE, || {
            sink.metric("ringback_consumer_lag", &[]).filter(|lag| *lag > 0.0)
        });
        sink.stop_within(Duration::from_secs(5));
        let committed = stage.kafka.committed(&group, &events);
        let next = committed.get(&end.partition).copied().unwrap_or(0);
        assert!(next <= end.offset, "{next} is behind the answer that was not written");
        match hangs {
            true => own.signal("CONT"),
            false => own.restart(),
        }
        let mut sink = stage.start_sink(SINK);
        let all =
            own.of(&stage).wait("the answer is written", PATIENCE, |all| count(all.get(sms)) == 1);
        assert_agree(&stage, &all);
        sink.stop();
        daemon.stop();
    }
}

/// The sink holds one batch while it waits. The number of writes shows the size of the batches.
#[test]
fn a_sink_whose_database_hangs_reads_one_batch_and_no_more() {
    const FLOWS: usize = 300;
    let own = Database::start("sink-bounded-database");
    let mut stage = Stage::on(broker::shared(), "sink-bounded", 1);
    own.of(&stage).configure(&mut stage);
    stage.set("sink.mongodb.request_timeout_ms", 60_000);
    stage.set("sink.mongodb.batch_documents_max", 10);
    let uuids = Random::seeded(18).uuids(FLOWS);
    let sms: Vec<&str> = uuids.iter().map(String::as_str).collect();
    own.of(&stage).insert_sms(&sms);
    let (mut daemon, mut sink) = (stage.start(), stage.start_sink(SINK));
    own.signal("STOP");
    let flows = uuids.iter().map(|uuid| flow(uuid, &[uuid]));
    let reports = uuids.iter().map(|uuid| report(uuid, uuid, "DELIVERED"));
    stage.send_flows(&flows.collect::<Vec<_>>());
    stage.send_reports(&reports.collect::<Vec<_>>());
    let ends = || answers_of(&stage.kafka.read(&stage.topic("events"))).len();
    wait_until("all deliveries have ended", PATIENCE, || (ends() == FLOWS).then_some(()));
    wait_until("the sink lags behind all answers", PATIENCE, || {
        sink.metric("ringback_consumer_lag", &[]).filter(|lag| *lag >= FLOWS as f64)
    });
    own.signal("CONT");
    let all = own.of(&stage).wait("all answers are written", PATIENCE, |all| {
        all.values().all(|document| count(Some(document)) == 1)
    });
    assert_agree(&stage, &all);
    let writes = sink.metric("ringback_sink_write_duration_seconds_count", &[]);
    assert!(writes >= Some(FLOWS as f64 / 10.0), "a batch had more than ten answers: {writes:?}");
    sink.stop();
    daemon.stop();
}

/// Another producer takes the transactional id over while the answer of the commit is held, so the sink gets no result.
#[test]
fn a_dead_letter_whose_commit_is_not_reported_is_not_written_again() {
    let proxy = proxy::shared();
    let mut stage = Stage::on(proxy.kafka(), "sink-uncertain", 1);
    let documents = database::shared().of(&stage);
    documents.configure(&mut stage);
    documents.insert(&[doc! { "_id": "u-1", FIELD: "text" }, doc! { "_id": "u-2" }]);
    let mut daemon = stage.start();
    stage.set("kafka.bootstrap_servers", proxy.bootstrap());
    let mut sink = stage.start_sink(SINK);
    proxy.assert_between(sink.pid());
    let instance = format!("sink-uncertain-{SINK}");
    let fault =
        proxy.until_lifted(&format!("ringback-{instance}"), Meets::Commit, Does::HoldAnswer);
    stage.send_flows(&[flow("refused", &["u-1"])]);
    stage.send_reports(&[report("refused", "u-1", "DELIVERED")]);
    fault.wait_fired(PATIENCE);
    stage.kafka.take_over(&format!("{}.sink.mongodb.{instance}", stage.group()));
    fault.lift();
    sink.wait_logged("a dead letter can't be written", 0);
    // A later answer shows that the sink has finished the batch of the dead letter.
    stage.send_flows(&[flow("after", &["u-2"])]);
    stage.send_reports(&[report("after", "u-2", "DELIVERED")]);
    documents.wait("a later answer is written", PATIENCE, |all| count(all.get("u-2")) == 1);
    assert_eq!(stage.dead_letters(1, PATIENCE).len(), 1);
    sink.stop();
    daemon.stop();
}

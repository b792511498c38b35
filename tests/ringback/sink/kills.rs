//! A sink that is killed, and a database that is killed, while ten thousand deliveries end.

use super::{SINK, assert_agree, count};
use crate::harness::database::Database;
use crate::harness::samples::{Random, flow, report};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, wait_until};
use serde_json::Value;
use std::time::Duration;

/// Each flow has a webhook of phase 1 and one for each of its two SMS.
const FLOWS: usize = 3334;

#[test]
fn three_kills_of_the_sink_and_two_of_the_database_leave_every_answer_right() {
    let mut random = Random::fresh();
    let mut database = Database::start("sink-kills-database");
    let mut stage = Stage::on(broker::shared(), "sink-kills", 4);
    stage.set("correlation.phase2_wait", "each");
    database.of(&stage).configure(&mut stage);
    let uuids = random.uuids(FLOWS);
    let ids = |uuid: &String| [format!("{uuid}-1"), format!("{uuid}-2")];
    let sms: Vec<[String; 2]> = uuids.iter().map(ids).collect();
    let all: Vec<&str> = sms.iter().flatten().map(String::as_str).collect();
    database.of(&stage).insert_sms(&all);
    let flows = uuids.iter().zip(&sms).map(|(uuid, [one, two])| flow(uuid, &[one, two]));
    let flows: Vec<Value> = flows.collect();
    let reports = uuids
        .iter()
        .zip(&sms)
        .flat_map(|(uuid, both)| both.iter().map(move |sms| report(uuid, sms, "DELIVERED")));
    let reports: Vec<Value> = reports.collect();
    let mut daemon = stage.start();
    stage.send_flows(&flows);
    stage.send_reports(&reports);
    let (group, topic) = (format!("{}.sink.mongodb", stage.group()), stage.topic("events"));
    // Progress, not time, decides the moment of each kill. A delivery has at least four events.
    let progress = || stage.kafka.committed(&group, &topic).values().sum::<i64>();
    let reach = |offsets: i64| {
        wait_until(&format!("the sink has processed {offsets} events"), PATIENCE, || {
            (progress() >= offsets).then_some(())
        });
    };
    let mut sink = stage.start_sink(SINK);
    for (moment, of_database) in [(1, false), (2, true), (3, false), (4, true), (5, false)] {
        let at = moment * 3500 + i64::try_from(random.within(0..2000)).expect("small");
        reach(at);
        println!("kill at {at} events, of the database: {of_database}");
        if of_database {
            database.kill();
            database.restart();
        } else {
            sink.kill();
            sink = stage.start_sink(SINK);
        }
    }
    let documents =
        database.of(&stage).wait("every document has an answer", Duration::from_secs(100), |all| {
            all.values().all(|document| count(Some(document)) == 1)
        });
    assert_eq!(documents.len(), 2 * FLOWS);
    daemon.stop();
    assert_agree(&stage, &documents);
    assert!(stage.kafka.read(&stage.topic("dead-letter")).is_empty());
    sink.stop();
}

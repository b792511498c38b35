//! The load: a stream of flows and reports. Some are in a wrong partition, sent twice, too early, or garbage.

use super::endpoints;
use crate::harness::kafka::Record;
use crate::harness::samples::{Random, flow, report, with};
use crate::harness::stage::Stage;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(250);
const UUIDS_PER_TICK: usize = 8;

/// Produces until `over` is set. Returns all uuids; each has got the records that it needs to end.
pub(super) fn run(stage: &Stage, mut random: Random, over: &AtomicBool) -> BTreeSet<String> {
    let mut uuids = BTreeSet::new();
    let producer = stage.kafka.producer();
    let mut next = Instant::now();
    while !over.load(Ordering::SeqCst) {
        let mut records = Vec::new();
        for _ in 0..UUIDS_PER_TICK {
            let uuid = random.uuid();
            records.extend(story(stage, &uuid, &mut random));
            uuids.insert(uuid);
        }
        records.extend(poison(stage, &mut random));
        producer.produce(&records, &[]);
        next += TICK;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    uuids
}

/// Returns all records of one uuid.
fn story(stage: &Stage, uuid: &str, random: &mut Random) -> Vec<Record> {
    let account = endpoints::account(random);
    let of = |value: Value| with(value, "accountID", json!(account));
    let flow = of(flow(uuid, &["s-1"]));
    let flow = stage.record("flow-complete", &flow);
    let report =
        |status: &str| stage.record("sms-delivery-report", &of(report(uuid, "s-1", status)));
    let mut story = match random.within(0..10) {
        0 => vec![report("DELIVERED"), flow],
        1 => vec![flow, report("SENT"), report("DELIVERED")],
        _ => vec![flow, report("FAILED")],
    };
    if random.within(0..10) == 0 {
        let twice = random.within(0..story.len() as u64);
        story.push(story[usize::try_from(twice).expect("small")].clone());
    }
    for record in &mut story {
        match random.within(0..20) {
            0 => record.key = None,
            1 => {
                let partition = random.within(0..u64::try_from(super::PARTITIONS).expect("some"));
                record.partition = Some(i32::try_from(partition).expect("small"));
            }
            _ => {}
        }
    }
    story
}

/// Returns a record that no gateway would send, or `None`.
fn poison(stage: &Stage, random: &mut Random) -> Option<Record> {
    let kind = ["flow-complete", "sms-delivery-report", "inbox"];
    let kind = kind[usize::try_from(random.within(0..3)).expect("small")];
    let bytes: Vec<u8> = random.next().to_be_bytes().to_vec();
    match random.within(0..8) {
        0 => Some(stage.raw(kind, bytes)),
        1 => Some(Record { key: Some(bytes), ..stage.raw(kind, "{\"phononUuid\":") }),
        _ => None,
    }
}

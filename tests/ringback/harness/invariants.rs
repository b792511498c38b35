//! Conditions that must hold after any number of crashes, once no work is left.

use super::kafka::Message;
use super::receiver::Received;
use super::stage::Stage;
use super::wait_until;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Waits until both phases of every uuid have their `delivered` event.
pub(crate) fn wait_delivered(stage: &Stage, uuids: &[String], timeout: Duration) {
    let mut events = stage.events();
    let wanted = 2 * uuids.len();
    events.wait(&format!("{wanted} delivered"), timeout, |events| {
        // The cheap condition comes first: the events of a large run are parsed only when there are enough of them.
        events.len() >= wanted && delivered(events).len() >= wanted
    });
}

/// Panics unless both phases of every uuid were delivered in order, each with one event. At most `repeats_max` requests
/// may be repeats, always with the same id and body. Returns the number of repeats.
pub(crate) fn assert_delivered(stage: &Stage, uuids: &[String], repeats_max: usize) -> usize {
    let by_id = stage.receiver.by_id();
    let mut first: BTreeMap<(String, u8), &Received> = BTreeMap::new();
    let mut repeats = 0;
    for (id, requests) in &by_id {
        let request = &requests[0];
        repeats += requests.len() - 1;
        assert!(requests.iter().all(|other| other.body == request.body), "bodies of {id} differ");
        let other = first.insert((request.uuid(), request.phase()), request);
        assert!(other.is_none(), "two deliveries of one phase: {request:?} and {other:?}");
    }
    assert!(repeats <= repeats_max, "{repeats} repeats, at most {repeats_max} are explained");
    for uuid in uuids {
        let at = |phase| {
            let request = first.get(&(uuid.clone(), phase));
            request.unwrap_or_else(|| panic!("phase {phase} of {uuid} never came")).at_ms
        };
        assert!(at(1) <= at(2), "phase 2 of {uuid} came before phase 1");
    }
    assert_eq!(first.len(), 2 * uuids.len(), "webhooks of other uuids came");
    let events = stage.kafka.read(&stage.topic("events"));
    let ended = delivered(&events);
    let ids: Vec<&str> = ended.iter().filter_map(|event| event["webhook_id"].as_str()).collect();
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len(), "one delivered event per delivery");
    assert_eq!(unique, by_id.keys().map(String::as_str).collect(), "each delivery has an event");
    let letters = stage.kafka.read(&stage.topic("dead-letter"));
    assert!(letters.is_empty(), "there are dead letters: {letters:?}");
    repeats
}

/// Panics unless the deliveries' events count the attempts that the endpoint saw. Crashes may lose at most `lost_max`
/// attempts before these are recorded. Without a crash no attempt is repeated and no count is lost.
pub(crate) fn assert_attempts_counted(stage: &Stage, lost_max: usize) {
    let events = stage.kafka.read(&stage.topic("events"));
    let by_id = stage.receiver.by_id();
    let mut lost = 0;
    for event in delivered(&events) {
        let id = event["webhook_id"].as_str().expect("a delivery has an id");
        let seen = by_id.get(id).map_or(0, Vec::len);
        let counted = event["attempt"].as_u64().and_then(|count| usize::try_from(count).ok());
        let counted = counted.expect("a delivered event has its attempt");
        assert!(seen >= counted, "{counted} attempts counted, {seen} seen: {event}");
        assert!(
            lost_max > 0 || seen == counted,
            "{counted} attempts counted, {seen} seen: {event}"
        );
        lost += seen - counted;
    }
    assert!(lost <= lost_max, "{lost} attempts were not counted, at most {lost_max} are explained");
}

/// Panics unless the committed offsets of the inputs are the ends of those topics.
pub(crate) fn assert_consumed(stage: &Stage) {
    let unread = unread(stage, &["flow-complete", "sms-delivery-report"]);
    assert!(unread.is_empty(), "{unread:?}");
}

/// Waits until every record of the inputs and of the inbox is read and its offset is committed.
pub(crate) fn wait_consumed(stage: &Stage, timeout: Duration) {
    wait_until("all inputs are read", timeout, || {
        unread(stage, &["flow-complete", "sms-delivery-report", "inbox"]).is_empty().then_some(())
    });
}

/// Returns the partitions of these kinds of topics whose committed offset is not their end.
fn unread(stage: &Stage, kinds: &[&str]) -> Vec<String> {
    let mut unread = Vec::new();
    for topic in kinds.iter().map(|kind| stage.topic(kind)) {
        let committed = stage.kafka.committed(&stage.group(), &topic);
        let mut last: BTreeMap<i32, i64> = BTreeMap::new();
        for message in stage.kafka.read(&topic) {
            last.insert(message.partition, message.offset + 1);
        }
        let left = last.into_iter().filter(|(number, end)| committed.get(number) != Some(end));
        unread.extend(left.map(|(number, end)| {
            format!("{topic} {number}: {end} is the end, {:?} committed", committed.get(&number))
        }));
    }
    unread
}

fn delivered(events: &[Message]) -> Vec<Value> {
    let events = events.iter().map(Message::json);
    events.filter(|event| event["type"] == "delivered").collect()
}

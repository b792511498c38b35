//! The checks that hold in every history.

use super::port::Row;
use super::world::World;
use crate::codec::row;
use crate::codec::source::Unwrap;
use crate::domain::{FindingKind, PhononUuid, State, Timestamp, notices_owner};
use crate::log::TopicPartition;
use crate::store::RowKey;
use crate::verify::{
    Changelog, Evidence, Input, InputRecord, Layout, Options, OwnTopic, ReceiverEntry, Violation,
    What,
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_128;

/// Returns everything that is wrong.
pub(super) fn faults(world: &World, is_at_rest: bool) -> Vec<String> {
    let mut faults = std::mem::take(&mut world.ledger.borrow_mut().faults);
    if world.is_timely.get() {
        faults.append(&mut world.ledger.borrow_mut().timing.early);
        faults.append(&mut world.ledger.borrow_mut().early_notices);
    }
    let found = &mut faults;
    rows(world, found);
    stores(world, found);
    inputs(world, is_at_rest, found);
    // Without topic ids, `verify` needs landmarks to recognise a recreated topic, and it gets none here.
    if world.setting.has_ids || world.ledger.borrow().recreated.is_empty() {
        evidence(world, is_at_rest, found);
    }
    requests(world, found);
    if is_at_rest {
        notices(world, found);
    }
    faults
}

/// Returns the parts of both `Debug` texts around their first difference.
pub(super) fn unlike(one: &State, other: &State) -> String {
    let (one, other) = (format!("{one:?}"), format!("{other:?}"));
    let same = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(60);
    let part = |text: &str| text.chars().skip(from).take(200).collect::<String>();
    format!("\n  …{}…\n  …{}…", part(&one), part(&other))
}

fn place(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

/// Returns the latest row of each key.
fn latest(world: &World, partition: i32) -> BTreeMap<Bytes, (i64, Bytes)> {
    let broker = world.broker.borrow();
    let mut rows = BTreeMap::new();
    for entry in broker.committed(&place(&world.names.changelog, partition)) {
        let key = entry.key.clone().expect("a row has a key");
        match &entry.value {
            Some(value) => drop(rows.insert(key, (entry.offset, value.clone()))),
            None => drop(rows.remove(&key)),
        }
    }
    rows
}

fn state_of(row: &Row) -> Option<(PhononUuid, State)> {
    let Some(RowKey::State(uuid)) = RowKey::parse(&row.1) else { return None };
    Some((uuid, row::decode_state(row.2.as_ref()?).expect("a row of the engine")))
}

/// Checks that the changelog's rows are the result of all committed commands.
fn rows(world: &World, faults: &mut Vec<String>) {
    let mut states: BTreeMap<PhononUuid, State> = world.ledger.borrow().states.clone();
    states.retain(|_, state| !state.is_empty());
    for partition in 0..world.setting.partitions.cast_signed() {
        for (key, (_, value)) in latest(world, partition) {
            let row = (partition, key, Some(value));
            let Some((uuid, state)) = state_of(&row) else { continue };
            let own = states.remove(&uuid).unwrap_or_default();
            if own != state {
                faults.push(format!(
                    "the row of {uuid}, and the expected one: {}",
                    unlike(&state, &own)
                ));
            }
        }
    }
    for (uuid, state) in states {
        faults.push(format!("the changelog has no row of {uuid}: {state:?}"));
    }
}

/// Checks that each store holds the changelog's latest rows below the store's checkpoint.
fn stores(world: &World, faults: &mut Vec<String>) {
    for (index, node) in world.nodes.iter().enumerate() {
        let numbers: Vec<i32> = node.disk.contents().keys().copied().collect();
        for number in numbers {
            let store = crate::store::Store::on(node.disk.clone());
            let partition = store.partition(number).expect("the partition exists");
            let checkpoint =
                partition.checkpoint().expect("the checkpoint is readable").next_offset;
            let mut content: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            if let Some(family) = node.disk.contents().get(&number) {
                content.extend(family.entries().map(|(key, value)| (key.to_vec(), value.to_vec())));
            }
            let own = latest(world, number);
            let is_row = |key: &[u8]| {
                matches!(RowKey::parse(key), Some(RowKey::State(_) | RowKey::Endpoint(_)))
            };
            for (key, (offset, value)) in &own {
                let is_behind = checkpoint <= *offset;
                if is_row(key)
                    && !is_behind
                    && content.get(key.as_ref()).map(Vec::as_slice) != Some(value.as_ref())
                {
                    faults.push(format!(
                        "node {index}, partition {number}: the store at {checkpoint} has another row for {} than the changelog at {offset}",
                        key.escape_ascii()
                    ));
                }
            }
        }
    }
}

/// Checks that each record was decided once, and at rest that all records were decided.
fn inputs(world: &World, is_at_rest: bool, faults: &mut Vec<String>) {
    let (broker, ledger) = (world.broker.borrow(), world.ledger.borrow());
    for ((topic, partition, offset, ..), count) in &ledger.decided {
        if *count != 1 && !ledger.recreated.contains(topic) {
            faults.push(format!("{topic} {partition} {offset} was decided {count} times"));
        }
    }
    let group = world.group.borrow();
    for place in &group.places {
        let committed = broker.offsets.get(place).map_or(0, |committed| committed.offset);
        for entry in broker.committed(place) {
            let is_done = entry.offset < committed;
            if is_at_rest && !is_done {
                faults.push(format!("{place:?} {} was not read", entry.offset));
            }
            let value = entry.value.as_deref().unwrap_or_default();
            let is_json = value.ends_with(b"}") || value.ends_with(b"]");
            // Of an array, each item is decided, and the last one shows it.
            let index = super::gateway::items(value).map(|items| items - 1);
            let key = (place.topic.to_string(), place.partition, entry.offset, entry.at_ms, index);
            let is_source = *place.topic != *world.names.inbox;
            if is_at_rest && is_done && is_json && is_source && !ledger.decided.contains_key(&key) {
                faults.push(format!("{place:?} {} was passed over", entry.offset));
            }
        }
    }
}

/// Checks the evidence with the code of `ringback verify`.
fn evidence(world: &World, is_at_rest: bool, faults: &mut Vec<String>) {
    let mut evidence = Evidence::new(layout(world));
    hand_in(world, &mut evidence);
    // All changes of the inputs have to be known first. Only then can events about a former log be distinguished from
    // events about the new one.
    if let Some(changes) = evidence.changes() {
        evidence = Evidence::knowing(layout(world), changes);
        hand_in(world, &mut evidence);
    }
    witnesses(world, &mut evidence);
    let options = Options {
        at_rest: is_at_rest,
        now: Timestamp::from_ms(world.true_ms()),
        overdue_ms: 5000,
        repeats_max: None,
    };
    let report = evidence.finish(&options);
    let is_recreated = !world.ledger.borrow().recreated.is_empty();
    // Until an instance reads on, its positions belong to the former topic, which `verify` reports. And early records
    // of the new log have the same offsets as records of the former one. Events contain only the offset and a time, and
    // clocks that jump give them no order. The ledger distinguishes the two logs.
    let of_either_log = [What::Lost, What::Order, What::Twice, What::UnexplainedEvent];
    let is_known = |violation: &&Violation| {
        !is_at_rest && violation.what == What::Identity
            || is_recreated && of_either_log.contains(&violation.what)
    };
    let violations = report.violations.iter().filter(|violation| !is_known(violation));
    faults.extend(violations.map(|violation| format!("{violation:?}")));
}

fn layout(world: &World) -> Layout {
    let (broker, names) = (world.broker.borrow(), &world.names);
    let own = |topic: &str, partitions: u32| OwnTopic {
        name: topic.into(),
        firsts: vec![0; usize::try_from(partitions).unwrap()],
    };
    let partitions = world.setting.partitions;
    let input = |topic: &String| Input {
        topic: topic.as_str().into(),
        compacted: false,
        partitions: world.setting.input_partitions,
        kind: None,
        firsts: Vec::new(),
    };
    Layout {
        inputs: names.sources().map(|(name, _)| input(name)).collect(),
        inbox: own(&names.inbox, world.setting.inbox_partitions),
        events: own(&names.events, partitions),
        dead_letters: own(&names.dead_letter, partitions),
        changelog: Changelog {
            name: names.changelog.as_str().into(),
            partitions: world.setting.partitions,
            moving_from: Vec::new(),
            ends: Vec::new(),
        },
        ids: (broker.identity().topics.into_iter())
            .filter_map(|(topic, id)| Some((topic, id?)))
            .collect(),
        replaced: BTreeSet::new(),
        owner: None,
        unwrap: Unwrap::default(),
        // If a process began with a wrong clock, the length of its window is unknown.
        dedup_window_ms: (world.is_timely.get())
            .then_some(world.setting.policy.correlation.dedup_window_ms),
    }
}

/// Adds every record that can be read.
fn hand_in(world: &World, evidence: &mut Evidence) {
    let (broker, names) = (world.broker.borrow(), &world.names);
    for (place, offset) in &broker.offsets {
        evidence.committed(place, Some(offset.offset), Some(offset.offset));
    }
    for place in broker.partitions.keys() {
        for entry in broker.committed(place) {
            let (partition, offset) = (place.partition, entry.offset);
            let (key, value) = (entry.key.as_deref(), entry.value.as_deref());
            let at = Timestamp::from_ms(entry.at_ms);
            let header = |name: &str| {
                let found = entry.headers.iter().find(|(own, _)| own == name);
                found.map(|(_, value)| value.as_str())
            };
            match &*place.topic {
                topic if topic == names.events => evidence.event(partition, offset, key, value),
                topic if topic == names.changelog => {
                    evidence.changelog(partition, offset, key, value);
                }
                topic if topic == names.dead_letter => {
                    evidence.dead_letter(partition, offset, at, key, header, value);
                }
                _ => {
                    let payload = value.unwrap_or_default();
                    let record = InputRecord { offset, timestamp: at, key, payload };
                    evidence.source(place, &record, header, &Vec::new);
                }
            }
        }
    }
}

/// Adds the rows of one store, and the requests that the endpoints received.
fn witnesses(world: &World, evidence: &mut Evidence) {
    let node = &world.nodes[world.dice.borrow_mut().index(world.nodes.len())];
    for (number, content) in node.disk.contents().iter() {
        for (key, value) in content.entries() {
            evidence.store(*number, key, value);
        }
    }
    evidence.has_requests();
    for request in &world.network.borrow().requests {
        evidence.request(ReceiverEntry {
            at: Timestamp::from_ms(request.at_ms),
            id: request.id,
            status: request.status,
            body: xxh3_128(&request.body),
        });
    }
}

/// Checks that each refused configuration is in an event, unless its process ended. Two events say so if it is unknown
/// whether the first one was committed.
pub(super) fn reloads(world: &World) -> Vec<String> {
    let broker = world.broker.borrow();
    let partitions = 0..world.setting.partitions.cast_signed();
    let places = partitions.map(|partition| place(&world.names.events, partition));
    let texts: Vec<String> = places
        .flat_map(|place| broker.committed(&place).cloned().collect::<Vec<_>>())
        .map(|entry| String::from_utf8_lossy(&entry.value.unwrap_or_default()).into_owned())
        .collect();
    let reloads = world.reloads.borrow();
    let lost = reloads.iter().filter(|(node, incarnation, reason)| {
        world.alive(*node, *incarnation) && !texts.iter().any(|text| text.contains(reason.as_str()))
    });
    lost.map(|(node, _, reason)| format!("no event has the reload {reason} of node {node}"))
        .collect()
}

/// Checks that the owner of each endpoint that a partition has disabled knows of it.
fn notices(world: &World, faults: &mut Vec<String>) {
    let partitions = world.setting.partitions;
    let rows: Vec<BTreeMap<Bytes, (i64, Bytes)>> =
        (0..partitions.cast_signed()).map(|number| latest(world, number)).collect();
    for (number, own) in rows.iter().enumerate() {
        for (key, (_, value)) in own {
            let Some(RowKey::Endpoint(webhook)) = RowKey::parse(key) else { continue };
            let endpoint = row::decode_endpoint(value).expect("a row of the engine");
            let has_reported =
                endpoint.reported.is_some_and(|reported| reported.kind == FindingKind::Disabled);
            if endpoint.disabled.is_none() || !has_reported {
                continue;
            }
            let owner = notices_owner(&webhook, partitions).expect("an owner");
            let known = rows[usize::try_from(owner).unwrap()].get(key);
            let known = known.map(|(_, value)| row::decode_endpoint(value).expect("a row"));
            if known.and_then(|known| known.notices.open) != Some(FindingKind::Disabled) {
                faults.push(format!(
                    "partition {number} has disabled {webhook}, and its owner does not know of it: {known:?}"
                ));
            }
        }
    }
}

/// Checks that a request is repeated only if a fault took the outcome of the first one.
fn requests(world: &World, faults: &mut Vec<String>) {
    let (network, ledger) = (world.network.borrow(), world.ledger.borrow());
    let sent = network.requests.len() as u64;
    if sent > ledger.recorded + ledger.excused {
        faults.push(format!(
            "{sent} requests, of which {} were recorded and {} were lost",
            ledger.recorded, ledger.excused
        ));
    }
}

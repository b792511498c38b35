//! What must hold in every history.

use super::network::Request;
use super::port::Row;
use super::world::World;
use crate::codec::event::{End, read_end};
use crate::codec::row;
use crate::domain::{DeliveryId, Event, PhononUuid, State};
use crate::log::Place;
use crate::store::RowKey;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Everything that is wrong.
pub(super) fn faults(world: &World, is_at_rest: bool) -> Vec<String> {
    let mut faults = std::mem::take(&mut world.ledger.borrow_mut().faults);
    let found = &mut faults;
    rows(world, found);
    stores(world, found);
    inputs(world, is_at_rest, found);
    ends(world, is_at_rest, found);
    requests(world, found);
    faults
}

/// Where two values begin to differ, as they are shown.
pub(super) fn unlike(one: &State, other: &State) -> String {
    let (one, other) = (format!("{one:?}"), format!("{other:?}"));
    let same = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(60);
    let part = |text: &str| text.chars().skip(from).take(200).collect::<String>();
    format!("\n  …{}…\n  …{}…", part(&one), part(&other))
}

fn place(topic: &str, partition: u32) -> Place {
    Place { topic: topic.into(), partition: partition.cast_signed() }
}

/// The latest row of each key.
fn latest(world: &World, partition: u32) -> BTreeMap<Bytes, (i64, Bytes)> {
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
    Some((uuid, row::decode_state(row.2.as_ref()?).expect("a row of ours")))
}

/// The changelog's rows are what the commands that were committed make of nothing.
fn rows(world: &World, faults: &mut Vec<String>) {
    let mut states: BTreeMap<PhononUuid, State> = world.ledger.borrow().states.clone();
    states.retain(|_, state| !state.is_empty());
    for partition in 0..world.setting.partitions {
        for (key, (_, value)) in latest(world, partition) {
            let row = (partition.cast_signed(), key, Some(value));
            let Some((uuid, state)) = state_of(&row) else { continue };
            let own = states.remove(&uuid).unwrap_or_default();
            if own != state {
                faults.push(format!(
                    "the row of {uuid}, and what it should be: {}",
                    unlike(&state, &own)
                ));
            }
        }
    }
    for (uuid, state) in states {
        faults.push(format!("the changelog has no row of {uuid}: {state:?}"));
    }
}

/// Each store holds what the changelog had at its checkpoint, or later rows that the changelog has too; and its indexes are
/// those of its rows.
fn stores(world: &World, faults: &mut Vec<String>) {
    for (index, node) in world.nodes.iter().enumerate() {
        let numbers: Vec<u32> = node.disk.contents().keys().copied().collect();
        for number in numbers {
            let store = crate::store::Store::on(node.disk.clone());
            let partition = store.partition(number).expect("it is there");
            let checkpoint = partition.checkpoint().expect("it reads").next_offset;
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

/// Each record was decided once, and at rest all were.
fn inputs(world: &World, is_at_rest: bool, faults: &mut Vec<String>) {
    let (broker, ledger) = (world.broker.borrow(), world.ledger.borrow());
    for ((topic, partition, offset), count) in &ledger.decided {
        if *count != 1 {
            faults.push(format!("{topic} {partition} {offset} was decided {count} times"));
        }
    }
    let group = world.group.borrow();
    for place in &group.places {
        let committed = broker.offsets.get(place).copied().unwrap_or(0);
        for entry in broker.committed(place) {
            let is_done = entry.offset < committed;
            if is_at_rest && !is_done {
                faults.push(format!("{place:?} {} was not read", entry.offset));
            }
            let key = (place.topic.to_string(), place.partition, entry.offset);
            let is_json = entry.value.as_ref().is_some_and(|value| value.ends_with(b"}"));
            let is_source = *place.topic != *world.names.inbox;
            if is_at_rest && is_done && is_json && is_source && !ledger.decided.contains_key(&key) {
                faults.push(format!("{place:?} {} was passed over", entry.offset));
            }
        }
    }
}

/// Each life of a delivery ends at most once, and at rest once.
fn ends(world: &World, is_at_rest: bool, faults: &mut Vec<String>) {
    let broker = world.broker.borrow();
    let mut lives: BTreeMap<DeliveryId, i64> = BTreeMap::new();
    for partition in 0..world.setting.partitions {
        for entry in broker.committed(&place(&world.names.events, partition)) {
            let value = entry.value.as_deref().unwrap_or_default();
            let text = std::str::from_utf8(value).unwrap_or_default();
            if let Some((id, End::Delivered | End::DeadLettered)) = read_end(value) {
                *lives.entry(id).or_default() -= 1;
            } else if ["\"delivery_scheduled\"", "\"replayed\""]
                .iter()
                .any(|word| text[..40.min(text.len())].contains(word))
            {
                let begins =
                    text.split("\"webhook_id\":\"").nth(1).and_then(|rest| rest.split('"').next());
                let id = begins.and_then(DeliveryId::parse).expect("it has an id");
                *lives.entry(id).or_default() += 1;
            }
        }
    }
    for (id, open) in lives {
        if !(0..=1).contains(&open) || (is_at_rest && open != 0) {
            faults.push(format!("{id} has begun {open} times more often than it ended"));
        }
    }
}

/// Whoever was told that it was delivered was; bodies do not change; repeats are explained.
fn requests(world: &World, faults: &mut Vec<String>) {
    let (network, ledger) = (world.network.borrow(), world.ledger.borrow());
    // A uuid that was forgotten and comes again has the same ids.
    let mut scheduled: BTreeMap<DeliveryId, u32> = BTreeMap::new();
    for event in ledger.events.values().flatten() {
        if let Event::DeliveryScheduled { delivery, .. } = event {
            *scheduled.entry(delivery.id).or_default() += 1;
        }
    }
    let mut first: BTreeMap<DeliveryId, &Request> = BTreeMap::new();
    for request in &network.requests {
        let known = first.entry(request.id).or_insert(request);
        if known.body != request.body && scheduled.get(&request.id) == Some(&1) {
            faults.push(format!("{} was sent with two bodies", request.id));
        }
    }
    let sent = network.requests.len() as u64;
    if sent > ledger.recorded + ledger.excused {
        faults.push(format!(
            "{sent} requests, of which {} were recorded and {} were lost",
            ledger.recorded, ledger.excused
        ));
    }
    for events in ledger.events.values() {
        for event in events {
            if let Event::Delivered { delivery, .. } = event {
                let was_taken = |request: &&Request| request.id == delivery.id && request.was_taken;
                if !network.requests.iter().any(|request| was_taken(&request)) {
                    faults.push(format!("{} is told to be delivered and was not", delivery.id));
                }
            }
        }
    }
}

//! Checks that reads do not depend on where a row is, and that the changelog has the rows that RocksDB lacks behind its
//! checkpoint.

use super::WriteBack;
use crate::domain::{Class, EndpointState, PhononUuid, State, Timestamp, WebhookName};
use crate::store::tests::{Dice, delivery, ended, uuid};
use crate::store::{Backlogs, Checkpoint, Derived, DueKey, Partition, Store, Tally, TimerKey};
use std::collections::BTreeMap;

const UUIDS: u64 = 40;
/// The claimed size of each row, so that only a few are written at a time.
const ROW_BYTES: usize = 100_000;

/// The expected content, and the changelog that it came from.
#[derive(Default)]
struct Model {
    states: BTreeMap<PhononUuid, State>,
    endpoints: BTreeMap<WebhookName, EndpointState>,
    log: Vec<Change>,
}

/// A record of the changelog.
#[expect(clippy::large_enum_variant, reason = "there are few")]
enum Change {
    State(PhononUuid, State),
    Endpoint(WebhookName, EndpointState),
}

fn webhook(name: &str) -> WebhookName {
    WebhookName::new(name).unwrap()
}

impl Model {
    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for state in self.states.values() {
            tally.change(&Derived::default(), &Derived::of(state));
        }
        tally
    }

    fn awaits_reports_since(&self) -> Option<Timestamp> {
        self.states.values().filter_map(State::awaits_reports_since).min()
    }

    fn due(&self, webhook: &WebhookName, from: DueKey) -> Vec<(DueKey, PhononUuid)> {
        let all = self.states.iter().flat_map(|(uuid, state)| {
            state.due_keys().map(move |(name, key)| (name.clone(), key, uuid.clone()))
        });
        let ours =
            all.filter(|(name, key, _)| name == webhook && key.class == from.class && *key >= from);
        let mut due: Vec<_> = ours.map(|(_, key, uuid)| (key, uuid)).collect();
        due.sort();
        due
    }

    fn timers(&self, from: Timestamp, until: Timestamp) -> Vec<TimerKey> {
        let timers = self.states.iter().filter_map(|(uuid, state)| {
            state.timer().map(|due| TimerKey { due, uuid: uuid.clone() })
        });
        let mut timers: Vec<_> = timers.filter(|key| (from..=until).contains(&key.due)).collect();
        timers.sort();
        timers
    }
}

fn check(rows: &mut WriteBack, model: &Model, dice: &mut Dice) {
    assert_eq!(rows.tally(), model.tally());
    for n in 0..UUIDS {
        let stored = rows.state(&uuid(n)).unwrap();
        assert_eq!(*stored, model.states.get(&uuid(n)).cloned().unwrap_or_default(), "{n}");
    }
    // In memory, the time is known to the second.
    let oldest = rows.awaits_reports_since().unwrap();
    let expected = model.awaits_reports_since();
    let seconds = |at: Option<Timestamp>| at.map(|at| at.as_ms() / 1000);
    assert_eq!(seconds(oldest), seconds(expected));
    assert!(oldest >= expected, "{oldest:?} {expected:?}");
    let limit = 1 + usize::try_from(dice.roll(60)).unwrap();
    let at = Timestamp::from_ms(dice.roll(60).cast_signed());
    for webhook in ["crm", "crm2"].map(webhook) {
        for class in Class::ALL {
            let from = DueKey { due: at, ..DueKey::first(class) };
            let mut due = model.due(&webhook, from);
            due.truncate(limit);
            assert_eq!(rows.due(&webhook, from, limit).unwrap(), due);
        }
        let endpoint = model.endpoints.get(&webhook).copied().unwrap_or_default();
        assert_eq!(rows.endpoint(&webhook), endpoint);
    }
    let until = at.plus_ms(dice.roll(60));
    let mut timers = model.timers(at, until);
    timers.truncate(limit);
    assert_eq!(rows.timers(at, until, limit).unwrap(), timers);
}

fn empty(partition: &Partition) -> WriteBack {
    let backlogs = Backlogs::new();
    WriteBack::new(partition.clone(), Checkpoint::default(), &backlogs, BTreeMap::new())
}

/// Returns the state after a start: RocksDB, and the changelog's records behind its checkpoint.
fn restarted(partition: &Partition, model: &Model) -> WriteBack {
    let checkpoint = partition.checkpoint().unwrap();
    let endpoints = partition.endpoints().unwrap();
    let backlogs = partition.backlogs().unwrap();
    let mut rows = WriteBack::new(partition.clone(), checkpoint, &backlogs, endpoints);
    let read = usize::try_from(checkpoint.next_offset).unwrap();
    for change in &model.log[read..] {
        match change {
            Change::State(uuid, state) => {
                let old = rows.state(uuid).unwrap();
                rows.put(uuid, &old, state.clone(), ROW_BYTES);
            }
            Change::Endpoint(webhook, endpoint) => rows.put_endpoint(webhook, *endpoint),
        }
    }
    rows
}

#[test]
fn reads_agree_wherever_rows_are_and_a_restart_finds_the_rest_in_the_changelog() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    for seed in 0..20 {
        let partition = store.partition(seed).unwrap();
        let mut dice = Dice(u64::from(seed.cast_unsigned()) + 1);
        let mut model = Model::default();
        let mut rows = empty(&partition);
        for step in 0..200_i64 {
            let now = Timestamp::from_ms(step * 1000);
            for _ in 0..dice.roll(4) {
                let number = dice.roll(UUIDS);
                let (uuid, state) = (uuid(number), dice.state(number));
                let old = rows.state(&uuid).unwrap();
                rows.put(&uuid, &old, state.clone(), ROW_BYTES);
                model.states.insert(uuid.clone(), state.clone());
                model.log.push(Change::State(uuid, state));
            }
            if dice.roll(3) == 0 {
                let webhook = webhook(if dice.roll(2) == 0 { "crm" } else { "crm2" });
                let held_until = (dice.roll(2) == 0).then_some(now);
                let endpoint = EndpointState { held_until, ..EndpointState::default() };
                rows.put_endpoint(&webhook, endpoint);
                model.endpoints.insert(webhook.clone(), endpoint);
                model.log.push(Change::Endpoint(webhook, endpoint));
            }
            rows.committed(i64::try_from(model.log.len()).ok(), b"meta", now);
            check(&mut rows, &model, &mut dice);
            match dice.roll(6) {
                0 => rows.write_all().unwrap(),
                // One generation is full at once, the other one is closed only by its age.
                1 => rows.write_some(1000, now).unwrap(),
                2..=4 => rows.write_some(usize::MAX, now).unwrap(),
                _ => {}
            }
            check(&mut rows, &model, &mut dice);
            check(&mut restarted(&partition, &model), &model, &mut dice);
        }
        rows.write_all().unwrap();
        let stored = partition.checkpoint().unwrap();
        assert_eq!(stored.next_offset, i64::try_from(model.log.len()).unwrap());
        assert_eq!(stored.tally, model.tally());
    }
}

#[test]
fn a_row_that_is_put_and_deleted_within_a_generation_is_never_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let partition = store.partition(0).unwrap();
    let mut rows = empty(&partition);
    let state = ended(9, vec![delivery("crm", 1, 5)]);
    rows.put(&uuid(1), &State::default(), state.clone(), 10);
    rows.committed(Some(1), b"meta", Timestamp::from_ms(0));
    rows.write_some(usize::MAX, Timestamp::from_ms(0)).unwrap();
    assert_eq!(partition.row(&uuid(1)).unwrap(), None);
    rows.put(&uuid(1), &state, State::default(), 0);
    rows.committed(Some(2), b"meta", Timestamp::from_ms(1));
    rows.write_all().unwrap();
    assert_eq!(partition.rows().count(), 0);
    assert_eq!(partition.checkpoint().unwrap().next_offset, 2);
}

#[test]
fn a_full_generation_is_written_before_another_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let mut rows = empty(&store.partition(0).unwrap());
    let share = 100_000;
    for n in 0..5000 {
        rows.put(&uuid(n), &State::default(), ended(9, Vec::new()), 100);
        rows.committed(None, b"meta", Timestamp::from_ms(0));
        rows.write_some(share, Timestamp::from_ms(0)).unwrap();
        let held = rows.young.bytes + rows.old.bytes;
        assert!(held <= 2 * share + 1000, "{held} bytes are held after {n} rows");
    }
}

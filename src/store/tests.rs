//! Helpers of the store's tests, and a comparison of a bulk load with puts row by row.

use super::{
    AwaitingKey, BulkLoad, Checkpoint, Derived, DueKey, Partition, RowKey, Store, TimerKey, advice,
};
use crate::codec::row;
use crate::domain::{
    AccountId, Class, Collection, Correlation, Delivery, DeliveryId, Due, Flow, FlowIdentity,
    Phase, PhononUuid, Source, State, Timestamp, WebhookName,
};
use crate::system::OpenFiles;
use bytes::Bytes;

/// Returns a delivery of the account 28 that is due at `due`.
pub(super) fn delivery(webhook: &str, n: u8, due: i64) -> Delivery {
    Delivery {
        rendering: crate::domain::Rendering::Fixed,
        sms: Default::default(),
        id: DeliveryId::from_bytes([n; 16]),
        phase: Phase::One,
        account: AccountId(28),
        webhook: WebhookName::new(webhook).unwrap(),
        body: Bytes::from_static(b"{}"),
        source: Source {
            topic: "t".into(),
            partition: 0,
            offset: 0,
            timestamp: Timestamp::default(),
            index: None,
            trace: None,
        },
        scheduled_at: Timestamp::default(),
        due: Due::At(Timestamp::from_ms(due)),
        attempts: 0,
        replays: 0,
        first_attempt_at: None,
        last_attempt_at: None,
        last_outcome: None,
    }
}

/// Returns a state with a timer and these deliveries.
pub(super) fn ended(until: i64, deliveries: Vec<Delivery>) -> State {
    let until = Timestamp::from_ms(until);
    let correlation = Correlation::Ended { account: AccountId(28), until };
    State { correlation, deliveries, ..State::default() }
}

/// Returns the state of a flow that was accepted at `accepted_at` and waits for reports.
pub(super) fn awaiting(accepted_at: i64, until: i64, deliveries: Vec<Delivery>) -> State {
    let flow = Flow {
        identity: FlowIdentity { account: AccountId(28), flow: None, content: 7 },
        accepted_at: Timestamp::from_ms(accepted_at),
        source: delivery("crm", 0, 0).source,
        webhook: None,
        enabled: true,
        keys: None,
        sms: None,
        reports: Vec::new(),
        collection: Collection::Open { until: Timestamp::from_ms(until) },
        gathers_until: None,
        record: None,
        spelling: None,
    };
    State { correlation: Correlation::Open(flow), deliveries, ..State::default() }
}

pub(super) fn uuid(n: u64) -> PhononUuid {
    PhononUuid::new(&format!("uuid-{n}")).unwrap()
}

/// Random numbers that are the same in every run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// Returns a number from 0 to `sides` − 1.
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % sides
    }

    /// Returns a state of the uuid with this number: empty, or with up to two deliveries.
    pub(super) fn state(&mut self, number: u64) -> State {
        let count = self.roll(3);
        let deliveries = (0..count).map(|index| {
            let webhook = if self.roll(2) == 0 { "crm" } else { "crm2" };
            let due = self.roll(50).cast_signed();
            let id = (u128::from(number) << 64 | u128::from(index)).to_be_bytes();
            let attempts = u32::from(self.roll(2) == 0);
            Delivery { id: DeliveryId::from_bytes(id), attempts, ..delivery(webhook, 0, due) }
        });
        let deliveries = deliveries.collect();
        let until = self.roll(90).cast_signed();
        match self.roll(6) {
            0 => State::default(),
            1 | 2 => awaiting(self.roll(60).cast_signed() * 700, until, deliveries),
            _ => ended(until, deliveries),
        }
    }
}

/// The whole content of a partition.
#[derive(Debug, PartialEq)]
struct Contents {
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    due: Vec<DueKey>,
    timers: Vec<TimerKey>,
    awaiting: Vec<AwaitingKey>,
}

fn contents(partition: &Partition) -> Contents {
    let rows = partition.rows().map(|entry| entry.map(|(k, v)| (k.to_vec(), v.to_vec())));
    let lanes = ["crm", "crm2"].into_iter().flat_map(|name| Class::ALL.map(|class| (name, class)));
    let due = lanes.flat_map(|(name, class)| {
        let webhook = WebhookName::new(name).unwrap();
        let due = partition.due(&webhook, DueKey::first(class));
        due.map(|entry| entry.unwrap().0).collect::<Vec<_>>()
    });
    let timers = partition.timers(Timestamp::from_ms(0), Timestamp::from_ms(1000));
    Contents {
        rows: rows.collect::<Result<_, _>>().unwrap(),
        due: due.collect(),
        timers: timers.collect::<Result<_, _>>().unwrap(),
        awaiting: partition.awaiting(Timestamp::from_ms(0)).collect::<Result<_, _>>().unwrap(),
    }
}

#[test]
fn a_bulk_load_has_the_same_result_as_puts_row_by_row() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let (one_by_one, bulk) = (store.partition(0).unwrap(), store.partition(1).unwrap());
    // The remains of an interrupted load.
    let mut left = bulk.batch(0);
    let stray = Derived::of(&ended(5, vec![delivery("crm", 250, 5)]));
    left.put(&bulk, &uuid(999), &Derived::default(), &stray, b"stray");
    bulk.commit(&mut left).unwrap();
    // The limit is so small that the load takes many files, and versions of a row are in several of them.
    let mut load = BulkLoad::begin(bulk.clone(), 2000).unwrap();
    let mut dice = Dice(7);
    let mut states = vec![Derived::default(); 100];
    let mut checkpoint = Checkpoint::default();
    for _ in 0..1000 {
        let n = dice.roll(100);
        let state = dice.state(n);
        let (mut key, mut encoded) = (Vec::new(), Vec::new());
        RowKey::write_state(&uuid(n), &mut key);
        if !state.is_empty() {
            row::encode_state(&state, &mut encoded);
        }
        load.put(&key, (!state.is_empty()).then_some(&encoded)).unwrap();
        let (old, new) = (&mut states[usize::try_from(n).unwrap()], Derived::of(&state));
        let mut batch = one_by_one.batch(0);
        batch.put(&one_by_one, &uuid(n), old, &new, &encoded);
        one_by_one.commit(&mut batch).unwrap();
        checkpoint.tally.change(old, &new);
        *old = new;
    }
    load.put(RowKey::META, Some(b"meta")).unwrap();
    checkpoint.next_offset = 1234;
    let loaded = load.finish(1234, Timestamp::default()).unwrap();
    assert_eq!(contents(&bulk), contents(&one_by_one));
    assert_eq!(loaded.checkpoint, checkpoint);
    assert_eq!(loaded.backlogs, one_by_one.backlogs().unwrap());
    assert_eq!(bulk.checkpoint().unwrap(), checkpoint);
    assert_eq!(bulk.meta().unwrap().as_deref(), Some(&b"meta"[..]));
}

/// The ids of deliveries are derived from their uuids, but a command decides a replay's id.
#[test]
fn two_uuids_with_a_delivery_of_one_id_are_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let mut load = BulkLoad::begin(store.partition(0).unwrap(), 1 << 20).unwrap();
    for number in [1, 2] {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        RowKey::write_state(&uuid(number), &mut key);
        row::encode_state(&ended(9, vec![delivery("crm", 7, 5)]), &mut value);
        load.put(&key, Some(&value)).unwrap();
    }
    load.finish(2, Timestamp::default()).unwrap();
}

#[test]
fn a_shortage_is_named_with_its_limit_and_the_advice_never_says_to_delete_anything() {
    let soft = OpenFiles::now().soft;
    let file = "IO error: While open a file for random read: /data/000012.sst: ";
    for (what, names) in [
        ("Too many open files", format!("soft limit {soft}, hard limit")),
        ("Too many open files in system", "fs.file-max".to_owned()),
        ("Cannot allocate memory", "MemoryMax=".to_owned()),
        ("Resource temporarily unavailable", "RLIMIT_NPROC".to_owned()),
    ] {
        let said = advice(&format!("{file}{what}"));
        assert!(said.contains(&names), "{names:?} is missing: {said}");
        assert!(!said.contains("delete") && !said.contains("damaged"), "{said}");
    }
    let locked = "IO error: While lock file: /data/LOCK: Resource temporarily unavailable";
    assert!(advice(locked).contains("another instance"));
}

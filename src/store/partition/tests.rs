//! The effect of a partition's rows in the store, and the indexes derived from them.

use crate::domain::{Class, PhononUuid, Timestamp, WebhookName};
use crate::store::tests::{delivery, ended};
use crate::store::{Checkpoint, Derived, DueKey, Store, StoreError, Tally};

#[test]
fn indexes_follow_the_rows_and_lanes_do_not_mix() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let partition = store.partition(3).unwrap();
    let uuid = |n: u8| PhononUuid::new(&format!("uuid-{n}")).unwrap();
    let mut batch = partition.batch(0);
    let nothing = Derived::default();
    let first = Derived::of(&ended(1000, vec![delivery("crm", 1, 50), delivery("crm2", 2, 40)]));
    let second = Derived::of(&ended(900, vec![delivery("crm", 3, 10)]));
    batch.put(&partition, &uuid(1), &nothing, &first, b"one");
    batch.put(&partition, &uuid(2), &nothing, &second, b"two");
    partition.commit(&mut batch).unwrap();

    let crm = WebhookName::new("crm").unwrap();
    let due = |from| partition.due(&crm, from).collect::<Result<Vec<_>, StoreError>>().unwrap();
    let ids = |from| due(from).iter().map(|(key, _)| key.id.to_bytes()[0]).collect::<Vec<_>>();
    assert_eq!(ids(DueKey::first(Class::First)), [3, 1]);
    assert_eq!(
        ids(due(DueKey::first(Class::First))[1].0),
        [1],
        "a cursor continues at its position"
    );
    assert_eq!(
        partition.backlogs().unwrap().values().map(|lane| lane.0).collect::<Vec<_>>(),
        [2, 1]
    );
    let timers = |until| {
        let timers = partition.timers(Timestamp::default(), Timestamp::from_ms(until));
        timers.collect::<Result<Vec<_>, StoreError>>().unwrap()
    };
    assert_eq!(timers(899).len(), 0);
    assert_eq!(timers(900).iter().map(|key| key.uuid.clone()).collect::<Vec<_>>(), [uuid(2)]);

    let later = Derived::of(&ended(1000, vec![delivery("crm", 1, 70)]));
    batch.put(&partition, &uuid(1), &first, &later, b"one, later");
    batch.put(&partition, &uuid(2), &second, &nothing, b"");
    partition.commit(&mut batch).unwrap();
    assert_eq!(due(DueKey::first(Class::First))[0].0.due, Timestamp::from_ms(70));
    assert_eq!(ids(DueKey::first(Class::First)), [1]);
    assert_eq!(timers(2000).len(), 1);
    assert_eq!(partition.row(&uuid(1)).unwrap().as_deref(), Some(&b"one, later"[..]));
    assert_eq!(partition.row(&uuid(2)).unwrap(), None);
}

#[test]
fn a_checkpoint_survives_and_a_cleared_partition_is_empty() {
    let directory = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint {
        next_offset: 42,
        at: Timestamp::from_ms(7),
        tally: Tally {
            awaiting_flow: 1,
            open: 2,
            silent: 3,
            ended: 4,
            held: 5,
            awaiting_reports: 6,
        },
    };
    {
        let store = Store::open(directory.path()).unwrap();
        let partition = store.partition(0).unwrap();
        let mut batch = partition.batch(0);
        batch.put_checkpoint(&partition, checkpoint);
        batch.put_meta(&partition, b"meta");
        partition.commit(&mut batch).unwrap();
    }
    let store = Store::open(directory.path()).unwrap();
    let partition = store.partition(0).unwrap();
    assert_eq!(partition.checkpoint().unwrap(), checkpoint);
    assert_eq!(partition.meta().unwrap().as_deref(), Some(&b"meta"[..]));
    partition.clear().unwrap();
    assert_eq!(partition.meta().unwrap(), None);
    assert_eq!(store.partition(0).unwrap().checkpoint().unwrap(), Checkpoint::default());
}

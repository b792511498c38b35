//! A store that was written like the daemon's and read from the disk at any moment matches the changelog. Damage to it
//! is named.

use super::inputs::noted;
use super::random::{Dice, Random, seeds};
use super::world::{OWNERS, World, uuid};
use crate::codec::row::{self, Owner};
use crate::domain::{Correlation, PhononUuid, State, Timestamp, WebhookName, owner};
use crate::store::{
    Backlogs, Batch, Checkpoint, Derived, Partition, RowKey, Store, StoreView, Tally, WriteBack,
};
use crate::verify::{Changelog, Evidence, Layout, Report, What};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::Path;

const HISTORIES: u64 = 8;
const STEPS: usize = 120;

/// A daemon's store with all partitions, which follows the world's changelog.
struct Follower {
    directory: tempfile::TempDir,
    rows: Vec<WriteBack>,
    partitions: Vec<Partition>,
    states: BTreeMap<PhononUuid, State>,
    /// The number of records of each partition's changelog that were applied.
    read: Vec<usize>,
    _store: Store,
}

impl Follower {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let partitions: Vec<Partition> =
            (0..OWNERS.cast_signed()).map(|number| store.partition(number).unwrap()).collect();
        let fresh = |partition: &Partition| {
            WriteBack::new(
                partition.clone(),
                Checkpoint::default(),
                &Backlogs::new(),
                BTreeMap::new(),
            )
        };
        let rows = partitions.iter().map(fresh).collect();
        let read = vec![0; partitions.len()];
        Self { directory, rows, partitions, states: BTreeMap::new(), read, _store: store }
    }

    /// Applies the next transaction of a partition.
    fn follow(&mut self, world: &World, number: usize, now: Timestamp) {
        let log = &world.changelog[number];
        let Some(first) = log.get(self.read[number]) else { return };
        let (txn, mut next, mut meta) = (first.txn, 0, Vec::new());
        let ours = log[self.read[number]..].iter().take_while(|entry| entry.txn == txn);
        for entry in ours {
            self.read[number] += 1;
            next = entry.offset + 1;
            let value = entry.value.clone().unwrap_or_default();
            match RowKey::parse(entry.key.as_deref().unwrap()).unwrap() {
                RowKey::Meta => meta = value,
                RowKey::State(of) => {
                    let new = if value.is_empty() {
                        State::default()
                    } else {
                        row::decode_state(&Bytes::from(value.clone())).unwrap()
                    };
                    let old = self.states.insert(of.clone(), new.clone()).unwrap_or_default();
                    self.rows[number].put(&of, &old, new, value.len());
                }
                RowKey::Endpoint(webhook) => panic!("{webhook}"),
            }
        }
        self.rows[number].committed(Some(next), &meta, now);
    }

    fn follow_all(&mut self, world: &World) {
        for number in 0..self.rows.len() {
            while self.read[number] < world.changelog[number].len() {
                self.follow(world, number, world.now);
            }
        }
    }

    fn write(&mut self) {
        for rows in &mut self.rows {
            rows.write_all().unwrap();
        }
    }

    fn flush(&self) {
        for partition in &self.partitions {
            partition.flush().unwrap();
        }
    }

    fn change(&self, of: &str, change: impl FnOnce(&mut Batch, &Partition)) {
        let partition = &self.partitions[owner(of.as_bytes(), OWNERS) as usize];
        let mut batch = partition.batch(0);
        change(&mut batch, partition);
        partition.commit(&mut batch).unwrap();
    }

    fn verify(&self, world: &World) -> Report {
        self.flush();
        let ends = world.changelog.iter().map(|log| log.last().map_or(0, |last| last.offset + 1));
        let changelog = Changelog { ends: ends.collect(), ..world.layout().changelog };
        let mut evidence = Evidence::new(Layout { changelog, ..world.layout() });
        world.feed(&mut evidence, &super::scan::Moment::now(world));
        feed(self.directory.path(), &mut evidence);
        evidence.finish(&world.options())
    }
}

fn feed(directory: &Path, evidence: &mut Evidence) {
    let view = StoreView::open(directory).unwrap().unwrap();
    for number in view.partitions() {
        let take = &mut |key: &[u8], value: &[u8]| evidence.store(*number, key, value);
        view.read(*number, take).unwrap();
    }
}

#[test]
fn a_store_matches_the_changelog_at_any_moment() {
    seeds(HISTORIES, |seed| {
        let mut random = Random::new(seed);
        let mut dice = Dice(seed);
        let mut follower = Follower::new();
        for step in 0..STEPS {
            random.step();
            // The store lags behind the committed state, and is written in steps.
            for number in 0..follower.rows.len() {
                for _ in 0..dice.below(4) {
                    follower.follow(&random.world, number, random.world.now);
                }
                let share = dice.pick(&[1, 1, 2000, 1 << 20]);
                follower.rows[number].write_some(share, random.world.now).unwrap();
            }
            if step % 15 == 0 {
                assert_eq!(follower.verify(&random.world).violations, []);
            }
        }
        follower.follow_all(&random.world);
        follower.write();
        let report = follower.verify(&random.world);
        assert_eq!(report.violations, []);
        let counts = report.counts;
        assert_eq!((counts.store_partitions, counts.store_rows), (2, counts.rows));
    });
}

#[test]
fn there_may_be_no_store() {
    let nowhere = tempfile::tempdir().unwrap();
    assert!(StoreView::open(nowhere.path()).unwrap().is_none());
    assert!(StoreView::open(&nowhere.path().join("absent")).unwrap().is_none());
}

/// Panics unless `damage` to the store of the story is reported for the uuid `of` with the text `says`.
#[track_caller]
fn check(of: &str, says: &str, damage: impl FnOnce(&mut Follower, &World)) {
    let world = super::story();
    let mut follower = Follower::new();
    follower.follow_all(&world);
    follower.write();
    assert_eq!(follower.verify(&world).violations, []);
    damage(&mut follower, &world);
    let report = follower.verify(&world);
    let reported = |v: &&crate::verify::Violation| {
        v.what == What::Store
            && v.uuid.as_deref().unwrap_or_default() == of
            && v.says.contains(says)
    };
    assert!(report.violations.iter().any(|v| reported(&v)), "{of}: {:#?}", report.violations);
}

fn encoded(state: &State) -> Vec<u8> {
    let mut out = Vec::new();
    row::encode_state(state, &mut out);
    out
}

#[test]
fn each_damage_of_a_store_is_named() {
    let due = |world: &World| world.state(&uuid("due"));
    let (none, state) = (Derived::default(), |world: &World| Derived::of(&due(world)));
    check("due", "lacks the row", |follower, world| {
        follower.change("due", |batch, partition| {
            batch.put(partition, &uuid("due"), &state(world), &none, &[]);
        });
    });
    check("due", "the indexes do not match", |follower, world| {
        follower.change("due", |batch, partition| {
            // The row stays, and its index entries are removed.
            batch.put(partition, &uuid("due"), &state(world), &none, &encoded(&due(world)));
        });
    });
    check("waits", "the indexes do not match", |follower, world| {
        let waits = world.state(&uuid("waits"));
        let mut other = waits.clone();
        if let Correlation::Open(flow) = &mut other.correlation {
            flow.accepted_at = flow.accepted_at.plus_ms(1);
        }
        let (is, was) = (Derived::of(&waits), Derived::of(&other));
        assert_ne!(is, was, "it waits for reports");
        follower.change("waits", |batch, partition| {
            batch.put(partition, &uuid("waits"), &is, &was, &encoded(&waits));
        });
    });
    check("due", "row differs from", |follower, world| {
        let mut other = due(world);
        other.deliveries[0].attempts += 1;
        follower.change("due", |batch, partition| {
            batch.put(
                partition,
                &uuid("due"),
                &state(world),
                &Derived::of(&other),
                &encoded(&other),
            );
        });
    });
    check("good", "deletes", |follower, world| {
        follower.change("good", |batch, partition| {
            batch.put(partition, &uuid("good"), &none, &state(world), &encoded(&due(world)));
        });
    });
    check("nobody", "does not have", |follower, world| {
        follower.change("nobody", |batch, partition| {
            batch.put(partition, &uuid("nobody"), &none, &state(world), &encoded(&due(world)));
        });
    });
    check("", "the tally is", |follower, _| {
        let partition = &follower.partitions[0];
        let checkpoint = partition.checkpoint().unwrap();
        let tally = Tally { open: checkpoint.tally.open + 1, ..checkpoint.tally };
        follower.set(0, Checkpoint { tally, ..checkpoint });
    });
    check("", "above the changelog's end", |follower, _| {
        let checkpoint = follower.partitions[1].checkpoint().unwrap();
        follower.set(1, Checkpoint { next_offset: checkpoint.next_offset + 1000, ..checkpoint });
    });
    check("", "the row m differs from", |follower, _| {
        let partition = &follower.partitions[0];
        let mut batch = partition.batch(0);
        batch.put_meta(partition, b"another");
        partition.commit(&mut batch).unwrap();
    });
    check("", "does not have the row ecrm", |follower, _| {
        let partition = &follower.partitions[0];
        let mut batch = partition.batch(0);
        batch.put_endpoint(partition, &WebhookName::new("crm").unwrap(), b"another");
        partition.commit(&mut batch).unwrap();
    });
}

impl Follower {
    fn set(&self, number: usize, checkpoint: Checkpoint) {
        let partition = &self.partitions[number];
        let mut batch = partition.batch(0);
        batch.put_checkpoint(partition, checkpoint);
        partition.commit(&mut batch).unwrap();
    }
}

/// Creates a world with a few uuids that have rows, in a changelog of `owner`.
fn owned(owner: &Owner) -> World {
    let mut world = World::new();
    world.owner = Some(owner.clone());
    for number in 0..6 {
        world.flow(&format!("u-{number}"), &["a"]);
    }
    world
}

/// Verifies a store of `theirs`, with a row that no changelog has, beside the changelog of `ours`.
fn beside(theirs: &Owner, ours: &Owner) -> Report {
    let mut follower = Follower::new();
    let (former, world) = (owned(theirs), owned(ours));
    follower.follow_all(&former);
    follower.write();
    damage_row(&follower, &world);
    follower.verify(&world)
}

fn damage_row(follower: &Follower, world: &World) {
    let state = world.state(&uuid("u-1"));
    follower.change("nobody", |batch, partition| {
        let (none, derived) = (Derived::default(), Derived::of(&state));
        batch.put(partition, &uuid("nobody"), &none, &derived, &encoded(&state));
    });
}

fn kinds(report: &Report) -> Vec<What> {
    let mut kinds: Vec<What> = report.violations.iter().map(|violation| violation.what).collect();
    kinds.dedup();
    kinds
}

#[test]
fn a_store_of_another_changelog_is_named_and_not_compared() {
    let ours = Owner {
        cluster: Some("c".into()),
        group: "ours".into(),
        changelog: Some("t".into()),
        partitions: OWNERS,
        ..Owner::default()
    };
    let former = Owner { changelog: Some("former".into()), ..ours.clone() };
    let elsewhere = Owner { cluster: Some("d".into()), ..ours.clone() };
    for theirs in [&former, &elsewhere] {
        let report = beside(theirs, &ours);
        assert_eq!(kinds(&report), [What::Identity], "{theirs:?}: {:?}", report.violations);
        assert!(report.violations[0].says.starts_with("the store's rows belong to"));
        noted(&report, "partitions 0, 1 of the store were not compared");
    }
    // The changelog was rebuilt from another copy of the store, so that this copy is out of date.
    let rebuilt = Owner { replaces: Some("former".into()), ..ours.clone() };
    let report = beside(&former, &rebuilt);
    assert_eq!(report.violations, []);
    noted(&report, "partitions 0, 1 of the store were not compared");
    // A group that was taken over leaves its store to the new group.
    let taken_over = Owner { group: "former".into(), ..ours.clone() };
    assert_eq!(kinds(&beside(&taken_over, &ours)), [What::Store]);
    assert_eq!(kinds(&beside(&ours, &ours)), [What::Store]);
}

#[test]
fn a_store_that_is_too_old_is_not_compared() {
    let mut world = super::story();
    let mut follower = Follower::new();
    follower.follow_all(&world);
    follower.write();
    follower.change("nobody", |batch, partition| {
        let state = world.state(&uuid("due"));
        let (none, derived) = (Derived::default(), Derived::of(&state));
        batch.put(partition, &uuid("nobody"), &none, &derived, &encoded(&state));
    });
    world.now = world.now.plus_ms(6 * 86_400_000 - 1);
    assert_eq!(kinds(&follower.verify(&world)), [What::Store]);
    world.now = world.now.plus_ms(86_400_000);
    let report = follower.verify(&world);
    assert_eq!(report.violations, []);
    noted(&report, "are too old, so that the daemon restores them");
}

#[test]
fn a_missing_store_is_noted() {
    let world = super::story();
    noted(&world.verify(&world.options()), "this machine has no store, so no store was compared");
}

//! Tests of the timers of a partition.

use super::Task;
use crate::domain::{AccountId, Correlation, PhononUuid, State, Timestamp};
use crate::store::{Rocks, Store};
use std::collections::BTreeSet;

fn marker(until: i64) -> State {
    let (account, until) = (AccountId(28), Timestamp::from_ms(until));
    State {
        correlation: Correlation::Ended { account, until },
        deliveries: Vec::new(),
        ..State::default()
    }
}

fn change(task: &mut Task<Rocks>, uuid: &PhononUuid, old: &State, new: State) {
    task.change(&new);
    task.rows.put(uuid, old, new, 100);
}

/// Returns a task with timers at these times.
fn task(store: &Store, due: &[i64]) -> Task<Rocks> {
    let mut task = Task::new(store.partition(0).unwrap(), Vec::new());
    for (number, due) in due.iter().enumerate() {
        let uuid = PhononUuid::new(&format!("uuid-{number}")).unwrap();
        change(&mut task, &uuid, &State::default(), marker(*due));
    }
    task
}

#[test]
fn more_timers_than_the_limit_are_returned_in_turns() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let due = [100, 100, 100, 150, 200, 200, 250];
    let mut task = task(&store, &due);
    let now = Timestamp::from_ms(220);
    let mut returned = BTreeSet::new();
    for _ in &due {
        for uuid in task.due_timers(now, 2).unwrap() {
            let old = State::clone(&task.rows.state(&uuid).unwrap());
            assert!(returned.insert(uuid.clone()), "{uuid} was returned again after its commit");
            change(&mut task, &uuid, &old, State::default());
        }
    }
    assert_eq!(returned.len(), 6);
    assert_eq!(task.next_timer, Some(Timestamp::from_ms(250)));
}

#[test]
fn timers_are_returned_again_until_they_are_committed() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let mut task = task(&store, &[100]);
    for _ in 0..3 {
        assert_eq!(task.due_timers(Timestamp::from_ms(100), 10).unwrap().len(), 1);
    }
    assert!(task.due_timers(Timestamp::from_ms(99), 10).unwrap().is_empty());
}

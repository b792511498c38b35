//! Where an input starts once its partition is restored.

use super::{From, Place, Restored, start_from};
use crate::store::{Backlogs, Checkpoint};
use std::collections::BTreeMap;

/// Where it starts where the group and the state stand, if they do, when it was read on, and when it was not.
#[track_caller]
fn check(group: Option<i64>, state: Option<i64>, held: From, fresh: From) {
    let place = Place { topic: "flow-complete".into(), partition: 0 };
    let at =
        |offset: Option<i64>| offset.map(|offset| (place.clone(), offset)).into_iter().collect();
    let restored = Restored {
        partition: 0,
        checkpoint: Checkpoint::default(),
        backlogs: Backlogs::new(),
        endpoints: BTreeMap::new(),
        positions: at(state),
        committed: at(group),
        records: 0,
    };
    assert_eq!(start_from(&place, &restored, true), held, "held");
    assert_eq!(start_from(&place, &restored, false), fresh, "fresh");
}

#[test]
fn what_was_read_and_dropped_is_read_again() {
    check(None, None, From::Beginning, From::Here);
    check(Some(3), None, From::Offset(3), From::Here);
    check(Some(3), Some(3), From::Offset(3), From::Here);
}

#[test]
fn of_two_words_the_earlier_counts() {
    check(None, Some(3), From::Offset(3), From::Offset(3));
    check(Some(2), Some(3), From::Offset(2), From::Offset(2));
    check(Some(4), Some(3), From::Offset(3), From::Offset(3));
}

//! Each kind of damage, applied to a correct story.

use super::world::{Entry, FLOWS, INBOX, OWNERS, UNIT_MS, World, uuid};
use super::{check, id, story};
use crate::codec::row::{self, Meta};
use crate::domain::{
    Correlation, Deferred, Delivery, DeliveryId, Due, Facts, Pending, Rendering, Scope, State,
    owner,
};
use crate::store::RowKey;
use crate::verify::What;
use bytes::Bytes;

/// Returns the place of the nth event of this type of this uuid.
fn find(world: &World, of: &str, kind: &str, nth: usize) -> (usize, usize) {
    let kind = format!("\"type\":\"{kind}\"");
    let all = world.events.iter().enumerate();
    let all =
        all.flat_map(|(p, log)| log.iter().enumerate().map(move |(i, entry)| ((p, i), entry)));
    let ours =
        |entry: &Entry| entry.key.as_deref() == Some(of.as_bytes()) && entry.text().contains(&kind);
    let mut found = all.filter(|(_, entry)| ours(entry)).map(|(at, _)| at);
    found.nth(nth).unwrap_or_else(|| panic!("{of} has no {kind}"))
}

fn drop_event(of: &'static str, kind: &'static str, nth: usize) -> impl FnOnce(&mut World) {
    move |world| {
        let (partition, index) = find(world, of, kind, nth);
        world.events[partition].remove(index);
    }
}

fn double_event(of: &'static str, kind: &'static str, nth: usize) -> impl FnOnce(&mut World) {
    move |world| {
        let (partition, index) = find(world, of, kind, nth);
        let copy = world.events[partition][index].clone();
        world.events[partition].insert(index + 1, copy);
    }
}

fn change_event(
    of: &'static str,
    kind: &'static str,
    from: &'static str,
    to: &'static str,
) -> impl FnOnce(&mut World) {
    move |world| {
        let (partition, index) = find(world, of, kind, 0);
        let entry = &mut world.events[partition][index];
        let changed = entry.text().replacen(from, to, 1);
        assert_ne!(changed, entry.text());
        entry.value = Some(changed.into_bytes());
    }
}

/// Moves an event before another one of the same uuid.
fn move_event(
    of: &'static str,
    (kind, nth): (&'static str, usize),
    before: (&'static str, usize),
) -> impl FnOnce(&mut World) {
    move |world| {
        let (partition, index) = find(world, of, kind, nth);
        let entry = world.events[partition].remove(index);
        let (_, index) = find(world, of, before.0, before.1);
        world.events[partition].insert(index, entry);
    }
}

/// Returns the place of a uuid's latest row.
fn row_of(world: &World, of: &str) -> (usize, usize) {
    let mut key = Vec::new();
    RowKey::write_state(&uuid(of), &mut key);
    let partition = owner(of.as_bytes(), OWNERS) as usize;
    let index =
        world.changelog[partition].iter().rposition(|entry| entry.key.as_ref() == Some(&key));
    (partition, index.unwrap())
}

fn change_row(of: &'static str, change: impl FnOnce(&mut State)) -> impl FnOnce(&mut World) {
    move |world| {
        let (partition, index) = row_of(world, of);
        let value = world.changelog[partition][index].value.clone().unwrap();
        let mut state = row::decode_state(&Bytes::from(value)).unwrap();
        change(&mut state);
        let mut changed = Vec::new();
        row::encode_state(&state, &mut changed);
        world.changelog[partition][index].value = Some(changed);
    }
}

fn row(of: &str, id: DeliveryId) -> impl Fn(&mut State) -> &mut crate::domain::Delivery {
    let _ = of;
    move |state| state.deliveries.iter_mut().find(|row| row.id == id).unwrap()
}

#[test]
fn a_record_without_its_word_is_lost() {
    check(What::Lost, "good", drop_event("good", "record_ignored", 0));
    check(What::Lost, "strange", drop_event("strange", "dead_lettered", 0));
    check(What::Lost, "awaiting", drop_event("awaiting", "report_accepted", 0));
    check(What::Lost, "", |world| {
        let index = bad(world);
        world.events[0].remove(index);
    });
    // The word about a copy that was read, whose original is in the wrong partition.
    check(What::Lost, "astray", drop_event("astray", "flow_accepted", 0));
}

fn bad(world: &World) -> usize {
    world.events[0].iter().position(|entry| entry.key.is_none()).unwrap()
}

#[test]
fn a_record_whose_copy_is_unread_is_not_lost() {
    let mut world = story();
    let source = world.write(FLOWS, 0, Some("astray-2"), Vec::new(), b"{}");
    world.forward(FLOWS, 1, "astray-2", &source);
    assert_eq!(world.verify(&world.options()).violations, []);
    world.inputs.get_mut(INBOX).unwrap()[1].pop();
    let report = world.verify(&world.options());
    assert_eq!(report.violations.iter().map(|v| v.what).collect::<Vec<_>>(), [What::Lost]);
}

#[test]
fn commands_and_deliveries_without_a_result_are_lost() {
    check(What::Lost, "replayed", drop_event("replayed", "replayed", 0));
    check(What::Lost, "silent", |world| {
        // The second word; the first one was that the report was accepted.
        drop_event("silent", "record_ignored", 1)(world);
    });
    check(What::Lost, "replayed", |world| {
        drop_event("replayed", "dead_lettered", 0)(world);
        let (partition, index) = find(world, "replayed", "attempt_failed", 2);
        // Also drops all later events of the uuid.
        let all = std::mem::take(&mut world.events[partition]);
        let ours = |entry: &Entry| entry.key.as_deref() == Some(b"replayed".as_slice());
        let kept = all.into_iter().enumerate().filter(|(i, e)| *i <= index || !ours(e));
        world.events[partition] = kept.map(|(_, entry)| entry).collect();
    });
}

#[test]
fn repeated_events_are_found() {
    for (of, kind, nth) in [
        ("good", "flow_accepted", 0),
        ("good", "delivery_scheduled", 0),
        ("good", "attempt_failed", 0),
        ("good", "delivered", 0),
        ("good", "record_ignored", 0),
        ("replayed", "dead_lettered", 0),
        ("replayed", "replayed", 0),
        ("awaiting", "report_accepted", 0),
        ("silent", "record_ignored", 1),
        ("missing", "dead_lettered", 0),
        ("astray", "dead_lettered", 0),
    ] {
        check(What::Twice, of, double_event(of, kind, nth));
    }
    let mut world = World::new();
    world.flow("u", &["a"]);
    world.fire(&uuid("u"));
    double_event("u", "report_timed_out", 0)(&mut world);
    super::check_in(&world, What::Twice, "u");
}

#[test]
fn a_uuid_that_is_forgotten_too_early_is_reported_as_twice() {
    let mut world = World::new();
    world.flow("u", &[]);
    world.attempt("u", id("u", 1, &[]), crate::domain::Verdict::Delivered);
    world.states.clear();
    world.flow("u", &[]);
    super::check_in(&world, What::Twice, "u");
}

#[test]
fn events_that_do_not_follow_are_found() {
    check(What::Order, "good", move_event("good", ("attempt_failed", 1), ("attempt_failed", 0)));
    check(What::Order, "good", drop_event("good", "delivery_scheduled", 0));
    check(What::Order, "good", drop_event("good", "attempt_failed", 0));
    check(What::Order, "good", move_event("good", ("correlation_ended", 0), ("delivered", 1)));
    check(What::Order, "good", move_event("good", ("record_ignored", 2), ("flow_accepted", 0)));
    check(
        What::Order,
        "replayed",
        change_event("replayed", "dead_lettered", "\"attempts\":3", "\"attempts\":2"),
    );
    check(What::Order, "missing", drop_event("missing", "report_accepted", 2));
    check(What::Order, "astray", double_event("astray", "report_timed_out", 0));
}

#[test]
fn phase_2_before_the_end_of_phase_1_is_early() {
    check(What::Early, "good", move_event("good", ("delivered", 1), ("delivered", 0)));
}

#[test]
fn events_about_missing_records_are_found() {
    check(What::UnexplainedEvent, "replayed", |world| {
        for log in world.inputs.get_mut(INBOX).unwrap() {
            log.retain(|entry| entry.key.as_deref() != Some(b"replayed"));
        }
    });
    check(What::UnexplainedEvent, "", |world| {
        drop(world.inputs.get_mut(FLOWS).unwrap()[0].remove(1))
    });
    check(What::UnexplainedEvent, "due", |world| {
        // The group has not committed the flow complete record of `due`.
        let own = owner(b"due", OWNERS);
        for (_, place, offset) in &mut world.commits {
            if &*place.topic == FLOWS && place.partition == own {
                *offset = (*offset).min(1);
            }
        }
    });
}

#[test]
fn rows_that_do_not_match_the_events_are_found() {
    let due = id("due", 2, &["a"]);
    let pending = id("pending", 1, &[]);
    let check = |of, damage: &dyn Fn(&mut World)| check(What::UnexplainedState, of, damage);
    check("pending", &|world| change_row("pending", |s| row("", pending)(s).attempts = 2)(world));
    check("pending", &|world| change_row("pending", |s| row("", pending)(s).replays = 1)(world));
    check("due", &|world| {
        change_row("due", |s| row("", due)(s).due = Due::At(super::time(999)))(world);
    });
    check("due", &|world| {
        change_row("due", |s| row("", due)(s).scheduled_at = super::time(0))(world)
    });
    check("due", &|world| change_row("due", |s| s.deliveries.clear())(world));
    check("due", &|world| change_row("due", |s| s.correlation = Correlation::Unknown)(world));
    check("pending", &|world| {
        change_row("pending", |s| s.deliveries.push(s.deliveries[0].clone()))(world);
    });
    check("awaiting", &|world| {
        change_row("awaiting", |s| {
            if let Correlation::AwaitingFlow(reports) = &mut s.correlation {
                reports.pop();
            }
        })(world);
    });
    check("due", &|world| {
        let (partition, index) = row_of(world, "due");
        world.changelog[partition][index].value = None;
    });
    // The row of a uuid without events.
    check("foreign", &|world| {
        let (from, index) = row_of(world, "due");
        let mut entry = world.changelog[from][index].clone();
        let mut key = Vec::new();
        RowKey::write_state(&uuid("foreign"), &mut key);
        entry.key = Some(key);
        world.changelog[owner(b"foreign", OWNERS) as usize].push(entry);
    });
    // A deleted row comes back.
    check("good", &|world| {
        let (partition, index) = row_of(world, "good");
        let old = world.changelog[partition].iter().rfind(|entry| {
            entry.key == world.changelog[partition][index].key && entry.value.is_some()
        });
        let old = old.unwrap().value.clone();
        let state = row::decode_state(&Bytes::from(old.clone().unwrap())).unwrap();
        assert!(matches!(state.correlation, Correlation::Ended { .. }));
        let earlier = world.changelog[partition]
            .iter()
            .find(|entry| entry.key == world.changelog[partition][index].key);
        let earlier = earlier.unwrap().value.clone();
        world.changelog[partition][index].value = earlier;
    });
}

#[test]
fn dead_letters_and_events_are_one_to_one() {
    let letter = |world: &World, of: &str| {
        let all = world.letters.iter().enumerate();
        let mut all =
            all.flat_map(|(p, log)| log.iter().enumerate().map(move |(i, e)| ((p, i), e)));
        all.find(|(_, entry)| entry.key.as_deref() == Some(of.as_bytes())).unwrap().0
    };
    for of in ["replayed", "strange", "missing"] {
        check(What::DeadLetter, of, |world| {
            let (partition, index) = letter(world, of);
            world.letters[partition].remove(index);
        });
        check(What::DeadLetter, of, |world| {
            let (partition, index) = letter(world, of);
            let copy = world.letters[partition][index].clone();
            world.letters[partition].push(copy);
        });
        check(What::DeadLetter, of, |world| {
            let (partition, index) = letter(world, of);
            let headers = &mut world.letters[partition][index].headers;
            let reason = headers.iter_mut().find(|(name, _)| *name == "ringback.reason");
            reason.unwrap().1 = "refused".to_owned();
        });
    }
    check(What::DeadLetter, "", |world| {
        let bad = world.letters[0].iter().position(|entry| entry.key.is_none()).unwrap();
        world.letters[0].remove(bad);
    });
}

#[test]
fn meta_rows_that_differ_from_the_group_are_found() {
    let change = |change: fn(&mut Meta)| {
        move |world: &mut World| {
            let log = &mut world.changelog[0];
            let last =
                log.iter_mut().rfind(|entry| entry.key.as_deref() == Some(RowKey::META)).unwrap();
            let mut meta = row::decode_meta(&Bytes::from(last.value.clone().unwrap())).unwrap();
            change(&mut meta);
            let mut value = Vec::new();
            row::encode_meta(&meta, &mut value);
            last.value = Some(value);
        }
    };
    check(What::Offsets, "", change(|meta| meta.offsets[0].next_offset += 1));
    check(What::Offsets, "", change(|meta| meta.offsets[0].next_offset -= 1));
    check(What::Offsets, "", |world| {
        world.changelog[0].retain(|entry| entry.key.as_deref() != Some(RowKey::META));
    });
}

#[test]
fn rows_in_another_partition_are_found() {
    check(What::Partition, "due", |world| {
        let (partition, index) = row_of(world, "due");
        let entry = world.changelog[partition].remove(index);
        world.changelog[1 - partition].push(entry);
    });
}

#[test]
fn unreadable_records_are_found() {
    let check = |damage: &dyn Fn(&mut World)| {
        let mut world = story();
        damage(&mut world);
        let report = world.verify(&world.options());
        assert!(
            report.violations.iter().any(|v| v.what == What::Unreadable),
            "{:#?}",
            report.violations
        );
    };
    check(&|world| world.events[0][0].value = Some(b"garbage".to_vec()));
    check(&|world| world.events[0][0].value = None);
    check(&|world| world.events[1][0].key = Some(b"another".to_vec()));
    check(&|world| world.letters[0][0].headers.clear());
    check(&|world| {
        world.letters[0].last_mut().unwrap().headers.retain(|h| h.0 != "ringback.source.offset")
    });
    check(&|world| world.changelog[0][0].key = Some(b"x".to_vec()));
    check(&|world| {
        let (partition, index) = row_of(world, "due");
        world.changelog[partition][index].value.as_mut().unwrap().push(0);
    });
    check(&|world| {
        let last =
            world.changelog[1].iter_mut().rfind(|entry| entry.key.as_deref() == Some(RowKey::META));
        last.unwrap().value = Some(vec![7]);
    });
}

#[test]
fn rows_that_wait_for_the_impossible_are_stuck() {
    check(What::Stuck, "due", change_row("due", |s| s.deliveries[0].due = Due::Waiting));
    check(What::Stuck, "due", change_row("due", |s| s.deliveries.clear()));
    let waits_for = |s: &mut State, after: DeliveryId| {
        let pending = Pending { after: vec![after], ..Pending::of(Facts::default()) };
        let rendering = Rendering::Pending(Box::new(pending));
        let delivery = Delivery { rendering, ..s.deliveries[0].clone() };
        let scope = Scope { flow: None, enabled: true };
        let (trigger, sms) = ("webhook:crm:failed".into(), Vec::new());
        s.deferred.push(Deferred { delivery, trigger, upon: None, sms: sms.into(), scope });
    };
    let gone = DeliveryId::from_bytes([7; 16]);
    check(What::Stuck, "due", change_row("due", |s| waits_for(s, gone)));
    let mut world = story();
    let waits_for_first = |s: &mut State| {
        let first = s.deliveries[0].id;
        waits_for(s, first);
    };
    change_row("due", waits_for_first)(&mut world);
    let report = world.verify(&world.options());
    assert_eq!(report.violations, [], "the rule waits for a delivery in the outbox");
}

#[test]
fn at_rest_nothing_waits() {
    check(What::Overdue, "due", |world| world.now = world.now.plus_ms(60_001));
    check(What::Overdue, "awaiting", |world| {
        world.now = world.now.plus_ms(1001 * UNIT_MS.unsigned_abs())
    });
    check(What::Unread, "late", |world| {
        drop(world.write(FLOWS, 0, Some("late"), Vec::new(), b"{}"))
    });
    check(What::Unread, "late", |world| {
        drop(world.write(INBOX, 0, Some("late"), Vec::new(), b"{}"))
    });
    let mut world = story();
    world.write(FLOWS, 0, Some("late"), Vec::new(), b"{}");
    world.now = world.now.plus_ms(1001 * UNIT_MS.unsigned_abs());
    let report = world.verify(&world.options());
    assert_eq!((report.violations, report.counts.unread), (Vec::new(), 1), "a daemon may be slow");
}

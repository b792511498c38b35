//! Inputs that were deleted and created again, that lost records, or whose offsets were moved.

use super::world::{FLOWS, INBOX, OURS, OWNERS, REPORTS, Said, World, flow, report, time, uuid};
use super::{check_in, id};
use crate::codec::event::{
    InputChange, InputEvent, MovedBy, RepartitionEvent, write_input_event, write_repartitioned,
};
use crate::codec::row::{Owner, TopicId};
use crate::domain::{Source, owner};
use crate::log::TopicPartition;
use crate::verify::{Report, What};
use std::sync::Arc;

pub(super) fn names(count: usize, seed: &str) -> Vec<String> {
    (0..count).map(|number| format!("{seed}-{number}")).collect()
}

fn payload(of: &str) -> Vec<u8> {
    format!("{{\"phononUuid\":\"{of}\",\"accountID\":28,\"keys\":[]}}").into_bytes()
}

impl World {
    pub(super) fn flows(&mut self, names: &[String]) {
        for name in names {
            self.say(&Said::Flow(flow(&uuid(name), OURS, Some(&["a"]))), false);
        }
    }

    /// Deletes all records of `topic` and its positions. Its offsets begin at 0 again.
    fn recreate(&mut self, topic: &'static str) {
        self.inputs.insert(topic, vec![Vec::new(); OWNERS as usize]);
        self.positions.retain(|place, _| *place.topic != *topic);
        self.commits.retain(|(_, place, _)| *place.topic != *topic);
    }

    /// Writes an event about a change of an input.
    fn report_change(&mut self, topic: &'static str, partition: i32, change: InputChange) {
        self.txn += 1;
        let event = InputEvent { topic: topic.into(), partition, change };
        let mut out = Vec::new();
        write_input_event(&mut out, self.now, &event);
        self.publish_input(topic, out);
    }

    fn report_recreated(&mut self, topic: &'static str) {
        for partition in 0..OWNERS.cast_signed() {
            let change = InputChange::Recreated {
                former: Some("former".into()),
                id: Some("new".into()),
                former_offset: 5,
                offset: 0,
            };
            self.report_change(topic, partition, change);
        }
    }

    /// Reads the record at `offset` again.
    fn read_again(&mut self, topic: &'static str, said: &Said, offset: i64) {
        let of = match said {
            Said::Flow(flow) => &flow.uuid,
            Said::Report(report) => &report.uuid,
            Said::Bad | Said::Skipped => return,
        };
        let partition = owner(of.as_str().as_bytes(), OWNERS);
        let source = Source {
            topic: topic.into(),
            partition,
            offset,
            timestamp: self.now,
            index: None,
            trace: None,
        };
        self.read(said, &source, &source.clone());
    }
}

pub(super) fn verified(world: &World) -> Report {
    world.verify(&world.options())
}

#[track_caller]
pub(super) fn noted(report: &Report, words: &str) {
    assert!(report.notes.iter().any(|note| note.contains(words)), "{words}: {:?}", report.notes);
}

#[test]
fn words_about_a_former_log_do_not_count_for_records_of_the_new_log() {
    let (old, new) = (names(30, "old"), names(60, "new"));
    let mut world = World::new();
    world.flows(&old);
    world.now = time(1);
    world.recreate(FLOWS);
    world.report_recreated(FLOWS);
    world.flows(&new);
    let report = verified(&world);
    assert_eq!(report.violations, []);
    noted(&report, "was deleted and created again");
    // Each new record needs its own word.
    for log in &mut world.events {
        log.retain(|entry| entry.key.as_deref() != Some(b"new-3"));
    }
    check_in(&world, What::Lost, "new-3");
}

/// An older version continued at the old position, without an event.
#[test]
fn records_below_the_old_position_of_a_log_that_was_replaced_are_lost() {
    let (old, new) = (names(30, "old"), names(60, "new"));
    let mut world = World::new();
    world.flows(&old);
    let read = world.positions.clone();
    world.inputs.insert(FLOWS, vec![Vec::new(); OWNERS as usize]);
    let mut unread = Vec::new();
    for name in &new {
        let own = owner(name.as_bytes(), OWNERS);
        let source = world.write(FLOWS, own, Some(name), Vec::new(), &payload(name));
        let place = TopicPartition { topic: FLOWS.into(), partition: source.partition };
        if source.offset < read.get(&place).copied().unwrap_or(0) {
            unread.push(source);
            continue;
        }
        let said = Said::Flow(flow(&uuid(name), OURS, Some(&["a"])));
        world.read(&said, &source, &source.clone());
    }
    assert_eq!(unread.len(), 30);
    let report = verified(&world);
    let lost = report.violations.iter().filter(|violation| violation.what == What::Lost);
    // A mark of one byte confuses one uuid in 253 with another.
    assert!(lost.count() > 25, "{:?}", report.violations);
    assert!(report.violations.iter().any(|it| it.says.contains("the log was replaced")));
    for topic in [false, true] {
        let mut world = World::new();
        world.flows(&old);
        // Keys that are no uuids, and payloads without a uuid or with the right one.
        for entry in world.inputs.get_mut(FLOWS).unwrap().iter_mut().flatten() {
            let of = String::from_utf8(entry.key.replace(b"some key".to_vec()).unwrap()).unwrap();
            entry.value = Some(if topic { payload(&of) } else { vec![0, 0, 0, 0, 7, 1] });
        }
        assert_eq!(verified(&world).violations, []);
    }
}

#[test]
fn a_word_is_compared_with_its_record_in_any_reading_order() {
    let mut world = World::new();
    let names = names(8, "u");
    world.flows(&names);
    for entry in world.inputs.get_mut(FLOWS).unwrap().iter_mut().flatten() {
        let of = String::from_utf8(entry.key.clone().unwrap()).unwrap();
        entry.value = Some(payload(&of));
    }
    let of_first = |order| {
        let mut evidence = crate::verify::Evidence::new(world.layout());
        let moment = super::scan::Moment { order, ..super::scan::Moment::now(&world) };
        world.feed(&mut evidence, &moment);
        evidence.finish(&world.options()).violations
    };
    let orders = [
        ["events", "letters", "changelog", "inputs"],
        ["inputs", "events", "letters", "changelog"],
    ];
    for order in orders {
        assert_eq!(of_first(order), []);
    }
    let log = &mut world.inputs.get_mut(FLOWS).unwrap()[owner(b"u-1", OWNERS) as usize];
    let other = log.iter_mut().find(|entry| entry.key.as_deref() == Some(b"u-1")).unwrap();
    (other.key, other.value) = (Some(b"other".to_vec()), Some(payload("other")));
    let of_first = |order| {
        let mut evidence = crate::verify::Evidence::new(world.layout());
        let moment = super::scan::Moment { order, ..super::scan::Moment::now(&world) };
        world.feed(&mut evidence, &moment);
        evidence.finish(&world.options()).violations
    };
    for order in orders {
        let found = of_first(order);
        assert!(found.iter().any(|it| it.what == What::Lost), "{order:?}: {found:?}");
    }
}

#[test]
fn a_report_that_waited_in_a_former_log_ends_there() {
    let mut world = World::new();
    world.report("waits", "a", "SENT");
    world.now = time(1);
    world.recreate(REPORTS);
    world.report_recreated(REPORTS);
    world.report("other", "a", "SENT");
    world.fire(&uuid("waits"));
    assert_eq!(verified(&world).violations, []);
}

#[test]
fn a_record_forwarded_from_a_former_log_is_no_violation() {
    let mut world = World::new();
    let said = Said::Flow(flow(&uuid("astray"), OURS, Some(&["a"])));
    let own = owner(b"astray", OWNERS);
    let source =
        world.write(FLOWS, (own + 1) % OWNERS.cast_signed(), Some("astray"), Vec::new(), b"{}");
    world.forward(FLOWS, own, "astray", &source);
    world.now = time(1);
    world.recreate(FLOWS);
    world.report_recreated(FLOWS);
    world.flows(&names(10, "new"));
    world.read_copy(own, &said, &source);
    let report = verified(&world);
    assert_eq!(report.violations, []);
    noted(&report, "it is unknown which of both logs they mean");
}

#[test]
fn records_that_kafka_deleted_unread_are_missed() {
    let mut world = World::new();
    world.flows(&names(10, "u"));
    world.report_change(FLOWS, 1, InputChange::Missed { from: 100, to: 120 });
    let report = verified(&world);
    let found = report.violations.iter().map(|it| (it.what, it.partition, it.offset));
    assert_eq!(found.collect::<Vec<_>>(), [(What::Missed, Some(1), Some(100))]);
    let says = &report.violations[0].says;
    assert_eq!(
        says,
        "Kafka deleted offsets 100 to 119 of topic flows, partition 1, before they were read"
    );
}

#[test]
fn records_that_an_operator_skipped_are_not_lost() {
    let mut world = World::new();
    world.flows(&names(4, "u"));
    let first = world.write(FLOWS, 0, Some("skipped"), Vec::new(), b"{}");
    let second = world.write(FLOWS, 0, Some("skipped"), Vec::new(), b"{}");
    let place = TopicPartition { topic: FLOWS.into(), partition: 0 };
    world.txn += 1;
    world.commits.push((world.txn, place.clone(), second.offset + 1));
    world.positions.insert(place, second.offset + 1);
    check_in(&world, What::Lost, "skipped");
    let (from, to) = (first.offset, second.offset + 1);
    world.report_change(FLOWS, 0, InputChange::Moved { from, to, by: MovedBy::Skip });
    world.flows(&names(8, "v"));
    let report = verified(&world);
    assert_eq!(report.violations, []);
    noted(&report, "`ringback offsets skip` moved the offset");
}

#[test]
fn records_that_are_read_again_on_purpose_are_no_violation() {
    let mut world = World::new();
    world.flow("u", &["a", "b"]);
    world.report("waits", "a", "SENT");
    world.report("u", "a", "SENT");
    world.attempt("u", id("u", 1, &[]), crate::domain::Verdict::Delivered);
    let flow_of = Said::Flow(flow(&uuid("u"), OURS, Some(&["a", "b"])));
    let report_of = Said::Report(report(&uuid("waits"), OURS, "a", "SENT"));
    let offset = |world: &World, topic: &str, of: &str| {
        let log = &world.inputs[topic][owner(of.as_bytes(), OWNERS) as usize];
        log.iter().find(|entry| entry.key.as_deref() == Some(of.as_bytes())).unwrap().offset
    };
    let (one, two) = (offset(&world, FLOWS, "u"), offset(&world, REPORTS, "waits"));
    let positions = world.positions.clone();
    let mut again = |is_reported: bool| {
        world.now = world.now.plus_ms(1000);
        if is_reported {
            for (topic, of, to) in [(FLOWS, "u", one), (REPORTS, "waits", two)] {
                let change = InputChange::Moved { from: 10, to, by: MovedBy::Group };
                world.report_change(topic, owner(of.as_bytes(), OWNERS), change);
            }
        }
        world.read_again(FLOWS, &flow_of, one);
        world.read_again(REPORTS, &report_of, two);
        world.positions = positions.clone();
        let ends = positions.iter().map(|(place, offset)| (world.txn, place.clone(), *offset));
        let ends: Vec<_> = ends.collect();
        world.commits.extend(ends);
        let report = verified(&world);
        let found = report.violations.iter().filter(|it| it.what != What::Offsets);
        found.map(|it| (it.what, it.uuid.clone())).collect::<Vec<_>>()
    };
    assert_eq!(again(true), []);
    assert_eq!(again(true), []);
}

#[test]
fn a_second_word_about_a_record_without_a_move_is_a_violation() {
    let mut world = World::new();
    world.flow("u", &["a"]);
    world.read_again(FLOWS, &Said::Flow(flow(&uuid("u"), OURS, Some(&["a"]))), 0);
    check_in(&world, What::Twice, "u");
    world.now = world.now.plus_ms(1000);
    let partition = owner(b"u", OWNERS);
    // This move came later, so that it is not the reason.
    world.report_change(
        FLOWS,
        partition,
        InputChange::Moved { from: 1, to: 0, by: MovedBy::Group },
    );
    check_in(&world, What::Twice, "u");
    noted(&verified(&world), "another program moved the offset from 1 back to 0");
}

#[test]
fn offsets_moved_in_a_former_log_do_not_explain_losses_in_the_new_log() {
    let (old, new) = (names(30, "old"), names(30, "new"));
    let mut world = World::new();
    world.flows(&old);
    for partition in 0..OWNERS.cast_signed() {
        world.report_change(
            FLOWS,
            partition,
            InputChange::Moved { from: 0, to: 30, by: MovedBy::Skip },
        );
    }
    world.now = time(1);
    world.recreate(FLOWS);
    world.report_recreated(FLOWS);
    world.flows(&new);
    assert_eq!(verified(&world).violations, []);
    for log in &mut world.events {
        log.retain(|entry| entry.key.as_deref() != Some(b"new-3"));
    }
    check_in(&world, What::Lost, "new-3");
}

#[test]
fn replays_from_a_former_inbox_need_no_command_in_the_new_one() {
    let mut world = World::new();
    let delivery = id("u", 1, &[]);
    world.flow("u", &[]);
    world.attempt("u", delivery, crate::domain::Verdict::GiveUp);
    let letters = world.delivery_letters();
    world.replay(&letters[0]);
    world.attempt("u", delivery, crate::domain::Verdict::Delivered);
    assert_eq!(verified(&world).violations, []);
    world.now = time(1);
    world.recreate(INBOX);
    check_in(&world, What::UnexplainedEvent, "u");
    world.report_recreated(INBOX);
    let report = verified(&world);
    assert_eq!(report.violations, []);
    noted(&report, "topic inbox, partition 0, was deleted and created again");
}

#[test]
fn replays_before_a_repartition_need_no_command_in_the_new_inbox() {
    let mut world = World::new();
    let delivery = id("u", 1, &[]);
    world.flow("u", &[]);
    world.attempt("u", delivery, crate::domain::Verdict::GiveUp);
    let letters = world.delivery_letters();
    world.replay(&letters[0]);
    world.attempt("u", delivery, crate::domain::Verdict::Delivered);
    world.now = time(1);
    world.recreate(INBOX);
    let event = |inbox| RepartitionEvent {
        changelog: "new",
        former_changelog: "changelog",
        inbox,
        former_inbox: "former",
        partitions: OWNERS,
        former_partitions: 2,
    };
    let mut out = Vec::new();
    write_repartitioned(&mut out, world.now, &event("another"));
    world.publish_input("changelog", out);
    check_in(&world, What::UnexplainedEvent, "u");
    let mut out = Vec::new();
    write_repartitioned(&mut out, world.now, &event(INBOX));
    world.publish_input("changelog", out);
    let report = verified(&world);
    assert_eq!(report.violations, []);
    noted(&report, "topic inbox is the inbox since the repartition at");
}

#[test]
fn positions_in_a_replaced_topic_are_named_and_no_record_is_lost() {
    positions_are_named(true);
}

#[test]
fn positions_in_a_replaced_topic_without_an_id_are_named() {
    positions_are_named(false);
}

fn positions_are_named(has_ids: bool) {
    let id = |id: &str| has_ids.then(|| (Arc::from(FLOWS), TopicId::from(id)));
    let mut world = World::new();
    world.ids = id("former").into_iter().collect();
    world.flows(&names(20, "old"));
    assert_eq!(verified(&world).violations, []);
    world.ids = id("new").into_iter().collect();
    if !has_ids {
        let partitions = 0..OWNERS.cast_signed();
        world.replaced = partitions.map(|number| (Arc::from(FLOWS), number)).collect();
    }
    let commits = (world.commits.clone(), world.positions.clone());
    world.recreate(FLOWS);
    (world.commits, world.positions) = commits;
    for name in names(60, "new") {
        let own = owner(name.as_bytes(), OWNERS);
        world.write(FLOWS, own, Some(&name), Vec::new(), &payload(&name));
    }
    let report = verified(&world);
    assert!(report.violations.iter().all(|it| it.what == What::Identity), "{report:?}");
    assert_eq!(report.violations.len(), OWNERS as usize);
    let says = &report.violations[0].says;
    let named: &[&str] = if has_ids { &["former", "new"] } else { &["no longer has a record"] };
    for word in named.iter().copied().chain(["next start"]) {
        assert!(says.contains(word), "{says}");
    }
}

#[test]
fn rows_of_another_owner_are_named() {
    let ours = Owner {
        cluster: Some("c".into()),
        group: "ours".into(),
        changelog: Some("t".into()),
        partitions: OWNERS,
        ..Owner::default()
    };
    let theirs = [
        (Owner { cluster: Some("d".into()), ..ours.clone() }, "the Kafka cluster d"),
        (Owner { group: "theirs".into(), ..ours.clone() }, "the consumer group theirs"),
        (Owner { changelog: Some("u".into()), ..ours.clone() }, "the id u"),
        (Owner { partitions: 7, ..ours.clone() }, "7 partitions"),
    ];
    for (owner, words) in theirs {
        let mut world = World::new();
        world.owner = Some(owner);
        world.flows(&names(3, "u"));
        let mut layout = world.layout();
        layout.owner = Some(ours.clone());
        let mut evidence = crate::verify::Evidence::new(layout);
        world.feed(&mut evidence, &super::scan::Moment::now(&world));
        let found = evidence.finish(&world.options()).violations;
        let is_named = found.iter().any(|it| it.what == What::Identity && it.says.contains(words));
        assert!(is_named, "{words}: {found:?}");
    }
}

#[test]
fn records_that_were_deleted_unread_are_noted() {
    let mut world = World::new();
    world.flows(&names(40, "u"));
    let partition = 0_usize;
    let end = world.inputs[FLOWS][partition].len() as i64;
    world.firsts = [(FLOWS, vec![end + 10, 0])].into();
    world.inputs.get_mut(FLOWS).unwrap()[partition].clear();
    let report = verified(&world);
    assert_eq!(report.violations, []);
    noted(&report, "the daemon reports the missing ones when it continues");
    // The daemon read on, and no event reports the gap.
    let place = TopicPartition { topic: FLOWS.into(), partition: 0 };
    world.commits.push((world.txn, place, end + 10));
    world.changelog[partition].clear();
    noted(&verified(&world), "it is unknown whether they were read");
    world.report_change(FLOWS, 0, InputChange::Missed { from: end, to: end + 10 });
    let is_unknown = |world: &World, compacted: bool| {
        let mut layout = world.layout();
        layout.inputs[0].compacted = compacted;
        let mut evidence = crate::verify::Evidence::new(layout);
        world.feed(&mut evidence, &super::scan::Moment::now(world));
        let notes = evidence.finish(&world.options()).notes;
        notes.iter().any(|note| note.contains("is unknown"))
    };
    assert!(!is_unknown(&world, false));
    world.events.iter_mut().for_each(|log| log.retain(|entry| entry.key != Some(FLOWS.into())));
    assert!(is_unknown(&world, false));
    assert!(!is_unknown(&world, true), "compaction leaves gaps");
    // The marker of a transaction takes an offset too.
    world.firsts = [(FLOWS, vec![end + 1, 0])].into();
    assert!(!is_unknown(&world, false));
    world.firsts = [(FLOWS, vec![end + 2, 0])].into();
    assert!(is_unknown(&world, false));
    // The deleted events may contain the words.
    world.cut = true;
    world.events.iter_mut().for_each(|log| drop(log.remove(0)));
    assert!(!is_unknown(&world, false));
}

//! An accepted report without an end is lost.

use super::world::{OURS, Said, World, flow, report, uuid};
use super::{check_in, id};
use crate::domain::Verdict;
use crate::verify::What;

/// Creates a flow without a list. Phase 2 carries one of its four reports.
fn left() -> World {
    let mut world = World::new();
    for (sms, status) in [("a", "DELIVERED"), ("b", "SENT"), ("b", "FAILED"), ("c", "SENT")] {
        world.say(&Said::Report(report(&uuid("u"), OURS, sms, status)), false);
    }
    world.say(&Said::Flow(flow(&uuid("u"), OURS, None)), false);
    world.attempt("u", id("u", 1, &[]), Verdict::Delivered);
    world.attempt("u", id("u", 2, &["a"]), Verdict::Delivered);
    world
}

fn drop_words(world: &mut World) -> usize {
    let mut dropped = 0;
    for log in &mut world.events {
        let before = log.len();
        log.retain(|entry| !entry.text().contains("\"record_ignored\""));
        dropped += before - log.len();
    }
    dropped
}

#[test]
fn an_accepted_report_without_an_end_is_lost() {
    let mut world = left();
    assert_eq!(world.verify(&world.at_rest()).violations, []);
    assert_eq!(drop_words(&mut world), 2, "b and c; the first of b has a newer one");
    check_in(&world, What::Lost, "u");
}

#[test]
fn a_report_that_came_after_its_flow_needs_an_end_too() {
    let mut world = World::new();
    world.say(&Said::Flow(flow(&uuid("u"), OURS, None)), false);
    world.report("u", "b", "SENT");
    world.report("u", "a", "DELIVERED");
    world.attempt("u", id("u", 1, &[]), Verdict::Delivered);
    world.attempt("u", id("u", 2, &["a"]), Verdict::Delivered);
    assert_eq!(world.verify(&world.at_rest()).violations, []);
    assert_eq!(drop_words(&mut world), 1);
    check_in(&world, What::Lost, "u");
}

#[test]
fn a_second_word_about_a_report_that_phase_2_carries_is_a_violation() {
    let mut world = left();
    for log in &mut world.events {
        let word = log.iter().find(|entry| entry.text().contains("\"record_ignored\"")).cloned();
        if let Some(mut word) = word {
            // The report of `a` is the first in its partition.
            let text = word.text().replace("\"offset\":2", "\"offset\":0");
            word.value = Some(text.replace("\"offset\":3", "\"offset\":0").into_bytes());
            let end = log.iter().position(|e| e.text().contains("correlation_ended")).unwrap();
            log.insert(end, word);
        }
    }
    check_in(&world, What::Twice, "u");
}

/// Its `correlation_ended` does not say how many reports were sent.
#[test]
fn events_of_an_earlier_version_are_no_violation() {
    let mut world = left();
    drop_words(&mut world);
    for entry in world.events.iter_mut().flatten() {
        let text = entry.text().replace(",\"reports_sent\":1", "");
        entry.value = Some(text.into_bytes());
    }
    assert_eq!(world.verify(&world.at_rest()).violations, []);
}

#[test]
fn the_time_out_ends_all_reports_that_are_left() {
    let mut world = World::new();
    world.flow("u", &["a", "b"]);
    world.report("u", "a", "DELIVERED");
    world.report("u", "b", "SENT");
    world.fire(&uuid("u"));
    world.attempt("u", id("u", 1, &[]), Verdict::Delivered);
    assert_eq!(world.verify(&world.at_rest()).violations, []);
}

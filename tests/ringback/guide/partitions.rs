//! `partitions.md`: changelog and inbox get another number of partitions.

use super::changelog::no_lag;
use super::page::{Page, Reader};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, invariants};
use crate::rebuild::{delivers_by, waiting};
use std::sync::atomic::Ordering;

const MORE: &str = "ringback repartition --partitions 24";

/// Returns a reader who wants five partitions instead of 24.
fn reader(page: &Page) -> Reader<'_> {
    page.follow().call("--partitions 24", "--partitions 5").call("--partitions 6", "--partitions 2")
}

/// Uses the topics that the page's configuration names.
fn configure(stage: &mut Stage, reader: &mut Reader<'_>, partitions: &str) {
    let program: toml::Table = reader.program("toml").parse().expect("TOML");
    for kind in ["changelog", "inbox"] {
        assert_eq!(program["topics"][kind].as_str(), Some(&*format!("ringback.{kind}-24")));
        rename(stage, kind, partitions);
    }
}

fn rename(stage: &mut Stage, kind: &'static str, partitions: &str) {
    let topic = stage.topic(kind);
    let stem = topic.strip_suffix("-5").unwrap_or(&topic).to_owned();
    stage.rename(kind, format!("{stem}-{partitions}"));
}

/// More partitions, and back.
pub(super) fn more(page: &Page) {
    let (mut stage, recovered, uuids) = waiting("guide-repartition", 1931);
    stage.command(&["topics", "--mend"]).succeeds();
    let mut daemon = stage.start();
    let mut reader = reader(page);
    let dry = reader.succeeds(&stage, &format!("{MORE} --dry-run"));
    for words in ["records are copied", "its records would not have to pass the inbox"] {
        reader.sees(words, &dry.out);
    }
    daemon.stop();
    let done = reader.succeeds(&stage, MORE);
    for words in [
        "rows are equal in both changelogs",
        "set this in the configuration of every instance, then start the instances:",
        "are no longer used; delete them when the instances are ready",
    ] {
        reader.sees(words, &done.out);
    }
    let former = stage.refused();
    reader.sees("was replaced", &former);
    configure(&mut stage, &mut reader, "5");
    let mut daemon = reader.starts_ready(&stage, "ringback run");
    let topics = reader.succeeds(&stage, "ringback topics");
    let shown = format!("{} (changelog): 5 partitions", stage.topic("changelog"));
    assert!(topics.out.contains(&shown), "{}", topics.out);
    reader.until(&stage, "ringback offsets show", |done| no_lag(&done.out));
    daemon.stop();
    // The operator goes back. The names of the former topics are still in use.
    stage.kafka.delete_topics(&["guide-repartition.changelog", "guide-repartition.inbox"]);
    reader.succeeds(&stage, "ringback repartition --partitions 6");
    for kind in ["changelog", "inbox"] {
        rename(&mut stage, kind, "2");
    }
    delivers_by(stage.start(), &stage, &recovered, &uuids);
    stage.verify();
}

/// An input has got more partitions before.
pub(super) fn input_first(page: &Page) {
    let (mut stage, recovered, uuids) = waiting("guide-input-first", 1932);
    stage.command(&["topics", "--mend"]).succeeds();
    stage.kafka.grow_topic(&stage.topic("flow-complete"), 5);
    recovered.store(true, Ordering::Relaxed);
    let mut daemon = stage.start();
    stage.send_reports_of(&uuids);
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    daemon.stop();
    let mut reader = reader(page).below("More or fewer partitions");
    let done = reader.succeeds(&stage, MORE);
    assert!(!done.out.contains("flow-complete has"), "{}", done.out);
    for kind in ["changelog", "inbox"] {
        rename(&mut stage, kind, "5");
    }
    let more = ringback_uuids(1933);
    stage.send_flows_of(&more);
    stage.send_reports_of(&more);
    let all = [uuids, more].concat();
    let mut daemon = stage.start();
    invariants::wait_delivered(&stage, &all, PATIENCE);
    invariants::wait_consumed(&stage, PATIENCE);
    daemon.stop();
    stage.verify();
}

fn ringback_uuids(seed: u64) -> Vec<String> {
    crate::harness::samples::Random::seeded(seed).uuids(20)
}

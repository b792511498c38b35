//! The whole engine in a simulated world: thousands of short histories. Each one comes from a seed, contains many
//! faults, and is the same whenever it runs again.
//!
//! `make simulate SEEDS=100000` runs more of them; `RINGBACK_SIMULATION=7` prints the story of the seventh.

mod broker;
mod checks;
mod current;
mod dice;
mod fault;
mod gateway;
mod group;
mod ledger;
mod network;
mod node;
mod plan;
mod port;
mod reader;
mod reloads;
mod setting;
mod surroundings;
mod timing;
mod world;

use super::committer::Ending;
use crate::domain::{Command, PhononUuid, Timestamp};
use crate::store::memory;
use dice::Dice;
use plan::{Action, Item, TROUBLE_MS};
use setting::Setting;
use std::collections::BTreeMap;
use std::rc::Rc;
use world::World;

/// One decision of a batch.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    pub(super) partition: i32,
    pub(super) uuid: PhononUuid,
    pub(super) command: Command,
    pub(super) now: Timestamp,
}

/// Counts how transactions ended while the next batch was decided already.
pub(super) fn followed(ending: &Ending, next: usize) {
    if next == 0 {
        return;
    }
    World::current().count(match ending {
        Ending::Committed(_) => "committed, the next batch decided",
        Ending::Abandoned => "abandoned, the next batch decided",
        Ending::Unknown => "unknown, the next batch decided",
        Ending::Lost(..) => "lost, the next batch decided",
    });
}

const SEEDS: u64 = 5000;
/// A healed world comes to rest within this time: a notice to an owner may be due hours later.
const REST_MS: u64 = 36_000_000;

/// The run ends after this number of failed seeds.
const FAILED_MAX: usize = 10;

/// The result of one history or of many.
#[derive(Default)]
struct Outcome {
    items: usize,
    faults: Vec<String>,
    story: Vec<String>,
    struck: BTreeMap<&'static str, u64>,
    requests: u64,
    repeats: u64,
    /// Attempts that began although their endpoint had asked for a pause.
    intrusions: u64,
    /// Descriptions of everything that came late.
    late: Vec<String>,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        for (what, count) in other.struck {
            *self.struck.entry(what).or_default() += count;
        }
        self.requests += other.requests;
        self.repeats += other.repeats;
        self.intrusions += other.intrusions;
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { requests, repeats, struck, .. } = self;
        write!(f, "{requests} requests, of which {repeats} were not recorded, and these faults: ")?;
        f.debug_map().entries(struck).finish()
    }
}

/// Selects the items of a history.
type Roll = fn(&Setting, &mut Dice) -> Vec<Item>;

/// Runs those items of a seed that `keep` selects.
fn run(seed: u64, keep: impl Fn(usize) -> bool, is_traced: bool) -> Outcome {
    play(plan::roll, seed, keep, is_traced)
}

fn play(roll: Roll, seed: u64, keep: impl Fn(usize) -> bool, is_traced: bool) -> Outcome {
    let (mut dice, setting) = Setting::of(seed);
    let items: Vec<Item> = roll(&setting, &mut dice);
    let count = items.len();
    let cut_ms = dice.one_in(4).then(|| dice.between(5_000, 120_000));
    let world = World::new(setting, dice.roll(), is_traced);
    World::set_current(Some(world.clone()));
    let watched = Rc::downgrade(&world);
    memory::watch(Some(Rc::new(move || watched.upgrade().is_some_and(|w| w.write_fails()))));
    for (index, (at, action)) in items.into_iter().enumerate() {
        // Moved offsets are corrected by the next instance that starts. In a history that is cut, no instance may start
        // again, so their move is left out.
        let lasts = cut_ms.is_some() && matches!(action, Action::MoveOffsets(..));
        if keep(index) && !lasts {
            world.plan(at, action);
        }
    }
    let mut faults = Vec::new();
    world.live(TROUBLE_MS);
    world.plan(world.passed_ms() + 15_000, Action::Heal);
    let rest = match cut_ms {
        Some(ms) => {
            world.live(ms);
            world.forget_plans();
            false
        }
        None => {
            if world.live(REST_MS) {
                faults.push(format!("it does not come to rest: {}", world.unrest()));
            }
            faults.extend(faults_at_rest(&world));
            true
        }
    };
    world.trace(|| world.unrest());
    world.is_over.set(true);
    for (index, node) in world.nodes.iter().enumerate() {
        node.start_at_ms.set(None);
        world.stop(index);
    }
    world.live(400_000);
    for (index, node) in world.nodes.iter().enumerate() {
        if node.process.borrow().is_some() {
            faults.push(format!("node {index} does not end"));
            world.kill(index);
        }
    }
    faults.extend(checks::faults(&world, rest));
    World::set_current(None);
    memory::watch(None);
    let ledger = world.ledger.borrow();
    let requests = world.network.borrow().requests.len() as u64;
    Outcome {
        items: count,
        faults,
        story: world.story.take(),
        struck: world.struck.take(),
        requests,
        repeats: requests.saturating_sub(ledger.recorded),
        intrusions: ledger.intrusions,
        late: ledger.timing.late.clone(),
    }
}

/// Returns what is wrong in the memory of processes that have nothing left to do.
fn faults_at_rest(world: &World) -> Vec<String> {
    let mut faults = checks::reloads(world);
    for (index, node) in world.nodes.iter().enumerate() {
        if let Some(process) = &*node.process.borrow()
            && process.reader.borrow().waiting_bytes > 0
        {
            faults.push(format!("node {index}: the budget of processed records was not released"));
        }
        if let Some(counts) = node.outbox_counts().filter(|counts| *counts != (0, 0)) {
            faults.push(format!("node {index}: the outbox is empty and counts {counts:?}"));
        }
    }
    faults
}

/// Returns few items with which a seed still fails: without any of them it would not.
fn shrink(seed: u64) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..run(seed, |_| true, false).items).collect();
    let fails = |kept: &[usize]| !run(seed, |index| kept.contains(&index), false).faults.is_empty();
    let mut size = kept.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < kept.len() {
            let fewer: Vec<usize> = [&kept[..at], &kept[(at + size).min(kept.len())..]].concat();
            if fails(&fewer) {
                kept = fewer;
            } else {
                at += size;
            }
        }
        if size == 1 {
            return kept;
        }
        size = size.div_ceil(2);
    }
}

/// Parses `7`, or `7:0,4,5` for some of its items.
fn parse(text: &str) -> (u64, Option<Vec<usize>>) {
    let (seed, items) =
        text.split_once(':').map_or((text, None), |(seed, items)| (seed, Some(items)));
    let items = items.map(|items| items.split(',').map(|item| item.parse().unwrap()).collect());
    (seed.parse().expect("a seed, or a seed and its items"), items)
}

fn print_story(seed: u64, items: Option<&[usize]>) -> Outcome {
    let outcome = run(seed, |index| items.is_none_or(|items| items.contains(&index)), true);
    for line in &outcome.story {
        eprintln!("{line}");
    }
    outcome
}

/// Prints the shortest story of a seed that fails, and how to repeat it.
fn report(seed: u64) -> ! {
    let items = shrink(seed);
    let outcome = print_story(seed, Some(&items));
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    panic!(
        "{}\nRINGBACK_SIMULATION={seed}:{} repeats it",
        outcome.faults.join("\n"),
        items.join(",")
    );
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the settings of a manual run")]
fn no_fault_loses_doubles_or_reorders_anything() {
    let value = |name: &str| std::env::var(name).ok();
    if let Some(text) = value("RINGBACK_SIMULATION") {
        let (seed, items) = parse(&text);
        let outcome = print_story(seed, items.as_deref());
        assert!(outcome.faults.is_empty(), "{}", outcome.faults.join("\n"));
        return;
    }
    let number = |name, usual| value(name).map_or(usual, |text| text.parse::<u64>().unwrap());
    let (first, seeds) = (number("FIRST", 0), number("SEEDS", SEEDS));
    let started = std::time::Instant::now();
    let mut sum = Outcome::default();
    let mut failed = Vec::new();
    for seed in first..first + seeds {
        let outcome = run(seed, |_| true, false);
        if !outcome.faults.is_empty() {
            failed.push(seed);
            eprintln!("seed {seed}: {}", outcome.faults[0]);
            if failed.len() >= FAILED_MAX {
                break;
            }
        }
        sum.add(outcome);
    }
    eprintln!("{seeds} histories in {:.1} s: {sum}", started.elapsed().as_secs_f64());
    if let Some(seed) = failed.first() {
        report(*seed);
    }
}

/// Runs histories of one kind. Panics if one of them has a fault.
fn all_of(roll: Roll, seeds: u64) -> impl Iterator<Item = (u64, Outcome)> {
    (0..seeds).map(move |seed| {
        let outcome = play(roll, seed, |_| true, false);
        if !outcome.faults.is_empty() {
            let story = play(roll, seed, |_| true, true).story;
            panic!("{}\nseed {seed}: {}", story.join("\n"), outcome.faults.join("\n"));
        }
        (seed, outcome)
    })
}

#[test]
fn a_restarted_instance_keeps_the_pause_that_an_endpoint_asked_for() {
    let mut requests = 0;
    for (seed, outcome) in all_of(plan::busy, 400) {
        assert_eq!(outcome.intrusions, 0, "seed {seed}");
        requests += outcome.requests;
    }
    assert!(requests > 400, "{requests} requests");
}

#[test]
fn an_input_recreated_while_a_restore_is_retried_is_read_from_its_beginning() {
    let mut sum = Outcome::default();
    all_of(plan::recreated_midway, 3000).for_each(|(_, outcome)| sum.add(outcome));
    assert!(sum.struck.get("committed").is_some_and(|count| *count > 500), "{sum}");
}

#[test]
fn no_request_is_repeated_when_instances_start_and_stop_without_faults() {
    let mut requests = 0;
    for (seed, outcome) in all_of(plan::orderly, 400) {
        assert_eq!(outcome.repeats, 0, "seed {seed}");
        requests += outcome.requests;
    }
    assert!(requests > 400, "{requests} requests");
}

#[test]
fn nothing_comes_early_or_late_because_clocks_jump() {
    let mut sum = Outcome::default();
    for (seed, outcome) in all_of(plan::jumpy, 400) {
        assert_eq!(outcome.late, Vec::<String>::new(), "seed {seed}");
        sum.add(outcome);
    }
    assert!(sum.struck.get("jump").is_some_and(|count| *count > 400), "{sum}");
    assert!(sum.requests > 2000, "{sum}");
}

#[test]
fn timers_that_are_due_at_a_restart_fire_once_whatever_happens_to_their_commit() {
    let mut sum = Outcome::default();
    all_of(plan::overdue, 1500).for_each(|(_, outcome)| sum.add(outcome));
    assert!(sum.struck.get("commit").is_some_and(|count| *count > 500), "{sum}");
}

#[test]
fn timers_fire_after_commits_whose_success_was_not_reported() {
    let mut sum = Outcome::default();
    all_of(plan::unreported, 200).for_each(|(_, outcome)| sum.add(outcome));
    assert!(sum.struck.get("commit").is_some_and(|count| *count > 100), "{sum}");
}

#[test]
fn a_batch_that_was_decided_during_a_failed_transaction_is_discarded_or_repeated() {
    let mut sum = Outcome::default();
    all_of(plan::overlapped, 600).for_each(|(_, outcome)| sum.add(outcome));
    for ending in [
        "committed, the next batch decided",
        "abandoned, the next batch decided",
        "unknown, the next batch decided",
        "killed in a transaction, the next batch decided",
    ] {
        assert!(sum.struck.get(ending).is_some_and(|count| *count > 10), "{ending}: {sum}");
    }
}

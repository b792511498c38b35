//! Every decoder and parser of foreign bytes, under mutated input.
//!
//! A [`target::Target`] is one decoder with its invariants. Its *corpus* is `tests/fuzz/corpus/NAME/`: samples, cases
//! made by hand, and every input that ever broke the target. The [`engine`] mutates the corpus with fixed seeds, and
//! shrinks inputs that break a target. [`process`] counts the allocations of a run, and the branches that it takes if
//! the build counts branches.
//!
//! `cargo test --test fuzz` replays the corpus and runs a bounded number of mutations, the same ones every time
//! (`RINGBACK_FUZZ_RUNS=` for another number). `make fuzz` runs for a long time, guided by the branches that an input
//! reaches, and writes inputs that break a target to the corpus.
//!
//! To add a target, write its function and add it to [`targets::TARGETS`].
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod corpus;
mod engine;
mod mutate;
mod process;
mod properties;
mod target;
mod targets;

use engine::{Engine, Limit};
use std::time::Duration;
use targets::TARGETS;

#[global_allocator]
static ALLOCATOR: process::Counting = process::Counting;

/// The default number of mutations of each target, unless the time is over first.
const RUNS: u64 = 20_000;
const TIME: Duration = Duration::from_millis(700);
/// The first of the fixed seeds.
const SEED: u64 = 0x5269_6e67;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn every_target_withstands_its_corpus() {
    for target in TARGETS {
        let inputs = corpus::kept(target);
        assert!(!inputs.is_empty(), "{} has a corpus", target.name);
        for (name, input) in inputs {
            if let Err(failure) = engine::withstands(target, &input) {
                panic!("{} does not withstand {name}: {failure}", target.name);
            }
        }
    }
}

#[test]
fn every_folder_of_the_corpus_belongs_to_a_target() {
    for folder in corpus::folders() {
        let known = TARGETS.iter().any(|target| target.name == folder);
        assert!(known, "tests/fuzz/corpus/{folder} is the corpus of no target");
    }
}

#[test]
fn every_target_withstands_mutations() {
    let (runs, time) = match variable("RINGBACK_FUZZ_RUNS") {
        Some(runs) => (runs, Duration::MAX),
        None => (RUNS, TIME),
    };
    for target in TARGETS {
        let mut engine = Engine::new(target, SEED, corpus::all(target));
        if let Some(failure) = engine.run(&Limit { runs, time }) {
            panic!("{}", engine::describe(target, &failure));
        }
        println!("{}", engine.progress());
    }
}

/// `make fuzz`: repeated rounds over the targets whose names contain `RINGBACK_FUZZ_TARGET`, by default all.
#[test]
#[ignore = "takes a long time: `make fuzz`"]
fn for_long() {
    let total = Duration::from_secs(variable("RINGBACK_FUZZ_SECONDS").unwrap_or(600));
    let only = std::env::var("RINGBACK_FUZZ_TARGET").unwrap_or_default();
    let first_seed = variable("RINGBACK_FUZZ_SEED").unwrap_or_else(engine::seed_of_now);
    let started = std::time::Instant::now();
    let chosen = TARGETS.iter().filter(|target| target.name.contains(&only));
    let mut engines: Vec<Engine> = chosen
        .map(|target| Engine::new(target, first_seed, corpus::all(target)).remembering())
        .collect();
    assert!(!engines.is_empty(), "no target's name contains {only}");
    println!("seed {first_seed}; branches counted: {}", process::branches());
    let mut failures = 0;
    while started.elapsed() < total && !engines.is_empty() {
        let mut broken = Vec::new();
        for (index, engine) in engines.iter_mut().enumerate() {
            let left = total.saturating_sub(started.elapsed());
            let time = Duration::from_secs(5).min(left);
            if let Some(failure) = engine.run(&Limit { runs: u64::MAX, time }) {
                let file = corpus::keep(engine.target(), &failure.input);
                println!(
                    "{}\nkept as {}",
                    engine::describe(engine.target(), &failure),
                    file.display()
                );
                broken.push(index);
            }
            println!("{:>5} s  {}", started.elapsed().as_secs(), engine.progress());
        }
        failures += broken.len();
        // A broken target would break at the same place again.
        for index in broken.into_iter().rev() {
            engines.swap_remove(index);
        }
    }
    assert_eq!(failures, 0, "targets that broke; their inputs were added to the corpus");
}

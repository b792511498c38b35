//! Three instances under load, endpoints with many kinds of faults, and a series of blows: faults of instances and of
//! the broker.
//!
//! `make torture KILLS=200` sets the number of blows. `TORTURE_SEED` repeats a schedule, except for its timing.

mod blows;
mod endpoints;
mod load;

use crate::harness::broker::Broker;
use crate::harness::receiver;
use crate::harness::samples::Random;
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, invariants, wait_until};
use blows::{Blow, Ring};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const INSTANCES: u8 = 3;
const PARTITIONS: i32 = 6;
const KILLS: u64 = 12;
/// Small limits keep the number of permitted repeats small.
const IN_FLIGHT_MAX: usize = 8;
const UNCOMMITTED_MAX: usize = 16;
/// The time to finish all work after the last blow.
const RECOVERY: Duration = Duration::from_secs(120);

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

fn furnish(stage: &mut Stage) {
    let limit = |limit: usize| i64::try_from(limit).expect("small");
    stage.set("delivery.in_flight_max", limit(IN_FLIGHT_MAX));
    stage.set("delivery.uncommitted_max", limit(UNCOMMITTED_MAX));
    stage.set("delivery.attempts_max", 5);
    stage.set("delivery.request_timeout_ms", 1000);
    // Longer than the delay of any duplicate, and short enough that long runs remove old correlations.
    stage.set("correlation.dedup_window_s", 60);
}

#[test]
fn many_kills_lose_nothing_and_repeat_little() {
    let kills = number("TORTURE_KILLS").unwrap_or(KILLS);
    let now = || u64::try_from(receiver::now_ms() % 1_000_000).expect("small");
    let seed = number("TORTURE_SEED").unwrap_or_else(now);
    println!("TORTURE_SEED={seed} TORTURE_KILLS={kills}");
    let began = Instant::now();
    let mut broker = Broker::start();
    let mut stage = Stage::on(broker.kafka(), "torture", PARTITIONS);
    furnish(&mut stage);
    let healed = endpoints::add(&mut stage);
    let mut ring = Ring::new(&stage, &mut broker);
    let over = AtomicBool::new(false);
    let uuids = std::thread::scope(|scope| {
        let load = scope.spawn(|| load::run(&stage, Random::seeded(seed ^ 1), &over));
        let mut random = Random::seeded(seed);
        let mut deck = Vec::new();
        // The load must stop even if a blow panics.
        let blows = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for nth in 1..=kills {
                if deck.is_empty() {
                    deck = random.shuffled(&Blow::DECK);
                }
                let blow = deck.pop().expect("a full deck");
                ring.strike(nth, kills, blow, &mut random);
            }
        }));
        over.store(true, Ordering::SeqCst);
        let uuids = load.join().expect("the load does not panic");
        blows.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        uuids
    });
    healed.store(true, Ordering::SeqCst);
    ring.heal();
    invariants::wait_consumed(&stage, RECOVERY);
    wait_ended(&stage, &uuids);
    let struck = ring.end();

    // Each life of an instance and each assignment may end with this many repeats.
    let lives = struck.kills + struck.evictions;
    let explained = lives * (IN_FLIGHT_MAX + UNCOMMITTED_MAX);
    let at_rest = ["--at-rest", "--repeats-max", &explained.to_string()];
    let counts: Vec<Value> =
        (0..INSTANCES).map(|instance| stage.verify_with(instance, &at_rest)).collect();
    let counts = &counts[0];
    println!(
        "{struck}\n{} s; {} uuids, {} webhooks delivered, {} given up, {} requests\nrepeated {}, explained {explained}; lost 0, violations 0",
        began.elapsed().as_secs(),
        uuids.len(),
        counts["delivered"],
        counts["given_up"],
        counts["requests"],
        counts["repeats"],
    );
}

/// Waits until the correlation of every uuid has ended, with whatever result.
fn wait_ended(stage: &Stage, uuids: &BTreeSet<String>) {
    // A long run has many events, so each is parsed only once.
    let (seen, left) = (RefCell::new(0), RefCell::new(uuids.clone()));
    let mut events = stage.events();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        events.wait("every correlation has ended", RECOVERY, |events| {
            for event in &events[seen.replace(events.len())..] {
                let event = event.json();
                if event["type"] == "correlation_ended" {
                    left.borrow_mut().remove(event["phonon_uuid"].as_str().unwrap_or_default());
                }
            }
            left.borrow().is_empty()
        });
    }));
    assert!(ended.is_ok(), "these have not ended: {:?}", left.borrow());
}

/// Waits until the receiver has seen this many more requests.
fn wait_progress(stage: &Stage, requests: usize) {
    let enough = stage.receiver.count() + requests;
    wait_until(&format!("{requests} more requests"), PATIENCE, || {
        (stage.receiver.count() >= enough).then_some(())
    });
}

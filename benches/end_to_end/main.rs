//! The end-to-end benchmark: the real daemon on a real Apache Kafka, compared with a loop that only consumes and posts.
//!
//! Each role is a process of its own, so that CPU and memory can be measured separately: the *broker*; the *receiver*,
//! which answers at once; the *bare loop*, the lower bound of any such daemon; the *daemon*. This process produces and
//! measures.
//!
//! ```text
//! cargo bench --bench end_to_end -- [drain] [throughput] [latency] [idle] [waiting] [restore] [neighbours] [lanes]
//!     [comeback] [outage] [accounts] [sink] [pair] [--flows 50000] [--rounds 3] [--seconds 15] [--rate N] [--waiting 1000000] [--backlog 1000000]
//!     [--in-flight 64]
//! ```
//!
//! Without a name all parts run. `RINGBACK_BIN` measures another build of the daemon, and `RINGBACK_KEEP` keeps the
//! run's directory with all logs. `ops/local/setup.sh test` downloads the broker.
#![expect(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark ends by panicking when its surroundings fail"
)]

mod accounts;
mod bare;
mod crowd;
mod daemon;
mod database;
mod drain;
mod load;
mod outages;
mod parts;
mod process;
mod receiver;
mod sink;
mod table;

#[expect(dead_code, reason = "shared with the tests, which need more of it")]
#[path = "../../tests/ringback/harness/broker.rs"]
mod broker;
#[path = "../../tests/ringback/harness/child.rs"]
mod child;
#[path = "../../tests/ringback/harness/events.rs"]
mod events;
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
#[path = "../../tests/ringback/harness/http.rs"]
mod http;
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
#[path = "../../tests/ringback/harness/kafka.rs"]
mod kafka;
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
#[path = "../../tests/ringback/harness/mariadb.rs"]
mod mariadb;
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
#[path = "../../tests/ringback/harness/samples.rs"]
mod samples;
#[path = "../../tests/ringback/harness/wait.rs"]
mod wait;

use parts::Sizes;
use wait::{PATIENCE, wait_until};

/// The daemon's allocator, so that the bare loop is measured with the same one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Returns the runtime of Kafka's admin client.
fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().expect("a runtime")
    })
}

fn main() {
    // Cargo passes `--bench` to every benchmark.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [receiver::MODE] => receiver::run(),
        [bare::MODE, rest @ ..] => bare::run(rest),
        [database::MODE, rest @ ..] => database::run(rest),
        words => measure(words),
    }
}

fn measure(words: &[&str]) {
    let mut sizes = Sizes::default();
    let mut wanted = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let next = words.next().and_then(|text| text.parse().ok());
            next.unwrap_or_else(|| panic!("{word} needs a number"))
        };
        match *word {
            "--flows" => sizes.flows = number(),
            "--rounds" => sizes.rounds = number(),
            "--seconds" => sizes.seconds = number(),
            "--rate" => sizes.rate = Some(number()),
            "--waiting" => sizes.waiting = number(),
            "--backlog" => sizes.backlog = number(),
            "--in-flight" => sizes.in_flight = number(),
            part if parts::ALL.contains(&part) => wanted.push(part),
            other => panic!("{other} is neither one of {:?} nor a size", parts::ALL),
        }
    }
    if wanted.is_empty() {
        wanted.extend(parts::ALL);
    }
    let figures = parts::run(&wanted, &sizes);
    table::print(&figures);
}

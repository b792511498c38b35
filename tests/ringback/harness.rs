//! The parts that the tests share: real Kafka, a real registry, a real receiver, and the real binary.
//!
//! A [`stage::Stage`] is the place of one test: its topics, group, receiver and configuration. A [`daemon::Daemon`] is
//! one instance that runs on it. [`check::check`] plays a scene and compares everything that left the daemon with the
//! expectation.

pub(crate) mod avro;
pub(crate) mod broker;
pub(crate) mod changelog;
pub(crate) mod check;
pub(crate) mod child;
pub(crate) mod clock;
pub(crate) mod daemon;
pub(crate) mod desk;
pub(crate) mod disk;
pub(crate) mod door;
pub(crate) mod former;
pub(crate) mod http;
pub(crate) mod invariants;
pub(crate) mod kafka;
pub(crate) mod launched;
pub(crate) mod names;
pub(crate) mod proxy;
pub(crate) mod receiver;
pub(crate) mod registry;
pub(crate) mod rude;
pub(crate) mod samples;
pub(crate) mod scenes;
pub(crate) mod signature;
pub(crate) mod stage;
#[cfg(feature = "failpoints")]
pub(crate) mod stopped;
pub(crate) mod terminal;
pub(crate) mod tokens;
pub(crate) mod verify;

use std::time::{Duration, Instant};

/// Longer than anything takes that happens at all on a busy machine with two cores. Waits end as soon as it has
/// happened.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Polls until `probe` returns a value. Panics with `what` after `timeout`.
pub(crate) fn wait_until<T>(
    what: &str,
    timeout: Duration,
    mut probe: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {timeout:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Returns the runtime of the receivers and of Kafka's admin client.
pub(crate) fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime")
    })
}

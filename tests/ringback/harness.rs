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
pub(crate) mod collector;
pub(crate) mod daemon;
pub(crate) mod database;
pub(crate) mod desk;
pub(crate) mod disk;
pub(crate) mod door;
pub(crate) mod events;
pub(crate) mod former;
pub(crate) mod http;
pub(crate) mod invariants;
pub(crate) mod kafka;
pub(crate) mod launched;
pub(crate) mod mariadb;
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
pub(crate) mod wait;

pub(crate) use wait::{PATIENCE, wait_until};

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

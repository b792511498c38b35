//! The integration tests: the real binary on a real Apache Kafka, one module per capability.
//!
//! `RINGBACK_SEED` repeats a random run, `RINGBACK_KEEP` keeps the run's directory with all logs, and `RINGBACK_BIN`
//! tests another build of the daemon. `ops/local/setup.sh test` downloads the programs that the tests need.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod addresses;
mod bodies;
mod clock;
mod commands;
mod commits;
mod compose;
mod console;
mod correlation;
mod crashes;
mod databases;
mod dead_letters;
mod definitions;
mod demo;
mod disks;
mod drains;
mod encodings;
mod exchanges;
#[cfg(feature = "failpoints")]
mod failpoints;
mod faults;
mod guide;
mod harness;
mod healthcheck;
mod helm;
mod identity;
mod inbox;
mod init;
mod inputs;
mod instances;
mod itself;
mod lag;
mod lanes;

mod limits;
mod logins;
mod logs;
mod marks;
mod metrics;
mod monitoring;
mod names;
mod notices;
mod offsets;
mod operation;
mod operators;
mod ownership;
mod package;
mod poison;
mod proxy;
mod quickstart;
mod rebuild;
mod refusals;
mod reloads;
mod repartition;
mod responses;
mod restores;
mod retries;
mod rights;
mod routing;
mod rules;
mod schemas;
mod send;
mod settings;
mod shortages;
mod sink;
mod statuses;
mod stores;
mod timeouts;
mod torture;
mod trace;
mod traces;
mod upgrades;
mod verify;
mod warnings;
mod webhooks;

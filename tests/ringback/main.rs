//! The integration tests: the real binary on a real Apache Kafka, a module per capability.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod bodies;
mod correlation;
mod crashes;
mod encodings;
mod harness;
mod instances;
mod itself;
mod operation;
mod poison;
mod refusals;
mod retries;
mod routing;
mod settings;
mod stores;
mod timeouts;

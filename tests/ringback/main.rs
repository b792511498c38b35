//! The integration tests: the real binary on a real Apache Kafka, a module per capability.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod harness;
mod itself;

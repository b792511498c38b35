//! Ringback.

pub mod admin;
pub mod codec;
pub mod config;
pub mod delivery;
pub mod domain;
pub mod engine;
pub mod log;
pub mod store;
pub mod telemetry;

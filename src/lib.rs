//! Ringback.

pub mod admin;
pub mod delivery;
pub mod domain;
pub mod log;
pub mod telemetry;

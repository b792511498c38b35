//! Ringback.

pub mod config;
pub mod delivery;
pub mod domain;
pub mod log;

//! Ringback.

pub mod delivery;
pub mod domain;
pub mod log;

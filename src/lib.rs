//! Ringback.

pub mod delivery;
pub mod domain;
pub mod log;
pub mod store;

//! Ringback.

pub mod codec;
pub mod delivery;
pub mod domain;
pub mod log;
pub mod store;

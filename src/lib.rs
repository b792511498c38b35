//! Ringback.

pub mod admin;
pub mod app;
pub mod cli;
pub mod codec;
pub mod config;
pub mod delivery;
pub mod demo;
pub mod domain;
pub mod engine;
pub mod log;
pub mod shutdown;
pub mod store;
pub mod telemetry;

//! Bytes and domain values: what comes in, what is stored, what goes out.
//!
//! - [`source`]: records of the input topics, in three encodings, become source events. Parts that are passed on stay as they
//!   were spelt.
//! - [`body`]: the predefined bodies of the webhooks.
//! - [`row`]: a stored row, the same bytes in the store and in the changelog.
//! - [`event`]: events and dead letters as JSON, and the headers of dead letters.
//! - [`letter`]: dead letters, read back.
//! - [`command`]: operators' commands in the inbox.
//!
//! Decoding never panics and never takes more memory than a small multiple of its input; what can't be read is data too
//! ([`source::Bad`], [`row::RowError`]).

pub mod body;
pub mod command;
pub mod event;
pub mod letter;
pub mod row;
pub mod source;

mod avro;
mod content;
mod json;
mod scan;
mod schema;
mod time;

//! Bytes and domain values: what comes in, what is stored, what goes out.
//!
//! - [`source`]: records of the input topics, in three encodings, become source events. Parts that are passed on stay as they
//!   were spelt.
//! - [`row`]: a stored row, the same bytes in the store and in the changelog.
//! - [`event`]: events and dead letters as JSON, and the headers of dead letters.
//! - [`rendering`]: what goes into a request beside its body.
//! - [`letter`]: dead letters, read back.
//! - [`command`]: operators' commands in the inbox.
//!
//! Decoding never panics and never takes more memory than a small multiple of its input; what can't be read is data too
//! ([`source::Bad`], [`row::RowError`]).

pub mod command;
pub mod event;
pub mod header;
pub mod letter;
pub mod rendering;
pub mod row;
pub mod source;

mod avro;
mod schema;
mod time;

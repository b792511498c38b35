//! Bytes and domain values: what comes in, what is stored, what goes out.
//!
//! - [`source`]: records of the input topics, in three encodings, become source events. Parts that are passed on stay as they
//!   were spelt.
//! - [`body`]: the predefined bodies of the webhooks.
//! - [`row`]: a stored row, the same bytes in the store and in the changelog.
//! - [`event`]: events and dead letters as JSON, and the headers of dead letters.
//! - [`letter`]: dead letters, read back.
//! - [`mapping`]: what of an endpoint's answer is kept, by JSON path or XPath.
//! - [`template`]: text with variables, rendered for the place where each stands.
//! - [`example`]: an example of an answer, as a map of all its values.
//! - [`command`]: operators' commands in the inbox.
//!
//! Decoding never panics and never takes more memory than a small multiple of its input; what can't be read is data too
//! ([`source::Bad`], [`row::RowError`]).

pub mod body;
pub mod command;
pub mod event;
pub mod example;
pub mod letter;
pub mod mapping;
pub mod row;
pub mod source;
pub mod template;

mod avro;
mod content;
mod json;
mod scan;
mod schema;
mod time;

//! Bytes and domain values: what comes in, what is stored, what goes out.
//!
//! - [`source`]: records of the input topics, in three encodings, become source events. Parts that are passed on stay as they
//!   were spelt.
//! - [`body`]: the predefined bodies of the webhooks.
//! - [`row`]: a stored row, the same bytes in the store and in the changelog.
//! - [`event`]: events and dead letters as JSON, and the headers of dead letters.
//! - [`rendering`]: what goes into a request beside its body.
//! - [`letter`]: dead letters, read back.
//! - [`mapping`]: what of an endpoint's answer is kept, by JSON path or XPath.
//! - [`template`]: text with variables, rendered for the place where each stands.
//! - [`facts`]: where the values of variables come from.
//! - [`definition`]: a webhook's definition, which renders requests.
//! - [`catalogue`]: what the platform's customers know by name: tokens, and internal webhooks.
//! - [`example`]: an example of an answer, as a map of all its values.
//! - [`command`]: operators' commands in the inbox.
//!
//! Decoding never panics and never takes more memory than a small multiple of its input; what can't be read is data too
//! ([`source::Bad`], [`row::RowError`]).

pub mod body;
pub mod catalogue;
pub mod command;
pub mod definition;
pub mod event;
pub mod example;
pub mod facts;
pub mod header;
pub mod letter;
pub mod mapping;
pub mod rendering;
pub mod row;
pub mod source;
pub mod template;

mod avro;
mod content;
mod json;
mod scan;
mod schema;
mod time;

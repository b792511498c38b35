//! Converts between bytes and domain values: input records, stored rows, and everything that is published.
//!
//! - [`source`]: records of the input topics, in several encodings, become source events. Parts that are passed on keep
//!   their spelling.
//! - [`row`]: stored rows, the same bytes in the store and in the changelog.
//! - [`event`]: events and dead letters as JSON, and the headers of dead letters.
//! - [`rendering`]: the parts of a request beside its body.
//! - [`letter`]: reads dead letters.
//! - [`content`]: content types of bodies, and their short names.
//! - [`command`]: operators' commands in the inbox.
//! - [`trace_context`]: the traces that producers send with their records.
//!
//! Decoding never panics and needs at most a small multiple of its input as memory. Bytes that can't be read are data
//! too ([`source::Bad`], [`row::RowError`]).

pub mod command;
pub mod content;
pub mod event;
pub mod header;
pub mod letter;
pub mod owner_notice;
pub mod rendering;
pub mod row;
pub mod source;
pub mod trace_context;

mod avro;
mod delivery;
mod schema;
mod sms;
mod time;
mod varint;

//! JSON text: written by hand, walked in place, scanned and hashed, and its strings decoded. No tree is built.
//!
//! - `write`: writes straight into the output buffer.
//! - `string`: reads strings and their escapes.
//! - `scan`: checks a record, copies it without white space, and hashes its content, all in one pass.
//! - `walk`: moves through a text that is known to be valid JSON.

pub(crate) mod content;
mod fault;
pub(crate) mod scan;
mod string;
pub(crate) mod walk;
mod write;

pub use fault::TextFault;
pub(crate) use string::{Escaped, read_escape, read_string};
pub(crate) use write::{
    Object, whole_letters, write_escaped, write_integer, write_lossy, write_members, write_seconds,
    write_string,
};

/// The greatest depth of nested arrays and objects. Deeper ones are refused.
pub const DEPTH_MAX: usize = 128;

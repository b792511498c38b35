//! JSON text: written by hand, walked where it stands, scanned and hashed, its strings read. There is no tree.
//!
//! - [`write`]: writing, straight into the buffer that leaves, and reading the strings of it.
//! - [`scan`]: one pass over a record that checks it, copies it without white space, and hashes its content.
//! - [`walk`]: moving through a text that is known to be JSON.

mod content;
mod fault;
pub(crate) mod scan;
pub(crate) mod walk;
mod write;

pub use fault::TextFault;
pub(crate) use write::{
    Object, read_string, write_integer, write_lossy, write_members, write_string, write_unsigned,
};

/// Arrays and objects nested deeper than this are refused.
pub const DEPTH_MAX: usize = 128;

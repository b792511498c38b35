//! Values that know where they stand: the reading tools that the configuration and every source of accounts share.
//!
//! A source makes a tree of *nodes*; each node has an *origin*, such as a file and a line. The *check* walks the tree along
//! the JSON Schema of the types that it becomes, and cuts out what is wrong. Readers ask for a *place*, which is a key of the
//! tree whether the key is there or not. A *fault* says where something is wrong, what, and how to fix it. The *context*
//! collects faults and resolves what values refer to: files and environment variables. No fault quotes a value that may be
//! secret.

mod check;
mod context;
mod fault;
mod origin;
mod schema;
mod tree;

pub use context::Variables;
pub use fault::{Fault, Faults, Warning};
pub use origin::Origin;

pub(crate) use crate::definition::nearest;
pub(crate) use check::{branch, join, keys, prune, wanted};
pub(crate) use context::{Context, Referred, SecretText, flatten, sha256};
pub(crate) use origin::Place;
pub(crate) use schema::of as schema_of;
pub(crate) use tree::{Node, Value, parse_value, read as read_toml};

//! Values with origins: the reading tools that the configuration and every source of accounts share.
//!
//! A source makes a tree of *nodes*. Each node has an *origin*, such as a file and a line, or a row of a database. The
//! *check* compares the tree with the JSON Schema of the types that will be read from it, and removes values with
//! faults. Readers ask for a *place*: a key of the tree, whether it has a value or not. A *fault* contains the place,
//! the problem, and how to fix it. The *context* collects faults and resolves references to files and environment
//! variables. No fault quotes a value that may be secret.

mod check;
mod context;
mod fault;
mod origin;
mod schema;
mod tree;

pub use context::{Reserved, Variables};
pub use fault::{Fault, Faults, Note, Warning};
pub use origin::{Origin, RowOrigin};

pub(crate) use crate::definition::nearest;
pub(crate) use check::{branch, join, keys, prune, wanted};
pub(crate) use context::{Context, Referred, SecretText, flatten, sha256};
pub(crate) use origin::Place;
pub(crate) use schema::of as schema_of;
pub(crate) use tree::{Node, Value, parse_value, read as read_toml};

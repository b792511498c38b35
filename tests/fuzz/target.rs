//! The definition of a target.

use std::fmt::Debug;

/// The result of a target, which is compared as text between two runs of the same input.
pub(crate) type Seen = Box<dyn Debug>;

/// A decoder and its invariants.
pub(crate) struct Target {
    /// The target's name, which is also the name of its folder in the corpus.
    pub(crate) name: &'static str,
    /// Decodes the input, and panics if an invariant does not hold.
    pub(crate) run: fn(&[u8]) -> Seen,
    /// Valid inputs in addition to those of the corpus, as the program itself writes them.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    /// Words that the decoder looks for, which mutations insert.
    pub(crate) words: &'static [&'static str],
    /// The bytes of memory that the decoder may hold at once per byte of input, in addition to [`ALLOWED_BYTES`].
    pub(crate) bytes_per_byte: usize,
}

/// The bytes of memory that the decoder may hold at once for any input. Loading a configuration takes most of it, since
/// each load builds the schemas of all keys.
pub(crate) const ALLOWED_BYTES: usize = 384 << 10;

//! What a target is.

use std::fmt::Debug;

/// What a target saw of its input: compared, as text, between two runs of the same input.
pub(crate) type Seen = Box<dyn Debug>;

/// A decoder, and what must hold of it.
pub(crate) struct Target {
    /// Its name, and its folder's in the corpus.
    pub(crate) name: &'static str,
    /// Decodes the input, and panics where what must hold does not.
    pub(crate) run: fn(&[u8]) -> Seen,
    /// Good inputs beside those in the corpus: what the program itself writes.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    /// What the decoder looks for, which mutations put in.
    pub(crate) words: &'static [&'static str],
    /// So many bytes a byte of input may take in memory at once, beside [`ALLOWED_BYTES`].
    pub(crate) bytes_per_byte: usize,
}

/// So much memory any input may take.
pub(crate) const ALLOWED_BYTES: usize = 256 << 10;

//! The state that the compilers of programs have in common.

use super::Input;
use crate::definition::template::Variable;
use crate::definition::template::fault::Faults;
use crate::definition::template::lex::Piece;
use crate::definition::template::program::Builder;
use crate::definition::template::uses::UsesFound;

/// A text while it is compiled to a program with actions `A`. `S` is the further state of its language.
pub(super) struct Compiler<'c, 't, 'f, A, S> {
    pub(super) text: &'t str,
    /// The text before this offset is compiled.
    pub(super) at: usize,
    /// The pieces from `at` on.
    pub(super) pieces: &'c [Piece<'t>],
    pub(super) builder: Builder<A>,
    pub(super) uses: UsesFound,
    pub(super) mandatory: &'c dyn Fn(&Variable) -> bool,
    pub(super) faults: &'c mut Faults<'f>,
    pub(super) state: S,
}

impl<'c, 't, 'f, A: Copy, S: Default> Compiler<'c, 't, 'f, A, S> {
    /// Creates a compiler at the beginning of the text, which consists of `pieces`.
    pub(super) fn new(
        input: &Input<'t>,
        pieces: &'c [Piece<'t>],
        nothing: A,
        faults: &'c mut Faults<'f>,
    ) -> Self
    where
        't: 'c,
    {
        Self {
            text: input.text,
            at: 0,
            pieces,
            builder: Builder::new(nothing),
            uses: UsesFound::default(),
            mandatory: input.mandatory,
            faults,
            state: S::default(),
        }
    }
}

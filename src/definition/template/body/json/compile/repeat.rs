//! Items of arrays that are repeated for each prompt.

use super::{Action, Compiler, Items};
use crate::definition::template::lex::{Piece, PieceKind};
use crate::definition::template::{Derived, Tokens, Variable, prompts};

/// What a template says about prompts.
#[derive(Default)]
pub(super) struct Repeats {
    /// The variable of the list, if the template contains members of prompts.
    list: Option<Variable>,
    /// Whether a member of a prompt was found in the item that is being compiled, outside of the arrays in it.
    found: bool,
}

impl Repeats {
    pub(super) fn of(pieces: &[Piece<'_>], tokens: &Tokens) -> Self {
        let any = pieces.iter().any(|piece| match &piece.kind {
            PieceKind::Variable(variable) => variable.derived() == Some(Derived::Prompt),
            PieceKind::Plain(_) | PieceKind::Bad => false,
        });
        Self { list: any.then(|| prompts::variable(tokens)).flatten(), found: false }
    }

    /// Returns whether the template contains members of prompts.
    pub(super) const fn any(&self) -> bool {
        self.list.is_some()
    }

    pub(super) fn see(&mut self, variable: &Variable) {
        self.found |= variable.derived() == Some(Derived::Prompt);
    }
}

/// An item of an array whose compilation has begun.
pub(super) struct Begun {
    /// The step that may become the repetition.
    step: usize,
    at: usize,
    /// What was found in the item around the array.
    found: bool,
    is_certain: bool,
}

/// Adjacent items that are repeated together.
pub(super) struct Run {
    step: usize,
    at: usize,
    to: u32,
}

impl Compiler<'_, '_, '_> {
    /// Begins an item of an array. Templates without prompts get no further steps.
    pub(super) fn begin_item(&mut self, items: &Items) -> Option<Begun> {
        self.state.any().then(|| Begun {
            step: self.builder.step(Action::Nothing),
            at: self.at,
            found: std::mem::take(&mut self.state.found),
            is_certain: items.certain,
        })
    }

    /// Ends an item. If it contains a member of a prompt, it becomes a part of `run`; otherwise `run` ends before it.
    pub(super) fn end_item(
        &mut self,
        begun: Option<Begun>,
        items: &mut Items,
        run: &mut Option<Run>,
    ) {
        let Some(Begun { step, at, found, is_certain }) = begun else { return };
        if !std::mem::replace(&mut self.state.found, found) {
            self.end_run(run.take());
            return;
        }
        // There may be no prompts.
        items.certain = is_certain;
        let to = self.builder.boundary();
        let (step, at) = run.as_ref().map_or((step, at), |run| (run.step, run.at));
        *run = Some(Run { step, at, to });
    }

    /// Makes the steps of `run` a repetition.
    pub(super) fn end_run(&mut self, run: Option<Run>) {
        let (Some(Run { step, at, to }), Some(list)) = (run, self.state.list.clone()) else {
            return;
        };
        let mandatory = (self.mandatory)(&list);
        let list = self.uses.add(&list, at, mandatory);
        self.builder.replace(step, Action::Each { list, to });
    }
}

//! Compiles the text of an XML template to its program.
//!
//! One walk over the text finds the places of its variables. An XML parser checks whether the text is well-formed. It
//! gets the text with a letter in place of each character of a variable, so that it sees a harmless value.

use crate::definition::template::Derived;
use crate::definition::template::Variable;
use crate::definition::template::body::{Compiled, Input, compiler};
use crate::definition::template::fault::Faults;
use crate::definition::template::lex::{Percent, Piece, PieceKind, lex, masked};
use crate::definition::template::uses::{DefinitionPart, Uses};

mod check;
mod walk;

/// The action after a run of fixed text. A number alone is the variable's slot.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    Nothing,
    Text(u32),
    /// Writes an object as elements in text.
    Tags(u32),
    /// Writes a list of prompts as elements in text.
    Prompts(u32),
    Attribute(u32),
    Cdata(u32),
    /// Writes fixed text of a CDATA section behind a variable.
    CdataText {
        from: u32,
        to: u32,
    },
    /// Continues with the step `to` if there is no value.
    Skip {
        slot: u32,
        to: u32,
    },
}

/// Compiles `text`. Adds its faults to `faults`; after a fault the program is unusable.
pub(in crate::definition::template::body) fn compile(
    input: &Input<'_>,
    faults: &mut Faults<'_>,
) -> (Box<dyn Compiled>, Uses) {
    let pieces = lex(input.text, input.tokens, Percent::Text, faults);
    let text = &*masked(input.text, &pieces);
    let mut compiler = Compiler::new(&Input { text, ..*input }, &pieces, Action::Nothing, faults);
    let end = compiler.document();
    let (program, uses) =
        (compiler.builder.finish(), compiler.uses.finish(text, &DefinitionPart::Body));
    if !matches!(end, walk::End::Limit) {
        check::check(&harmless(text, &pieces), faults);
    }
    if let walk::End::IllFormed(at) = end
        && faults.is_empty()
    {
        faults.add(at, "the text is not well-formed XML from here on", "correct it");
    }
    (Box::new(program), uses)
}

/// Returns the text with a letter in place of each character of a variable.
fn harmless(text: &str, pieces: &[Piece<'_>]) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    for piece in pieces {
        masked.push_str(text.get(at..piece.range.start).unwrap_or_default());
        at = piece.range.end;
        let spelt = text.get(piece.range.clone()).unwrap_or_default();
        match piece.kind {
            PieceKind::Variable(_) | PieceKind::Bad => masked.extend(spelt.chars().map(|_| 'v')),
            PieceKind::Plain(_) => masked.push_str(spelt),
        }
    }
    masked.push_str(text.get(at..).unwrap_or_default());
    masked
}

type Compiler<'c, 't, 'f> = compiler::Compiler<'c, 't, 'f, Action, Elements>;

/// The elements so far.
#[derive(Default)]
struct Elements {
    /// The open elements, each with the skip that leaves it out if it has one.
    open: Vec<Option<Skip>>,
    /// Whether the root element has begun.
    root: bool,
    /// The number of namespace declarations so far.
    namespaces: usize,
}

/// A step that skips the steps behind it if the slot has no value.
#[derive(Clone, Copy)]
struct Skip {
    step: usize,
    slot: u32,
}

/// The kind of a part of the text. It decides how a variable in it is rendered.
#[derive(Clone, Copy)]
enum Stretch {
    Text,
    Attribute,
    Cdata,
    /// A part in which a variable is a fault, with its name.
    Fixed(&'static str),
}

impl Compiler<'_, '_, '_> {
    /// Compiles the text up to the byte `to`.
    fn copy(&mut self, to: usize, stretch: Stretch) {
        let mut after_variable = false;
        while let Some((piece, rest)) = self.pieces.split_first()
            && piece.range.start < to
        {
            self.literal(piece.range.start, stretch, after_variable);
            self.pieces = rest;
            self.at = piece.range.end;
            match &piece.kind {
                PieceKind::Variable(variable) => {
                    self.variable(variable, piece.range.start, stretch);
                    after_variable = true;
                }
                PieceKind::Plain(text) => self.builder.literal(text),
                PieceKind::Bad => {}
            }
        }
        self.literal(to, stretch, after_variable);
    }

    fn literal(&mut self, to: usize, stretch: Stretch, after_variable: bool) {
        let text = self.text.get(self.at..to).unwrap_or_default();
        if matches!(stretch, Stretch::Cdata) && after_variable && !text.is_empty() {
            let (from, to) = self.builder.aside(text);
            self.builder.step(Action::CdataText { from, to });
        } else if matches!(stretch, Stretch::Text) && after_variable {
            // Behind a value that ends with `]]`, a plain `>` would give `]]>`, which no text may contain.
            self.builder.literal(&text.replace('>', "&gt;"));
        } else {
            self.builder.literal(text);
        }
        self.at = to;
    }

    fn variable(&mut self, variable: &Variable, at: usize, stretch: Stretch) {
        let mandatory = (self.mandatory)(variable);
        let slot = self.uses.add(variable, at, mandatory);
        self.builder.step(match stretch {
            Stretch::Text => match variable.derived() {
                Some(Derived::Tags) => Action::Tags(slot),
                Some(Derived::Prompts) => Action::Prompts(slot),
                _ => Action::Text(slot),
            },
            Stretch::Attribute => Action::Attribute(slot),
            Stretch::Cdata => Action::Cdata(slot),
            Stretch::Fixed(place) => {
                let fix = "use variables in text, attribute values and CDATA sections";
                self.faults.add(at, format!("a variable is not allowed in {place}"), fix);
                Action::Nothing
            }
        });
    }

    /// Returns the slot of the optional variable that begins at the byte `from`, and the byte behind it.
    fn optional_at(&mut self, from: usize) -> Option<(u32, usize)> {
        let index = self.pieces.partition_point(|piece| piece.range.start < from);
        let piece = self.pieces.get(index).filter(|piece| piece.range.start == from)?;
        match &piece.kind {
            PieceKind::Variable(variable) if !(self.mandatory)(variable) => {
                Some((self.uses.slot(variable), piece.range.end))
            }
            PieceKind::Variable(_) | PieceKind::Plain(_) | PieceKind::Bad => None,
        }
    }

    fn skip(&mut self, slot: u32) -> Skip {
        Skip { step: self.builder.step(Action::Nothing), slot }
    }

    /// Ends the part that the skip leaves out.
    fn land(&mut self, skip: Skip) {
        let to = self.builder.boundary();
        self.builder.replace(skip.step, Action::Skip { slot: skip.slot, to });
    }
}

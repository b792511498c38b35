//! Parses the text of an XML template into its program.
//!
//! The text is walked once for the places of its variables. Whether it is well-formed is for an XML parser to say, which is
//! given the text with a letter in place of each of a variable's bytes, so that it sees what it would see of a harmless value.

use super::super::fault::Faults;
use super::super::lex::{Kind, Percent, Piece, lex};
use super::super::program::{Builder, Program};
use super::super::uses::{Part, Uses, UsesFound};
use super::super::{Tokens, Variable};

mod check;
mod walk;

/// What follows a run of fixed text. A number alone is the variable's slot.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    Nothing,
    Text(u32),
    Attribute(u32),
    Cdata(u32),
    /// Fixed text of a CDATA section in which a variable stands before.
    CdataText {
        from: u32,
        to: u32,
    },
    /// Goes on with the step `to` when there is no value.
    Skip {
        slot: u32,
        to: u32,
    },
}

/// Faults in `text` go to `faults`; the program then is of no use.
pub(super) fn compile(
    text: &str,
    tokens: &Tokens,
    mandatory: &dyn Fn(&Variable) -> bool,
    faults: &mut Faults<'_>,
) -> (Program<Action>, Uses) {
    let pieces = lex(text, tokens, Percent::Text, faults);
    let mut compiler = Compiler {
        text,
        at: 0,
        pieces: &pieces,
        builder: Builder::new(Action::Nothing),
        uses: UsesFound::default(),
        mandatory,
        faults,
        open: Vec::new(),
        root: false,
        namespaces: 0,
    };
    let end = compiler.document();
    let (program, uses) = (compiler.builder.finish(), compiler.uses.finish(text, &Part::Body));
    if !matches!(end, walk::End::Limit) {
        check::check(&masked(text, &pieces), faults);
    }
    if let walk::End::IllFormed(at) = end
        && faults.is_empty()
    {
        faults.add(at, "the text is not well-formed XML from here on", "correct it");
    }
    (program, uses)
}

/// The text with a letter in place of each byte of a variable.
fn masked(text: &str, pieces: &[Piece<'_>]) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    for piece in pieces {
        masked.push_str(text.get(at..piece.range.start).unwrap_or_default());
        at = piece.range.end;
        match piece.kind {
            Kind::Variable(_) | Kind::Bad => masked.extend(piece.range.clone().map(|_| 'v')),
            Kind::Plain(_) => {
                masked.push_str(text.get(piece.range.clone()).unwrap_or_default());
            }
        }
    }
    masked.push_str(text.get(at..).unwrap_or_default());
    masked
}

struct Compiler<'c, 't, 'f> {
    text: &'t str,
    /// All before is compiled.
    at: usize,
    /// Those that are not passed yet.
    pieces: &'c [Piece<'t>],
    builder: Builder<Action>,
    uses: UsesFound,
    mandatory: &'c dyn Fn(&Variable) -> bool,
    faults: &'c mut Faults<'f>,
    /// The elements that are open, each with what leaves it out.
    open: Vec<Option<Skip>>,
    /// Whether the root has begun.
    root: bool,
    /// How many are declared so far.
    namespaces: usize,
}

/// A step that skips what follows when the slot has no value.
#[derive(Clone, Copy)]
struct Skip {
    step: usize,
    slot: u32,
}

/// What a stretch of the text is, and so what a variable in it means.
#[derive(Clone, Copy)]
enum Stretch {
    Text,
    Attribute,
    Cdata,
    /// A variable in it is a fault: what it is.
    Fixed(&'static str),
}

impl Compiler<'_, '_, '_> {
    /// Compiles all up to the byte `to`.
    fn copy(&mut self, to: usize, stretch: Stretch) {
        let mut after_variable = false;
        while let Some((piece, rest)) = self.pieces.split_first()
            && piece.range.start < to
        {
            self.literal(piece.range.start, stretch, after_variable);
            self.pieces = rest;
            self.at = piece.range.end;
            match &piece.kind {
                Kind::Variable(variable) => {
                    self.variable(variable, piece.range.start, stretch);
                    after_variable = true;
                }
                Kind::Plain(text) => self.builder.literal(text),
                Kind::Bad => {}
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
            // After a value that ends with `]]`, a plain `>` would make what no text may hold.
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
            Stretch::Text => Action::Text(slot),
            Stretch::Attribute => Action::Attribute(slot),
            Stretch::Cdata => Action::Cdata(slot),
            Stretch::Fixed(place) => {
                let mend = "variables may stand in text, attribute values and CDATA sections";
                self.faults.add(at, format!("a variable cannot stand in {place}"), mend);
                Action::Nothing
            }
        });
    }

    /// The optional variable that is exactly what stands from one byte on, and where it ends.
    fn optional_at(&mut self, from: usize) -> Option<(u32, usize)> {
        let index = self.pieces.partition_point(|piece| piece.range.start < from);
        let piece = self.pieces.get(index).filter(|piece| piece.range.start == from)?;
        match &piece.kind {
            Kind::Variable(variable) if !(self.mandatory)(variable) => {
                Some((self.uses.slot(variable), piece.range.end))
            }
            Kind::Variable(_) | Kind::Plain(_) | Kind::Bad => None,
        }
    }

    fn skip(&mut self, slot: u32) -> Skip {
        Skip { step: self.builder.step(Action::Nothing), slot }
    }

    /// Ends what the skip leaves out.
    fn land(&mut self, skip: Skip) {
        let to = self.builder.boundary();
        self.builder.replace(skip.step, Action::Skip { slot: skip.slot, to });
    }
}

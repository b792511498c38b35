//! Templates of form bodies.
//!
//! They are `application/x-www-form-urlencoded` (WHATWG URL, section 5), with variables in names and values.
//!
//! The fixed text may be written as people usually write such bodies: `&`, `=`, `+` and valid percent-encodings keep
//! their meaning. Other characters that are not allowed are encoded, a space to `+`. A line break at the end is
//! dropped. Values are encoded completely: the content of a JSON string, or the JSON text of another value.
//!
//! A pair whose value is exactly one optional variable is left out if there is no value. An optional variable beside
//! other text, or in a name, is then empty.

use super::{Compiled, Input};
use crate::definition::template::fault::Faults;
use crate::definition::template::lex::{Percent, lex, masked};
use crate::definition::template::pairs::{Compiler, Literals, Pair, write};
use crate::definition::template::uses::{DefinitionPart, Filled, Uses, UsesFound};

/// A form with variables.
#[derive(Debug)]
struct Form(Box<[Pair]>);

/// Compiles `text`. Adds its faults to `faults`.
pub(super) fn compile(input: &Input<'_>, faults: &mut Faults<'_>) -> (Box<dyn Compiled>, Uses) {
    let Input { text, tokens, mandatory } = *input;
    let end = end_of_line(text, faults);
    let pieces = lex(text, tokens, Percent::Encoding, faults);
    let text = &*masked(text, &pieces);
    let mut uses = UsesFound::default();
    let mut compiler = Compiler { text, pieces: &pieces, uses: &mut uses, mandatory };
    let pairs = compiler.pairs(0, end, Literals::Form);
    let uses = uses.finish(text, &DefinitionPart::Body);
    (Box::new(Form(pairs)), uses)
}

/// Returns the end of the form without the line breaks behind it, and reports other line breaks.
pub(super) fn end_of_line(text: &str, faults: &mut Faults<'_>) -> usize {
    let end = text.trim_end_matches(['\r', '\n']).len();
    for (at, _) in text.match_indices(['\r', '\n']).take_while(|(at, _)| *at < end) {
        let fix = "write %0A for one in a value, and `&` between pairs";
        faults.add(at, "the form contains a line break", fix);
    }
    end
}

impl Compiled for Form {
    fn write(&self, filled: &Filled<'_>, out: &mut Vec<u8>) {
        write(&self.0, filled, "", out);
    }
}

//! Templates of form bodies.

use super::fault::Faults;
use super::lex::{Percent, lex};
use super::pairs::{Compiler, Literals, Pair, write};
use super::uses::{Part, Uses, UsesFound};
use super::{Fault, Missing, Tokens, Use, Values, Variable};

/// An `application/x-www-form-urlencoded` body (WHATWG URL, section 5) with variables in names and values.
///
/// The fixed text is taken as people write such bodies: `&`, `=`, `+` and valid percent-encodings are what they are, and all
/// else that is not allowed gets encoded, a space to `+`. A line break at the end is dropped. Values are encoded whole: of a
/// JSON string what it spells, of another value its JSON text.
///
/// A pair whose value is exactly one optional variable is left out when there is no value. An optional variable beside other
/// text, or in a name, is empty then.
#[derive(Clone, Debug)]
pub struct FormTemplate {
    pairs: Box<[Pair]>,
    uses: Uses,
}

impl FormTemplate {
    /// Parses `text`; `mandatory` says which variables must have a value.
    ///
    /// # Errors
    ///
    /// All faults of the variables, and line breaks.
    pub fn parse(
        text: &str,
        tokens: &Tokens,
        mandatory: &dyn Fn(&Variable) -> bool,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::of(text)?;
        let end = text.trim_end_matches(['\r', '\n']).len();
        for (at, _) in text.match_indices(['\r', '\n']).take_while(|(at, _)| *at < end) {
            let mend = "write %0A for one in a value, and `&` between pairs";
            faults.add(at, "a line break stands in the form", mend);
        }
        let pieces = lex(text, tokens, Percent::Encoding, &mut faults);
        let mut uses = UsesFound::default();
        let mut compiler = Compiler { text, pieces: &pieces, uses: &mut uses, mandatory };
        let pairs = compiler.pairs(0, end, Literals::Form);
        let uses = uses.finish(text, &Part::Body);
        faults.finish(Self { pairs, uses })
    }

    /// The variables, in the text's order.
    #[must_use]
    pub const fn variables(&self) -> &[Use] {
        self.uses.all()
    }

    /// Appends the body to `out`.
    ///
    /// # Errors
    ///
    /// A mandatory variable has no value; `out` is as it was.
    pub fn render(&self, values: &dyn Values, out: &mut Vec<u8>) -> Result<(), Missing> {
        let filled = self.uses.fill(values)?;
        write(&self.pairs, &filled, "", out);
        Ok(())
    }
}

//! Templates of XML bodies.

mod compile;
mod escape;

use super::fault::Faults;
use super::program::Program;
use super::uses::Uses;
use super::{Fault, Missing, Tokens, Use, Values, Variable};
use compile::{Action, compile};

/// An XML 1.0 body (UTF-8, without a document type) with variables in text, attribute values and CDATA sections.
///
/// A value is escaped so that whoever parses the body gets it exactly, line breaks too: of a JSON string what it spells, of
/// another value its JSON text. A character that XML 1.0 cannot hold (U+0000 and most controls, U+FFFE, U+FFFF) becomes
/// U+FFFD.
///
/// An attribute that is exactly one optional variable is left out when there is no value; so is an element, except the root,
/// whose whole content is such a variable, whatever its attributes. An optional variable elsewhere is empty then.
#[derive(Clone, Debug)]
pub struct XmlTemplate {
    program: Program<Action>,
    uses: Uses,
}

impl XmlTemplate {
    /// Parses `text`; `mandatory` says which variables must have a value.
    ///
    /// # Errors
    ///
    /// All faults of the variables, and the first place where the text is not well-formed.
    pub fn parse(
        text: &str,
        tokens: &Tokens,
        mandatory: &dyn Fn(&Variable) -> bool,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::of(text)?;
        let (program, uses) = compile(text, tokens, mandatory, &mut faults);
        faults.finish(Self { program, uses })
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
        out.reserve(self.program.bytes() + filled.bytes());
        self.program.run(out, |action, out| {
            match action {
                Action::Nothing => {}
                Action::Text(slot) => escape::text(out, filled.get(slot)),
                Action::Attribute(slot) => escape::attribute(out, filled.get(slot)),
                Action::Cdata(slot) => escape::cdata(out, filled.get(slot)),
                Action::CdataText { from, to } => {
                    escape::cdata_text(out, self.program.slice(from, to));
                }
                Action::Skip { slot, to } if filled.get(slot).is_none() => return Some(to),
                Action::Skip { .. } => {}
            }
            None
        });
        Ok(())
    }
}

//! Templates of XML bodies.
//!
//! They are XML 1.0 (UTF-8, without a document type), with variables in text, attribute values and CDATA sections.
//!
//! A value is escaped so that a parser of the body gets it exactly, including line breaks. The value is the content of
//! a JSON string, or the JSON text of another value. U+FFFD replaces a character that XML 1.0 can't contain (U+0000 and
//! most controls, U+FFFE, U+FFFF).
//!
//! In text, the values of `%tags%` and `%prompt_responses%` become elements.
//!
//! An attribute that is exactly one optional variable is left out if there is no value. So is an element, except the
//! root, whose whole content is such a variable, whatever its attributes. An optional variable elsewhere is then empty.

mod compile;
mod elements;
mod escape;

pub(super) use compile::compile;

use super::Compiled;
use crate::definition::template::program::Program;
use crate::definition::template::uses::Filled;
use compile::Action;

impl Compiled for Program<Action> {
    fn write(&self, filled: &Filled<'_>, out: &mut Vec<u8>) {
        out.reserve(self.bytes() + filled.bytes());
        self.run(out, |action, out| {
            match action {
                Action::Nothing => {}
                Action::Text(slot) => escape::text(out, filled.get(slot)),
                Action::Tags(slot) => elements::write(out, filled.get(slot), elements::ITEM),
                Action::Prompts(slot) => elements::write(out, filled.get(slot), elements::PROMPT),
                Action::Attribute(slot) => escape::attribute(out, filled.get(slot)),
                Action::Cdata(slot) => escape::cdata(out, filled.get(slot)),
                Action::CdataText { from, to } => {
                    escape::cdata_text(out, self.slice(from, to));
                }
                Action::Skip { slot, to } if filled.get(slot).is_none() => return Some(to),
                Action::Skip { .. } => {}
            }
            None
        });
    }
}

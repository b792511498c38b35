//! Templates of values that stand alone: those in a call of one of the platform's functions, and credentials.

use super::list::Entry;
use super::pairs::{Element, Literals, write_text};
use super::uses::DefinitionPart;
use super::{Fault, Missing, Tokens, Use, Values, Variable, value};
use crate::json;
use std::fmt;

/// Text with variables that is a value of its own.
///
/// If an optional variable has no value, there is no text.
#[derive(Clone)]
pub struct TextTemplate {
    entry: Entry,
    is_secret: bool,
}

/// Hides the text, which may be a secret.
impl fmt::Debug for TextTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextTemplate").finish_non_exhaustive()
    }
}

impl TextTemplate {
    /// Parses `text`, which stands in `part`. `mandatory` says which variables must have a value.
    ///
    /// # Errors
    ///
    /// Variables are faulty. The error lists all faults.
    pub fn parse(
        text: &str,
        part: &DefinitionPart,
        mandatory: &dyn Fn(&Variable) -> bool,
        tokens: &Tokens,
    ) -> Result<Self, Vec<Fault>> {
        let entry = Entry::parse(text, mandatory, tokens, part, Literals::Kept)?;
        Ok(Self { entry, is_secret: false })
    }

    /// Creates a value that is exactly `secret`, even if it looks like a variable.
    #[must_use]
    pub fn with_secret(secret: &str, part: &DefinitionPart) -> Self {
        Self { entry: Entry::fixed(secret, part, Literals::Kept), is_secret: true }
    }

    /// Returns whether the value is secret and must never be shown.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        self.is_secret
    }

    /// Returns the variables in the order of the text.
    #[must_use]
    pub const fn variables(&self) -> &[Use] {
        self.entry.uses.all()
    }

    /// Appends the text to `out`. Returns whether it was written.
    ///
    /// # Errors
    ///
    /// A mandatory variable has no value. `out` is unchanged.
    pub fn render(&self, values: &dyn Values, out: &mut String) -> Result<bool, Missing> {
        let Some(filled) = self.entry.fill(values)? else { return Ok(false) };
        write_text(&self.entry.elements, &filled, out);
        Ok(true)
    }

    /// Appends the text to `out` as JSON: a string. If it consists of one variable, it is the value with its own type.
    /// Returns whether it was written.
    ///
    /// # Errors
    ///
    /// A mandatory variable has no value. `out` is unchanged.
    pub fn render_json(&self, values: &dyn Values, out: &mut Vec<u8>) -> Result<bool, Missing> {
        let Some(filled) = self.entry.fill(values)? else { return Ok(false) };
        if let [Element::Variable(slot)] = *self.entry.elements {
            out.extend_from_slice(filled.get(slot).unwrap_or("null").as_bytes());
            return Ok(true);
        }
        out.push(b'"');
        for element in &self.entry.elements {
            match element {
                Element::Literal(text) => json::write_escaped(out, text),
                Element::Variable(slot) => {
                    value::splice(out, filled.get(*slot).unwrap_or_default());
                }
            }
        }
        out.push(b'"');
        Ok(true)
    }
}

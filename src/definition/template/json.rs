//! Templates of JSON bodies.

mod compile;

use super::fault::Faults;
use super::program::Program;
use super::uses::Uses;
use super::{Fault, Missing, Tokens, Use, Values, Variable, value};

/// A JSON body with variables. White space between its tokens is dropped; all else is rendered as it is spelt.
///
/// - A variable within a string: a string's content joins the string as it is spelt, another value's JSON text is escaped.
/// - A bare variable, `{"n": $flow.key.n}`: the value as it is, with its type.
///
/// A member or element that is exactly one optional variable, bare or as a whole string, is left out when there is no value;
/// in place of the whole body this gives `null`. An optional variable beside other text, or in a member's name, is empty then.
///
/// The result is valid JSON (RFC 8259) provided that the values are. Names that are spelt out are unique in their object; a
/// variable in a name can make it equal to another.
#[derive(Clone, Debug)]
pub struct JsonTemplate {
    program: Program<Action>,
    uses: Uses,
}

/// What follows a run of fixed text. The number is the variable's slot.
#[derive(Clone, Copy, Debug)]
enum Action {
    Nothing,
    /// The value as it is.
    Bare(u32),
    /// The value within a string.
    Inside(u32),
    /// The value as a whole string, or `null`.
    Quoted(u32),
    /// A comma, if an item stands before it.
    Comma,
    /// Goes on with the step `to` when there is no value.
    Skip {
        slot: u32,
        to: u32,
    },
}

impl JsonTemplate {
    /// Parses `text`; `mandatory` says which variables must have a value.
    ///
    /// # Errors
    ///
    /// All faults of the variables, and the first place where the text is no JSON.
    pub fn parse(
        text: &str,
        tokens: &Tokens,
        mandatory: &dyn Fn(&Variable) -> bool,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::of(text)?;
        let (program, uses) = compile::compile(text, tokens, mandatory, &mut faults);
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
                Action::Bare(slot) => {
                    out.extend_from_slice(filled.get(slot).unwrap_or("null").as_bytes());
                }
                Action::Inside(slot) => {
                    if let Some(json) = filled.get(slot) {
                        value::splice(out, json);
                    }
                }
                Action::Quoted(slot) => quoted(out, filled.get(slot)),
                // No item ends with an opening bracket, so that one here is the container's own.
                Action::Comma if matches!(out.last(), Some(b'[' | b'{')) => {}
                Action::Comma => out.push(b','),
                Action::Skip { slot, to } if filled.get(slot).is_none() => return Some(to),
                Action::Skip { .. } => {}
            }
            None
        });
        Ok(())
    }
}

fn quoted(out: &mut Vec<u8>, json: Option<&str>) {
    let Some(json) = json else { return out.extend_from_slice(b"null") };
    if json.starts_with('"') {
        // A string that is the whole string is the value as it is.
        return out.extend_from_slice(json.as_bytes());
    }
    out.push(b'"');
    value::splice(out, json);
    out.push(b'"');
}

//! Templates of JSON bodies.
//!
//! White space between tokens is dropped. Other text is rendered as it is spelt.
//!
//! - A variable within a string: the content of a string is inserted as it is spelt; the JSON text of another value is
//!   escaped.
//! - A bare variable, `{"n": $flow.key.n}`: the value is inserted as it is, with its type.
//!
//! A member or element that is exactly one optional variable, bare or as a whole string, is left out if there is no
//! value. If the whole body is such a variable, the result is `null`. An optional variable beside other text, or in a
//! member's name, is then empty.
//!
//! The result is valid JSON (RFC 8259) if the values are. Fixed names are unique in their object. A variable in a name
//! can make it equal to another.

mod compile;

pub(super) use compile::compile;

use super::Compiled;
use crate::definition::template::program::Program;
use crate::definition::template::uses::Filled;
use crate::definition::template::value;

/// The action after a run of fixed text. The number is the variable's slot.
#[derive(Clone, Copy, Debug)]
enum Action {
    Nothing,
    /// Writes the value as it is.
    Bare(u32),
    /// Writes the value within a string.
    Inside(u32),
    /// Writes the value as a whole string, or `null`.
    Quoted(u32),
    /// Writes a comma if an item was written before.
    Comma,
    /// Continues with the step `to` if there is no value.
    Skip {
        slot: u32,
        to: u32,
    },
}

impl Compiled for Program<Action> {
    fn write(&self, filled: &Filled<'_>, out: &mut Vec<u8>) {
        out.reserve(self.bytes() + filled.bytes());
        self.run(out, |action, out| {
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
                // No item ends with an opening bracket, so this bracket belongs to the container.
                Action::Comma if matches!(out.last(), Some(b'[' | b'{')) => {}
                Action::Comma => out.push(b','),
                Action::Skip { slot, to } if filled.get(slot).is_none() => return Some(to),
                Action::Skip { .. } => {}
            }
            None
        });
    }
}

fn quoted(out: &mut Vec<u8>, json: Option<&str>) {
    let Some(json) = json else { return out.extend_from_slice(b"null") };
    if json.starts_with('"') {
        // A value that is a string itself is written as it is.
        return out.extend_from_slice(json.as_bytes());
    }
    out.push(b'"');
    value::splice(out, json);
    out.push(b'"');
}

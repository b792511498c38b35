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
//! The items of an array that contain members of prompts (`%question%`, `%question_link%`, `%response%`) are repeated for
//! each prompt. Of nested arrays, the innermost one is repeated.
//!
//! The result is valid JSON (RFC 8259) if the values are. Fixed names are unique in their object. A variable in a name
//! can make it equal to another.

mod compile;

pub(super) use compile::compile;

use super::Compiled;
use crate::definition::template::program::Program;
use crate::definition::template::uses::Filled;
use crate::definition::template::{prompts, value};
use std::ops::Range;

/// The length of a body, in bytes, after which no further prompts are written. No longer body is sent.
const REPEATED_BYTES_MAX: usize = 8 << 20;

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
    /// Repeats the steps up to `to` for each prompt of a list.
    Each {
        list: u32,
        to: u32,
    },
}

impl Compiled for Program<Action> {
    fn write(&self, filled: &Filled<'_>, out: &mut Vec<u8>) {
        out.reserve(self.bytes() + filled.bytes());
        self.run_between(0, u32::MAX, out, |at, action, out| match action {
            Action::Each { list, to } => {
                repeat(self, at..to, list, filled, out);
                Some(to)
            }
            Action::Nothing
            | Action::Bare(_)
            | Action::Inside(_)
            | Action::Quoted(_)
            | Action::Comma
            | Action::Skip { .. } => perform(action, |slot| filled.get(slot), out),
        });
    }
}

/// Writes the `steps` for each prompt. Without a list, the record may describe one prompt.
fn repeat(
    program: &Program<Action>,
    steps: Range<u32>,
    list: u32,
    filled: &Filled<'_>,
    out: &mut Vec<u8>,
) {
    let Some(prompts) = filled.get(list).and_then(prompts::read) else {
        if filled.has_prompt() {
            program.run_between(steps.start, steps.end, out, |_, action, out| {
                perform(action, |slot| filled.get(slot), out)
            });
        }
        return;
    };
    for prompt in &prompts {
        if out.len() > REPEATED_BYTES_MAX {
            return;
        }
        program.run_between(steps.start, steps.end, out, |_, action, out| {
            perform(action, |slot| filled.of_prompt(slot, prompt), out)
        });
    }
}

/// Performs an action with the values that `get` returns. Returns the step at which to continue, if it is not the next.
#[inline]
fn perform<'v>(
    action: Action,
    get: impl Fn(u32) -> Option<&'v str>,
    out: &mut Vec<u8>,
) -> Option<u32> {
    match action {
        // An array within an item that is repeated belongs to the prompt of the item.
        Action::Nothing | Action::Each { .. } => {}
        Action::Bare(slot) => out.extend_from_slice(get(slot).unwrap_or("null").as_bytes()),
        Action::Inside(slot) => {
            if let Some(json) = get(slot) {
                value::splice(out, json);
            }
        }
        Action::Quoted(slot) => quoted(out, get(slot)),
        // No item ends with an opening bracket, so this bracket belongs to the container.
        Action::Comma if matches!(out.last(), Some(b'[' | b'{')) => {}
        Action::Comma => out.push(b','),
        Action::Skip { slot, to } if get(slot).is_none() => return Some(to),
        Action::Skip { .. } => {}
    }
    None
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

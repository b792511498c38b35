//! A value's JSON text, on its way into a JSON string or into plain text.

use crate::json::{self, Escaped};

/// The inside of `json` when it is a string: its spelling, escapes and all.
#[inline]
fn inside(json: &str) -> Option<&str> {
    json.strip_prefix('"').map(|rest| rest.strip_suffix('"').unwrap_or(rest))
}

/// Appends the JSON text `text` to a JSON string: of a string its inside as it is spelt, of another value its JSON text.
#[inline]
pub(super) fn splice(out: &mut Vec<u8>, text: &str) {
    match inside(text) {
        Some(inside) => out.extend_from_slice(inside.as_bytes()),
        None => json::write_escaped(out, text),
    }
}

/// Hands what the JSON text `text` spells to `sink`, piece by piece: of a string what it spells, with U+FFFD for half a surrogate pair; of
/// another value its JSON text.
pub(super) fn decode(text: &str, mut sink: impl FnMut(&str)) {
    let Some(mut rest) = inside(text) else { return sink(text) };
    while let Some((run, tail)) = rest.split_once('\\') {
        sink(run);
        let (character, length) = match json::read_escape(tail.as_bytes()) {
            Some((Escaped::Character(character), length)) => (character, length),
            Some((Escaped::Half(_), length)) => (char::REPLACEMENT_CHARACTER, length),
            // No JSON has it.
            None => (char::REPLACEMENT_CHARACTER, 0),
        };
        sink(character.encode_utf8(&mut [0; 4]));
        rest = tail.get(length..).unwrap_or_default();
    }
    sink(rest);
}

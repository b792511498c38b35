//! Writes a value's JSON text into a JSON string or into plain text.

use crate::json::{self, Escaped};

/// Returns the text between the quotes if `json` is a string, with its escapes.
#[inline]
fn inside(json: &str) -> Option<&str> {
    json.strip_prefix('"').map(|rest| rest.strip_suffix('"').unwrap_or(rest))
}

/// Appends the JSON text `text` to a JSON string: a string's content as it is spelt, or the escaped JSON text of
/// another value.
#[inline]
pub(super) fn splice(out: &mut Vec<u8>, text: &str) {
    match inside(text) {
        Some(inside) => out.extend_from_slice(inside.as_bytes()),
        None => json::write_escaped(out, text),
    }
}

/// Passes the content of the JSON text `text` to `sink`, piece by piece: the decoded string, with U+FFFD for half a
/// surrogate pair, or the JSON text of another value.
pub(super) fn decode(text: &str, mut sink: impl FnMut(&str)) {
    let Some(mut rest) = inside(text) else { return sink(text) };
    while let Some((run, tail)) = rest.split_once('\\') {
        sink(run);
        let (character, length) = match json::read_escape(tail.as_bytes()) {
            Some((Escaped::Character(character), length)) => (character, length),
            Some((Escaped::Half(_), length)) => (char::REPLACEMENT_CHARACTER, length),
            // Valid JSON has no such escape.
            None => (char::REPLACEMENT_CHARACTER, 0),
        };
        sink(character.encode_utf8(&mut [0; 4]));
        rest = tail.get(length..).unwrap_or_default();
    }
    sink(rest);
}

//! Writes objects and arrays as elements.
//!
//! A member becomes an element with its name, and an item of an array one with the name of its kind. Other values
//! become text.

use super::escape;
use crate::json::TextFault;
use crate::json::walk::{self, Begins, Cursor};

/// The name of an element for an item of an array.
pub(super) const ITEM: &str = "item";

/// The name of an element for a prompt.
pub(super) const PROMPT: &str = "prompt";

/// Appends a value to text: an object or array as elements, each item of an array as `item`, and other values as text.
pub(super) fn write(out: &mut Vec<u8>, json: Option<&str>, item: &str) {
    let Some(json) = json else { return };
    let Ok(text) = walk::check(json.as_bytes()) else { return escape::text(out, Some(json)) };
    let start = out.len();
    // Only the depth can be wrong, and values are within its limit.
    if value(out, &mut Cursor::new(text), item).is_err() {
        out.truncate(start);
    }
}

/// Writes the value at the cursor. The cursor's limit of depth bounds the recursion.
fn value(out: &mut Vec<u8>, cursor: &mut Cursor<'_>, item: &str) -> Result<(), TextFault> {
    match cursor.begins() {
        Begins::Object => cursor.object(|cursor, name| {
            element(out, cursor, &element_name(&walk::decode(name).unwrap_or_default()))
        }),
        Begins::Array => cursor.array(|cursor, _| element(out, cursor, item)),
        Begins::Scalar => {
            let start = cursor.at();
            cursor.skip_value()?;
            escape::text(out, Some(cursor.since(start)).filter(|json| *json != "null"));
            Ok(())
        }
    }
}

fn element(out: &mut Vec<u8>, cursor: &mut Cursor<'_>, name: &str) -> Result<(), TextFault> {
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
    value(out, cursor, ITEM)?;
    out.extend_from_slice(b"</");
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
    Ok(())
}

/// Returns `name` as the name of an element: `_` replaces characters that it can't contain, and stands before a
/// character that can't be its first.
fn element_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 1);
    if !name.starts_with(begins_name) {
        out.push('_');
    }
    out.extend(name.chars().map(|letter| if is_in_name(letter) { letter } else { '_' }));
    out
}

/// Returns whether a name may begin with the character (XML 1.0, production 4, without the colon of prefixes).
const fn begins_name(letter: char) -> bool {
    matches!(letter, 'A'..='Z' | '_' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}'
        | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}'
        | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}'
        | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}')
}

/// Returns whether a name may contain the character (production 4a).
const fn is_in_name(letter: char) -> bool {
    begins_name(letter)
        || matches!(letter, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

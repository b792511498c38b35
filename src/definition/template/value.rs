//! A value's JSON text, on its way into a JSON string or into plain text.

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);

/// The inside of `json` when it is a string: its spelling, escapes and all.
#[inline]
fn inside(json: &str) -> Option<&str> {
    json.strip_prefix('"').map(|rest| rest.strip_suffix('"').unwrap_or(rest))
}

/// Appends `json` to a JSON string: of a string its inside as it is spelt, of another value its JSON text.
#[inline]
pub(super) fn splice(out: &mut Vec<u8>, json: &str) {
    match inside(json) {
        Some(inside) => out.extend_from_slice(inside.as_bytes()),
        None => escape(out, json.as_bytes()),
    }
}

/// Appends JSON text, in which only quotes and backslashes need an escape.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    loop {
        let (run, tail) = rest.split_at(plain_run(rest));
        out.extend_from_slice(run);
        let Some((byte, tail)) = tail.split_first() else { return };
        out.extend([b'\\', *byte]);
        rest = tail;
    }
}

/// How many bytes of `text` stand before the first quote or backslash.
fn plain_run(text: &[u8]) -> usize {
    let (words, tail) = text.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        // The high bit of each byte that became zero. A borrow can flag a byte too many, but only above a real one.
        let quote = quote.wrapping_sub(ONES) & !quote;
        let backslash = backslash.wrapping_sub(ONES) & !backslash;
        let special = (quote | backslash) & HIGHS;
        if special != 0 {
            // Little endian: the lowest flag is the first byte.
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + tail.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(tail.len())
}

/// Hands the text of `json` to `sink`, piece by piece: of a string what it spells, with U+FFFD for half a surrogate pair; of
/// another value its JSON text.
pub(super) fn decode(json: &str, mut sink: impl FnMut(&str)) {
    let Some(mut rest) = inside(json) else { return sink(json) };
    while let Some((run, tail)) = rest.split_once('\\') {
        sink(run);
        let (character, after) = unescape(tail);
        sink(character.encode_utf8(&mut [0; 4]));
        rest = after;
    }
    sink(rest);
}

/// The character that the escape at the beginning of `text`, after its backslash, stands for, and what follows it.
fn unescape(text: &str) -> (char, &str) {
    let mut characters = text.chars();
    let character = match characters.next() {
        Some('u') => return unescape_unicode(characters.as_str()),
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some(itself) => itself,
        None => char::REPLACEMENT_CHARACTER,
    };
    (character, characters.as_str())
}

fn unescape_unicode(text: &str) -> (char, &str) {
    let Some((unit, rest)) = code_unit(text) else { return (char::REPLACEMENT_CHARACTER, text) };
    if let 0xd800..0xdc00 = unit
        && let Some((low @ 0xdc00..0xe000, rest)) = rest.strip_prefix("\\u").and_then(code_unit)
    {
        let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), rest);
    }
    (char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), rest)
}

/// The four hexadecimal digits that `text` begins with, and what follows them.
pub(super) fn code_unit(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    let valid = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let unit = u32::from_str_radix(digits, 16).ok()?;
    valid.then_some((unit, rest))
}

//! Reads JSON strings: finds runs without an escape, eight bytes at a time, and decodes escapes by the only table of
//! them.

use std::borrow::Cow;

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);

/// Returns the number of bytes of `text` before the first quote, backslash or control character.
pub(crate) fn plain_run(text: &[u8]) -> usize {
    let (words, tail) = text.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            // The word is little endian, so the lowest flag belongs to the first byte.
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + tail.iter().position(|byte| is_special(*byte)).unwrap_or(tail.len())
}

const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Sets the high bit of each special byte. A borrow can set another bit, but only above a correct one.
const fn special(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    (control | quote | backslash) & HIGHS
}

/// Decodes `token`, a valid JSON string with its quotes. Returns `None` if it contains half a surrogate pair.
pub(crate) fn read_string(token: &[u8]) -> Option<Cow<'_, str>> {
    let inner = token.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if !inner.contains(&b'\\') {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    let mut text = Vec::with_capacity(inner.len());
    unescape(inner, &mut text);
    String::from_utf8(text).ok().map(Cow::Owned)
}

/// The meaning of an escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escaped {
    Character(char),
    /// Half of a surrogate pair without the other half. It is not a character.
    Half(u32),
}

/// Decodes the escape at the beginning of `text`, which lacks its backslash. Returns the length of the escape in bytes
/// too, or `None` if JSON has no such escape.
pub(crate) fn read_escape(text: &[u8]) -> Option<(Escaped, usize)> {
    let character = match text.first()? {
        b'u' => return read_unicode(text.get(1..)?),
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        itself @ (b'"' | b'\\' | b'/') => char::from(*itself),
        _ => return None,
    };
    Some((Escaped::Character(character), 1))
}

/// Decodes the escape whose digits begin `text`. Returns its length too, including its `u`.
fn read_unicode(text: &[u8]) -> Option<(Escaped, usize)> {
    let (unit, rest) = code_unit(text)?;
    if let 0xd800..0xdc00 = unit
        && let [b'\\', b'u', tail @ ..] = rest
        && let Some((low @ 0xdc00..0xe000, _)) = code_unit(tail)
    {
        let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        return Some((Escaped::Character(char::from_u32(code)?), 11));
    }
    let escaped = char::from_u32(unit).map_or(Escaped::Half(unit), Escaped::Character);
    Some((escaped, 5))
}

/// Returns the number in the first four hexadecimal digits of `text`, and the bytes behind them.
fn code_unit(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<4>()?;
    let unit = digits
        .iter()
        .try_fold(0, |unit, digit| char::from(*digit).to_digit(16).map(|digit| unit * 16 + digit));
    Some((unit?, rest))
}

/// Appends the decoded content of `text`, a valid JSON string without its quotes. Half a surrogate pair becomes three
/// bytes that are not UTF-8, so that the result differs from every other spelling.
pub(crate) fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    loop {
        let (run, tail) = rest.split_at(plain_run(rest));
        out.extend_from_slice(run);
        let [b'\\', tail @ ..] = tail else { return };
        let Some((escaped, length)) = read_escape(tail) else { return };
        match escaped {
            Escaped::Character(letter) => {
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Escaped::Half(unit) => {
                let [_, _, high, low] = unit.to_be_bytes();
                out.extend([0xff, high, low]);
            }
        }
        rest = tail.get(length..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::{Escaped, plain_run, read_escape, unescape};

    #[test]
    fn a_run_ends_at_the_first_special_byte_at_any_place() {
        for length in 0..40 {
            for special in [b'"', b'\\', 0, 0x1f] {
                for at in 0..length {
                    let mut text = vec![0xa4_u8; length];
                    text[at] = special;
                    assert_eq!(plain_run(&text), at);
                }
            }
            assert_eq!(plain_run(&vec![b'!'; length]), length);
        }
    }

    #[test]
    fn halves_of_surrogate_pairs_differ_from_each_other_and_from_every_character() {
        let unescaped = |text: &str| {
            let mut out = Vec::new();
            unescape(text.as_bytes(), &mut out);
            out
        };
        let texts = ["\\ud83d", "\\ud83e", "\\ude00", "\\ud83d\\ude00", "\\ufffd", ""];
        let distinct: std::collections::BTreeSet<Vec<u8>> = texts.map(unescaped).into();
        assert_eq!(distinct.len(), texts.len(), "{distinct:?}");
        assert_eq!(unescaped("\\ud83d\\ude00"), "😀".as_bytes());
    }

    #[test]
    fn only_the_escapes_of_json_are_decoded() {
        let half = |unit| Some((Escaped::Half(unit), 5));
        let character = |letter, length| Some((Escaped::Character(letter), length));
        for (text, wanted) in [
            ("n", character('\n', 1)),
            ("/x", character('/', 1)),
            ("u00e9x", character('é', 5)),
            ("ud83d\\ude00x", character('😀', 11)),
            ("ud83d\\u0041", half(0xd83d)),
            ("ud83d", half(0xd83d)),
            ("ude00", half(0xde00)),
            ("u+123", None),
            ("u12", None),
            ("x", None),
            ("'", None),
            ("", None),
        ] {
            assert_eq!(read_escape(text.as_bytes()), wanted, "{text}");
        }
    }
}

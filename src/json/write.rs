//! Writing JSON by hand, straight into the buffer that leaves, and reading the strings of it.

use std::borrow::Cow;
use std::io::Write;

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);

/// How many bytes of `text` stand before the first quote, backslash or control character.
pub(crate) fn plain_run(text: &[u8]) -> usize {
    let (words, tail) = text.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            // Little endian: the lowest flag is the first byte.
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + tail.iter().position(|byte| is_special(*byte)).unwrap_or(tail.len())
}

const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The high bit of each byte that needs attention. A borrow can flag a byte too many, but only above a real one.
const fn special(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    (control | quote | backslash) & HIGHS
}

/// Writes `text` as a JSON string.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    write_escaped(out, text);
    out.push(b'"');
}

/// Writes `bytes` as a JSON string; what is not UTF-8 is replaced.
pub(crate) fn write_lossy(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        write_escaped(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

fn write_escaped(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    loop {
        let (run, tail) = rest.split_at(plain_run(rest));
        out.extend_from_slice(run);
        let Some((byte, tail)) = tail.split_first() else { return };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            other => {
                out.extend_from_slice(b"\\u00");
                out.extend([other >> 4, other & 0xf].map(hex_digit));
            }
        }
        rest = tail;
    }
}

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + (nibble - 10) }
}

/// Writes `number` in decimal digits.
pub(crate) fn write_unsigned(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut rest = number;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

/// Writes `number` in decimal digits.
pub(crate) fn write_integer(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    write_unsigned(out, number.unsigned_abs());
}

/// A JSON object that is being written. Names are ours, so that none needs an escape.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    pub(crate) fn close(self) {
        self.out.push(b'}');
    }

    /// Writes the name of a member whose value the caller writes.
    pub(crate) fn name(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.extend_from_slice(if self.empty { b"\"" } else { b",\"" });
        self.empty = false;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) {
        write_string(self.name(name), value);
    }

    /// A member whose name is not ours.
    pub(crate) fn text_named(&mut self, name: &str, value: &str) {
        self.out.extend_from_slice(if self.empty { b"" } else { b"," });
        self.empty = false;
        write_string(self.out, name);
        self.out.push(b':');
        write_string(self.out, value);
    }

    /// A value whose text has nothing to escape.
    pub(crate) fn display(&mut self, name: &str, value: &impl std::fmt::Display) {
        let out = self.name(name);
        out.push(b'"');
        // Writing into memory does not fail.
        write!(out, "{value}").unwrap_or_default();
        out.push(b'"');
    }

    pub(crate) fn integer(&mut self, name: &str, value: i64) {
        write_integer(self.name(name), value);
    }

    pub(crate) fn boolean(&mut self, name: &str, value: bool) {
        self.name(name).extend_from_slice(if value { b"true" } else { b"false" });
    }

    pub(crate) fn texts<'t>(&mut self, name: &str, values: impl Iterator<Item = &'t str>) {
        let out = self.name(name);
        out.push(b'[');
        for (index, value) in values.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(out, value);
        }
        out.push(b']');
    }

    pub(crate) fn object(&mut self, name: &str) -> Object<'_> {
        Object::open(self.name(name))
    }
}

/// The string that `token`, a valid JSON string with its quotes, spells; `None` when it holds half a surrogate pair.
pub(crate) fn read_string(token: &[u8]) -> Option<Cow<'_, str>> {
    let inner = token.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if !inner.contains(&b'\\') {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    let mut text = Vec::with_capacity(inner.len());
    unescape(inner, &mut text);
    String::from_utf8(text).ok().map(Cow::Owned)
}

/// Appends an object of members whose values are JSON already.
pub(crate) fn write_members<'a>(
    out: &mut Vec<u8>,
    members: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    out.push(b'{');
    for (index, (name, value)) in members.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        out.extend_from_slice(value.as_bytes());
    }
    out.push(b'}');
}

/// Appends what `text`, the inside of a valid JSON string, spells. Half a surrogate pair becomes three bytes that are not
/// UTF-8, so that it still differs from every other spelling.
pub(crate) fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    loop {
        let (run, tail) = rest.split_at(plain_run(rest));
        out.extend_from_slice(run);
        match tail {
            [b'\\', b'u', tail @ ..] => rest = unescape_unicode(tail, out),
            [b'\\', escape, tail @ ..] => {
                out.push(match escape {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    itself => *itself,
                });
                rest = tail;
            }
            _ => return,
        }
    }
}

fn unescape_unicode<'t>(text: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    let Some((unit, rest)) = code_unit(text) else { return &[] };
    if let 0xd800..0xdc00 = unit
        && let [b'\\', b'u', tail @ ..] = rest
        && let Some((low @ 0xdc00..0xe000, tail)) = code_unit(tail)
    {
        let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        push_code(code, out);
        return tail;
    }
    push_code(unit, out);
    rest
}

fn code_unit(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<4>()?;
    let digits = std::str::from_utf8(digits).ok()?;
    Some((u32::from_str_radix(digits, 16).ok()?, rest))
}

fn push_code(code: u32, out: &mut Vec<u8>) {
    match char::from_u32(code) {
        Some(letter) => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            let [_, _, high, low] = code.to_be_bytes();
            out.extend([0xff, high, low]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{plain_run, read_string, write_integer, write_lossy, write_string};

    #[test]
    fn strings_are_written_and_read_as_serde_json_does() {
        for text in ["", "plain", "a\"b\\c\n\r\t\u{8}\u{c}\u{1}\u{1f}\u{7f}", "फोनन 😀", "/"]
        {
            let mut out = Vec::new();
            write_string(&mut out, text);
            assert_eq!(
                String::from_utf8(out.clone()).unwrap(),
                serde_json::to_string(text).unwrap()
            );
            assert_eq!(read_string(&out).unwrap(), text);
        }
        assert_eq!(read_string(br#""\u0041\ud83d\ude00\/""#).unwrap(), "A😀/");
        assert_eq!(read_string(br#""\ud83d""#), None);
        let mut out = Vec::new();
        write_lossy(&mut out, b"a\xff\"b");
        assert_eq!(String::from_utf8(out).unwrap(), "\"a\u{fffd}\\\"b\"");
    }

    #[test]
    fn a_run_ends_at_the_first_special_byte_wherever_it_stands() {
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
    fn integers_are_written_in_full() {
        for number in [0, 7, -1, 10, 4_294_967_296, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            write_integer(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}

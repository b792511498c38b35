//! Writes JSON by hand, straight into the output buffer.

use super::string::plain_run;
use std::io::Write;

/// Writes `text` as a JSON string.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    write_escaped(out, text);
    out.push(b'"');
}

/// Writes `bytes` as a JSON string. U+FFFD replaces bytes that are not UTF-8.
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

/// Appends `text`, escaped for a JSON string, without quotes.
pub(crate) fn write_escaped(out: &mut Vec<u8>, text: &str) {
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

/// Writes milliseconds as seconds, exactly.
pub(crate) fn write_seconds(out: &mut Vec<u8>, ms: u64) {
    write_unsigned(out, ms / 1000);
    let rest = ms % 1000;
    out.push(b'.');
    for digit in [rest / 100, rest / 10 % 10, rest % 10] {
        write_unsigned(out, digit);
    }
}

/// Returns at most `max` bytes of `text`, without cutting a character.
pub(crate) fn whole_letters(text: &[u8], max: usize) -> &[u8] {
    let Some(cut) = text.get(..max) else { return text };
    if text.len() == max {
        return text;
    }
    // A character has at most three continuation bytes. More of them are no UTF-8.
    let next_is_continuation = |end: &usize| text.get(*end).is_some_and(|byte| byte & 0xc0 == 0x80);
    let end = (max.saturating_sub(3)..=max).rev().find(|end| !next_is_continuation(end));
    cut.get(..end.unwrap_or(max)).unwrap_or(cut)
}

/// Writes a JSON object. Names are written without escapes, except by [`Self::escaped_name`] and [`Self::text_named`].
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

    /// Writes a member's name. The caller writes the value to the returned buffer.
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

    /// Writes a member's name, which needs escapes. The caller writes the value to the returned buffer.
    pub(crate) fn escaped_name(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.extend_from_slice(if self.empty { b"" } else { b"," });
        self.empty = false;
        write_string(self.out, name);
        self.out.push(b':');
        self.out
    }

    /// Writes a text member whose name needs escapes.
    pub(crate) fn text_named(&mut self, name: &str, value: &str) {
        write_string(self.escaped_name(name), value);
    }

    /// Writes a text member whose value needs no escapes.
    pub(crate) fn display(&mut self, name: &str, value: &impl std::fmt::Display) {
        let out = self.name(name);
        out.push(b'"');
        // Writing to memory never fails.
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

/// Appends an object of members whose values are already JSON.
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

#[cfg(test)]
mod tests {
    use super::super::string::read_string;
    use super::{Object, write_integer, write_lossy, write_members, write_string};

    #[test]
    fn strings_are_written_and_read_like_serde_json() {
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
    fn names_from_outside_are_escaped() {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        object.text_named("a\"b", "\\");
        object.text_named("\n", "");
        object.close();
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"a\"b":"\\","\n":""}"#);
        let mut out = Vec::new();
        write_members(&mut out, [("a\"b", "1"), ("\n", "[]")]);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"a\"b":1,"\n":[]}"#);
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

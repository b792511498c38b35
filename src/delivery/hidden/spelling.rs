//! The spellings of a secret in an answer, which may be JSON, a form, a URL or XML.

use crate::json::{self, Escaped};

/// The longest escape of JSON: both halves of a surrogate pair.
const JSON_BYTES_MAX: usize = 12;
/// The longest reference of XML, `&#x10ffff;`, with some zeros before the number.
const XML_BYTES_MAX: usize = 16;

/// A beginning of a secret with this many bytes is hidden like the whole secret. So an endpoint that answers with many
/// beginnings of a long secret costs no more than this many steps for each byte.
const PART_BYTES_MIN: usize = 64;

/// A way to spell the characters of a secret.
#[derive(Clone, Copy)]
pub(super) enum Spelling {
    /// As they are.
    Plain,
    /// With the escapes of a JSON string.
    Json,
    /// Percent-encoded, with `+` for a space.
    Percent,
    /// With the references of XML and HTML.
    Xml,
}

/// The result of comparing the beginning of a text with a secret. The greatest one hides most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Start {
    /// The text begins with something else.
    Other,
    /// The text ends within the secret, after this many bytes of the secret.
    Cut(usize),
    /// The secret, or a long beginning of it, takes this many bytes of the text.
    Whole(usize),
}

/// One character or byte of a text.
struct Decoded {
    bytes: [u8; 4],
    /// The number of bytes that are used.
    count: usize,
    /// The number of bytes that spell it in the text.
    length: usize,
}

impl Decoded {
    fn byte(byte: u8, length: usize) -> Self {
        Self { bytes: [byte, 0, 0, 0], count: 1, length }
    }

    fn character(character: char, length: usize) -> Self {
        let mut bytes = [0; 4];
        let count = character.encode_utf8(&mut bytes).len();
        Self { bytes, count, length }
    }
}

impl Spelling {
    pub(super) const ALL: [Self; 4] = [Self::Plain, Self::Json, Self::Percent, Self::Xml];

    /// The bytes that begin an escape.
    pub(super) const MARKS: [u8; 4] = [b'\\', b'%', b'+', b'&'];

    /// Compares the beginning of `text` with `secret`.
    pub(super) fn compare(self, text: &[u8], secret: &str) -> Start {
        let (mut rest, mut left) = (text, secret.as_bytes());
        while let Some(wanted) = left.first() {
            let matched = secret.len() - left.len();
            let stop = |start| {
                if matched < PART_BYTES_MIN { start } else { Start::Whole(text.len() - rest.len()) }
            };
            let Some(next) = rest.first() else { return stop(Start::Cut(matched)) };
            let decoded = match self.escape(rest) {
                Some(decoded) => decoded,
                None if self.is_cut(rest) => return stop(Start::Cut(matched)),
                None => Decoded::byte(*next, 1),
            };
            // An encoder of URLs may leave a plus sign as it is.
            let is_plus = *next == b'+' && *wanted == b'+';
            let decoded = if is_plus { Decoded::byte(b'+', 1) } else { decoded };
            let bytes = decoded.bytes.get(..decoded.count).unwrap_or_default();
            let Some(after) = left.strip_prefix(bytes) else { return stop(Start::Other) };
            left = after;
            rest = rest.get(decoded.length..).unwrap_or_default();
        }
        Start::Whole(text.len() - rest.len())
    }

    /// Decodes the escape at the beginning of `text`, if there is one.
    fn escape(self, text: &[u8]) -> Option<Decoded> {
        match (self, text) {
            (Self::Json, [b'\\', escape @ ..]) => match json::read_escape(escape)? {
                (Escaped::Character(character), length) => {
                    Some(Decoded::character(character, 1 + length))
                }
                (Escaped::Half(_), _) => None,
            },
            (Self::Percent, [b'+', ..]) => Some(Decoded::byte(b' ', 1)),
            (Self::Percent, [b'%', high, low, ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                let byte = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
                Some(Decoded::byte(byte, 3))
            }
            (Self::Xml, [b'&', reference @ ..]) => {
                let end = reference.iter().take(XML_BYTES_MAX).position(|byte| *byte == b';')?;
                let name = std::str::from_utf8(reference.get(..end)?).ok()?;
                Some(Decoded::character(referred(name)?, 1 + end + 1))
            }
            (Self::Plain | Self::Json | Self::Percent | Self::Xml, _) => None,
        }
    }

    /// Returns whether `text` may be the beginning of an escape that is cut off.
    fn is_cut(self, text: &[u8]) -> bool {
        match (self, text) {
            (Self::Json, [b'\\', ..]) => text.len() < JSON_BYTES_MAX,
            (Self::Percent, [b'%', ..]) => text.len() < "%00".len(),
            (Self::Xml, [b'&', ..]) => text.len() < XML_BYTES_MAX && !text.contains(&b';'),
            (Self::Plain | Self::Json | Self::Percent | Self::Xml, _) => false,
        }
    }
}

/// Returns the character of a reference, given without `&` and `;`.
fn referred(name: &str) -> Option<char> {
    let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok();
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let digits = name.strip_prefix('#')?;
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(digits) => number(digits, 16),
                None => number(digits, 10),
            };
            char::from_u32(code?)
        }
    }
}

//! Pairs of names and values, `a=1&b=2`, in the query of a URL and in a form body.

use super::Variable;
use super::lex::{Piece, PieceKind, is_encoded};
use super::uses::{Filled, UsesFound};
use super::value::decode;
use url::form_urlencoded::byte_serialize;

/// A piece of a compiled text.
#[derive(Clone, Debug)]
pub(super) enum Element {
    /// Text that is already encoded.
    Literal(Box<str>),
    /// The slot of a variable.
    Variable(u32),
}

/// The rules for encoding the fixed parts of a text.
#[derive(Clone, Copy)]
pub(super) enum Literals {
    /// A form body: characters that are not allowed are encoded, and existing percent-encodings are kept.
    Form,
    /// The query of a URL: like a form body, but with more allowed characters.
    Query,
    /// A path segment of a URL: like a form body, but with a path's allowed characters.
    Path,
    /// Plain text for a name or value: everything is encoded, including `%`.
    Text,
    Kept,
    /// A form body whose fields are not encoded: existing encodings are decoded.
    Decoded,
}

impl Literals {
    /// Returns whether the byte needs no encoding.
    const fn allow(self, byte: u8) -> bool {
        match self {
            Self::Text | Self::Kept | Self::Decoded => false,
            Self::Form => {
                matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'*' | b'-' | b'.' | b'_' | b'+')
            }
            // The complement of the query percent-encode set of special URLs,
            // <https://url.spec.whatwg.org/#percent-encoded-bytes>.
            Self::Query => {
                byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\'')
            }
            // The complement of the path percent-encode set.
            Self::Path => {
                byte.is_ascii_graphic()
                    && !matches!(
                        byte,
                        b'"' | b'#' | b'<' | b'>' | b'?' | b'^' | b'`' | b'{' | b'}' | b'/' | b'\\'
                    )
            }
        }
    }

    fn encode(self, text: &str, out: &mut String) {
        match self {
            Self::Text => return out.extend(byte_serialize(text.as_bytes())),
            Self::Kept => return out.push_str(text),
            Self::Decoded => {
                let spaced = text.replace('+', " ");
                return out
                    .push_str(&percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy());
            }
            Self::Form | Self::Query | Self::Path => {}
        }
        for (at, byte) in text.bytes().enumerate() {
            let kept = if byte == b'%' {
                text.get(at..).is_some_and(is_encoded)
            } else {
                self.allow(byte)
            };
            match byte {
                _ if kept => out.push(char::from(byte)),
                b' ' if matches!(self, Self::Form) => out.push('+'),
                _ => out.push_str(percent_encoding::percent_encode_byte(byte)),
            }
        }
    }
}

impl Literals {
    /// Encodes escaped text. Each `%` in it is a plain character.
    fn encode_plain(self, text: &str, out: &mut String) {
        if matches!(self, Self::Decoded) {
            return out.push_str(text);
        }
        for part in text.split_inclusive('%') {
            let (rest, percent) = part.split_at(part.len() - usize::from(part.ends_with('%')));
            self.encode(rest, out);
            out.push_str(if percent.is_empty() {
                ""
            } else if matches!(self, Self::Kept) {
                "%"
            } else {
                "%25"
            });
        }
    }
}

/// Returns the bounds of the pairs, separated by `&`, between two byte offsets: the start of each, its `=` and its end.
pub(super) fn bounds(
    text: &str,
    from: usize,
    to: usize,
) -> impl Iterator<Item = (usize, Option<usize>, usize)> {
    let mut next = from;
    text.get(from..to).unwrap_or_default().split('&').map(move |pair| {
        let start = next;
        next += pair.len() + 1;
        (start, pair.find('=').map(|at| start + at), start + pair.len())
    })
}

/// Compiles parts of one text.
pub(super) struct Compiler<'c, 't> {
    pub(super) text: &'t str,
    pub(super) pieces: &'c [Piece<'t>],
    pub(super) uses: &'c mut UsesFound,
    pub(super) mandatory: &'c dyn Fn(&Variable) -> bool,
}

impl Compiler<'_, '_> {
    /// Compiles the text between two byte offsets.
    pub(super) fn elements(
        &mut self,
        from: usize,
        to: usize,
        literals: Literals,
    ) -> Box<[Element]> {
        let mut elements = Elements::default();
        self.add(&mut elements, from, to, literals);
        elements.finish()
    }

    /// Compiles the pairs, separated by `&`, between two byte offsets.
    pub(super) fn pairs(&mut self, from: usize, to: usize, literals: Literals) -> Box<[Pair]> {
        let bounds = bounds(self.text, from, to);
        bounds.map(|(start, equals, end)| self.pair(start, equals, end, literals)).collect()
    }

    fn pair(&mut self, from: usize, equals: Option<usize>, to: usize, literals: Literals) -> Pair {
        let mut elements = Elements::default();
        let mut value = from;
        if let Some(equals) = equals {
            self.add(&mut elements, from, equals, literals);
            elements.literal.push('=');
            value = equals + 1;
        }
        let optional = self.optional(value, to);
        self.add(&mut elements, value, to, literals);
        Pair { elements: elements.finish(), optional }
    }

    /// Returns the slot of the optional variable that is all of the text between two byte offsets.
    pub(super) fn optional(&mut self, from: usize, to: usize) -> Option<u32> {
        match self.pieces_within(from, to) {
            [Piece { range, kind: PieceKind::Variable(variable) }] if *range == (from..to) => {
                (!(self.mandatory)(variable)).then(|| self.uses.slot(variable))
            }
            _ => None,
        }
    }

    fn add(&mut self, elements: &mut Elements, from: usize, to: usize, literals: Literals) {
        let mut at = from;
        for piece in self.pieces_within(from, to) {
            let text = self.text.get(at..piece.range.start).unwrap_or_default();
            literals.encode(text, &mut elements.literal);
            at = piece.range.end;
            match &piece.kind {
                PieceKind::Variable(variable) => {
                    let mandatory = (self.mandatory)(variable);
                    elements.variable(self.uses.add(variable, piece.range.start, mandatory));
                }
                PieceKind::Plain(text) => {
                    literals.encode_plain(text, &mut elements.literal);
                }
                PieceKind::Bad => {}
            }
        }
        let text = self.text.get(at..to).unwrap_or_default();
        literals.encode(text, &mut elements.literal);
    }
}

impl<'c> Compiler<'c, '_> {
    fn pieces_within(&self, from: usize, to: usize) -> &'c [Piece<'c>] {
        let start = self.pieces.partition_point(|piece| piece.range.start < from);
        let end = self.pieces.partition_point(|piece| piece.range.start < to);
        self.pieces.get(start..end).unwrap_or_default()
    }
}

/// Collects elements. Adjacent literals become one.
#[derive(Default)]
struct Elements {
    done: Vec<Element>,
    literal: String,
}

impl Elements {
    fn variable(&mut self, slot: u32) {
        self.end_literal();
        self.done.push(Element::Variable(slot));
    }

    fn end_literal(&mut self) {
        if !self.literal.is_empty() {
            self.done.push(Element::Literal(std::mem::take(&mut self.literal).into()));
        }
    }

    fn finish(mut self) -> Box<[Element]> {
        self.end_literal();
        self.done.into()
    }
}

/// A name with its value, or one of them alone.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    elements: Box<[Element]>,
    /// The slot of the optional variable without whose value the pair is left out.
    optional: Option<u32>,
}

/// Appends the pairs to `out`, with `first` before the first one. Returns whether a pair was written.
pub(super) fn write(pairs: &[Pair], filled: &Filled<'_>, first: &str, out: &mut Vec<u8>) -> bool {
    let mut any = false;
    for pair in pairs {
        if pair.optional.is_some_and(|slot| filled.get(slot).is_none()) {
            continue;
        }
        let start = out.len();
        out.extend_from_slice(if any { "&" } else { first }.as_bytes());
        let begin = out.len();
        write_elements(&pair.elements, filled, out);
        // A pair without any text would leave a dangling separator.
        if out.len() == begin {
            out.truncate(start);
        } else {
            any = true;
        }
    }
    any
}

/// Appends the elements to `out`, with the values in form encoding.
pub(super) fn write_elements(elements: &[Element], filled: &Filled<'_>, out: &mut Vec<u8>) {
    for element in elements {
        match element {
            Element::Literal(text) => out.extend_from_slice(text.as_bytes()),
            Element::Variable(slot) => decode(filled.get(*slot).unwrap_or_default(), |text| {
                for encoded in byte_serialize(text.as_bytes()) {
                    out.extend_from_slice(encoded.as_bytes());
                }
            }),
        }
    }
}

/// Appends the elements to `out` without any encoding.
pub(super) fn write_text(elements: &[Element], filled: &Filled<'_>, out: &mut String) {
    for element in elements {
        match element {
            Element::Literal(text) => out.push_str(text),
            Element::Variable(slot) => {
                decode(filled.get(*slot).unwrap_or_default(), |text| out.push_str(text));
            }
        }
    }
}

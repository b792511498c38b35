//! Scans a JSON object in one pass: checks it, copies it without white space, hashes its content, and records where the
//! members are that the caller asks for. No tree is built.

use super::{DEPTH_MAX, content, string};
use std::ops::Range;

/// The kind of a member's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueKind {
    Null,
    Boolean(bool),
    Number,
    Text,
    Array,
    Object,
}

/// A member's value and its range in the copy.
#[derive(Clone, Debug)]
pub(crate) struct MemberValue {
    pub(crate) kind: ValueKind,
    pub(crate) range: Range<usize>,
}

/// The result of a scan.
pub(crate) struct Scanned<const N: usize> {
    /// The members that the caller asked for. One that is null is absent.
    pub(crate) members: [Option<MemberValue>; N],
    /// The hash of the whole object.
    pub(crate) content: u64,
}

/// The reason why a text is refused as a JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Malformed(usize),
    NotUtf8(usize),
    TooDeep,
    Repeated(&'static str),
}

/// Scans `text`, a JSON object. Clears `out` and writes the copy to it.
pub(crate) fn scan<const N: usize>(
    text: &[u8],
    names: &[&'static str; N],
    out: &mut Vec<u8>,
) -> Result<Scanned<N>, Fault> {
    if let Err(error) = std::str::from_utf8(text) {
        return Err(Fault::NotUtf8(error.valid_up_to()));
    }
    out.clear();
    out.reserve(text.len());
    let mut scanner = Scanner { text, at: 0, run: 0, out, unescaped: Vec::new() };
    scanner.skip_space();
    let scanned = scanner.top(names)?;
    scanner.skip_space();
    if scanner.at < text.len() {
        return Err(Fault::Malformed(scanner.at));
    }
    scanner.copy_run();
    Ok(scanned)
}

/// Returns the items of `array`, which [`scan`] accepted and copied without white space, or `None` if an item is an
/// array or object.
pub(crate) fn scalars(array: &[u8]) -> Option<Vec<(ValueKind, &[u8])>> {
    let mut out = Vec::new();
    let mut scanner = Scanner { text: array, at: 1, run: 1, out: &mut out, unescaped: Vec::new() };
    let mut items = Vec::new();
    while !matches!(scanner.peek(), None | Some(b']')) {
        let start = scanner.at;
        // A depth of 0 refuses arrays and objects.
        let (kind, _) = scanner.value(0).ok()?;
        items.push((kind, array.get(start..scanner.at)?));
        if scanner.peek() == Some(b',') {
            scanner.at += 1;
        }
    }
    Some(items)
}

/// Returns the ranges of the items in `text`, a JSON array. Stops after `most` items.
pub(crate) fn items(text: &[u8], most: usize) -> Result<Vec<Range<usize>>, Fault> {
    if let Err(error) = std::str::from_utf8(text) {
        return Err(Fault::NotUtf8(error.valid_up_to()));
    }
    let mut out = Vec::new();
    let mut scanner = Scanner { text, at: 0, run: 0, out: &mut out, unescaped: Vec::new() };
    scanner.skip_space();
    scanner.expect(b'[')?;
    scanner.skip_space();
    let mut items = Vec::new();
    if scanner.peek() == Some(b']') {
        scanner.at += 1;
    } else {
        loop {
            let start = scanner.at;
            scanner.value(DEPTH_MAX - 1)?;
            items.push(start..scanner.at);
            scanner.skip_space();
            match scanner.peek() {
                Some(b',') if items.len() == most => return Ok(items),
                Some(b',') => scanner.at += 1,
                Some(b']') => break,
                _ => return Err(Fault::Malformed(scanner.at)),
            }
            scanner.skip_space();
        }
        scanner.at += 1;
    }
    scanner.skip_space();
    if scanner.at < text.len() { Err(Fault::Malformed(scanner.at)) } else { Ok(items) }
}

struct Scanner<'t, 'o> {
    text: &'t [u8],
    at: usize,
    /// The start of the text up to `at` that is not copied yet. A run ends at white space.
    run: usize,
    out: &'o mut Vec<u8>,
    unescaped: Vec<u8>,
}

/// A string without its quotes.
struct Token<'t> {
    inner: &'t [u8],
    escaped: bool,
}

impl<'t> Scanner<'t, '_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn copy_run(&mut self) {
        self.out.extend_from_slice(self.text.get(self.run..self.at).unwrap_or_default());
        self.run = self.at;
    }

    #[inline]
    fn skip_space(&mut self) {
        if self.peek().is_some_and(is_space) {
            self.copy_run();
            while self.peek().is_some_and(is_space) {
                self.at += 1;
            }
            self.run = self.at;
        }
    }

    /// Returns the offset of `at` in the copy.
    fn copied(&self) -> usize {
        self.out.len() + (self.at - self.run)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(Fault::Malformed(self.at))
        }
    }

    fn top<const N: usize>(&mut self, names: &[&'static str; N]) -> Result<Scanned<N>, Fault> {
        let mut members = [const { None }; N];
        let content = self.members(DEPTH_MAX, |name, member| {
            let known = names.iter().zip(&mut members).find(|(known, _)| known.as_bytes() == name);
            match known {
                Some((name, Some(_))) => Err(Fault::Repeated(name)),
                Some((_, slot)) => {
                    *slot = (member.kind != ValueKind::Null).then_some(member);
                    Ok(())
                }
                None => Ok(()),
            }
        })?;
        Ok(Scanned { members, content })
    }

    fn members(
        &mut self,
        depth: usize,
        mut found: impl FnMut(&[u8], MemberValue) -> Result<(), Fault>,
    ) -> Result<u64, Fault> {
        self.expect(b'{')?;
        let mut hash = content::Object::EMPTY;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(hash.finish());
        }
        loop {
            let token = self.string()?;
            let escaped = token.escaped.then(|| {
                let mut name = Vec::with_capacity(token.inner.len());
                string::unescape(token.inner, &mut name);
                name
            });
            let name = escaped.as_deref().unwrap_or(token.inner);
            self.skip_space();
            self.expect(b':')?;
            self.skip_space();
            let start = self.copied();
            let (kind, value) = self.value(depth.saturating_sub(1))?;
            hash.push(content::text(name), value);
            found(name, MemberValue { kind, range: start..self.copied() })?;
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(Fault::Malformed(self.at)),
            }
            self.skip_space();
        }
        self.at += 1;
        Ok(hash.finish())
    }

    fn array(&mut self, depth: usize) -> Result<u64, Fault> {
        self.expect(b'[')?;
        let mut hash = content::Array::EMPTY;
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(hash.finish());
        }
        loop {
            hash.push(self.value(depth.saturating_sub(1))?.1);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(Fault::Malformed(self.at)),
            }
            self.skip_space();
        }
        self.at += 1;
        Ok(hash.finish())
    }

    /// Scans a value with up to `depth` levels of nested arrays and objects.
    fn value(&mut self, depth: usize) -> Result<(ValueKind, u64), Fault> {
        match self.peek() {
            Some(b'"') => {
                let token = self.string()?;
                Ok((ValueKind::Text, self.hash_text(&token)))
            }
            Some(b'{' | b'[') if depth == 0 => Err(Fault::TooDeep),
            Some(b'{') => Ok((ValueKind::Object, self.members(depth, |_, _| Ok(()))?)),
            Some(b'[') => Ok((ValueKind::Array, self.array(depth)?)),
            Some(b't') => self.literal(b"true", ValueKind::Boolean(true), content::TRUE),
            Some(b'f') => self.literal(b"false", ValueKind::Boolean(false), content::FALSE),
            Some(b'n') => self.literal(b"null", ValueKind::Null, content::NULL),
            Some(b'-' | b'0'..=b'9') => Ok((ValueKind::Number, self.number()?)),
            _ => Err(Fault::Malformed(self.at)),
        }
    }

    fn hash_text(&mut self, token: &Token<'_>) -> u64 {
        if !token.escaped {
            return content::text(token.inner);
        }
        self.unescaped.clear();
        string::unescape(token.inner, &mut self.unescaped);
        content::text(&self.unescaped)
    }

    fn literal(
        &mut self,
        word: &[u8],
        kind: ValueKind,
        hash: u64,
    ) -> Result<(ValueKind, u64), Fault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(Fault::Malformed(self.at));
        }
        self.at += word.len();
        Ok((kind, hash))
    }

    fn string(&mut self) -> Result<Token<'t>, Fault> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += string::plain_run(self.text.get(self.at..).unwrap_or_default());
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(Fault::Malformed(self.at)),
            }
        }
        let inner = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(Token { inner, escaped })
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let rest = self.text.get(self.at + 1..).unwrap_or_default();
        match rest {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.at += 2,
            [b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|x| x.is_ascii_hexdigit()) => {
                self.at += 6;
            }
            _ => return Err(Fault::Malformed(self.at)),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<u64, Fault> {
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let leading_zero = self.peek() == Some(b'0');
        let integer = self.digits()?;
        if leading_zero && integer.len() > 1 {
            return Err(Fault::Malformed(self.at));
        }
        let mut fraction: &[u8] = &[];
        if self.peek() == Some(b'.') {
            self.at += 1;
            fraction = self.digits()?;
        }
        let mut exponent: &[u8] = &[];
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            let start = self.at;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
            exponent = self.text.get(start..self.at).unwrap_or_default();
        }
        Ok(content::number(&content::Number { negative, integer, fraction, exponent }))
    }

    fn digits(&mut self) -> Result<&'t [u8], Fault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return Err(Fault::Malformed(self.at));
        }
        self.at += length;
        Ok(rest.get(..length).unwrap_or_default())
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

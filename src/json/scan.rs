//! Scans a JSON object in one pass: checks it, copies it without white space, hashes its content, and records where the
//! members are that the caller asks for. No tree is built. [`members`] and [`items`] only look: they neither copy nor
//! hash.

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

/// A member's value and its range in the copy, or in the text if there is no copy.
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
    pub(crate) content: content::Object,
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
    #[cfg(test)]
    SCANS.set(SCANS.get() + 1);
    out.clear();
    out.reserve(text.len());
    let mut scanner = Scanner::<true>::of(text, out)?;
    let (mut members, content) = scanner.top(names)?;
    scanner.end()?;
    scanner.copy_run();
    // A null counts as absent.
    for member in &mut members {
        if member.as_ref().is_some_and(|it| it.kind == ValueKind::Null) {
            *member = None;
        }
    }
    Ok(Scanned { members, content })
}

#[cfg(test)]
thread_local! {
    /// The number of calls of [`scan`] in this thread.
    pub(crate) static SCANS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Returns the members of `text`, a JSON object, with these names. Their ranges are those in `text`.
pub(crate) fn members<const N: usize>(
    text: &[u8],
    names: &[&'static str; N],
) -> Result<[Option<MemberValue>; N], Fault> {
    let mut out = Vec::new();
    let mut scanner = Scanner::<false>::of(text, &mut out)?;
    let (members, _) = scanner.top(names)?;
    scanner.end()?;
    Ok(members)
}

/// Returns the items of `array`, which [`scan`] accepted and copied without white space, or `None` if an item is an
/// array or object.
pub(crate) fn scalars(array: &[u8]) -> Option<Vec<(ValueKind, &[u8])>> {
    let mut out = Vec::new();
    let mut scanner = Scanner::<false>::at(array, 1, &mut out);
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
    let mut out = Vec::new();
    let mut scanner = Scanner::<false>::of(text, &mut out)?;
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
    scanner.end()?;
    Ok(items)
}

/// Moves through a text. Only a full scanner copies and hashes.
struct Scanner<'t, 'o, const IS_FULL: bool> {
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

impl<'t, 'o, const IS_FULL: bool> Scanner<'t, 'o, IS_FULL> {
    /// Creates a scanner at the first byte of `text` that is no white space.
    fn of(text: &'t [u8], out: &'o mut Vec<u8>) -> Result<Self, Fault> {
        if let Err(error) = std::str::from_utf8(text) {
            return Err(Fault::NotUtf8(error.valid_up_to()));
        }
        let mut scanner = Self::at(text, 0, out);
        scanner.skip_space();
        Ok(scanner)
    }

    fn at(text: &'t [u8], at: usize, out: &'o mut Vec<u8>) -> Self {
        Self { text, at, run: at, out, unescaped: Vec::new() }
    }

    /// Checks that only white space follows.
    fn end(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if self.at < self.text.len() { Err(Fault::Malformed(self.at)) } else { Ok(()) }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn copy_run(&mut self) {
        if IS_FULL {
            self.out.extend_from_slice(self.text.get(self.run..self.at).unwrap_or_default());
        }
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

    /// Returns the offset of `at` in the copy, or in the text if there is no copy.
    fn copied(&self) -> usize {
        if IS_FULL { self.out.len() + (self.at - self.run) } else { self.at }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(Fault::Malformed(self.at))
        }
    }

    fn top<const N: usize>(
        &mut self,
        names: &[&'static str; N],
    ) -> Result<([Option<MemberValue>; N], content::Object), Fault> {
        let mut members: [Option<MemberValue>; N] = [const { None }; N];
        let content = self.object(DEPTH_MAX, |name, member| {
            let known = names.iter().zip(&mut members).find(|(known, _)| known.as_bytes() == name);
            let Some((name, slot)) = known else { return Ok(()) };
            // The first of two may be null.
            if slot.as_ref().is_some_and(|first| first.kind != ValueKind::Null) {
                return Err(Fault::Repeated(name));
            }
            *slot = Some(member);
            Ok(())
        })?;
        Ok((members, content))
    }

    fn object(
        &mut self,
        depth: usize,
        mut found: impl FnMut(&[u8], MemberValue) -> Result<(), Fault>,
    ) -> Result<content::Object, Fault> {
        self.expect(b'{')?;
        let mut hash = content::Object::EMPTY;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(hash);
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
            if IS_FULL {
                hash.push(content::text(name), value);
            }
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
        Ok(hash)
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
            let (_, item) = self.value(depth.saturating_sub(1))?;
            if IS_FULL {
                hash.push(item);
            }
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
            Some(b'{') => Ok((ValueKind::Object, self.object(depth, |_, _| Ok(()))?.finish())),
            Some(b'[') => Ok((ValueKind::Array, self.array(depth)?)),
            Some(b't') => self.literal(b"true", ValueKind::Boolean(true), content::TRUE),
            Some(b'f') => self.literal(b"false", ValueKind::Boolean(false), content::FALSE),
            Some(b'n') => self.literal(b"null", ValueKind::Null, content::NULL),
            Some(b'-' | b'0'..=b'9') => Ok((ValueKind::Number, self.number()?)),
            _ => Err(Fault::Malformed(self.at)),
        }
    }

    fn hash_text(&mut self, token: &Token<'_>) -> u64 {
        if !IS_FULL {
            return 0;
        }
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
        if !IS_FULL {
            return Ok(0);
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

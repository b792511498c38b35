//! Walks a JSON text in place, without a tree. serde_json checks whether the text is valid JSON; this module only moves
//! through valid text.

use super::{DEPTH_MAX, TextFault};
use serde_json::value::RawValue;
use std::borrow::Cow;

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Checks that `bytes` are one JSON text in UTF-8, and returns the text without its byte order mark.
pub(crate) fn check(bytes: &[u8]) -> Result<&str, TextFault> {
    let fault = |at, problem| Err(TextFault::at(bytes, at, problem));
    let rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if rest.starts_with(b"\xff\xfe") || rest.starts_with(b"\xfe\xff") {
        return fault(0, "UTF-16, and only UTF-8 is read");
    }
    let text = match std::str::from_utf8(rest) {
        Ok(text) => text,
        Err(error) => return fault(bytes.len() - rest.len() + error.valid_up_to(), "not UTF-8"),
    };
    let begins = text.trim_start_matches(SPACE);
    if begins.is_empty() {
        return fault(0, "empty");
    }
    if begins.starts_with('<') {
        return fault(0, "not JSON: it begins as XML or HTML does");
    }
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => Ok(text),
        Err(error) => {
            let at = offset(text, error.line(), error.column());
            let problem = if error.is_eof() { "not JSON: it ends too early" } else { "not JSON" };
            Err(TextFault::at(text.as_bytes(), at, problem))
        }
    }
}

/// Returns the offset in `text` of serde_json's line and column. Both count from 1, and columns count bytes.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let lines = text.split_inclusive('\n').take(line.saturating_sub(1));
    (lines.map(str::len).sum::<usize>() + column.saturating_sub(1)).min(text.len())
}

/// Decodes `token`, a valid JSON string with its quotes. Returns `None` if it contains half a surrogate pair.
pub(crate) fn decode(token: &str) -> Option<Cow<'_, str>> {
    if token.contains('\\') {
        return super::read_string(token.as_bytes());
    }
    token.strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed)
}

/// A position in a valid JSON text, and how many more levels of arrays and objects may be opened.
#[derive(Debug)]
pub(crate) struct Cursor<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

/// The kind of the value at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    Object,
    Array,
    Scalar,
}

impl<'t> Cursor<'t> {
    /// Creates a cursor at the value in `text`, which [`check`] returned.
    pub(crate) fn new(text: &'t str) -> Self {
        let at = text.len() - text.trim_start_matches(SPACE).len();
        Self { text, at, depth: DEPTH_MAX }
    }

    /// Returns the byte offset of the cursor.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Creates a fault at the cursor.
    pub(crate) fn fault(&self, problem: &'static str) -> TextFault {
        TextFault::at(self.text.as_bytes(), self.at, problem)
    }

    /// Returns the text from byte `start` to the cursor.
    pub(crate) fn since(&self, start: usize) -> &'t str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    pub(crate) fn begins(&self) -> Begins {
        match self.peek() {
            Some(b'{') => Begins::Object,
            Some(b'[') => Begins::Array,
            _ => Begins::Scalar,
        }
    }

    /// Visits the members of the object that begins here. `member` gets each name as it is spelt, with the cursor at
    /// the value. It must move the cursor behind the value.
    pub(crate) fn object<F: From<TextFault>>(
        &mut self,
        mut member: impl FnMut(&mut Self, &'t str) -> Result<(), F>,
    ) -> Result<(), F> {
        self.open()?;
        while !matches!(self.next_part(), None | Some(b'}')) {
            let start = self.at;
            self.skip_string();
            let name = self.since(start);
            self.skip_space();
            self.at += 1;
            self.skip_space();
            member(self, name)?;
        }
        self.close();
        Ok(())
    }

    /// Visits the items of the array that begins here. `item` gets each index, with the cursor at the value. It must
    /// move the cursor behind the value.
    pub(crate) fn array<F: From<TextFault>>(
        &mut self,
        mut item: impl FnMut(&mut Self, usize) -> Result<(), F>,
    ) -> Result<(), F> {
        self.open()?;
        let mut index = 0;
        while !matches!(self.next_part(), None | Some(b']')) {
            item(self, index)?;
            index += 1;
        }
        self.close();
        Ok(())
    }

    /// Moves behind the value that begins here.
    pub(crate) fn skip_value(&mut self) -> Result<(), TextFault> {
        let mut open = 0;
        loop {
            match self.peek() {
                Some(b'"') => self.skip_string(),
                Some(b'{' | b'[') => {
                    if open == self.depth {
                        return Err(self.too_deep());
                    }
                    open += 1;
                    self.at += 1;
                }
                Some(b'}' | b']') => {
                    open = open.saturating_sub(1);
                    self.at += 1;
                }
                Some(b',' | b':' | b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(_) => self.skip_word(),
                None => return Ok(()),
            }
            if open == 0 {
                return Ok(());
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn too_deep(&self) -> TextFault {
        self.fault("nested deeper than 128 levels")
    }

    fn open(&mut self) -> Result<(), TextFault> {
        self.depth = self.depth.checked_sub(1).ok_or_else(|| self.too_deep())?;
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.depth += 1;
        self.at += 1;
    }

    /// Moves to the next item or member, or to the closing bracket. Returns the first byte there.
    fn next_part(&mut self) -> Option<u8> {
        self.skip_while(|byte| is_space(byte) || byte == b',');
        self.peek()
    }

    fn skip_space(&mut self) {
        self.skip_while(is_space);
    }

    fn skip_word(&mut self) {
        self.skip_while(|byte| !is_space(byte) && !matches!(byte, b',' | b'}' | b']'));
    }

    fn skip_while(&mut self, skipped: impl Fn(u8) -> bool) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|byte| !skipped(*byte)).unwrap_or(rest.len());
    }

    fn skip_string(&mut self) {
        self.at += 1;
        loop {
            self.skip_while(|byte| byte != b'"' && byte != b'\\');
            if self.peek() != Some(b'\\') {
                break;
            }
            // Skips the backslash and one byte behind it. The digits of `\u` contain no quote, so they need no special
            // handling.
            self.at += 2;
        }
        self.at += 1;
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

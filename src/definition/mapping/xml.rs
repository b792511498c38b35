//! Reads XML from outside. roxmltree parses it; this module refuses documents that would take the parser too much time
//! or memory, and decodes the text.

use crate::json::{DEPTH_MAX, TextFault};
use roxmltree::{Document, Error, ParsingOptions};
use std::borrow::Cow;

/// The most nodes (elements, texts, comments, processing instructions) of a document: about 7 MB of tree.
const NODES_MAX: u32 = 100_000;

/// The most `<` in a document; an element has two. The parser reserves memory for this number before it parses.
const TAGS_MAX: usize = 200_000;

/// The most `=` in a document, including its texts. The parser reserves memory for this number before it parses.
const EQUALS_MAX: usize = 1_000_000;

/// The most attributes of an element. The parser compares each with each.
const ATTRIBUTES_MAX: usize = 256;

/// The most namespace declarations in scope at an element. The parser copies them for each element that declares some.
const NAMESPACES_MAX: usize = 64;

/// Returns the text of `bytes` without a byte order mark: UTF-8, or ISO-8859-1 if the XML declaration says so.
pub(crate) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, TextFault> {
    let fault = |at, problem| Err(TextFault::at(bytes, at, problem));
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return fault(0, "UTF-16: only UTF-8 and ISO-8859-1 are supported");
    }
    let rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if rest.trim_ascii().is_empty() {
        return fault(0, "empty");
    }
    match declared_encoding(rest) {
        Encoding::Utf8 => match std::str::from_utf8(rest) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(error) => fault(bytes.len() - rest.len() + error.valid_up_to(), "not UTF-8"),
        },
        // ISO-8859-1's 256 characters are the first 256 of Unicode.
        Encoding::Latin1 => Ok(rest.iter().copied().map(char::from).collect()),
        Encoding::Other => {
            fault(0, "declares an encoding that is not supported: only UTF-8 and ISO-8859-1 are")
        }
    }
}

/// Parses `text`. Refuses a document type declaration, so that there are no entities to expand or fetch.
pub(crate) fn parse(text: &str) -> Result<Document<'_>, TextFault> {
    Scan::new(text).check()?;
    let options =
        ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| fault(text, &error))
}

/// Describes the parser's error without quoting names from the text.
fn fault(text: &str, error: &Error) -> TextFault {
    let end = |problem| TextFault::at(text.as_bytes(), text.len(), problem);
    let problem = if matches!(error, Error::DtdDetected) {
        let at = text.find("<!DOCTYPE").unwrap_or(0);
        return TextFault::at(text.as_bytes(), at, "a DOCTYPE, which is not allowed");
    } else if matches!(error, Error::NodesLimitReached) {
        return end("more than 100,000 nodes");
    } else if matches!(error, Error::UnclosedRootNode | Error::UnexpectedEndOfStream) {
        return end("not XML: it ends before its elements do");
    } else if matches!(error, Error::NoRootNode) {
        return end("not XML: no element");
    } else if matches!(error, Error::UnexpectedCloseTag(..)) {
        "not XML: the wrong element is closed"
    } else if matches!(error, Error::UnknownEntityReference(..)) {
        "not XML: an unknown entity"
    } else if matches!(error, Error::UnknownNamespace(..)) {
        "not XML: a prefix that is not declared"
    } else if matches!(error, Error::DuplicatedAttribute(..)) {
        "not XML: an element has the same attribute twice"
    } else {
        "not XML"
    };
    let position = error.pos();
    TextFault { line: position.row as usize, column: position.col as usize, problem }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Latin1,
    Other,
}

/// Returns the encoding in the XML declaration at the beginning of `bytes`, or UTF-8 if there is none.
fn declared_encoding(bytes: &[u8]) -> Encoding {
    let declared = || {
        let declaration = bytes.strip_prefix(b"<?xml")?;
        let end = declaration.windows(2).position(|window| window == b"?>")?;
        let declaration = std::str::from_utf8(declaration.get(..end)?).ok()?;
        let (_, value) = declaration.split_once("encoding")?;
        let value = value.trim_start().strip_prefix('=')?.trim_start();
        value.split(['"', '\'']).nth(1)
    };
    let is =
        |names: &[&str], name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    match declared() {
        None => Encoding::Utf8,
        Some(name) if is(&["UTF-8", "UTF8", "US-ASCII", "ASCII"], name) => Encoding::Utf8,
        Some(name) if is(&["ISO-8859-1", "ISO8859-1", "ISO_8859-1", "LATIN1"], name) => {
            Encoding::Latin1
        }
        Some(_) => Encoding::Other,
    }
}

/// One pass over the tags of a text before it is parsed. It does not check whether the text is XML: scan and parser see
/// the same tags up to the first fault, where the parser stops.
struct Scan<'t> {
    text: &'t str,
    at: usize,
    /// The number of namespace declarations in scope, for each open element.
    open: Vec<usize>,
}

impl<'t> Scan<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0, open: Vec::new() }
    }

    fn check(mut self) -> Result<(), TextFault> {
        self.check_count(b'<', TAGS_MAX, "more than 200,000 tags")?;
        self.check_count(b'=', EQUALS_MAX, "more than 1,000,000 equals signs")?;
        while let Some(found) = self.rest().find('<') {
            self.at += found;
            let rest = self.rest();
            if rest.starts_with("<!--") {
                // `<!-->` does not end the comment that it begins.
                self.at += "<!--".len();
                self.skip_behind("-->");
            } else if rest.starts_with("<![CDATA[") {
                self.skip_behind("]]>");
            } else if rest.starts_with("<?") {
                self.skip_behind("?>");
            } else if rest.starts_with("<!") {
                // This is a DOCTYPE, or not XML. The parser stops here in either case.
                return Ok(());
            } else if rest.starts_with("</") {
                self.open.pop();
                self.skip_behind(">");
            } else {
                self.start_tag()?;
            }
        }
        Ok(())
    }

    fn check_count(&self, byte: u8, max: usize, problem: &'static str) -> Result<(), TextFault> {
        let found = self.text.bytes().enumerate().filter(|(_, found)| *found == byte).nth(max);
        found.map_or(Ok(()), |(at, _)| Err(TextFault::at(self.text.as_bytes(), at, problem)))
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_behind(&mut self, end: &str) {
        self.at =
            self.rest().find(end).map_or(self.text.len(), |found| self.at + found + end.len());
    }

    fn start_tag(&mut self) -> Result<(), TextFault> {
        let start = self.at;
        let fault = |problem| Err(TextFault::at(self.text.as_bytes(), start, problem));
        let mut attributes = 0;
        let mut namespaces = self.open.last().copied().unwrap_or(0);
        let (mut quote, mut between) = (None, false);
        let mut before = b'<';
        let mut name = start;
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        while let Some(byte) = bytes.get(at).copied() {
            match (quote, byte) {
                (Some(open), _) if open == byte => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b' ' | b'\t' | b'\r' | b'\n') => between = true,
                (None, b'=') => {
                    attributes += 1;
                    let declares = self.text.get(name..at).is_some_and(|n| n.starts_with("xmlns"));
                    namespaces += usize::from(declares);
                }
                (None, b'>') => break,
                // White space is allowed between a name and its equals sign.
                (None, _) if between => (name, between) = (at, false),
                (None, _) => {}
            }
            before = byte;
            at += 1;
        }
        if attributes > ATTRIBUTES_MAX {
            return fault("an element with more than 256 attributes");
        }
        if namespaces > NAMESPACES_MAX {
            return fault("more than 64 namespace declarations in one another");
        }
        if self.open.len() == DEPTH_MAX {
            return fault("nested deeper than 128 levels");
        }
        if before != b'/' {
            self.open.push(namespaces);
        }
        self.at = at + 1;
        Ok(())
    }
}

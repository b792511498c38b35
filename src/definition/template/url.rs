//! Templates of URLs: variables in the path and the query.

mod compile;

use super::fault::Faults;
use super::pairs::{Element, Pair, write};
use super::uses::{Filled, Uses};
use super::value::decode;
use super::{Fault, Missing, QueryTemplate, Tokens, Use, Values, Variable};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

/// The characters of a value to encode in a path segment: all except the unreserved characters of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A URL with variables in its path segments, and in the names and values of its query.
///
/// Scheme, user, host and port are fixed: a value never decides where a delivery goes. A fragment is dropped, because
/// an HTTP client never sends it.
///
/// The fixed text may be written as people usually write URLs: valid percent-encodings keep their meaning, and
/// characters that are not allowed are encoded. A value in a path stays within its segment. Values that would make a
/// whole segment `.` or `..` are refused, because parsers resolve such a segment even if it is percent-encoded. In the
/// query, values are encoded completely (form encoding).
///
/// A query pair whose value is exactly one optional variable is left out if there is no value. An optional variable
/// elsewhere is then empty.
#[derive(Clone, Debug)]
pub struct UrlTemplate {
    /// The scheme and authority.
    base: Box<str>,
    segments: Box<[Segment]>,
    pairs: Box<[Pair]>,
    uses: Uses,
    /// Whether the text contains no escapes such as `$$`.
    is_plain: bool,
}

/// Whether a variable must have a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The variable must have a value.
    Mandatory,
    /// The variable may lack a value.
    Optional,
    /// The definition does not say: mandatory in a path, and optional in a query.
    Unsaid,
}

/// The reason why a URL can't be rendered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unrenderable {
    /// Mandatory variables have no value.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The values make a path segment of the URL `.` or `..`.
    #[error(
        "the values turn the path segment at line {line}, column {column} of the URL into `.` or `..`"
    )]
    DotSegment {
        /// The line of the segment in the template, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
    },
}

/// A path segment, without the `/` before it.
#[derive(Clone, Debug)]
struct Segment {
    elements: Box<[Element]>,
    line: usize,
    column: usize,
}

impl UrlTemplate {
    /// Parses `text`. `need` says which variables must have a value.
    ///
    /// # Errors
    ///
    /// Variables or the URL are faulty. The error lists all faults.
    pub fn parse(
        text: &str,
        tokens: &Tokens,
        need: &dyn Fn(&Variable) -> Need,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::of(text)?;
        let template = compile::compile(text, tokens, need, &mut faults);
        faults.finish(template)
    }

    /// Returns scheme and authority as they are spelt, such as `https://hooks.example.com:8443`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Returns whether the scheme is `https` and not `http`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.base.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    }

    /// Returns whether the text itself is the URL: it contains neither variables nor escapes such as `$$`.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.is_plain && self.uses.all().is_empty()
    }

    /// Returns the variables in the order of the text.
    #[must_use]
    pub const fn variables(&self) -> &[Use] {
        self.uses.all()
    }

    /// Appends the URL to `out`, with the entries of the query list behind its own query.
    ///
    /// # Errors
    ///
    /// A mandatory variable of the URL or of an entry has no value, or a path segment would be `.` or `..`. `out` is
    /// unchanged.
    pub fn render(
        &self,
        query: &[QueryTemplate],
        values: &dyn Values,
        out: &mut Vec<u8>,
    ) -> Result<(), Unrenderable> {
        let start = out.len();
        let rendered = self.write(query, values, out);
        if rendered.is_err() {
            out.truncate(start);
        }
        rendered
    }

    fn write(
        &self,
        query: &[QueryTemplate],
        values: &dyn Values,
        out: &mut Vec<u8>,
    ) -> Result<(), Unrenderable> {
        let filled = self.uses.fill(values);
        let mut missing = Vec::new();
        if let Ok(filled) = &filled {
            out.extend_from_slice(self.base.as_bytes());
            self.segments.iter().try_for_each(|segment| segment.write(filled, out))?;
        }
        let mut any = match filled {
            Ok(filled) => write(&self.pairs, &filled, "?", out),
            Err(found) => {
                missing.extend(found.uses);
                false
            }
        };
        for entry in query {
            let before = out.len();
            out.push(if any { b'&' } else { b'?' });
            match entry.render(values, out) {
                Ok(true) => any = true,
                Ok(false) => out.truncate(before),
                Err(found) => missing.extend(found.uses),
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(Missing { uses: missing }.into()) }
    }
}

impl Segment {
    fn write(&self, filled: &Filled<'_>, out: &mut Vec<u8>) -> Result<(), Unrenderable> {
        out.push(b'/');
        let start = out.len();
        for element in &self.elements {
            match element {
                Element::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Element::Variable(slot) => decode(filled.get(*slot).unwrap_or_default(), |text| {
                    for encoded in utf8_percent_encode(text, SEGMENT) {
                        out.extend_from_slice(encoded.as_bytes());
                    }
                }),
            }
        }
        if is_step(out.get(start..).unwrap_or_default()) {
            return Err(Unrenderable::DotSegment { line: self.line, column: self.column });
        }
        Ok(())
    }
}

/// Returns whether a parser would resolve the segment as `.` or `..`
/// (<https://url.spec.whatwg.org/#single-dot-path-segment>).
fn is_step(segment: &[u8]) -> bool {
    let dot = |text: &mut &[u8]| {
        let rest = match *text {
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            _ => return false,
        };
        *text = rest;
        true
    };
    let mut rest = segment;
    dot(&mut rest) && (rest.is_empty() || dot(&mut rest) && rest.is_empty())
}

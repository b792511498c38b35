//! Compiles the text of a URL template.

use super::super::fault::{Faults, Position};
use super::super::lex::{Percent, Piece, PieceKind, lex, masked};
use super::super::pairs::{Compiler, Element, Literals};
use super::super::uses::{DefinitionPart, UsesFound};
use super::super::{Tokens, Variable};
use super::{Need, Segment, UrlTemplate, is_step};
use ::url::Url;

const WHOLE: &str = "write the whole URL, such as https://hooks.example.com/path";

/// The byte offsets at which the parts of a URL end. No piece crosses one.
struct Parts {
    scheme: usize,
    authority: usize,
    path: usize,
    query: usize,
}

/// Compiles `text`. Adds its faults to `faults`; after a fault the template is unusable.
pub(super) fn compile(
    text: &str,
    tokens: &Tokens,
    need: &dyn Fn(&Variable) -> Need,
    faults: &mut Faults<'_>,
) -> UrlTemplate {
    let pieces = lex(text, tokens, Percent::Encoding, faults);
    let text = &*masked(text, &pieces);
    let parts = parts(text);
    if parts.scheme == 0 && pieces.first().is_none_or(|piece| piece.range.start > 0) {
        faults.add(0, "this does not begin with https:// or http://", WHOLE);
    }
    characters(text, &parts, faults);
    fixed(text, &parts, &pieces, faults);
    let mut uses = UsesFound::default();
    let in_path = |variable: &Variable| need(variable) != Need::Optional;
    let mut compiler = Compiler { text, pieces: &pieces, uses: &mut uses, mandatory: &in_path };
    let mut segments = Vec::new();
    let mut start = parts.authority;
    let mut position = Position::default();
    position.advance(text.get(..start).unwrap_or_default());
    let path = text.get(parts.authority..parts.path).unwrap_or_default();
    // A path is empty or begins with `/`, so the first part of the split is empty.
    for segment in path.split('/').skip(1) {
        start += 1;
        position.advance("/");
        let end = start + segment.len();
        let elements = compiler.elements(start, end, Literals::Path);
        if let [Element::Literal(literal)] = elements.as_ref()
            && is_step(literal.as_bytes())
        {
            faults.add(
                start,
                "`.` and `..` are not segments of a path",
                "write the path without them",
            );
        }
        segments.push(Segment { elements, line: position.line, column: position.column });
        position.advance(segment);
        start = end;
    }
    let in_query = |variable: &Variable| need(variable) == Need::Mandatory;
    let mut compiler = Compiler { text, pieces: &pieces, uses: &mut uses, mandatory: &in_query };
    let pairs = compiler.pairs((parts.path + 1).min(parts.query), parts.query, Literals::Query);
    let base = text.get(..parts.authority).unwrap_or_default().into();
    let is_plain = pieces.iter().all(|piece| !matches!(piece.kind, PieceKind::Plain(_)));
    let uses = uses.finish(text, &DefinitionPart::Url);
    let template = UrlTemplate { base, segments: segments.into(), pairs, uses, is_plain };
    if faults.is_empty() {
        parsed(&template, &parts, faults);
    }
    template
}

fn parts(text: &str) -> Parts {
    let scheme = ["https://", "http://"]
        .into_iter()
        .find(|scheme| {
            text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })
        .map_or(0, str::len);
    let find = |from: usize, signs: &[char]| {
        let rest = text.get(from..).unwrap_or_default();
        rest.find(signs).map_or(text.len(), |at| from + at)
    };
    let authority = find(scheme, &['/', '?', '#']);
    let path = find(authority, &['?', '#']);
    Parts { scheme, authority, path, query: find(path, &['#']) }
}

/// Reports characters that parsers change: they drop line breaks and spaces at the ends, and read a backslash as a
/// slash.
fn characters(text: &str, parts: &Parts, faults: &mut Faults<'_>) {
    for (at, found) in text.char_indices() {
        let edge = at == 0 || at + found.len_utf8() == text.len();
        if found.is_control() {
            faults.add(
                at,
                "the URL contains a line break or another control character",
                "remove it",
            );
        } else if found.is_whitespace() && (edge || at < parts.authority) {
            faults.add(at, "a URL can't contain a space", "remove it");
        } else if found == '\\' && at < parts.path {
            faults.add(
                at,
                "a URL can't contain a backslash",
                "write `/`, or %5C for the character itself",
            );
        }
    }
}

/// Reports variables in the fixed parts of the URL.
fn fixed(text: &str, parts: &Parts, pieces: &[Piece<'_>], faults: &mut Faults<'_>) {
    let authority = text.get(parts.scheme..parts.authority).unwrap_or_default();
    let host = parts.scheme + authority.rfind('@').map_or(0, |at| at + 1);
    let bracket = text.get(host..parts.authority).and_then(|host| host.rfind(']')).unwrap_or(0);
    let port = text.get(host + bracket..parts.authority).and_then(|host| host.find(':'));
    let port = port.map_or(parts.authority, |at| host + bracket + at);
    for piece in pieces.iter().filter(|piece| !matches!(piece.kind, PieceKind::Bad)) {
        let at = piece.range.start;
        let place = match at {
            _ if at >= parts.query => {
                let fix = "move it to the query; a fragment is never sent";
                faults.add(at, "a variable is not allowed in the fragment", fix);
                continue;
            }
            _ if at >= parts.authority => continue,
            _ if parts.scheme == 0 => "the scheme and host",
            _ if at >= port => "the port",
            _ if at >= host => "the host",
            _ => "the user or password",
        };
        let fix = "write it out: no value may change the receiver of a delivery; a variable may follow a `/` or `?`";
        faults.add(at, format!("a variable is not allowed in {place}"), fix);
    }
}

/// Checks that the HTTP client's parser accepts the scheme and authority and finds a host.
fn parsed(template: &UrlTemplate, parts: &Parts, faults: &mut Faults<'_>) {
    let url = Url::parse(&template.base);
    match url {
        Ok(url) if url.has_host() => {}
        Ok(_) => faults.add(parts.scheme, "the host is missing", WHOLE),
        Err(error) => faults.add(parts.scheme, error.to_string(), WHOLE),
    }
}

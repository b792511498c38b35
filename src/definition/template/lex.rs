//! Finds the variables and tokens of a text in any language.

use super::fault::Faults;
use super::variable::{Reading, Variable, read};
use super::{Tokens, VARIABLES_MAX};
use crate::definition::nearest;
use std::ops::Range;

/// A part of a text that is not rendered unchanged.
pub(super) struct Piece<'t> {
    /// The bytes of the piece. It contains only letters, digits, `_`, `.`, `$` and `%`, so that it never spans a
    /// bracket, a quote, or another character that structures a text.
    pub(super) range: Range<usize>,
    pub(super) kind: PieceKind<'t>,
}

/// The content of a piece.
pub(super) enum PieceKind<'t> {
    Variable(Variable),
    /// Escaped text: `$$` stands for `$` everywhere, and `%%ani%%` stands for `%ani%`.
    Plain(&'t str),
    /// A variable or token that does not exist. The fault is reported.
    Bad,
}

/// The meaning of `%` and two hexadecimal digits in a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Percent {
    Text,
    /// A percent-encoding, unless they begin a known token.
    Encoding,
}

/// Returns the pieces of `text` in order.
pub(super) fn lex<'t>(
    text: &'t str,
    tokens: &Tokens,
    percent: Percent,
    faults: &mut Faults<'_>,
) -> Vec<Piece<'t>> {
    let mut lexer = Lexer { tokens, percent, faults };
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        let Some(skipped) = rest.bytes().position(|byte| matches!(byte, b'$' | b'%')) else {
            break;
        };
        at += skipped;
        let rest = rest.get(skipped..).unwrap_or_default();
        let found =
            if rest.starts_with('$') { lexer.dollar(rest, at) } else { lexer.percent(rest, at) };
        at += match found {
            Found::Text(length) => length,
            Found::Piece(..) if pieces.len() == VARIABLES_MAX => {
                let problem = format!("there are more than {VARIABLES_MAX} variables");
                lexer.faults.add(at, problem, "use fewer, or send whole objects");
                break;
            }
            Found::Piece(length, kind) => {
                pieces.push(Piece { range: at..at + length, kind });
                length
            }
        };
    }
    pieces
}

struct Lexer<'a, 'f> {
    tokens: &'a Tokens,
    percent: Percent,
    faults: &'a mut Faults<'f>,
}

/// The finding at a `$` or `%`, with its length in bytes.
enum Found<'t> {
    Text(usize),
    Piece(usize, PieceKind<'t>),
}

impl Lexer<'_, '_> {
    fn dollar<'t>(&mut self, text: &'t str, at: usize) -> Found<'t> {
        if let Some(escaped) = text.strip_prefix('$').filter(|rest| rest.starts_with('$')) {
            return match read(escaped) {
                Reading::Variable(_, length) | Reading::Misspelt(length, _) => {
                    let plain = escaped.get(..length).unwrap_or_default();
                    Found::Piece(1 + length, PieceKind::Plain(plain))
                }
                Reading::Plain => {
                    Found::Piece(2, PieceKind::Plain(escaped.get(..1).unwrap_or_default()))
                }
            };
        }
        match read(text) {
            Reading::Variable(variable, length) => {
                Found::Piece(length, PieceKind::Variable(variable))
            }
            Reading::Misspelt(length, meant) => {
                let problem = format!("`{}` is not a variable", short(text, length));
                let meant = short(&meant, meant.len());
                let fix = format!("did you mean `{meant}`? `$$` stands for a plain `$`");
                self.faults.add(at, problem, fix);
                Found::Piece(length, PieceKind::Bad)
            }
            Reading::Plain => Found::Text(1),
        }
    }

    fn percent<'t>(&mut self, text: &'t str, at: usize) -> Found<'t> {
        if let Some(escaped) = text.strip_prefix('%').filter(|rest| rest.starts_with('%')) {
            let Some(word) = self.token(escaped) else { return Found::Text(1) };
            let length = word.len() + 2;
            let plain = escaped.get(..length).unwrap_or_default();
            let doubled = escaped.get(length..).is_some_and(|rest| rest.starts_with('%'));
            return Found::Piece(1 + length + usize::from(doubled), PieceKind::Plain(plain));
        }
        let Some(word) = self.token(text) else { return Found::Text(1) };
        let length = word.len() + 2;
        if let Some(variable) = self.tokens.get(word) {
            return Found::Piece(length, PieceKind::Variable(variable.clone()));
        }
        if self.faults.is_full() {
            return Found::Piece(length, PieceKind::Bad);
        }
        let shown = short(text, length);
        let problem = format!("the token `{shown}` does not exist");
        let meant = nearest(word, self.tokens.keys().map(String::as_str));
        let fix = match meant {
            Some(meant) => {
                format!("did you mean `%{meant}%`? `%{shown}%` stands for the text itself")
            }
            None if self.tokens.is_empty() => {
                format!("this definition maps no tokens; `%{shown}%` stands for the text itself")
            }
            None => format!("map it to a variable; `%{shown}%` stands for the text itself"),
        };
        self.faults.add(at, problem, fix);
        Found::Piece(length, PieceKind::Bad)
    }

    /// Returns the word of the token at the beginning of `text`, even if there is no such token.
    fn token<'t>(&self, text: &'t str) -> Option<&'t str> {
        let rest = text.strip_prefix('%')?;
        let length = rest
            .bytes()
            .take_while(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
            .count();
        let word = rest.get(..length)?;
        let shaped = word.starts_with(|first: char| first.is_ascii_lowercase())
            && rest.get(length..)?.starts_with('%');
        let encoded = self.percent == Percent::Encoding && is_encoded(text);
        (shaped && (!encoded || self.tokens.contains_key(word))).then_some(word)
    }
}

/// Returns whether `text` begins with a percent-encoded byte.
pub(super) fn is_encoded(text: &str) -> bool {
    matches!(text.as_bytes(), [b'%', high, low, ..]
        if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// Returns the first `length` bytes of `text`, truncated to the length that a message may show.
fn short(text: &str, length: usize) -> String {
    const SHOWN_BYTES_MAX: usize = 80;
    let shown = text.get(..length.min(SHOWN_BYTES_MAX)).unwrap_or_default();
    let more = if length > SHOWN_BYTES_MAX { "…" } else { "" };
    format!("{shown}{more}")
}

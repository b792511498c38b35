//! Finds the variables and tokens of a text in any language.

use super::derived::Derived;
use super::fault::{Fault, Faults};
use super::variable::{Reading, Variable, read};
use super::{Tokens, VARIABLES_MAX};
use crate::definition::nearest;
use std::borrow::Cow;
use std::ops::Range;

/// A part of a text that is not rendered unchanged.
pub(super) struct Piece<'t> {
    /// The bytes of the piece. Only a name in braces contains characters that structure a text, and [`masked`] hides
    /// these.
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

/// Returns `text` with letters in place of the characters of its pieces that could structure a text, such as quotes.
/// Bytes and characters have the same places as in `text`.
pub(super) fn masked<'t>(text: &'t str, pieces: &[Piece<'_>]) -> Cow<'t, str> {
    let structures = |letter: char| {
        letter.is_ascii_punctuation()
            && !matches!(letter, '$' | '%' | '{' | '}' | '.' | '-' | '_' | ':')
    };
    let within = |piece: &&Piece<'_>| {
        text.get(piece.range.clone()).is_some_and(|spelt| spelt.contains(structures))
    };
    let mut out = Cow::Borrowed(text);
    for piece in pieces.iter().filter(within) {
        let spelt = text.get(piece.range.clone()).unwrap_or_default();
        out.to_mut().replace_range(piece.range.clone(), &spelt.replace(structures, "v"));
    }
    out
}

/// Returns a fault for each name that a letter, a digit or a hyphen follows: these are text behind the value, and were
/// probably meant as a part of the name. The faults quote nothing else of the text, which may contain secrets.
#[must_use]
pub fn doubtful_names(text: &str) -> Vec<Fault> {
    let (Ok(mut found), Ok(mut ignored)) = (Faults::of(text), Faults::of(text)) else {
        return Vec::new();
    };
    for piece in lex(text, &Tokens::new(), Percent::Text, &mut ignored) {
        let PieceKind::Variable(variable) = &piece.kind else { continue };
        let rest = text.get(piece.range.end..).unwrap_or_default();
        let is_bare = text.get(piece.range.clone()).is_some_and(|spelt| !spelt.ends_with('}'));
        let is_part = |letter: char| letter == '-' || letter.is_alphanumeric();
        if is_bare && rest.starts_with(is_part) {
            let key = variable.key();
            let word = key.trim_start_matches('$');
            let problem = format!(
                "a hyphen, a letter or a digit follows `{variable}`, and is not a part of the name"
            );
            let fix = format!(
                "write braces around the whole name if it is meant to be, else `${{{word}}}`"
            );
            found.add(piece.range.start, problem, fix);
        }
    }
    found.finish(()).err().unwrap_or_default()
}

/// Returns `text` with letters in place of the characters in braces that could structure a text.
#[must_use]
pub fn masked_names(text: &str) -> Cow<'_, str> {
    let Ok(mut faults) = Faults::of(text) else { return Cow::Borrowed(text) };
    let pieces = lex(text, &Tokens::new(), Percent::Text, &mut faults);
    masked(text, &pieces)
}

/// Returns whether `text` contains a variable or a token of `tokens`.
#[must_use]
pub fn has_variables(text: &str, tokens: &Tokens) -> bool {
    let Ok(mut faults) = Faults::of(text) else { return false };
    let pieces = lex(text, tokens, Percent::Text, &mut faults);
    pieces.iter().any(|piece| matches!(piece.kind, PieceKind::Variable(_)))
}

/// Returns the byte of the first variable, misspelt variable or token of `tokens` in `text`.
pub(super) fn first_variable(text: &str, tokens: &Tokens) -> Option<usize> {
    let mut faults = Faults::of(text).ok()?;
    let pieces = lex(text, tokens, Percent::Text, &mut faults);
    let is_token = |piece: &&Piece<'_>| match piece.kind {
        PieceKind::Variable(_) => true,
        // A word in percent signs that is no token may be a name.
        PieceKind::Bad => text.get(piece.range.clone()).is_some_and(|spelt| spelt.starts_with('$')),
        PieceKind::Plain(_) => false,
    };
    pieces.iter().find(is_token).map(|piece| piece.range.start)
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
                // What braces contain is text like any other.
                Reading::Variable(_, length) | Reading::Misspelt(length, _)
                    if !escaped.starts_with("${") =>
                {
                    let plain = escaped.get(..length).unwrap_or_default();
                    Found::Piece(1 + length, PieceKind::Plain(plain))
                }
                Reading::Variable(..) | Reading::Misspelt(..) | Reading::Open | Reading::Plain => {
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
            Reading::Open => {
                let fix =
                    r#"close them behind the name, and write a backslash before { } " < $ \ in it"#;
                self.faults.add(at, "the braces of this variable do not end", fix);
                Found::Piece("${".len(), PieceKind::Bad)
            }
            Reading::Plain => Found::Text(1),
        }
    }

    fn percent<'t>(&mut self, text: &'t str, at: usize) -> Found<'t> {
        if let Some(escaped) = text.strip_prefix('%').filter(|rest| rest.starts_with('%')) {
            let Some(Token { length, .. }) = self.token(escaped) else { return Found::Text(1) };
            let plain = escaped.get(..length).unwrap_or_default();
            let doubled = escaped.get(length..).is_some_and(|rest| rest.starts_with('%'));
            return Found::Piece(1 + length + usize::from(doubled), PieceKind::Plain(plain));
        }
        let Some(Token { word, form, length }) = self.token(text) else { return Found::Text(1) };
        if let Some(variable) = self.tokens.get(word) {
            return Found::Piece(length, self.formed(variable, form, word, at));
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

    /// Returns the variable of a token in the form that follows its word: `local` is a time as the source has it.
    fn formed<'t>(
        &mut self,
        variable: &Variable,
        form: Option<&str>,
        word: &str,
        at: usize,
    ) -> PieceKind<'t> {
        match (form, variable.derived()) {
            (None, _) => PieceKind::Variable(variable.clone()),
            (Some(LOCAL), Some(Derived::Utc)) => PieceKind::Variable(variable.plain()),
            (Some(form), derived) => {
                let form = short(form, form.len());
                let problem = format!("the token `%{word}%` has no form `{form}`");
                let fix = if derived == Some(Derived::Utc) {
                    format!(
                        "write `%{word}%` for UTC, or `%{word}:{LOCAL}%` for the time with its offset"
                    )
                } else {
                    format!("write `%{word}%`; only tokens of times have the form `{LOCAL}`")
                };
                self.faults.add(at, problem, fix);
                PieceKind::Bad
            }
        }
    }

    /// Returns the token at the beginning of `text`, even if there is no such token. Only a known one may have a form.
    fn token<'t>(&self, text: &'t str) -> Option<Token<'t>> {
        let rest = text.strip_prefix('%')?;
        let length = |text: &str| {
            let is_part = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
            text.bytes().take_while(is_part).count()
        };
        let word = rest.get(..length(rest))?;
        if !word.starts_with(|first: char| first.is_ascii_lowercase()) {
            return None;
        }
        let is_known = self.tokens.contains_key(word);
        let after = rest.get(word.len()..)?;
        let form = after.strip_prefix(':').filter(|_| is_known);
        let form = form.and_then(|form| form.get(..length(form))).filter(|form| !form.is_empty());
        let spelt = word.len() + form.map_or(0, |form| 1 + form.len());
        let is_token = rest.get(spelt..)?.starts_with('%');
        let encoded = self.percent == Percent::Encoding && is_encoded(text);
        (is_token && (!encoded || is_known)).then_some(Token { word, form, length: spelt + 2 })
    }
}

/// The form of a token that is a time with its offset.
const LOCAL: &str = "local";

/// A token in a text: `%word%` or `%word:form%`.
struct Token<'t> {
    word: &'t str,
    form: Option<&'t str>,
    /// The number of bytes with both percent signs.
    length: usize,
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

//! The tokens of JSON (RFC 8259) and the variables among them.

use super::{Compiler, Content, Head, Stop, VariableSlot};
use crate::definition::template::lex::PieceKind;
use crate::definition::template::value;
use crate::json::{self, Escaped};

const HALF_PAIR: &str = "this is half of a surrogate pair";

/// Returns a key that is equal for equal member names, however they are spelt.
pub(super) fn identity(name: &[Content<'_>]) -> Vec<u8> {
    let mut identity = Vec::new();
    for content in name {
        match content {
            Content::Text(text) => value::decode(&format!("\"{text}\""), |text| {
                identity.extend_from_slice(text.as_bytes());
            }),
            // UTF-8 text never contains this byte.
            Content::Variable(place) => {
                identity.push(0xff);
                identity.extend(place.slot.to_le_bytes());
            }
            Content::Bad => identity.push(0xff),
        }
    }
    identity
}

impl<'t> Compiler<'_, 't, '_> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Moves behind the piece at this position, and returns its content.
    fn piece(&mut self) -> Option<Content<'t>> {
        let (piece, rest) = self.pieces.split_first()?;
        if piece.range.start != self.at {
            return None;
        }
        self.pieces = rest;
        self.at = piece.range.end;
        Some(match &piece.kind {
            PieceKind::Variable(variable) => {
                self.state.see(variable);
                let mandatory = (self.mandatory)(variable);
                let slot = self.uses.add(variable, piece.range.start, mandatory);
                Content::Variable(VariableSlot { slot, optional: !mandatory })
            }
            PieceKind::Plain(text) => Content::Text(text),
            PieceKind::Bad => Content::Bad,
        })
    }

    /// Reads a value. Of an array or object it reads only the kind.
    pub(super) fn head(&mut self) -> Result<Head<'t>, Stop> {
        let start = self.at;
        match self.piece() {
            Some(Content::Variable(place)) => return Ok(Head::Variable(place)),
            Some(Content::Bad) => return Ok(Head::Bad),
            Some(Content::Text(_)) => {
                self.at = start;
                return Err(self.unexpected("a value"));
            }
            None => {}
        }
        match self.peek() {
            Some(b'"') => Ok(Head::Text(self.contents()?)),
            Some(b'{') => Ok(Head::Object),
            Some(b'[') => Ok(Head::Array),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                let word = ["true", "false", "null"].into_iter().find(|word| {
                    let rest = self.rest().strip_prefix(word);
                    rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()))
                });
                let Some(word) = word else { return Err(self.unexpected("a value")) };
                self.at += word.len();
                Ok(Head::Scalar(word))
            }
        }
    }

    /// Reads the string that begins here.
    pub(super) fn contents(&mut self) -> Result<Vec<Content<'t>>, Stop> {
        let open = self.at;
        self.at += 1;
        let mut contents = Vec::new();
        let mut start = self.at;
        loop {
            let before = self.at;
            if let Some(piece) = self.piece() {
                contents.extend(self.spelt(start, before));
                contents.push(piece);
                start = self.at;
                continue;
            }
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0..0x20) => {
                    let problem = "a string contains a line break or another control character";
                    self.faults.add(self.at, problem, "write it as an escape, such as \\n");
                    return Err(Stop);
                }
                Some(_) => self.at += 1,
                None => {
                    self.faults.add(open, "this string does not end", "close it with `\"`");
                    return Err(Stop);
                }
            }
        }
        contents.extend(self.spelt(start, self.at));
        self.at += 1;
        Ok(contents)
    }

    fn spelt(&self, from: usize, to: usize) -> Option<Content<'t>> {
        self.text.get(from..to).filter(|text| !text.is_empty()).map(Content::Text)
    }

    fn escape(&mut self) -> Result<(), Stop> {
        let rest = self.rest();
        match rest.as_bytes().get(1..).and_then(json::read_escape) {
            Some((Escaped::Character(_), length)) => self.at += 1 + length,
            Some((Escaped::Half(_), _)) => return Err(self.half_pair()),
            None => return Err(self.no_escape()),
        }
        Ok(())
    }

    fn half_pair(&mut self) -> Stop {
        self.faults.add(self.at, HALF_PAIR, "write both halves, or the character itself");
        Stop
    }

    fn no_escape(&mut self) -> Stop {
        let fix = "write `\\\\` for a backslash; the escapes are \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u with \
                    four hexadecimal digits";
        self.faults.add(self.at, "this is not an escape of JSON", fix);
        Stop
    }

    fn number(&mut self) -> Result<Head<'t>, Stop> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let zero = self.peek() == Some(b'0');
        if self.digits() > 1 && zero {
            self.faults.add(
                start,
                "this number begins with 0",
                "remove the 0, or put it in quotes",
            );
            return Err(Stop);
        }
        let mut complete = self.text.as_bytes().get(self.at - 1).is_some_and(u8::is_ascii_digit);
        if complete && self.peek() == Some(b'.') {
            self.at += 1;
            complete = self.digits() > 0;
        }
        if complete && let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            complete = self.digits() > 0;
        }
        if !complete {
            self.faults.add(
                start,
                "this number is not complete",
                "add digits, or put it in quotes",
            );
            return Err(Stop);
        }
        Ok(Head::Scalar(self.text.get(start..self.at).unwrap_or_default()))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at - start
    }

    /// Adds the fault that the text here is not `expected`.
    pub(super) fn unexpected(&mut self, expected: &str) -> Stop {
        let piece_here = self.pieces.first().is_some_and(|piece| piece.range.start == self.at);
        let found = match self.rest().chars().next() {
            None => "the text ends here".to_owned(),
            Some(found) => format!("`{found}` is not expected here"),
        };
        let fix = if piece_here {
            format!(
                "expected {expected}; put a variable that is joined with other text in double quotes"
            )
        } else {
            match self.peek() {
                Some(b'\'') => format!("expected {expected}; JSON has double quotes only"),
                Some(b'/') => format!("expected {expected}; JSON has no comments"),
                Some(0xef) => {
                    format!("expected {expected}; the text may begin with a byte order mark")
                }
                _ => format!("expected {expected}"),
            }
        };
        self.faults.add(self.at, found, fix);
        Stop
    }
}

//! Paths into JSON: `data.a.b[0]`, `data[0].id`, `$.a`, `["name with dots"]`.
//!
//! A path that begins with `data` starts at the answer itself, as the platform's path finder shows it: `data.a` is the
//! member `a` of the answer. Only if the answer is an object with a member `data` of its own, this member is tried
//! first. Any other path starts at the answer too, and a path that begins with `$` never has another meaning.

use crate::json::{self, DEPTH_MAX, Escaped};
use crate::xpath::PathFault;

/// The path of a value in a JSON text: names of members and indexes of items, from the outermost inwards.
///
/// A name without quotes may contain any character except white space and `. [ ] ( ) " ' * ? , / \`. Any other name is
/// written `["name"]` or `['name']`, with JSON's escapes. A leading `$` or `$.` is the whole text, and so is a leading
/// `data` without quotes, unless the text is an object with such a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath {
    steps: Vec<JsonStep>,
    /// Whether the first step is `data`, without quotes and without `$` before it.
    from_data: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum JsonStep {
    Member(String),
    Item(usize),
}

impl JsonPath {
    /// Parses `spelt`.
    ///
    /// # Errors
    ///
    /// `spelt` is not such a path. The error says where, and how to write it.
    pub fn parse(spelt: &str) -> Result<Self, PathFault> {
        PathFault::check_length(spelt)?;
        let mut parser = Parser { text: spelt.chars().collect(), at: 0 };
        let mut steps = Vec::new();
        parser.start()?;
        let is_bare = parser.at == 0 && parser.peek() != Some('[');
        while let Some(step) = parser.step()? {
            if steps.len() == DEPTH_MAX {
                let problem = format!("deeper than {DEPTH_MAX} levels, the limit for an answer");
                return Err(PathFault::new(parser.at, problem, "shorten the path"));
            }
            steps.push(step);
        }
        let is_data = matches!(steps.first(), Some(JsonStep::Member(name)) if name == DATA);
        Ok(Self { steps, from_data: is_bare && is_data })
    }

    pub(super) fn steps(&self) -> &[JsonStep] {
        &self.steps
    }

    /// Returns the steps from the whole text if the path begins with `data`.
    pub(super) fn steps_after_data(&self) -> Option<&[JsonStep]> {
        self.steps.get(1..).filter(|_| self.from_data)
    }
}

/// The name by which a path calls the whole text.
pub(crate) const DATA: &str = "data";

/// Returns how `path` is written correctly if it begins with `x`, as path finders show it.
#[must_use]
pub fn without_x(path: &str) -> Option<String> {
    let rest = path.strip_prefix('x').filter(|rest| rest.starts_with(['.', '[']))?;
    Some(format!("{DATA}{rest}"))
}

/// Appends the member `name` to `path`, in quotes if necessary.
pub(crate) fn push_member(path: &mut String, name: &str) {
    let unusual = |letter: char| is_special(letter) || letter.is_control();
    // A dollar sign at the beginning of a path has another meaning.
    let quoted =
        name.is_empty() || name.chars().any(unusual) || path.is_empty() && name.starts_with('$');
    if !quoted {
        path.push_str(if path.is_empty() { "" } else { "." });
        path.push_str(name);
        return;
    }
    path.push_str("[\"");
    for letter in name.chars() {
        match letter {
            '"' | '\\' => path.extend(['\\', letter]),
            _ if letter.is_control() => path.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => path.push(letter),
        }
    }
    path.push_str("\"]");
}

/// Appends the item `index` to `path`.
pub(crate) fn push_item(path: &mut String, index: usize) {
    path.push_str(&format!("[{index}]"));
}

fn is_special(letter: char) -> bool {
    letter.is_whitespace()
        || matches!(letter, '.' | '[' | ']' | '(' | ')' | '"' | '\'' | '*' | '?' | ',' | '/' | '\\')
}

struct Parser {
    text: Vec<char>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn fault<T>(&self, problem: impl Into<String>, fix: impl Into<String>) -> Result<T, PathFault> {
        Err(PathFault::new(self.at + 1, problem, fix))
    }

    /// Parses the text before the first step.
    fn start(&mut self) -> Result<(), PathFault> {
        let text: String = self.text.iter().collect();
        if text.is_empty() {
            return self.fault("the path is empty", "write `$` for the whole answer");
        }
        if text.starts_with('/') {
            let fix = "write `data.id` rather than `/data/id`, or set type = \"xml\"";
            return self.fault("this begins like an XPath, but the type is json", fix);
        }
        if ["$flow.", "$user.", "$call.", "$sms."].iter().any(|group| text.starts_with(group)) {
            let fix =
                "write the variable in `save_in`, and here the path of the value in the answer";
            return self.fault("this is a variable, not a place in the answer", fix);
        }
        if self.peek() == Some('$') && matches!(self.text.get(1), None | Some('.' | '[')) {
            self.at = 1;
        } else if self.peek() == Some('.') {
            return self.fault("a path can't begin with a dot", "leave the dot out");
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Option<JsonStep>, PathFault> {
        match self.peek() {
            None => Ok(None),
            Some('.') => {
                self.at += 1;
                self.name().map(Some)
            }
            Some('[') => {
                self.at += 1;
                self.bracket().map(Some)
            }
            // The first name has no dot before it.
            Some(other) if self.at == 0 && other != ']' => self.name().map(Some),
            Some(other) => {
                self.fault(format!("`{other}` is not allowed here"), "write `.name` or `[0]`")
            }
        }
    }

    fn name(&mut self) -> Result<JsonStep, PathFault> {
        let start = self.at;
        while self.peek().is_some_and(|letter| !is_special(letter)) {
            self.at += 1;
        }
        if let Some('(' | ')' | '"' | '\'' | '?' | ',' | '/' | '\\' | ' ') = self.peek() {
            let fix = "put the name into brackets and quotes: `[\"the name\"]`";
            return self.fault("a name with such a character needs quotes", fix);
        }
        match self.peek() {
            Some('*') => self.wildcard(),
            Some('.') if self.at == start => self.fault(
                "`..` would search at every depth, but a path leads to one value",
                "write every name on the way",
            ),
            _ if self.at == start => {
                self.fault("a name is missing after the dot", "write a name, or leave the dot out")
            }
            _ => Ok(JsonStep::Member(
                self.text.get(start..self.at).unwrap_or_default().iter().collect(),
            )),
        }
    }

    fn wildcard<T>(&self) -> Result<T, PathFault> {
        self.fault(
            "`*` would find many values, and an entry stores one",
            "write a name or an index",
        )
    }

    /// Parses the text behind an opening bracket.
    fn bracket(&mut self) -> Result<JsonStep, PathFault> {
        let step = match self.peek() {
            Some(quote @ ('"' | '\'')) => {
                self.at += 1;
                JsonStep::Member(self.quoted(quote)?)
            }
            Some('0'..='9') => JsonStep::Item(self.index()?),
            Some('-') => {
                return self.fault(
                    "an index counts from the beginning, so it is not negative",
                    "write 0 for the first item",
                );
            }
            Some('*') => return self.wildcard(),
            Some('?' | '(' | '@') => {
                return self.fault(
                    "filters are not supported: a path leads to one value",
                    "write the index of the item",
                );
            }
            Some(']') | None => {
                return self.fault("the brackets are empty", "write an index, such as `[0]`");
            }
            Some(_) => {
                return self.fault(
                    "brackets contain an index, or a name in quotes",
                    "write `[0]` or `[\"name\"]`",
                );
            }
        };
        match self.peek() {
            Some(']') => {
                self.at += 1;
                Ok(step)
            }
            Some(':' | ',') => self.fault(
                "slices and lists of indexes would find many values, and an entry stores one",
                "write one index",
            ),
            _ => self.fault("the bracket is not closed", "add `]`"),
        }
    }

    fn index(&mut self) -> Result<usize, PathFault> {
        let start = self.at;
        let mut index = 0_usize;
        while let Some(digit) = self.peek().and_then(|letter| letter.to_digit(10)) {
            let next = index.checked_mul(10).and_then(|tens| tens.checked_add(digit as usize));
            let Some(next) = next else {
                self.at = start;
                return self.fault("this index is too large", "write a smaller index");
            };
            index = next;
            self.at += 1;
        }
        Ok(index)
    }

    /// Parses the rest of a quoted name.
    fn quoted(&mut self, quote: char) -> Result<String, PathFault> {
        let open = self.at - 1;
        let mut name = String::new();
        loop {
            let letter = self.peek();
            self.at += 1;
            match letter {
                Some('\\') => name.push(self.escape()?),
                Some(letter) if letter == quote => return Ok(name),
                Some(letter) => name.push(letter),
                None => {
                    self.at = open;
                    return self.fault("the quotes are not closed", format!("add {quote}"));
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, PathFault> {
        if self.peek() == Some('\'') {
            self.at += 1;
            return Ok('\'');
        }
        // No escape is longer than 11 characters, and all its characters are single bytes.
        let ahead: String = self.text.iter().skip(self.at).take(11).collect();
        let (letter, length) = match json::read_escape(ahead.as_bytes()) {
            Some((Escaped::Character(letter), length)) => (letter, length),
            Some((Escaped::Half(_), length)) => {
                // Its other half is missing behind it.
                self.at += length - 1;
                return self.no_escape();
            }
            None => return self.no_escape(),
        };
        self.at += length;
        Ok(letter)
    }

    fn no_escape<T>(&self) -> Result<T, PathFault> {
        self.fault("this is not an escape of JSON", "write `\\\\` for a backslash")
    }
}

//! Variables: the names in a template's text by which values are looked up.

use super::derived::Derived;
use crate::definition::nearest;
use crate::domain::OUTCOME_VARIABLES;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The longest word after `$` that counts as a misspelt family, in bytes.
const FAMILY_BYTES_MAX: usize = 32;

/// The source of a variable's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// `$flow.key.<name>`: a variable of the flow.
    FlowKey,
    /// `$flow.syskey.<name>`: a variable that the platform sets for the flow.
    FlowSyskey,
    /// `$user.key.<name>`: a variable of the customer's contact.
    UserKey,
    /// `$call.<path>`: a field of the flow complete record.
    Call,
    /// `$sms.<path>`: a field of the delivery report.
    Sms,
}

impl Family {
    const ALL: [Self; 5] = [Self::FlowKey, Self::FlowSyskey, Self::UserKey, Self::Call, Self::Sms];

    const fn prefix(self) -> &'static str {
        match self {
            Self::FlowKey => "$flow.key.",
            Self::FlowSyskey => "$flow.syskey.",
            Self::UserKey => "$user.key.",
            Self::Call => "$call.",
            Self::Sms => "$sms.",
        }
    }

    /// Returns the prefix without the dollar sign, as braces contain it.
    fn word(self) -> &'static str {
        self.prefix().trim_start_matches('$')
    }

    const fn has_path(self) -> bool {
        matches!(self, Self::Call | Self::Sms)
    }

    /// Returns the length of the name in this family at the beginning of `text`.
    fn name_length(self, text: &str) -> usize {
        if self.has_path() { path_length(text) } else { word_length(text) }
    }
}

/// A variable: its family, a name or a path of names joined by dots, and how its value is made.
///
/// A plain name consists of letters, digits and underscores of ASCII. In braces it may have any other character too,
/// except control characters: `${flow.key.customer-name}`. Of these, `{ } " < $ \` have a backslash before them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variable {
    family: Family,
    name: Box<str>,
    way: Way,
}

/// How the value of a variable is made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Way {
    /// It is the value of the source.
    Plain,
    /// It is derived from the value of the source, or from other facts if the source has none.
    Derived(Derived),
    /// It is this JSON text.
    Constant(Box<str>),
}

/// A text that is not the spelling of a variable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not a variable: write $flow.key.<name>, $flow.syskey.<name>, $user.key.<name>, $call.<path> or \
     $sms.<path>; write braces around a name with other characters than letters, digits and underscores, as in \
     ${{flow.key.customer-name}}"
)]
pub struct NotAVariable(String);

impl Variable {
    /// Creates the variable with the plain name `name` of `family`. Returns `None` if the family has no such names.
    #[must_use]
    pub fn new(family: Family, name: &str) -> Option<Self> {
        let whole = !name.is_empty() && family.name_length(name) == name.len();
        whole.then(|| Self { family, name: name.into(), way: Way::Plain })
    }

    /// Creates the variable `name` of `family`, with any characters that braces allow.
    fn of_any_name(family: Family, name: &str) -> Option<Self> {
        let is_empty = |part: &str| part.is_empty();
        let has_gap =
            if family.has_path() { name.split('.').any(is_empty) } else { is_empty(name) };
        let is_allowed = !has_gap && !name.contains(char::is_control);
        is_allowed.then(|| Self { family, name: name.into(), way: Way::Plain })
    }

    /// Returns the variable that records and answers name `key`, such as `$flow.key.customer-name`.
    #[must_use]
    pub fn of_key(key: &str) -> Option<Self> {
        Family::ALL
            .into_iter()
            .find_map(|family| Self::of_any_name(family, key.strip_prefix(family.prefix())?))
    }

    /// Returns the variable whose value is derived by `derived`.
    #[must_use]
    pub fn derived_by(self, derived: Derived) -> Self {
        Self { way: Way::Derived(derived), ..self }
    }

    /// Returns the variable with the constant value `json`, a JSON text.
    #[must_use]
    pub fn with_constant(self, json: &str) -> Self {
        Self { way: Way::Constant(json.into()), ..self }
    }

    /// Returns the variable that has the value of the source itself.
    #[must_use]
    pub fn plain(&self) -> Self {
        Self { family: self.family, name: self.name.clone(), way: Way::Plain }
    }

    /// Returns the source of its value.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Returns the name or path without the family: `leadid`, `cost.currency.currencyName`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how its value is derived, or `None` if it is the value of the source or a constant.
    #[must_use]
    pub const fn derived(&self) -> Option<Derived> {
        match self.way {
            Way::Derived(derived) => Some(derived),
            Way::Plain | Way::Constant(_) => None,
        }
    }

    /// Returns its constant value as JSON text, if it has one.
    #[must_use]
    pub fn constant(&self) -> Option<&str> {
        match &self.way {
            Way::Constant(json) => Some(json),
            Way::Plain | Way::Derived(_) => None,
        }
    }

    /// Returns whether an answer can set it. Variables of calls and SMS come from the gateways alone.
    #[must_use]
    pub const fn can_be_saved(&self) -> bool {
        match self.family {
            Family::FlowKey | Family::FlowSyskey | Family::UserKey => true,
            Family::Call | Family::Sms => false,
        }
    }

    /// Returns whether the daemon itself sets it when a webhook has ended.
    #[must_use]
    pub fn is_outcome(&self) -> bool {
        OUTCOME_VARIABLES.contains(&&*self.key())
    }

    /// Returns the spelling without braces, by which records and answers name it: `$flow.key.customer-name`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}{}", self.family.prefix(), self.name)
    }

    /// Returns the name under which its value is kept for later renderings. It differs from the key if the value
    /// differs from that of the source.
    #[must_use]
    pub(in crate::definition) fn kept_name(&self) -> String {
        let key = self.key();
        match self.derived() {
            Some(derived) => format!("{key} {}", derived.word()),
            None => key,
        }
    }
}

/// Writes the spelling for templates, with braces if the name needs them.
impl fmt::Display for Variable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.family.name_length(&self.name) == self.name.len() {
            return write!(formatter, "{}{}", self.family.prefix(), self.name);
        }
        write!(formatter, "${{{}", self.family.word())?;
        for letter in self.name.chars() {
            if is_escaped(letter) {
                formatter.write_str("\\")?;
            }
            write!(formatter, "{letter}")?;
        }
        formatter.write_str("}")
    }
}

impl FromStr for Variable {
    type Err = NotAVariable;

    fn from_str(text: &str) -> Result<Self, NotAVariable> {
        let found = match read(text) {
            Reading::Variable(variable, length) => (length == text.len()).then_some(variable),
            Reading::Misspelt(..) | Reading::Open | Reading::Plain => None,
        };
        found.ok_or_else(|| NotAVariable(text.to_owned()))
    }
}

/// The beginning of a text that begins with `$`.
pub(super) enum Reading {
    /// A variable and its length in bytes.
    Variable(Variable, usize),
    /// The length in bytes of a misspelt variable, and the variable that was most likely meant.
    Misspelt(usize, String),
    /// A variable in braces that do not end.
    Open,
    Plain,
}

/// Reads the beginning of `text`, which begins with `$`.
pub(super) fn read(text: &str) -> Reading {
    if let Some(inner) = text.strip_prefix("${") {
        return braced(inner);
    }
    for family in Family::ALL {
        if let Some(rest) = text.strip_prefix(family.prefix()) {
            let length = family.name_length(rest);
            let name = rest.get(..length).unwrap_or_default();
            if let Some(variable) = Variable::new(family, name) {
                return Reading::Variable(variable, family.prefix().len() + length);
            }
        }
    }
    misspelt(text).unwrap_or(Reading::Plain)
}

/// Reads a text behind `${`. Braces around anything else than a variable are text.
fn braced(inner: &str) -> Reading {
    let family = Family::ALL.into_iter().find(|family| inner.starts_with(family.word()));
    let Some(end) = closing(inner) else {
        return if family.is_some() { Reading::Open } else { Reading::Plain };
    };
    let content = inner.get(..end).unwrap_or_default();
    let length = "${".len() + end + "}".len();
    let Some(family) = family else {
        return match misspelt(&format!("${content}")) {
            Some(Reading::Misspelt(_, meant)) => Reading::Misspelt(length, in_braces(&meant)),
            _ => Reading::Plain,
        };
    };
    let name = unescaped(content.get(family.word().len()..).unwrap_or_default());
    match Variable::of_any_name(family, &name) {
        Some(variable) => Reading::Variable(variable, length),
        None => Reading::Misspelt(length, format!("${{{}<name>}}", family.word())),
    }
}

/// Returns the variable with braces around it, for a suggestion.
fn in_braces(variable: &str) -> String {
    format!("${{{}}}", variable.trim_start_matches('$'))
}

/// Returns whether a backslash must stand before the character in braces. So a brace that was forgotten is noticed.
const fn is_escaped(letter: char) -> bool {
    matches!(letter, '{' | '}' | '"' | '<' | '$' | '\\')
}

/// Returns the byte of the brace that ends the name at the beginning of `text`.
fn closing(text: &str) -> Option<usize> {
    let mut after_backslash = false;
    for (at, found) in text.char_indices() {
        match found {
            _ if found.is_control() => return None,
            _ if after_backslash => after_backslash = false,
            '\\' => after_backslash = true,
            '}' => return Some(at),
            _ if is_escaped(found) => return None,
            _ => {}
        }
    }
    None
}

/// Removes the backslashes that stand before punctuation characters.
fn unescaped(name: &str) -> Cow<'_, str> {
    if !name.contains('\\') {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len());
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        let escaped = letters.next_if(|next| letter == '\\' && next.is_ascii_punctuation());
        out.push(escaped.unwrap_or(letter));
    }
    Cow::Owned(out)
}

fn misspelt(text: &str) -> Option<Reading> {
    let rest = text.strip_prefix('$')?;
    let word = rest.get(..word_length(rest))?;
    let after = rest.get(word.len()..)?.strip_prefix('.')?;
    if word.len() > FAMILY_BYTES_MAX {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    let head = ["flow", "user", "call", "sms"].into_iter().find(|head| lower.starts_with(head))?;
    let path = after.get(..path_length(after))?;
    // A full stop after a word such as `$users` ends a sentence if nothing like a name follows it.
    if path.is_empty() && word != head {
        return None;
    }
    Some(Reading::Misspelt(1 + word.len() + 1 + path.len(), suggestion(head, path)))
}

/// Returns the variable that was most likely meant by `path` after a word like `head`.
fn suggestion(head: &str, path: &str) -> String {
    let mut segments = path.split('.').filter(|segment| !segment.is_empty());
    let (first, second) = (segments.next(), segments.next());
    let kinds: &[&str] = match head {
        "flow" => &["key", "syskey"],
        "user" => &["key"],
        _ => {
            let path = if path.is_empty() { "<path>" } else { path };
            return format!("${head}.{path}");
        }
    };
    let kind = first.and_then(|first| nearest(first, kinds.iter().copied()));
    let name = match (kind, first, second) {
        (_, _, Some(second)) => second,
        (None, Some(first), None) => first,
        (_, _, None) => "<name>",
    };
    format!("${head}.{}.{name}", kind.unwrap_or("key"))
}

fn word_length(text: &str) -> usize {
    text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count()
}

/// Returns the length of words joined by dots. A dot counts only if a word follows it.
fn path_length(text: &str) -> usize {
    let mut length = word_length(text);
    while length > 0 {
        let rest = text.get(length..).and_then(|rest| rest.strip_prefix('.'));
        match rest.map(word_length) {
            None | Some(0) => break,
            Some(more) => length += 1 + more,
        }
    }
    length
}

//! Variables: the names in a template's text by which values are looked up.

use crate::definition::nearest;
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

    const fn has_path(self) -> bool {
        matches!(self, Self::Call | Self::Sms)
    }

    /// Returns the length of the name in this family at the beginning of `text`.
    fn name_length(self, text: &str) -> usize {
        if self.has_path() { path_length(text) } else { word_length(text) }
    }
}

/// A variable: its family, and a name (letters, digits and underscores) or a path of names joined by dots.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variable {
    family: Family,
    name: Box<str>,
}

/// A text that is not the spelling of a variable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not a variable: write $flow.key.<name>, $flow.syskey.<name>, $user.key.<name>, $call.<path> or \
     $sms.<path>"
)]
pub struct NotAVariable(String);

impl Variable {
    /// Creates the variable `name` of `family`. Returns `None` if the family has no such names.
    #[must_use]
    pub fn new(family: Family, name: &str) -> Option<Self> {
        let whole = !name.is_empty() && family.name_length(name) == name.len();
        whole.then(|| Self { family, name: name.into() })
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
}

impl fmt::Display for Variable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.family.prefix(), self.name)
    }
}

impl FromStr for Variable {
    type Err = NotAVariable;

    fn from_str(text: &str) -> Result<Self, NotAVariable> {
        let found = Family::ALL.into_iter().find_map(|family| {
            text.strip_prefix(family.prefix()).and_then(|name| Self::new(family, name))
        });
        found.ok_or_else(|| NotAVariable(text.to_owned()))
    }
}

/// The beginning of a text that begins with `$`.
pub(super) enum Reading {
    /// A variable and its length in bytes.
    Variable(Variable, usize),
    /// The length in bytes of a misspelt variable, and the variable that was most likely meant.
    Misspelt(usize, String),
    Plain,
}

/// Reads the beginning of `text`, which begins with `$`.
pub(super) fn read(text: &str) -> Reading {
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

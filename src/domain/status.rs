//! Delivery statuses of an SMS: how a gateway's text is read, and the table of statuses.

mod pattern;
mod words;

pub use pattern::StatusPattern;

use std::sync::Arc;
use words::{Head, Words};

/// The longest word, or pattern of words, in bytes. A longer one is never known, which bounds the cost of a look-up.
pub const STATUS_BYTES_MAX: usize = 64;

/// Whether further statuses of an SMS will follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatusClass {
    /// Further statuses will follow.
    Intermediate,
    /// No further status will follow.
    Final,
}

/// The meaning of a word in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusMeaning {
    pub class: StatusClass,
    /// The status that the word is a spelling of; `None` if it is a status of its own.
    pub status: Option<Box<str>>,
}

/// A status as the table reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status<'a> {
    /// The name by which rules know the status. Its case does not matter.
    pub name: &'a str,
    pub class: StatusClass,
    /// Whether the table contains the word.
    pub is_known: bool,
}

/// The words of one source: whole ones, and patterns of them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Layer {
    words: Words,
    /// The pattern that decides first comes first.
    patterns: Vec<(StatusPattern, StatusMeaning)>,
}

/// The table of final and intermediate statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusTable {
    /// The words of the configuration, which decide first.
    configured: Layer,
    /// The words that need no configuration.
    documented: Arc<Layer>,
    /// The class of words that the table does not contain.
    unknown: StatusClass,
}

impl StatusTable {
    /// Creates a table of documented words, without any configuration. A word with a `*` is a pattern.
    pub fn documented(words: impl IntoIterator<Item = (String, StatusMeaning)>) -> Self {
        Self {
            configured: Layer::default(),
            documented: Arc::new(Layer::new(words)),
            unknown: StatusClass::Final,
        }
    }

    /// Returns this table with the words of the configuration, which replace those of earlier ones and decide before the
    /// documented words. `unknown` is the class of words that the table does not contain.
    #[must_use]
    pub fn configured(
        &self,
        words: impl IntoIterator<Item = (String, StatusMeaning)>,
        unknown: StatusClass,
    ) -> Self {
        Self { configured: Layer::new(words), documented: self.documented.clone(), unknown }
    }

    /// Reads a status as a gateway wrote it: a word, or a delivery receipt with the word as its `stat`. Neither case nor
    /// blanks around it matter.
    #[must_use]
    pub fn read<'a>(&'a self, text: &'a str) -> Status<'a> {
        let word = status_word(text);
        match self.meaning(word) {
            Some(StatusMeaning { class, status }) => {
                Status { name: status.as_deref().unwrap_or(word), class: *class, is_known: true }
            }
            None => Status { name: word, class: self.unknown, is_known: false },
        }
    }

    /// Returns whether `word`, of a rule, means the status with this name.
    #[must_use]
    pub fn is_same(&self, word: &str, name: &str) -> bool {
        word.eq_ignore_ascii_case(name) || self.read(word).name.eq_ignore_ascii_case(name)
    }

    /// Returns the words that are no patterns.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.configured.words.iter().chain(self.documented.words.iter())
    }

    /// Returns the meaning of a word, or `None` if the table does not contain it.
    #[must_use]
    pub fn meaning(&self, word: &str) -> Option<&StatusMeaning> {
        if word.len() > STATUS_BYTES_MAX {
            return None;
        }
        let head = Head::of(word);
        self.configured.meaning(head, word).or_else(|| self.documented.meaning(head, word))
    }
}

impl Layer {
    fn new(words: impl IntoIterator<Item = (String, StatusMeaning)>) -> Self {
        let (mut whole, mut patterns) = (Vec::new(), Vec::new());
        for (text, meaning) in words {
            match StatusPattern::parse(&text) {
                Some(pattern) => patterns.push((pattern, meaning)),
                None => whole.push((text.into_boxed_str(), meaning)),
            }
        }
        // The longest pattern says most. Of two that are as long, the intermediate one decides, since a status that is
        // wrongly final hides the true one.
        patterns.sort_by(|(one, of_one), (other, of_other)| {
            let by_length = other.literals().cmp(&one.literals());
            by_length.then(of_one.class.cmp(&of_other.class)).then_with(|| one.cmp(other))
        });
        Self { words: Words::new(whole), patterns }
    }

    fn meaning(&self, head: Head, word: &str) -> Option<&StatusMeaning> {
        self.words.get(head, word).or_else(|| {
            let mut matching = self.patterns.iter().filter(|(pattern, _)| pattern.matches(word));
            matching.next().map(|(_, meaning)| meaning)
        })
    }
}

/// Returns the word of a status as a gateway wrote it. Blanks around it do not count. In a delivery receipt it is the
/// value of `stat`.
#[must_use]
pub fn status_word(text: &str) -> &str {
    let bytes = text.as_bytes();
    let is_trimmed = [bytes.first(), bytes.last()].into_iter().flatten().all(u8::is_ascii_graphic);
    let text = if is_trimmed { text } else { text.trim() };
    if text.as_bytes().contains(&b':') { stat_of_receipt(text).unwrap_or(text) } else { text }
}

/// Returns the `stat` of a delivery receipt as SMPP gateways write it: `id:… sub:… dlvrd:… submit date:… done date:…
/// stat:DELIVRD err:000 text:…`. What follows `text:` is the customer's.
fn stat_of_receipt(text: &str) -> Option<&str> {
    let mut parts = text.split_whitespace();
    while let Some(part) = parts.next() {
        let Some((name, value)) = part.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("text") {
            return None;
        }
        if name.eq_ignore_ascii_case("stat") {
            let value = if value.is_empty() { parts.next()? } else { value };
            return Some(value).filter(|value| !value.contains(':'));
        }
    }
    None
}

#[cfg(test)]
impl Default for StatusTable {
    /// Returns a table with some words, for tests that need no more.
    fn default() -> Self {
        use StatusClass::{Final, Intermediate};
        let of = |word: &str, class, status: Option<&str>| {
            (word.to_owned(), StatusMeaning { class, status: status.map(Into::into) })
        };
        Self::documented([
            of("QUEUED", Intermediate, None),
            of("SENT", Intermediate, None),
            of("ENROUTE", Intermediate, None),
            of("DELIVERED", Final, None),
            of("DELIVRD", Final, Some("DELIVERED")),
            of("FAILED", Final, None),
            of("EXPIRED", Final, None),
            of("REJECTED", Final, None),
        ])
    }
}

#[cfg(test)]
mod tests;

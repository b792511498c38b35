//! Names delivery statuses that the table does not contain: in the log and in a metric, within limits.

use super::burst::{About, Bursts};
use crate::domain::status_word;
use crate::telemetry::{Metrics, mask};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// The number of words that are named. They come from outside, and each is a series of the metric.
const WORDS_MAX: usize = 20;

/// The number of characters of a word that are shown.
const CHARS_MAX: usize = 32;

/// The label of all other words.
const OTHER: &str = "other";

/// The unknown words that were named since the start.
#[derive(Default)]
pub(super) struct UnknownStatuses(RefCell<BTreeSet<Box<str>>>);

impl UnknownStatuses {
    /// Reports a status that is not in the table, as it came. The first report of each word is a line.
    pub(super) fn note(&self, phonon_uuid: &str, status: &str, metrics: &Metrics, bursts: &Bursts) {
        let (word, is_new) = self.name(status);
        metrics.unknown_status(&word);
        if is_new {
            tracing::warn!(
                phonon_uuid,
                status = &*word,
                "a delivery report has an unknown status; add it to [statuses] if other reports follow it; see \
                 ops/guide/statuses.md"
            );
        } else {
            bursts.is_single(About::Status, "");
        }
    }

    /// Returns the word as it is named, and whether it is new.
    fn name(&self, status: &str) -> (Box<str>, bool) {
        let mut words = self.0.borrow_mut();
        let word = shown(status);
        if words.contains(&word) {
            (word, false)
        } else if words.len() < WORDS_MAX {
            words.insert(word.clone());
            (word, true)
        } else {
            (OTHER.into(), false)
        }
    }
}

/// Returns the beginning of the word in capitals, without control characters and without numbers that may be a
/// customer's.
fn shown(status: &str) -> Box<str> {
    let word = status_word(status);
    let plain = |c: char| if c.is_control() { '?' } else { c.to_ascii_uppercase() };
    let mut text: String = word.chars().take(CHARS_MAX).map(plain).collect();
    if text.len() < word.len() {
        text.push('…');
    }
    mask::text(&text).into()
}

#[cfg(test)]
mod tests {
    use super::{CHARS_MAX, OTHER, UnknownStatuses, WORDS_MAX, shown};

    #[test]
    fn a_word_is_shown_in_one_spelling_and_within_its_limit() {
        assert_eq!(&*shown(" telepathy\n"), "TELEPATHY");
        assert_eq!(&*shown("id:1 stat:odd err:0 text:a customer's text"), "ODD");
        assert_eq!(&*shown("a\u{1b}[31mb"), "A?[31MB");
        let long = shown(&"x".repeat(1000));
        assert_eq!(long.chars().count(), CHARS_MAX + 1, "{long}");
        assert!(!shown("to 919879072567").contains("919879072567"));
    }

    #[test]
    fn only_the_first_words_are_named_and_each_is_new_once() {
        let statuses = UnknownStatuses::default();
        for round in 0..2 {
            for number in 0..WORDS_MAX {
                let (word, is_new) = statuses.name(&format!("w{number}"));
                assert_eq!((&*word, is_new), (format!("W{number}").as_str(), round == 0));
            }
        }
        assert_eq!(statuses.name("one too many"), (OTHER.into(), false));
    }
}

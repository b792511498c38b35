//! The functions on strings: <https://www.w3.org/TR/1999/REC-xpath-19991116/#section-String-Functions>.

use super::evaluate::count;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The nearest whole number; of two that are as near, the larger.
pub(super) fn round(number: f64) -> f64 {
    let floor = number.floor();
    // Not floor(number + 0.5), whose sum may already be rounded.
    if number - floor >= 0.5 { number.ceil() } else { floor }
}

/// The characters of `text` whose positions, from 1, are at least `start` and, with a `length`, below `start + length`.
pub(super) fn substring(text: &str, start: f64, length: Option<f64>) -> String {
    let first = round(start);
    let end = length.map_or(f64::INFINITY, |length| first + round(length));
    let chars = text.chars().enumerate();
    // Comparing with NaN is false, so that nothing is left, as XPath wants it.
    let inside = chars.filter(|(index, _)| count(index + 1) >= first && count(index + 1) < end);
    inside.map(|(_, letter)| letter).collect()
}

pub(super) fn normalize_space(text: &str) -> String {
    let words = text.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty());
    words.fold(String::new(), |mut all, word| {
        all.push_str(if all.is_empty() { "" } else { " " });
        all.push_str(word);
        all
    })
}

/// Replaces each character of `from` by the one at the same place of `to`, or drops it if `to` is shorter.
pub(super) fn translate(text: &str, from: &str, to: &str) -> String {
    let mut table = BTreeMap::new();
    let mut to = to.chars();
    for letter in from.chars() {
        let replacement = to.next();
        table.entry(letter).or_insert(replacement);
    }
    let replaced = text.chars().filter_map(|letter| match table.get(&letter) {
        Some(replacement) => *replacement,
        None => Some(letter),
    });
    replaced.collect()
}

/// What stands before the first `mark` in `text`; nothing if there is none.
pub(super) fn before<'t>(text: Cow<'t, str>, mark: &str) -> Cow<'t, str> {
    let at = text.find(mark).unwrap_or(0);
    part(text, 0, at)
}

/// What stands behind the first `mark` in `text`; nothing if there is none.
pub(super) fn after<'t>(text: Cow<'t, str>, mark: &str) -> Cow<'t, str> {
    let at = text.find(mark).map_or(text.len(), |at| at + mark.len());
    let end = text.len();
    part(text, at, end)
}

fn part(text: Cow<'_, str>, start: usize, end: usize) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(start..end).unwrap_or_default()),
        Cow::Owned(text) => Cow::Owned(text.get(start..end).unwrap_or_default().to_owned()),
    }
}

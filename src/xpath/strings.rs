//! Functions on strings (<https://www.w3.org/TR/1999/REC-xpath-19991116/#section-String-Functions>), and rounding.

use super::evaluate::count;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Returns the nearest whole number, or the larger of two that are equally near.
pub(super) fn round(number: f64) -> f64 {
    let floor = number.floor();
    // `floor(number + 0.5)` would be wrong, since the sum may be rounded already.
    if number - floor >= 0.5 { number.ceil() } else { floor }
}

/// Returns the characters of `text` whose positions, from 1, are at least `start` and, with a `length`, below `start +
/// length`.
pub(super) fn substring(text: &str, start: f64, length: Option<f64>) -> String {
    let first = round(start);
    let end = length.map_or(f64::INFINITY, |length| first + round(length));
    let chars = text.chars().enumerate();
    // A comparison with NaN is false, so that the result is empty, as XPath requires.
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

/// Replaces each character of `from` by the character at the same position of `to`, or drops it if `to` is shorter.
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

/// Returns the text before the first `mark` in `text`, or an empty text if there is none.
pub(super) fn before<'t>(text: Cow<'t, str>, mark: &str) -> Cow<'t, str> {
    let at = text.find(mark).unwrap_or(0);
    part(text, 0, at)
}

/// Returns the text behind the first `mark` in `text`, or an empty text if there is none.
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

//! Names for variables, made from the path of a value.

use std::collections::{BTreeMap, BTreeSet};

/// A step on the path to a value.
#[derive(Clone, Debug)]
pub(super) enum PathSegment {
    Name(String),
    Index(usize),
}

/// The longest name before a number is added, in characters.
const NAME_MAX: usize = 64;

/// The most names of the path to join before a number is used.
const NAMES_MAX: usize = 4;

/// Creates names that are unique within one example.
#[derive(Default)]
pub(super) struct Namer {
    taken: BTreeSet<String>,
    /// For each name that was taken, the last number that was appended to it.
    last: BTreeMap<String, usize>,
}

impl Namer {
    /// Returns a name for the value at `segments`: the last name, with the index behind it if there is one.
    ///
    /// If that is taken, it adds the name before it, and so on. As a last resort it adds a number.
    pub(super) fn name(&mut self, segments: &[PathSegment]) -> String {
        let names = segments.iter().enumerate().rev();
        let names =
            names.filter(|(_, segment)| matches!(segment, PathSegment::Name(_))).map(|(at, _)| at);
        for start in names.take(NAMES_MAX) {
            let name = join(segments.get(start..).unwrap_or_default());
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
        let base = join(segments);
        loop {
            let last = self.last.entry(base.clone()).or_insert(0);
            *last += 1;
            let name = if *last == 1 { base.clone() } else { format!("{base}_{last}") };
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

fn join(segments: &[PathSegment]) -> String {
    let mut name = String::new();
    for segment in segments {
        let word = match segment {
            PathSegment::Name(spelt) => word(spelt),
            PathSegment::Index(index) if name.is_empty() => format!("value_{index}"),
            PathSegment::Index(index) => index.to_string(),
        };
        if !name.is_empty() && !word.is_empty() {
            name.push('_');
        }
        name.push_str(&word);
    }
    name.truncate(NAME_MAX);
    if name.is_empty() { "value".to_owned() } else { name }
}

/// Replaces the characters that a name can't contain. The result is ASCII, so that truncation splits no character.
fn word(spelt: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let word: String = spelt.chars().map(plain).collect();
    word.trim_matches('_').to_owned()
}

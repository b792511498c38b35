//! Whole words with their meanings, found in any case. A look-up allocates nothing.

use super::{STATUS_BYTES_MAX, StatusMeaning};
use std::cmp::Ordering;

/// The words in capitals with their meanings, sorted by length first, so that most comparisons compare two numbers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Words(Vec<(Box<str>, StatusMeaning)>);

impl Words {
    /// Creates the table. Of a repeated word, the last meaning counts.
    pub(super) fn new(words: Vec<(Box<str>, StatusMeaning)>) -> Self {
        let mut all = words;
        all.iter_mut().for_each(|(word, _)| word.make_ascii_uppercase());
        // A stable sort keeps the order of repeated words.
        all.sort_by(|(one, _), (other, _)| by_length(one.as_bytes(), other.as_bytes()));
        all.reverse();
        all.dedup_by(|(one, _), (other, _)| one == other);
        all.reverse();
        Self(all)
    }

    /// Returns the meaning of `word`, or `None` if it is unknown or longer than any known word.
    pub(super) fn get(&self, word: &str) -> Option<&StatusMeaning> {
        let mut buffer = [0; STATUS_BYTES_MAX];
        let capitals = buffer.get_mut(..word.len())?;
        capitals.copy_from_slice(word.as_bytes());
        capitals.make_ascii_uppercase();
        let found = self.0.binary_search_by(|(known, _)| by_length(known.as_bytes(), capitals));
        self.0.get(found.ok()?).map(|(_, meaning)| meaning)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(word, _)| &**word)
    }
}

fn by_length(one: &[u8], other: &[u8]) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::Words;
    use crate::domain::{StatusClass, StatusMeaning};

    #[test]
    fn words_are_found_in_every_case_and_others_are_not() {
        let meaning = |class| StatusMeaning { class, status: None };
        let words: Vec<String> = (0..500).map(|number| format!("Word_{number}é")).collect();
        let all = words.iter().map(|word| (word.as_str().into(), meaning(StatusClass::Final)));
        let again = ("word_7é".into(), meaning(StatusClass::Intermediate));
        let table = Words::new(all.clone().chain([again]).collect());
        for word in &words {
            let class = table.get(&word.to_ascii_lowercase()).unwrap().class;
            let wanted =
                if word == "Word_7é" { StatusClass::Intermediate } else { StatusClass::Final };
            assert_eq!((table.get(word).unwrap().class, class), (wanted, wanted), "{word}");
        }
        assert_eq!(table.get("WORD_500é"), None);
        assert_eq!(table.get(""), None);
        assert_eq!(table.get(&"A".repeat(1000)), None);
        assert_eq!(Words::default().get("WORD_1é"), None);
        let backwards = Words::new(all.clone().rev().collect());
        assert_eq!(backwards, Words::new(all.collect()), "the order does not matter");
    }
}

//! Whole words with their meanings, found in any case. A look-up allocates nothing.

use super::StatusMeaning;

/// The words with their meanings, sorted by their heads, so that a look-up compares numbers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Words {
    heads: Vec<Head>,
    /// The words in capitals, in the order of their heads.
    words: Vec<(Box<str>, StatusMeaning)>,
}

/// The first 16 bytes of a word in capitals. Few words share them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Head(u128);

impl Head {
    const BYTES: usize = 16;

    pub(super) fn of(word: &str) -> Self {
        let mut head = [0; Self::BYTES];
        let bytes = word.as_bytes();
        let bytes = bytes.get(..head.len()).unwrap_or(bytes);
        if let Some(start) = head.get_mut(..bytes.len()) {
            start.copy_from_slice(bytes);
        }
        head.make_ascii_uppercase();
        Self(u128::from_be_bytes(head))
    }
}

impl Words {
    /// Creates the table. Of a repeated word, the last meaning counts.
    pub(super) fn new(words: Vec<(Box<str>, StatusMeaning)>) -> Self {
        let mut all = words;
        all.iter_mut().for_each(|(word, _)| word.make_ascii_uppercase());
        // A stable sort keeps the order of repeated words.
        all.sort_by(|(one, _), (other, _)| {
            Head::of(one).cmp(&Head::of(other)).then_with(|| one.cmp(other))
        });
        all.reverse();
        all.dedup_by(|(one, _), (other, _)| one == other);
        all.reverse();
        Self { heads: all.iter().map(|(word, _)| Head::of(word)).collect(), words: all }
    }

    /// Returns the meaning of `word`, which has this head, or `None` if it is unknown.
    pub(super) fn get(&self, head: Head, word: &str) -> Option<&StatusMeaning> {
        let first = self.heads.partition_point(|known| *known < head);
        let same = self.heads.get(first..)?.iter().take_while(|known| **known == head);
        let mut words = self.words.get(first..)?.iter().zip(same);
        let is_meant = |((known, _), _): &(&(Box<str>, StatusMeaning), &Head)| {
            // The head of a short word is the whole word.
            known.len() == word.len()
                && (word.len() <= Head::BYTES || known.eq_ignore_ascii_case(word))
        };
        words.find(is_meant).map(|((_, meaning), _)| meaning)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|(word, _)| &**word)
    }
}

#[cfg(test)]
mod tests {
    use super::{Head, Words};
    use crate::domain::{StatusClass, StatusMeaning};

    #[test]
    fn words_are_found_in_every_case_and_others_are_not() {
        let meaning = |class| StatusMeaning { class, status: None };
        let long = (0..20).map(|number| format!("Delivered_to_handset_{number}"));
        let words: Vec<String> =
            (0..500).map(|number| format!("Word_{number}é")).chain(long).collect();
        let all = words.iter().map(|word| (word.as_str().into(), meaning(StatusClass::Final)));
        let again = ("word_7é".into(), meaning(StatusClass::Intermediate));
        let table = Words::new(all.clone().chain([again]).collect());
        let get = |table: &Words, word: &str| table.get(Head::of(word), word).map(|it| it.class);
        for word in &words {
            let class = get(&table, &word.to_ascii_lowercase());
            let wanted =
                if word == "Word_7é" { StatusClass::Intermediate } else { StatusClass::Final };
            assert_eq!((get(&table, word), class), (Some(wanted), Some(wanted)), "{word}");
        }
        assert_eq!(get(&table, "WORD_500é"), None);
        assert_eq!(get(&table, ""), None);
        assert_eq!(get(&table, &"A".repeat(1000)), None);
        assert_eq!(get(&Words::default(), "WORD_1é"), None);
        assert_eq!(get(&table, "WORD_1é\0"), None);
        assert_eq!(get(&table, "WORD_1"), None);
        let backwards = Words::new(all.clone().rev().collect());
        assert_eq!(backwards, Words::new(all.collect()), "the order does not matter");
    }
}

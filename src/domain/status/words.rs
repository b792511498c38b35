//! Whole words with their meanings: a hash table that ignores case, so that a look-up copies nothing.

use super::StatusMeaning;

/// FNV-1a, 64 bits. The words come from files, never from records.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// The meanings by word.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Words {
    /// Empty, or a power of two and at least twice the number of words. A word is in its slot or in one that follows,
    /// before the next empty one.
    slots: Vec<Option<(Box<str>, StatusMeaning)>>,
}

impl Words {
    /// Creates the table. Of a repeated word, the last meaning counts.
    pub(super) fn new(words: Vec<(Box<str>, StatusMeaning)>) -> Self {
        if words.is_empty() {
            return Self::default();
        }
        let mut slots = Vec::new();
        slots.resize_with((2 * words.len()).next_power_of_two(), || None);
        let mut table = Self { slots };
        for (word, meaning) in words {
            let index = table.index(&word);
            if let Some(slot) = index.and_then(|index| table.slots.get_mut(index)) {
                *slot = Some((word, meaning));
            }
        }
        table
    }

    pub(super) fn get(&self, word: &str) -> Option<&StatusMeaning> {
        let slot = self.slots.get(self.index(word)?)?;
        slot.as_ref().map(|(_, meaning)| meaning)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().flatten().map(|(word, _)| &**word)
    }

    /// Returns the index of the word's slot, or of the empty one that it would have.
    fn index(&self, word: &str) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mix =
            |hash: u64, byte: u8| (hash ^ u64::from(byte.to_ascii_uppercase())).wrapping_mul(PRIME);
        let hash = word.bytes().fold(OFFSET, mix);
        let start = usize::try_from(hash % (self.slots.len() as u64)).ok()?;
        (0..self.slots.len()).map(|step| (start + step) & mask).find(|index| {
            match self.slots.get(*index) {
                Some(Some((known, _))) => known.eq_ignore_ascii_case(word),
                Some(None) | None => true,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Words;
    use crate::domain::{StatusClass, StatusMeaning};

    #[test]
    fn words_are_found_in_every_case_and_others_are_not() {
        let meaning = |class| StatusMeaning { class, status: None };
        let words: Vec<String> = (0..500).map(|number| format!("WORD_{number}")).collect();
        let all = words.iter().map(|word| (word.as_str().into(), meaning(StatusClass::Final)));
        let again = ("word_7".into(), meaning(StatusClass::Intermediate));
        let table = Words::new(all.chain([again]).collect());
        for word in &words {
            let class = table.get(&word.to_lowercase()).unwrap().class;
            let wanted =
                if word == "WORD_7" { StatusClass::Intermediate } else { StatusClass::Final };
            assert_eq!((table.get(word).unwrap().class, class), (wanted, wanted), "{word}");
        }
        assert_eq!(table.get("WORD_500"), None);
        assert_eq!(table.get(""), None);
        assert_eq!(Words::default().get("WORD_1"), None);
    }
}

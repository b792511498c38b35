//! Delivery statuses of an SMS.

use std::collections::BTreeMap;

/// Whether a status is the last word about an SMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusClass {
    /// More will come.
    Intermediate,
    /// Nothing more will come.
    Final,
}

const INTERMEDIATE: [&str; 7] =
    ["QUEUED", "SUBMITTED", "SENT", "ACCEPTED", "ACCEPTD", "ENROUTE", "BUFFERED"];
const FINAL: [&str; 9] = [
    "DELIVERED",
    "FAILED",
    "UNDELIVERED",
    "EXPIRED",
    "REJECTED",
    "DELETED",
    "DELIVRD",
    "UNDELIV",
    "REJECTD",
];

/// Which words are final and which intermediate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusTable(BTreeMap<String, StatusClass>);

impl StatusTable {
    /// The platform's and SMPP's words, changed by `overrides`.
    pub fn new(overrides: impl IntoIterator<Item = (String, StatusClass)>) -> Self {
        let known = INTERMEDIATE.map(|word| (word, StatusClass::Intermediate));
        let last = FINAL.map(|word| (word, StatusClass::Final));
        let defaults = known.into_iter().chain(last).map(|(word, class)| (word.to_owned(), class));
        let overrides =
            overrides.into_iter().map(|(word, class)| (word.to_ascii_uppercase(), class));
        Self(defaults.chain(overrides).collect())
    }

    /// The class of `word` in any case of letters, `None` when the table does not know it.
    #[must_use]
    pub fn class(&self, word: &str) -> Option<StatusClass> {
        match self.0.get(word) {
            Some(class) => Some(*class),
            None => self.0.get(&word.to_ascii_uppercase()).copied(),
        }
    }
}

impl Default for StatusTable {
    fn default() -> Self {
        Self::new([])
    }
}

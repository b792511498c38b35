//! Delivery statuses of an SMS.

use std::collections::BTreeMap;

/// Whether further statuses of an SMS will follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusClass {
    /// Further statuses will follow.
    Intermediate,
    /// No further status will follow.
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

/// The table of final and intermediate statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusTable(BTreeMap<String, StatusClass>);

impl StatusTable {
    /// Creates a table of the platform's and SMPP's statuses, changed by `overrides`.
    pub fn new(overrides: impl IntoIterator<Item = (String, StatusClass)>) -> Self {
        let known = INTERMEDIATE.map(|word| (word, StatusClass::Intermediate));
        let last = FINAL.map(|word| (word, StatusClass::Final));
        let defaults = known.into_iter().chain(last).map(|(word, class)| (word.to_owned(), class));
        let overrides =
            overrides.into_iter().map(|(word, class)| (word.to_ascii_uppercase(), class));
        Self(defaults.chain(overrides).collect())
    }

    /// Returns the known words, in capitals.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns the class of `word`, whose case does not matter, or `None` if the table does not contain it.
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

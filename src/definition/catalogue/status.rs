//! The delivery statuses that the gateways document, from `config/catalogue/statuses.toml`.

use crate::domain::{StatusClass, StatusMeaning, StatusTable};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

const STATUSES: &str = include_str!("../../../config/catalogue/statuses.toml");

static TABLE: LazyLock<StatusTable> = LazyLock::new(|| {
    let file: StatusFile = toml::from_str(STATUSES).unwrap_or_default();
    StatusTable::documented(file.words())
});

/// Returns the table of the documented statuses, without any configuration.
#[must_use]
pub fn statuses() -> &'static StatusTable {
    &TABLE
}

/// The content of the file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusFile {
    gateway: Vec<Gateway>,
    same: Vec<Same>,
}

/// The words of one gateway.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gateway {
    #[cfg_attr(not(test), expect(dead_code, reason = "for readers of the file, and for its test"))]
    name: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "for readers of the file, and for its test"))]
    source: String,
    intermediate: Vec<String>,
    #[serde(rename = "final")]
    last: Vec<String>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

/// The spellings of one status.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Same {
    status: String,
    words: Vec<String>,
}

impl Gateway {
    fn words(&self) -> impl Iterator<Item = (String, StatusClass)> {
        let of = |words: &[String], class| -> Vec<_> {
            words.iter().map(|word| (word.to_ascii_uppercase(), class)).collect()
        };
        let last = of(&self.last, StatusClass::Final);
        of(&self.intermediate, StatusClass::Intermediate).into_iter().chain(last)
    }
}

impl StatusFile {
    /// Returns each word of each gateway once.
    fn words(&self) -> BTreeMap<String, StatusMeaning> {
        let spellings = self.same.iter().flat_map(|same| {
            same.words.iter().map(|word| (word.to_ascii_uppercase(), same.status.as_str()))
        });
        let spellings: BTreeMap<String, &str> = spellings.collect();
        let meaning = |(word, class): (String, StatusClass)| {
            let status = spellings.get(&word).map(|status| (*status).into());
            (word, StatusMeaning { class, status })
        };
        self.gateway.iter().flat_map(Gateway::words).map(meaning).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Gateway, STATUSES, StatusFile, statuses};
    use crate::domain::{STATUS_BYTES_MAX, StatusClass, status_word};
    use StatusClass::{Final, Intermediate};
    use std::collections::BTreeMap;

    fn file() -> StatusFile {
        toml::from_str(STATUSES).unwrap()
    }

    #[test]
    fn each_word_has_one_class_for_all_gateways_and_each_gateway_a_source() {
        let mut classes: BTreeMap<String, (StatusClass, String)> = BTreeMap::new();
        let file = file();
        for gateway in &file.gateway {
            let Gateway { name, source, .. } = gateway;
            let is_page = source.starts_with("https://") || source.starts_with("ops/guide/");
            assert!(is_page, "{name} has no source: {source}");
            let words: Vec<_> = gateway.words().collect();
            assert!(!words.is_empty(), "{name} has no words");
            for (index, (word, class)) in words.iter().enumerate() {
                assert!(
                    !words[..index].iter().any(|(other, _)| other == word),
                    "{name}: {word} twice"
                );
                assert!(
                    word.len() <= STATUS_BYTES_MAX && status_word(word) == word,
                    "{name}: {word}"
                );
                let (known, other) = classes.entry(word.clone()).or_insert((*class, name.clone()));
                assert_eq!(known, class, "{word} of {name} and of {other}");
            }
        }
        assert!(file.gateway.len() >= 20, "{} gateways", file.gateway.len());
    }

    #[test]
    fn every_spelling_is_a_word_of_a_gateway_with_the_class_of_its_status() {
        let (file, table) = (file(), statuses());
        for same in &file.same {
            let class = table.meaning(&same.status).map(|meaning| meaning.class);
            assert!(class.is_some(), "{} is no word of a gateway", same.status);
            for word in &same.words {
                let meaning = table.meaning(word).unwrap_or_else(|| panic!("{word}"));
                assert_eq!(Some(meaning.class), class, "{word}");
                assert!(table.is_same(&same.status, table.read(word).name), "{word}");
            }
        }
    }

    #[test]
    fn every_word_of_the_file_is_read_in_upper_and_lower_case() {
        for gateway in &file().gateway {
            for (word, class) in gateway.words() {
                let sample = word.replace('*', "ANY");
                for text in [sample.clone(), sample.to_lowercase(), format!(" {sample}\t")] {
                    let status = statuses().read(&text);
                    assert_eq!((status.class, status.is_known), (class, true), "{text}");
                }
            }
        }
    }

    #[test]
    fn words_that_say_that_a_message_is_on_its_way_are_intermediate() {
        for word in [
            "SENT_TO_QUEUE",
            "sending",
            "scheduled",
            "PENDING",
            "PENDING_ANYTHING",
            "DISPATCHED",
            "SUBMITD",
            "QUEUED",
            "SUBMITTED",
            "SENT",
            "ACCEPTED",
            "ACCEPTD",
            "ENROUTE",
            "BUFFERED",
            "DELIVERED_TO_OPERATOR",
            "message-sending",
        ] {
            assert_eq!(statuses().read(word).class, Intermediate, "{word}");
        }
        for word in [
            "DELIVERED",
            "FAILED",
            "UNDELIVERED",
            "EXPIRED",
            "REJECTED",
            "DELETED",
            "DELIVRD",
            "UNDELIV",
            "REJECTD",
            "SKIPPED",
            "UNKNOWN",
            "DELIVERED_TO_HANDSET",
            "REJECTED_DND",
        ] {
            let status = statuses().read(word);
            assert_eq!((status.class, status.is_known), (Final, true), "{word}");
        }
        assert!(!statuses().read("VANISHED").is_known);
    }
}

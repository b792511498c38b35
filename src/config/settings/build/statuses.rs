//! Reads `[statuses]`. A word, a pattern or an alias without effect is a fault.

use super::file;
use crate::definition::catalogue;
use crate::document::{Context, Place};
use crate::domain::{
    STATUS_BYTES_MAX, StatusClass, StatusMeaning, StatusPattern, StatusTable, status_word,
};
use std::collections::BTreeMap;

/// Every report with an unknown status is compared with each pattern.
const PATTERNS_MAX: usize = 100;

/// The words that every version has known. Words that were added to the catalogue later may still be in files that were
/// written before, and are only a warning.
const FIRST: [&str; 16] = [
    "QUEUED",
    "SUBMITTED",
    "SENT",
    "ACCEPTED",
    "ACCEPTD",
    "ENROUTE",
    "BUFFERED",
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

/// A word or a pattern of the section.
struct Word<'a> {
    /// In capitals, without blanks around it.
    text: String,
    meaning: StatusMeaning,
    place: Place<'a>,
}

impl Word<'_> {
    fn is_pattern(&self) -> bool {
        StatusPattern::parse(&self.text).is_some()
    }

    fn pair(&self) -> (String, StatusMeaning) {
        (self.text.clone(), self.meaning.clone())
    }
}

pub(super) fn read(
    written: &file::Statuses,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> StatusTable {
    let unknown = match written.unknown {
        file::UnknownStatus::Final => StatusClass::Final,
        file::UnknownStatus::Intermediate => StatusClass::Intermediate,
    };
    let documented = catalogue::statuses();
    let listed = listed(written, place, context);
    let lists = documented.configured(listed.iter().map(Word::pair), unknown);
    let aliases = aliases(written, &lists, &listed, &place.key("aliases"), context);
    let words: Vec<Word<'_>> = listed.into_iter().chain(aliases).collect();
    let patterns: Vec<&Word<'_>> = words.iter().filter(|word| word.is_pattern()).collect();
    if let Some(surplus) = patterns.get(PATTERNS_MAX) {
        let problem = format!("is one pattern more than the {PATTERNS_MAX} that are possible");
        context.fault(&surplus.place, problem, "use fewer and shorter patterns");
    } else {
        check_effects(&words, &patterns, documented, context);
    }
    documented.configured(words.iter().map(Word::pair), unknown)
}

/// Reads both lists.
fn listed<'a>(
    written: &file::Statuses,
    place: &Place<'a>,
    context: &mut Context<'_>,
) -> Vec<Word<'a>> {
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    let mut words = Vec::new();
    for (key, list, class) in [
        ("final", &written.last, StatusClass::Final),
        ("intermediate", &written.intermediate, StatusClass::Intermediate),
    ] {
        for (index, word) in list.iter().enumerate() {
            let place = place.key(key).item(index);
            let Some(text) = sound(word, &place, context) else { continue };
            match known.insert(text.clone(), key) {
                None => {}
                Some(other) if other == key => {
                    context.fault(
                        &place,
                        format!("`{}` is listed twice", word.trim()),
                        "list it once",
                    );
                    continue;
                }
                Some(other) => {
                    let problem = format!("`{}` is also in the list of {other} words", word.trim());
                    context.fault(&place, problem, "keep it in one of the two lists");
                    continue;
                }
            }
            // Another class does not make it another status.
            let status = catalogue::statuses().meaning(&text).and_then(|it| it.status.clone());
            words.push(Word { text, meaning: StatusMeaning { class, status }, place });
        }
    }
    words
}

/// Returns the word in capitals, without blanks around it. Reports a fault if no report can have it.
fn sound(word: &str, place: &Place<'_>, context: &mut Context<'_>) -> Option<String> {
    let text = word.trim();
    let read = status_word(text);
    let (problem, fix) = if text.is_empty() {
        ("is empty", "write a status, as in \"SENT\"".to_owned())
    } else if text.bytes().all(|byte| byte == b'*') {
        ("matches every status", "set `unknown` to the class of unknown statuses".to_owned())
    } else if read != text {
        ("is a delivery receipt, which is read as its `stat`", format!("write \"{read}\""))
    } else if text.len() > STATUS_BYTES_MAX {
        (
            "is too long",
            format!("write at most {STATUS_BYTES_MAX} bytes, or a pattern as in \"PENDING_*\""),
        )
    } else {
        return Some(text.to_ascii_uppercase());
    };
    context.fault(place, problem, fix);
    None
}

/// Reads the aliases. `lists` is the table with the words of both lists.
fn aliases<'a>(
    written: &file::Statuses,
    lists: &StatusTable,
    listed: &[Word<'_>],
    place: &Place<'a>,
    context: &mut Context<'_>,
) -> Vec<Word<'a>> {
    let names: BTreeMap<String, &String> =
        written.aliases.keys().map(|name| (name.trim().to_ascii_uppercase(), name)).collect();
    let mut words = Vec::new();
    for (name, status) in &written.aliases {
        let place = place.key(name);
        let Some(text) = sound(name, &place, context) else { continue };
        let status = status.trim();
        if names.get(&text).is_some_and(|last| *last != name) {
            context.fault(&place, "is written twice", "write it once");
        } else if listed.iter().any(|word| word.text == text) {
            let problem = "is also in a list of words, and the alias decides";
            context.fault(&place, problem, "keep one of the two");
        } else if names.contains_key(&status.to_ascii_uppercase()) {
            let problem = format!("means `{status}`, which is an alias itself");
            context.fault(&place, problem, "write the status that is meant");
        } else if let Some(meaning) = lists.meaning(status) {
            let name = meaning.status.clone().unwrap_or_else(|| status.to_ascii_uppercase().into());
            let meaning = StatusMeaning { class: meaning.class, status: Some(name) };
            words.push(Word { text, meaning, place });
        } else {
            let problem = format!("means `{status}`, which is no known status");
            context.fault(
                &place,
                problem,
                "write a known one, or add it to `final` or `intermediate`",
            );
        }
    }
    words
}

/// Reports each word that means the same without being written.
fn check_effects(
    words: &[Word<'_>],
    patterns: &[&Word<'_>],
    documented: &StatusTable,
    context: &mut Context<'_>,
) {
    let with = |patterns: &mut dyn Iterator<Item = &&Word<'_>>| {
        documented.configured(patterns.map(|word| word.pair()), StatusClass::Final)
    };
    let of_patterns = with(&mut patterns.iter());
    for word in words {
        let without = if word.is_pattern() {
            // A pattern that matches another as if it were a word matches all of the other's words.
            &with(&mut patterns.iter().filter(|other| other.text != word.text))
        } else {
            &of_patterns
        };
        let means = |table: &StatusTable| {
            let meaning = table.meaning(&word.text)?;
            let status = meaning.status.as_deref().unwrap_or(&word.text).to_ascii_uppercase();
            Some((meaning.class, status))
        };
        let status = word.meaning.status.as_deref().unwrap_or(&word.text).to_ascii_uppercase();
        if means(without) != Some((word.meaning.class, status)) {
            continue;
        }
        let class = match word.meaning.class {
            StatusClass::Final => "final",
            StatusClass::Intermediate => "intermediate",
        };
        if means(documented) != means(without) {
            let problem = format!("has no effect: another pattern makes `{}` {class}", word.text);
            context.fault(&word.place, problem, "remove it");
        } else if FIRST.contains(&word.text.as_str()) {
            let problem = format!("has no effect: `{}` is {class} without it", word.text);
            context.fault(&word.place, problem, "remove it");
        } else {
            let problem = format!("has no effect any more: `{}` is {class} without it", word.text);
            context.warn(&word.place, problem, "remove it");
        }
    }
}

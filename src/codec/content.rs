//! Content types, and the words that dead letters say instead of the four that there were first.

use crate::domain::ContentType;
use std::borrow::Cow;

/// In the order of their numbers in rows of earlier versions. No other ever gets a word: a new kind of body is named by its
/// content type.
const WORDS: [(&str, Option<&str>); 4] = [
    ("json", Some("application/json")),
    ("xml", Some("application/xml")),
    ("form", Some("application/x-www-form-urlencoded")),
    ("none", None),
];

/// What a body is, as dead letters and previews say it.
#[must_use]
pub fn word(content_type: &ContentType) -> &str {
    let content_type = content_type.as_deref();
    let known = WORDS.iter().find(|(_, known)| *known == content_type);
    known.map(|(word, _)| *word).or(content_type).unwrap_or_default()
}

/// What [`word`] said; `None` when it says nothing such.
pub(super) fn of_word(word: &str) -> Option<ContentType> {
    if let Some((_, known)) = WORDS.iter().find(|(known, _)| *known == word) {
        return Some(known.map(Cow::Borrowed));
    }
    let visible = word.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    (visible && word.contains('/')).then(|| Some(Cow::Owned(word.to_owned())))
}

/// The content type that a row of an earlier version kept as `number`.
pub(super) fn of_number(number: usize) -> Option<ContentType> {
    WORDS.get(number).map(|(_, known)| known.map(Cow::Borrowed))
}

/// The content type `text`, without a copy where it is one of those that there were first.
pub(super) fn shared(text: &str) -> Cow<'static, str> {
    let known = WORDS.iter().find_map(|(_, known)| known.filter(|known| *known == text));
    known.map_or_else(|| Cow::Owned(text.to_owned()), Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::{of_number, of_word, shared, word};
    use std::borrow::Cow;

    #[test]
    fn words_stand_for_content_types_and_any_other_content_type_for_itself() {
        for (number, known) in ["json", "xml", "form", "none"].into_iter().enumerate() {
            let content_type = of_word(known).unwrap();
            assert_eq!(word(&content_type), known);
            assert_eq!(of_number(number), Some(content_type.clone()));
            if let Some(text) = &content_type {
                assert!(matches!(shared(text), Cow::Borrowed(_)));
            }
        }
        assert_eq!(of_number(4), None);
        let csv = of_word("text/csv; charset=utf-8").unwrap();
        assert_eq!(word(&csv), "text/csv; charset=utf-8");
        assert_eq!(shared("text/csv"), "text/csv");
        for none in ["", "pdf", "a/b\nc", "a/é"] {
            assert_eq!(of_word(none), None, "{none}");
        }
    }
}

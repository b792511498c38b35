//! Content types, and the short names of four of them in dead letters.

use crate::domain::ContentType;
use std::borrow::Cow;

/// The content types with a short name, in the order of their numbers in rows of earlier versions. The list is closed:
/// dead letters name any other content type by its text.
const WORDS: [(&str, Option<&str>); 4] = [
    ("json", Some("application/json")),
    ("xml", Some("application/xml")),
    ("form", Some("application/x-www-form-urlencoded")),
    ("none", None),
];

/// Returns the name of a content type in dead letters and previews.
#[must_use]
pub fn word(content_type: &ContentType) -> &str {
    let content_type = content_type.as_deref();
    let known = WORDS.iter().find(|(_, known)| *known == content_type);
    known.map(|(word, _)| *word).or(content_type).unwrap_or_default()
}

/// Returns the content type that [`word`] names, or `None` if it names none.
pub(super) fn of_word(word: &str) -> Option<ContentType> {
    if let Some((_, known)) = WORDS.iter().find(|(known, _)| *known == word) {
        return Some(known.map(Cow::Borrowed));
    }
    let visible = word.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    (visible && word.contains('/')).then(|| Some(Cow::Owned(word.to_owned())))
}

/// Returns the content type with this number in rows of earlier versions.
pub(super) fn of_number(number: usize) -> Option<ContentType> {
    WORDS.get(number).map(|(_, known)| known.map(Cow::Borrowed))
}

/// Returns the content type `text`, without a copy if it has a short name.
pub(super) fn shared(text: &str) -> Cow<'static, str> {
    let known = WORDS.iter().find_map(|(_, known)| known.filter(|known| *known == text));
    known.map_or_else(|| Cow::Owned(text.to_owned()), Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::{of_number, of_word, shared, word};
    use std::borrow::Cow;

    #[test]
    fn four_content_types_have_a_short_name_and_any_other_is_its_own_name() {
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

//! A pattern of status words, such as `PENDING_*`.

/// The character that stands for any characters, or none.
const WILDCARD: char = '*';

/// A pattern of words. Case does not matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatusPattern(Box<str>);

impl StatusPattern {
    /// Returns the pattern in `text`, or `None` if `text` is a whole word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.contains(WILDCARD).then(|| Self(text.to_ascii_uppercase().into_boxed_str()))
    }

    /// Returns the number of bytes that are no wildcard.
    pub(super) fn literals(&self) -> usize {
        self.0.bytes().filter(|byte| !is_wildcard(*byte)).count()
    }

    /// Returns whether the pattern matches the whole of `word`. Given another pattern, it returns whether this one
    /// matches all words of the other.
    #[must_use]
    pub fn matches(&self, word: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.as_bytes(), word.as_bytes());
        // Where to continue if the rest does not match: the last wildcard takes one byte more.
        let mut again: Option<(&[u8], &[u8])> = None;
        loop {
            match (pattern.split_first(), rest.split_first()) {
                (Some((byte, after)), _) if is_wildcard(*byte) => {
                    pattern = after;
                    again = Some((after, rest));
                }
                (Some((byte, after)), Some((other, left))) if byte.eq_ignore_ascii_case(other) => {
                    (pattern, rest) = (after, left);
                }
                (None, None) => return true,
                _ => {
                    let Some((after, from)) = again else { return false };
                    let Some((_, left)) = from.split_first() else { return false };
                    (pattern, rest) = (after, left);
                    again = Some((after, left));
                }
            }
        }
    }
}

const fn is_wildcard(byte: u8) -> bool {
    byte == WILDCARD as u8
}

#[cfg(test)]
mod tests {
    use super::StatusPattern;

    #[test]
    fn a_wildcard_stands_for_any_characters_anywhere() {
        let matches = |pattern: &str, word| StatusPattern::parse(pattern).unwrap().matches(word);
        for (pattern, word) in [
            ("PENDING_*", "PENDING_ENROUTE"),
            ("PENDING_*", "pending_"),
            ("*_FAILED", "DELIVERY_FAILED"),
            ("*_FAILED", "A_FAILED_FAILED"),
            ("A*B*C", "AxBxBxC"),
            ("*", ""),
            ("**", "ANY"),
            ("É*", "ÉTAT"),
            ("PEND*", "PENDING_*"),
        ] {
            assert!(matches(pattern, word), "{pattern} {word}");
        }
        for (pattern, word) in [
            ("PENDING_*", "PENDING"),
            ("PENDING_*", "XPENDING_A"),
            ("*_FAILED", "FAILED"),
            ("*_FAILED", "DELIVERY_FAILED_NOW"),
            ("A*B*C", "AxCxB"),
            ("PENDING_*", "PEND*"),
        ] {
            assert!(!matches(pattern, word), "{pattern} {word}");
        }
        assert_eq!(StatusPattern::parse("SENT"), None);
    }
}

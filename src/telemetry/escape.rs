//! Makes text from outside safe for a terminal. A control character could move the cursor, and a bidi control could
//! change how a line reads.
//!
//! Everything that this process writes for people passes through here: `output` for stdout and stderr, `logging` for
//! the log.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns `text` with control characters and bidi controls in the form of JSON (`\u001b`), so that JSON stays JSON.
/// Newlines, tabs, and the joiners that many scripts need stay.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_steering(c) && !matches!(c, '\n' | '\t'))
}

/// Like `printable`, but on one line.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_steering)
}

/// Returns whether a terminal may interpret the character instead of showing it.
fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            // Unicode's property Bidi_Control.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // The separators of lines and paragraphs.
            | '\u{2028}' | '\u{2029}'
        )
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    let Some(first) = text.find(&is_escaped) else { return Cow::Borrowed(text) };
    let (before, rest) = text.split_at(first);
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(before);
    for c in rest.chars() {
        match c {
            '\n' if is_escaped(c) => out.push_str("\\n"),
            '\t' if is_escaped(c) => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_escaped(c) => {
                // All of them are in the first plane.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(one_line("a\n\tb\r"), "a\\n\\tb\\r");
        assert_eq!(
            printable("a\n\u{1b}[2Jफोनन\r\u{9b}\u{7f}"),
            "a\n\\u001b[2Jफोनन\\r\\u009b\\u007f"
        );
    }

    #[test]
    fn bidi_controls_are_escaped_and_joiners_stay() {
        for c in "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{2028}\u{2029}".chars() {
            let code = format!("a\\u{:04x}b", u32::from(c));
            assert_eq!(printable(&format!("a{c}b")), code);
            assert_eq!(one_line(&format!("a{c}b")), code);
        }
        for text in ["क्\u{200d}ष", "می\u{200c}خواهم", "👩\u{200d}👧", "plain"] {
            assert!(matches!(printable(text), Cow::Borrowed(shown) if shown == text), "{text}");
        }
    }

    #[test]
    fn escaped_json_has_the_same_content() {
        let value =
            serde_json::json!({ "text": "a\u{1b}[31m\u{9b}\u{202e}\u{7f}\u{2028}क\u{200d}" });
        let line = printable(&value.to_string()).into_owned();
        assert!(!line.chars().any(is_steering), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), value);
    }
}

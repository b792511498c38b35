//! Masks phone numbers in logs.

use std::borrow::Cow;
use std::fmt;

/// A shorter number is hidden completely: its first and last digits would make it easy to guess.
const DIGITS_SHOWN_MIN: usize = 10;

/// A shorter run of digits in free text is not a phone number.
const RUN_MIN: usize = 7;

const FIRST_SHOWN: usize = 4;
const LAST_SHOWN: usize = 2;

/// Shows the first four and the last two characters of a phone number.
#[derive(Clone, Copy)]
pub struct Phone<'a>(pub &'a str);

impl fmt::Display for Phone<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.strip_prefix('+').unwrap_or(self.0);
        if number.len() < self.0.len() {
            f.write_str("+")?;
        }
        let length = number.chars().count();
        for (place, character) in number.chars().enumerate() {
            let shown = place < FIRST_SHOWN || place + LAST_SHOWN >= length;
            let shown = shown && length >= DIGITS_SHOWN_MIN;
            fmt::Write::write_char(f, if shown { character } else { '*' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Phone<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns `text` from outside with every run of seven or more digits masked as by [`Phone`].
///
/// A run next to a letter or a hyphen is part of an id and stays, unless a `+` precedes it.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut copied = 0;
    let mut rest = text;
    while let Some(found) = rest.find(char::is_numeric) {
        let start = text.len() - rest.len() + found;
        let (before, tail) = text.split_at(start);
        let length = tail.find(|c: char| !c.is_numeric()).unwrap_or(tail.len());
        let (run, after) = tail.split_at(length);
        rest = after;
        if run.chars().count() >= RUN_MIN && !is_part_of_id(before, after) {
            masked.push_str(text.get(copied..start).unwrap_or_default());
            masked.push_str(&Phone(run).to_string());
            copied = start + length;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    masked.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(masked)
}

/// Returns whether a run of digits between the two texts is part of an id.
fn is_part_of_id(before: &str, after: &str) -> bool {
    let joins = |c: char| c.is_alphabetic() || c == '-';
    // The letter of an escape, as in `\n9198…` within JSON, is not part of the run.
    let escaped = ["\\n", "\\r", "\\t"].iter().any(|escape| before.ends_with(escape));
    let joined_before = !escaped && before.ends_with(joins);
    let plus = before.ends_with('+');
    !plus && (joined_before || after.starts_with(joins))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(given: &str, then: &str) {
        assert_eq!(text(given), then);
    }

    #[test]
    fn a_phone_number_shows_its_ends() {
        assert_eq!(Phone("919812345667").to_string(), "9198******67");
        assert_eq!(Phone("+919812345667").to_string(), "+9198******67");
        assert_eq!(format!("{:?}", Phone("9812345667")), "9812****67");
    }

    #[test]
    fn a_short_number_shows_nothing() {
        assert_eq!(Phone("981234566").to_string(), "*********");
        assert_eq!(Phone("+1234").to_string(), "+****");
        assert_eq!(Phone("").to_string(), "");
        assert_eq!(Phone("९१९८१२३४५६६७").to_string(), "९१९८******६७");
    }

    #[test]
    fn numbers_in_text_are_masked() {
        check(r#"{"to":"919812345667"}"#, r#"{"to":"9198******67"}"#);
        check("to +919812345667, then 9812345.", "to +9198******67, then *******.");
        check("tel:+919812345667", "tel:+9198******67");
        check("919812345667", "9198******67");
        check(r"a\n919812345667\n", r"a\n9198******67\n");
        check("नंबर ९१९८१२३४५६६७।", "नंबर ९१९८******६७।");
    }

    #[test]
    fn text_that_is_no_phone_number_does_not_change() {
        for same in [
            "",
            "no digits",
            "status 503 after 15000 ms",
            "550e8400-e29b-41d4-a716-446655440000",
            "12345678-1234567-12345678",
            "msg_00000000ab1234567890123456789012",
            "deadbeef12345678cafe",
            "1234567z",
        ] {
            check(same, same);
            assert!(matches!(text(same), Cow::Borrowed(_)), "{same}");
        }
    }
}

//! Formats JSON for people. Order and spelling of names and values do not change.

/// An object or array without nested ones stays on one line if it is shorter than this, in bytes.
const INLINE_MAX: usize = 96;

/// Breaks compact JSON into lines, each indented by `margin`. Never fails: text that is not JSON is broken at arbitrary
/// places.
pub(super) fn pretty(json: &str, margin: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(margin);
        out.push_str(&"  ".repeat(depth));
    };
    let mut rest = json.trim();
    out.push_str(margin);
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '{' | '[' => {
                if let Some(leaf) = leaf(rest) {
                    push_spaced(&mut out, leaf);
                    leaf.len()
                } else {
                    depth += 1;
                    out.push(first);
                    line(&mut out, depth);
                    1
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(first);
                1
            }
            ',' => {
                out.push(first);
                line(&mut out, depth);
                1
            }
            ':' => {
                out.push_str(": ");
                1
            }
            '"' => {
                let text = string(rest);
                out.push_str(text);
                text.len()
            }
            other => {
                out.push(other);
                other.len_utf8()
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    out
}

/// Returns the object or array at the start of `text` if it fits on a line and contains no other.
fn leaf(text: &str) -> Option<&str> {
    let mut end = 1;
    while end <= INLINE_MAX {
        let rest = text.get(end..)?;
        match rest.chars().next()? {
            '{' | '[' => return None,
            '}' | ']' => return text.get(..=end),
            '"' => end += string(rest).len(),
            other => end += other.len_utf8(),
        }
    }
    None
}

fn push_spaced(out: &mut String, mut leaf: &str) {
    while let Some(first) = leaf.chars().next() {
        let text =
            if first == '"' { string(leaf) } else { leaf.get(..first.len_utf8()).unwrap_or(leaf) };
        out.push_str(text);
        if matches!(first, ',' | ':') {
            out.push(' ');
        }
        leaf = leaf.get(text.len()..).unwrap_or_default();
    }
}

/// Returns the string literal at the start of `text` with its quotes, or all of `text` if the literal does not end.
fn string(text: &str) -> &str {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            '"' if !escaped => return text.get(..=at).unwrap_or(text),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::pretty;

    fn check(given: &str, then: &str) {
        assert_eq!(pretty(given, "> "), then);
    }

    #[test]
    fn short_values_stay_on_one_line() {
        check(r#"{"a":1,"b":"x, y"}"#, r#"> {"a": 1, "b": "x, y"}"#);
        check("[]", "> []");
        check(
            r#"{"b":[{"n":0.10},{"n":2}],"a":"}\"{"}"#,
            "> {\n>   \"b\": [\n>     {\"n\": 0.10},\n>     {\"n\": 2}\n>   ],\n>   \"a\": \"}\\\"{\"\n> }",
        );
    }

    #[test]
    fn long_values_are_broken_into_lines() {
        let long = "फो".repeat(40);
        check(&format!(r#"{{"a":"{long}"}}"#), &format!("> {{\n>   \"a\": \"{long}\"\n> }}"));
    }

    #[test]
    fn text_that_is_not_json_is_shown_too() {
        for text in ["", "hello", "{", "}}", "\"", "[\"\\"] {
            assert!(pretty(text, "").replace(['\n', ' '], "").contains(text.trim()), "{text}");
        }
    }
}

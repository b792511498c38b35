//! What commands say on a terminal, and what they ask there.

use std::io::{IsTerminal as _, Write as _};

/// Whether to go on: asked on a terminal, taken for granted in a script.
pub(super) fn confirm(question: &str, yes: bool) -> bool {
    if yes || !std::io::stdin().is_terminal() {
        return true;
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    let asked = std::io::stderr().flush().and_then(|()| std::io::stdin().read_line(&mut answer));
    asked.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// Text from outside as a terminal may show it: a control character could move the cursor, or worse.
pub(super) fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c.to_string(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn a_terminal_is_not_steered_from_outside() {
        assert_eq!(
            printable("a\n\u{1b}[2Jफोनन\r\u{9b}\u{7f}"),
            "a\n\\u{1b}[2Jफोनन\\r\\u{9b}\\u{7f}"
        );
    }
}

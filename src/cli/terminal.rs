//! What commands say on a terminal, and what they ask there.

use crate::telemetry::output;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use std::io::{IsTerminal as _, Write as _};

/// Whether to go on: asked on a terminal, taken for granted in a script.
pub(super) fn confirm(question: &str, yes: bool) -> bool {
    if yes || !std::io::stdin().is_terminal() {
        return true;
    }
    output::err(format_args!("{question} [y/N] "));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// Writes the lines to stdout, until nobody reads them any more.
pub(super) fn print(lines: impl IntoIterator<Item = String>) {
    let mut out = std::io::stdout().lock();
    let write = || lines.into_iter().try_for_each(|line| writeln!(out, "{line}"));
    let written = write().and_then(|()| out.flush());
    drop(out);
    output::note_out(&written);
}

/// How far a command is with reading `topic`; it is drawn on stderr, and only if that is a terminal.
pub(super) fn progress(topic: &str) -> ProgressBar {
    let style = "reading {msg} {wide_bar} {human_pos}/{human_len}, {per_sec}, {eta} left";
    let style =
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::no_length().with_style(style).with_message(topic.to_owned());
    bar.with_finish(ProgressFinish::AndClear)
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

/// The same on one line.
pub(super) fn one_line(text: &str) -> String {
    printable(text).replace('\n', "\\n").replace('\t', "\\t")
}

/// The rows as lines whose columns stand below each other; the last column ends where it ends.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{one_line, printable, table};

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["A", "B", "C"], ["फोनन", "", "c c"], ["a", "bb", ""]];
        let lines = table(&rows.map(|row| row.map(str::to_owned)));
        assert_eq!(lines, ["A     B   C", "फोनन      c c", "a     bb"]);
    }

    #[test]
    fn a_terminal_is_not_steered_from_outside() {
        assert_eq!(one_line("a\n\tb\r"), "a\\n\\tb\\r");
        assert_eq!(
            printable("a\n\u{1b}[2Jफोनन\r\u{9b}\u{7f}"),
            "a\n\\u{1b}[2Jफोनन\\r\\u{9b}\\u{7f}"
        );
    }
}

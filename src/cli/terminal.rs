//! Output of commands on a terminal, and questions to the user.

use crate::log::Progress;
use crate::telemetry::escape::printable;
use crate::telemetry::output;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use serde::Serialize;
use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;

/// Returns whether to continue. Asks on a terminal; returns true in a script.
pub(super) fn confirm(question: &str, yes: bool) -> bool {
    if yes || !std::io::stdin().is_terminal() {
        return true;
    }
    output::err(format_args!("{question} [y/N] "));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// Writes the lines to stdout, and stops at the first error, such as a closed pipe.
pub(super) fn print(lines: impl IntoIterator<Item = String>) {
    let mut out = std::io::stdout().lock();
    let write = || lines.into_iter().try_for_each(|line| writeln!(out, "{}", printable(&line)));
    let written = write().and_then(|()| out.flush());
    drop(out);
    output::note_out(&written);
}

/// Returns `answer` as one line of JSON with its members in alphabetical order.
pub(super) fn json(answer: &impl Serialize) -> String {
    serde_json::to_value(answer).unwrap_or_default().to_string()
}

/// Shows the progress of reading, one bar per topic. The bars are drawn on stderr, and only if that is a terminal.
#[derive(Default)]
pub(super) struct Bars {
    topic: String,
    bar: Option<ProgressBar>,
}

impl Bars {
    /// Shows the progress. Never stops the reading.
    pub(super) fn see(&mut self, progress: Progress<'_>) -> ControlFlow<()> {
        if self.bar.is_none() || self.topic != progress.topic {
            progress.topic.clone_into(&mut self.topic);
            // The previous bar is cleared when it is dropped.
            self.bar = Some(bar(progress.topic));
        }
        if let Some(bar) = &self.bar {
            bar.set_length(progress.all);
            bar.set_position(progress.done);
        }
        ControlFlow::Continue(())
    }
}

fn bar(topic: &str) -> ProgressBar {
    let style = "reading {msg} {wide_bar} {human_pos}/{human_len}, {per_sec}, {eta} left";
    let style =
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::no_length().with_style(style).with_message(topic.to_owned());
    bar.with_finish(ProgressFinish::AndClear)
}

/// Formats the rows as lines with aligned columns. The last column is not padded.
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
    use super::table;

    #[test]
    fn columns_are_aligned() {
        let rows = [["A", "B", "C"], ["फोनन", "", "c c"], ["a", "bb", ""]];
        let lines = table(&rows.map(|row| row.map(str::to_owned)));
        assert_eq!(lines, ["A     B   C", "फोनन      c c", "a     bb"]);
    }
}

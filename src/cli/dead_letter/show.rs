//! `ringback dead-letter show`

use super::{Watcher, Which, target, warn};
use crate::cli::FAILED;
use crate::domain::Timestamp;
use crate::exit::ExitCode;
use crate::inspect::dead_letters::WholeLetter;
use crate::replay::{Letters, ReplayError, Target};
use crate::telemetry::escape::one_line;
use crate::telemetry::{err_line, out_line};
use clap::Args;
use serde_json::Value;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

/// Shows a whole dead letter: the newest one that matches
///
/// Exits with 1 if none matches.
#[derive(Args)]
#[command(after_help = "Example:\n  ringback dead-letter show 3:1042")]
pub(in crate::cli) struct Arguments {
    /// A webhook-id, or the letter's place PARTITION:OFFSET
    #[arg(value_parser = target, value_name = "WEBHOOK-ID|PLACE")]
    target: Option<Target>,
    #[command(flatten)]
    which: Which,
    /// Prints a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    letters: &Letters,
    arguments: &Arguments,
    interrupted: &AtomicBool,
) -> Result<ExitCode, ReplayError> {
    let mut newest: Option<(Timestamp, Value)> = None;
    let mut watcher = Watcher::new(interrupted);
    let filter = arguments.which.filter(arguments.target);
    let only_open = arguments.which.open;
    let mut watch = |progress| watcher.see(progress);
    let looked =
        letters.each_with_state(&filter, only_open, &mut watch, &mut |letter, since| {
            if newest.as_ref().is_none_or(|(at, _)| *at <= letter.at) {
                let whole = serde_json::to_value(WholeLetter::of(letter, since));
                newest = Some((letter.at, whole.unwrap_or_default()));
            }
            ControlFlow::Continue(())
        })?;
    drop(watcher);
    warn(&looked);
    let Some((_, shown)) = newest else {
        err_line!("no dead letter matches");
        return Ok(ExitCode::from(FAILED));
    };
    if arguments.json {
        out_line!("{shown}");
    } else {
        out_line!("{}", text(&shown));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns a line for each member that has a value; objects and arrays take several lines.
fn text(shown: &Value) -> String {
    let mut lines = Vec::new();
    for (name, value) in shown.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            // The lines of a record's value stay. All other text is printed on one line, whatever its source.
            Value::String(text) if name == "value" => lines.push(format!("{name:<21} {text}")),
            Value::String(text) => lines.push(format!("{name:<21} {}", one_line(text))),
            Value::Object(_) | Value::Array(_) => {
                let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
                lines.push(format!("{name:<21} {pretty}"));
            }
            Value::Bool(_) | Value::Number(_) => lines.push(format!("{name:<21} {value}")),
        }
    }
    lines.join("\n")
}

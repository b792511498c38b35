//! `ringback dead-letter show`

use super::{Watcher, Which, summary, target, warn};
use crate::cli::FAILED;
use crate::codec::letter::LetterKind;
use crate::domain::Timestamp;
use crate::exit::ExitCode;
use crate::replay::{Letter, Letters, ReplayError, Since, Target};
use crate::telemetry::escape::one_line;
use crate::telemetry::{err_line, out_line};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Map, Value};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

/// Shows a dead letter whole: the newest one that matches
///
/// Exits with 1 when none does.
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
                newest = Some((letter.at, whole(letter, since)));
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

fn whole(letter: &Letter<'_>, since: &Since) -> Value {
    let mut shown = summary(letter, since);
    let headers: Map<String, Value> = letter
        .headers()
        .map(|(name, value)| (name.into_owned(), value.map(String::from_utf8_lossy).into()))
        .collect();
    let json = match letter.head.kind {
        LetterKind::Delivery => {
            letter.value.and_then(|value| serde_json::from_slice::<Value>(value).ok())
        }
        LetterKind::Record => None,
    };
    if let Value::Object(members) = &mut shown {
        members.insert("headers".to_owned(), headers.into());
        let (name, value) =
            match (json, letter.value.map(|value| (value, std::str::from_utf8(value)))) {
                (Some(delivery), _) => ("delivery", delivery),
                (None, None) => ("value", Value::Null),
                (None, Some((_, Ok(text)))) => ("value", text.into()),
                (None, Some((value, Err(_)))) => ("value_base64", STANDARD.encode(value).into()),
            };
        members.insert(name.to_owned(), value);
    }
    shown
}

/// A line for each member that is there, and what is long below it.
fn text(shown: &Value) -> String {
    let mut lines = Vec::new();
    for (name, value) in shown.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            // A record's own lines stay; everything else is a line, whoever wrote it.
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

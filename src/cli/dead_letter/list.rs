//! `ringback dead-letter list`

use super::{Watcher, Which, warn};
use crate::cli::terminal::json;
use crate::codec::event::rfc3339;
use crate::exit::ExitCode;
use crate::inspect::dead_letters::LetterView;
use crate::replay::{Letter, Letters, ReplayError, Since};
use crate::telemetry::escape::{one_line, printable};
use crate::telemetry::{err_line, output};
use clap::Args;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

/// Lists dead letters with their state, oldest first in each partition
///
/// - open: nothing has happened since it became a dead letter.
/// - replayed: it was sent again, and no event reports a delivery; it is in progress, or has a newer dead letter.
/// - delivered: the delivery was delivered since then; or the record was read again, and accepted or ignored.
/// - unknown: no replay is known, but Kafka has deleted the records that would show one.
///
/// The states are read from the inbox and from the events since the oldest letter that matches: --since makes that
/// shorter.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Example:\n  ringback dead-letter list --open --webhook crm --reason attempts_exhausted --since 12h"
)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Prints a JSON object per letter, each on a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    letters: &Letters,
    arguments: &Arguments,
    interrupted: &AtomicBool,
) -> Result<ExitCode, ReplayError> {
    let mut watcher = Watcher::new(interrupted);
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut count = 0_u64;
    let filter = arguments.which.filter(None);
    let only_open = arguments.which.open;
    let mut watch = |progress| watcher.see(progress);
    let looked =
        letters.each_with_state(&filter, only_open, &mut watch, &mut |letter, since| {
            let written = if arguments.json {
                writeln!(out, "{}", printable(&json(&LetterView::of(letter, since))))
            } else {
                let headings = count == 0;
                let headings = headings.then(|| line(&HEADINGS.map(str::to_owned)));
                headings
                    .iter()
                    .try_for_each(|headings| writeln!(out, "{headings}"))
                    .and_then(|()| writeln!(out, "{}", line(&cells(letter, since))))
            };
            output::note_out(&written);
            count += 1;
            // If the output is closed, no more lines are needed.
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    output::note_out(&out.flush());
    drop(out);
    drop(watcher);
    warn(&looked);
    if !looked.is_whole && interrupted.load(Ordering::Relaxed) {
        err_line!("interrupted: not all dead letters were read");
    } else if count == 0 && !arguments.json {
        err_line!("no dead letter matches");
    }
    Ok(ExitCode::SUCCESS)
}

const HEADINGS: [&str; 10] = [
    "PLACE",
    "STATE",
    "TIME",
    "REASON",
    "WEBHOOK",
    "ACCOUNT",
    "PHASE",
    "ATTEMPTS",
    "WEBHOOK-ID",
    "PHONON-UUID",
];

fn cells(letter: &Letter<'_>, since: &Since) -> [String; 10] {
    let head = &letter.head;
    let (partition, offset) = letter.place;
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        format!("{partition}:{offset}"),
        since.state.as_str().to_owned(),
        rfc3339(letter.at),
        head.reason.to_owned(),
        or_dash(head.webhook.map(str::to_owned)),
        or_dash(head.account.map(|account| account.to_string())),
        or_dash(head.phase.map(|phase| phase.to_string())),
        or_dash(head.attempts.map(|attempts| attempts.to_string())),
        or_dash(head.id.map(|id| id.to_string())),
        or_dash(letter.key.map(|key| String::from_utf8_lossy(key).into_owned())),
    ]
}

fn line(cells: &[String; 10]) -> String {
    let cells = cells.each_ref().map(|cell| one_line(cell));
    let [place, state, at, reason, webhook, account, phase, attempts, id, uuid] = cells;
    format!(
        "{place:<10} {state:<9} {at:<24} {reason:<20} {webhook:<16} {account:<8} {phase:<5} {attempts:<8} {id:<36} {uuid}"
    )
}

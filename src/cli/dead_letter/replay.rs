//! `ringback dead-letter replay`

use super::{Watcher, Which, target};
use crate::cli::terminal::json;
use crate::config::Accounts;
use crate::domain::WebhookName;
use crate::exit::ExitCode;
use crate::replay::{Letters, Plan, ReplayError, Summary, Target};
use crate::telemetry::{err_line, out_line, output};
use clap::Args;
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::atomic::AtomicBool;

/// Sends dead letters again: deliveries to their webhook, with its limits and the same webhook-id; records to their
/// topic
///
/// It skips dead letters whose delivery was delivered since, has a newer letter, or is being replayed already; the
/// summary counts them. It needs no running daemon: the inbox holds what is replayed until a daemon reads it.
///
/// To continue an interrupted run, use the same command again; --max counts over both calls. After a finished run, the
/// same command begins where that run stopped.
///
/// On a terminal it asks before it sends anything; in a script it does not.
#[derive(Args)]
#[command(
    after_help = "Example:\n  ringback dead-letter replay --reason attempts_exhausted --since 12h --dry-run\n  \
                  ringback dead-letter replay --reason attempts_exhausted --since 12h --rate 500 --max 2000"
)]
pub(in crate::cli) struct Arguments {
    /// A webhook-id, or the letter's place PARTITION:OFFSET
    #[arg(value_parser = target, value_name = "WEBHOOK-ID|PLACE")]
    target: Option<Target>,
    #[command(flatten)]
    which: Which,
    /// Shows what would be sent, and sends nothing
    #[arg(long)]
    dry_run: bool,
    /// The maximum number of letters per second
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU32>,
    /// The maximum number of letters, oldest first in each partition
    #[arg(long, value_name = "N")]
    max: Option<NonZeroU64>,
    /// Does not ask for confirmation
    #[arg(long, short)]
    yes: bool,
    /// Prints the summary as a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    letters: &Letters,
    accounts: &Accounts,
    arguments: &Arguments,
    interrupted: &AtomicBool,
) -> Result<ExitCode, ReplayError> {
    let filter = arguments.which.filter(arguments.target);
    let max = arguments.max.map(NonZeroU64::get);
    let mut watcher = Watcher::new(interrupted);
    let plan = letters.plan(&filter, max, &mut |progress| watcher.see(progress))?;
    drop(watcher);
    warn(&plan.summary(), accounts);
    let summary = if arguments.dry_run {
        plan.summary()
    } else if arguments.agreed(&plan) {
        let mut watcher = Watcher::new(interrupted);
        letters.replay(&plan, arguments.rate, &mut |progress| watcher.see(progress))?
    } else {
        err_line!("nothing was sent");
        return Ok(ExitCode::SUCCESS);
    };
    let text = if arguments.json { json(&summary) } else { text_of(&summary) };
    out_line!("{text}");
    if !summary.finished && !summary.dry_run {
        err_line!("interrupted: run the same command again to continue");
    }
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    /// Returns whether to send. Asks on a terminal.
    fn agreed(&self, plan: &Plan) -> bool {
        let asks = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if self.yes || !asks || plan.to_replay() == 0 {
            return true;
        }
        err_line!("{}", text_of(&plan.summary()));
        output::err(format_args!("Replay {}? [y/N] ", plan.to_replay()));
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        read.is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
    }
}

/// Warns about webhooks that are not configured and about incomplete events.
fn warn(summary: &Summary, accounts: &Accounts) {
    for (name, count) in &summary.by_webhook {
        let known =
            WebhookName::new(name).is_some_and(|name| accounts.webhooks.contains_key(&name));
        if !known {
            err_line!(
                "warning: {count} are for the webhook {name}, which is not configured: if replayed, they wait until it is"
            );
        }
    }
    if let Some(since) = &summary.events_gone_before {
        err_line!(
            "warning: events before {since} are deleted: it is unknown which letters were replayed and delivered \
             before that time; --since {since} leaves these letters out"
        );
    }
}

fn text_of(summary: &Summary) -> String {
    let mut lines = Vec::new();
    if summary.resumed {
        lines.push(
            "continues an interrupted run; the numbers are those of the whole run".to_owned(),
        );
    }
    lines.push(format!("{:>10}  match", summary.matched));
    histogram("by reason", &summary.by_reason, &mut lines);
    histogram("by webhook", &summary.by_webhook, &mut lines);
    let replayed = if summary.dry_run { "would be replayed" } else { "replayed" };
    lines.push(format!("{:>10}  {replayed}", summary.replayed));
    for (count, what) in [
        (summary.skipped_delivered, "skipped: delivered since"),
        (summary.skipped_older, "skipped: their deliveries have a newer letter"),
        (summary.skipped_sent, "skipped: replayed before, and in progress"),
        (
            summary.not_replayable,
            "can't be replayed: truncated, or from a topic that is not an input",
        ),
        (summary.left, "left for another run"),
    ] {
        if count > 0 {
            lines.push(format!("{count:>10}  {what}"));
        }
    }
    lines.join("\n")
}

fn histogram(title: &str, counts: &BTreeMap<String, u64>, lines: &mut Vec<String>) {
    if !counts.is_empty() {
        lines.push(format!("            {title}:"));
    }
    lines.extend(counts.iter().map(|(name, count)| format!("{count:>20}  {name}")));
}

//! `ringback changelog`

use super::{FAILED, kafka_failed, load, terminal};
use crate::codec::event::rfc3339;
use crate::config::Settings;
use crate::exit::ExitCode;
use crate::log::NeededBy;
use crate::rebuild::{Action, Plan, Rebuild, RebuildError, RebuildRequest};
use crate::shutdown::Signals;
use crate::telemetry::{err_line, with_causes};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde_json::json;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Restores the changelog, which holds the state
#[derive(Subcommand)]
#[command(after_help = "Example:\n  ringback changelog rebuild --dry-run")]
pub(super) enum Command {
    Rebuild(Rebuilding),
}

/// Writes the changelog from this machine's store after the topic was deleted, emptied or replaced
///
/// Stop all instances first. The command only reads the store. If the changelog does not exist, the command creates it
/// with the number of partitions that the store was written for. If the command is interrupted, run it again: it
/// continues where it stopped.
///
/// With several instances, run it on each machine: each store writes its own partitions. If two machines have rows of
/// the same partition, compare the times that --dry-run shows, and choose with --partition: the first machine that
/// writes a partition decides. `ringback run` refuses an incomplete changelog.
///
/// On a terminal it asks before it writes; in a script it does not. Exits with 1 while a partition of the store can't
/// be written.
#[derive(Args)]
#[command(
    after_help = "Example:\n  ringback changelog rebuild --config /etc/ringback/ringback.toml --dry-run"
)]
pub(super) struct Rebuilding {
    /// Writes only these partitions of the store
    #[arg(long = "partition", value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    only: Vec<i32>,
    /// Also writes from a store that is out of date or belongs to another cluster
    ///
    /// The daemon reads the records that the store has not seen from the inputs again. It may send webhooks again that
    /// were answered since then, with the same webhook-id.
    #[arg(long)]
    older: bool,
    /// The number of partitions that the changelog had; only for stores of versions that did not record it
    #[arg(long = "partitions", value_name = "N")]
    count: Option<u32>,
    /// Shows what would be written, and writes nothing
    #[arg(long)]
    dry_run: bool,
    /// Does not ask for confirmation
    #[arg(long, short)]
    yes: bool,
    /// Prints the result as a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(file: &Path, command: Command) -> ExitCode {
    let settings = match load(file) {
        Ok((settings, _)) => settings,
        Err(code) => return code,
    };
    let Command::Rebuild(arguments) = command;
    interruptible(move |runtime, interrupted| {
        let done = rebuild(&settings, &arguments, runtime, interrupted);
        done.unwrap_or_else(|error| refused(&settings, &error))
    })
    .await
}

/// Runs a command that blocks. The first signal sets its flag, and the second one ends the process.
pub(super) async fn interruptible(
    work: impl FnOnce(&tokio::runtime::Handle, &AtomicBool) -> ExitCode + Send + 'static,
) -> ExitCode {
    let interrupted = Arc::new(AtomicBool::new(false));
    let (flag, runtime) = (interrupted.clone(), tokio::runtime::Handle::current());
    let done = tokio::task::spawn_blocking(move || work(&runtime, &flag));
    tokio::select! {
        done = done => done.unwrap_or(ExitCode::from(FAILED)),
        code = patience(&interrupted) => code,
    }
}

/// Passes the first signal to the command. The second signal ends the process.
async fn patience(interrupted: &AtomicBool) -> ExitCode {
    let Ok(mut signals) = Signals::of_command() else { return std::future::pending().await };
    signals.next().await;
    interrupted.store(true, Ordering::Relaxed);
    signals.next().await;
    ExitCode::from(FAILED)
}

fn rebuild(
    settings: &Settings,
    arguments: &Rebuilding,
    runtime: &tokio::runtime::Handle,
    interrupted: &AtomicBool,
) -> Result<ExitCode, RebuildError> {
    let rebuild = Rebuild::new(&settings.kafka, &settings.topics, &settings.store.directory)?;
    let request = RebuildRequest {
        only: arguments.only.clone(),
        older: arguments.older,
        count: arguments.count,
    };
    let plan = rebuild.plan(&request)?;
    let topic = &settings.topics.changelog;
    if !arguments.json {
        terminal::print(lines(&plan, topic));
    }
    let code = if plan.is_refused() { ExitCode::from(FAILED) } else { ExitCode::SUCCESS };
    let question = format!("Write {} rows to topic {topic}?", plan.rows());
    let is_written = if arguments.dry_run {
        false
    } else if plan.rows() == 0 || terminal::confirm(&question, arguments.yes) {
        let bar = ProgressBar::new(plan.rows());
        rebuild.run(&plan, runtime, &mut |progress| {
            bar.set_message(format!("partition {}", progress.partition));
            bar.set_length(progress.all);
            bar.set_position(progress.rows);
            match interrupted.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        bar.finish_and_clear();
        true
    } else {
        err_line!("nothing was written");
        return Ok(ExitCode::from(FAILED));
    };
    if arguments.json {
        terminal::print([json_of(&plan, topic, is_written)]);
    } else if is_written {
        terminal::print([finished(&plan, topic)]);
    }
    Ok(code)
}

fn finished(plan: &Plan, topic: &str) -> String {
    if plan.is_refused() {
        return format!("topic {topic} is not complete: see the refused partitions above");
    }
    let is_unknown = plan.stored.iter().any(|partition| !partition.is_known());
    let start = if is_unknown {
        "an earlier version wrote the store; start the first time with `ringback run --accept-loss`: it moves the store aside \
         and restores the rows from the changelog"
    } else {
        "once it has been rebuilt from the stores of all instances, start them with `ringback run`"
    };
    format!("topic {topic} has all rows of this store: {start}")
}

fn lines(plan: &Plan, topic: &str) -> Vec<String> {
    let creates = if plan.exists { "exists" } else { "does not exist and is created" };
    let mut lines = vec![format!("topic {topic} ({} partitions) {creates}", plan.partitions)];
    for partition in &plan.stored {
        let (number, rows) = (partition.number, partition.rows);
        let as_of = rfc3339(partition.committed_at());
        lines.push(match &partition.action {
            Action::Write { after: None } => {
                format!("partition {number}: {rows} rows as of {as_of} are to be written")
            }
            Action::Write { after: Some(_) } => format!(
                "partition {number}: {rows} rows as of {as_of} are to be written; an earlier rebuild was interrupted, \
                 and this one continues it"
            ),
            Action::Done => format!("partition {number}: it was rebuilt before"),
            Action::Refuse(why) => format!("partition {number} is refused: {why}"),
        });
    }
    lines
}

fn json_of(plan: &Plan, topic: &str, is_written: bool) -> String {
    let partition = |plan: &crate::rebuild::PartitionPlan| {
        let (action, reason) = match &plan.action {
            Action::Write { .. } => ("write", None),
            Action::Done => ("done", None),
            Action::Refuse(why) => ("refuse", Some(why)),
        };
        let behind = plan.behind.iter().map(|behind| {
            json!({
                "topic": &*behind.place.topic,
                "partition": behind.place.partition,
                "stored": behind.stored,
                "committed": behind.committed,
            })
        });
        json!({
            "partition": plan.number,
            "rows": plan.rows,
            "as_of": rfc3339(plan.committed_at()),
            "action": action,
            "reason": reason,
            "behind": behind.collect::<Vec<_>>(),
        })
    };
    json!({
        "topic": topic,
        "partitions": plan.partitions,
        "existed": plan.exists,
        "written": is_written,
        "complete": is_written && !plan.is_refused(),
        "stored": plan.stored.iter().map(partition).collect::<Vec<_>>(),
    })
    .to_string()
}

fn refused(settings: &Settings, error: &RebuildError) -> ExitCode {
    match error {
        RebuildError::Kafka(error) => kafka_failed(settings, NeededBy::Rebuild, error),
        RebuildError::Store(_)
        | RebuildError::NoStore(_)
        | RebuildError::TakenOver
        | RebuildError::Members(_)
        | RebuildError::Refused(_)
        | RebuildError::Interrupted => {
            err_line!("ringback: {}", with_causes(error));
            ExitCode::from(FAILED)
        }
    }
}

//! `ringback dead-letter`: shows and replays deliveries and records that became dead letters.

mod list;
mod replay;
mod show;

use super::{FAILED, kafka_failed, load_all};
use crate::clock;
use crate::codec::event::rfc3339;
use crate::config::{Accounts, Settings};
use crate::domain::{AccountId, DeadLetterReason};
use crate::exit::ExitCode;
use crate::log::NeededBy;
use crate::replay::{Filter, Letters, Looked, Progress, ReplayError, Stage, Target, When};
use crate::shutdown::Signals;
use crate::telemetry::{err_line, with_causes};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Lists, shows and replays dead letters
#[derive(Subcommand)]
#[command(after_help = "Example:\n  ringback dead-letter list --since 12h")]
pub(super) enum Command {
    List(list::Arguments),
    Show(show::Arguments),
    Replay(replay::Arguments),
}

/// The selection of dead letters: all by default. A letter must match every option that is given.
#[derive(Args)]
struct Which {
    /// Only deliveries to this webhook
    #[arg(long, value_name = "NAME")]
    webhook: Option<String>,
    /// Only dead letters of this account
    #[arg(long, value_name = "ID")]
    account: Option<i64>,
    /// Only deliveries of this phase; 0 selects deliveries of rules
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=2), value_name = "0|1|2")]
    phase: Option<u8>,
    /// Only dead letters with this reason
    #[arg(long, value_parser = reasons(), value_name = "REASON")]
    reason: Option<String>,
    /// Only dead letters written at this time or later: RFC 3339, or an age such as 90s, 15m, 2h or 7d
    #[arg(long, value_parser = when, value_name = "TIME")]
    since: Option<When>,
    /// Only dead letters written before this time
    #[arg(long, value_parser = when, value_name = "TIME")]
    until: Option<When>,
    /// Only dead letters without a known replay: their state is open or unknown. `replay` always skips the others
    #[arg(long)]
    open: bool,
}

fn reasons() -> PossibleValuesParser {
    DeadLetterReason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().into()
}

fn when(text: &str) -> Result<When, String> {
    When::parse(text, clock::wall())
}

fn target(text: &str) -> Result<Target, String> {
    Target::parse(text)
}

impl Which {
    fn filter(&self, target: Option<Target>) -> Filter {
        Filter {
            webhook: self.webhook.clone(),
            account: self.account.map(AccountId),
            phase: self.phase,
            reason: self.reason.clone(),
            since: self.since.clone(),
            until: self.until.clone(),
            target,
        }
    }
}

pub(super) async fn run(file: &Path, command: Command) -> ExitCode {
    let (settings, accounts) = match load_all(file).await {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    let done = tokio::task::spawn_blocking(move || {
        let done = perform(&settings, &accounts, &command, &flag);
        done.unwrap_or_else(|error| refused(&settings, &command, &error))
    });
    tokio::select! {
        done = done => done.unwrap_or(ExitCode::from(FAILED)),
        code = patience(&interrupted) => code,
    }
}

fn perform(
    settings: &Settings,
    accounts: &Accounts,
    command: &Command,
    interrupted: &AtomicBool,
) -> Result<ExitCode, ReplayError> {
    let letters = Letters::new(&settings.kafka, &settings.topics)?;
    match command {
        Command::List(arguments) => list::run(&letters, arguments, interrupted),
        Command::Show(arguments) => show::run(&letters, arguments, interrupted),
        Command::Replay(arguments) => replay::run(&letters, accounts, arguments, interrupted),
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

fn refused(settings: &Settings, command: &Command, error: &ReplayError) -> ExitCode {
    let command = match command {
        Command::List(_) | Command::Show(_) => NeededBy::Letters,
        Command::Replay(_) => NeededBy::Replay,
    };
    match error {
        ReplayError::Kafka(error) => kafka_failed(settings, command, error),
        ReplayError::NoTopic(_) | ReplayError::TakenOver => {
            err_line!("ringback: {}", with_causes(error));
            ExitCode::from(FAILED)
        }
        ReplayError::Interrupted => {
            err_line!("ringback: {error}");
            ExitCode::SUCCESS
        }
    }
}

/// Shows the progress on a terminal, and stops the command after a signal.
struct Watcher<'a> {
    bar: ProgressBar,
    stage: Option<Stage>,
    interrupted: &'a AtomicBool,
}

impl<'a> Watcher<'a> {
    fn new(interrupted: &'a AtomicBool) -> Self {
        // The bar is drawn on stderr, and only if that is a terminal.
        Self { bar: ProgressBar::no_length(), stage: None, interrupted }
    }

    fn see(&mut self, progress: Progress) -> ControlFlow<()> {
        if self.stage != Some(progress.stage) {
            self.stage = Some(progress.stage);
            let what = match progress.stage {
                Stage::Letters => "reading dead letters",
                Stage::Inbox => "looking for replays sent before",
                Stage::Events => "looking for later deliveries",
                Stage::Sending => "replaying",
            };
            self.bar.reset();
            self.bar.set_style(style());
            self.bar.set_message(what);
        }
        self.bar.set_length(progress.all);
        self.bar.set_position(progress.done);
        if self.interrupted.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style() -> ProgressStyle {
    let plain = ProgressStyle::default_bar();
    let wanted = "{msg} {wide_bar} {human_pos}/{human_len}, {per_sec}, {eta} left";
    ProgressStyle::with_template(wanted).unwrap_or(plain)
}

/// Warns when the states that are shown are based on incomplete events.
fn warn(looked: &Looked) {
    if let Some(since) = looked.unseen_before {
        let since = rfc3339(since);
        err_line!(
            "warning: events before {since} are deleted: letters that were replayed and delivered before that time \
             are shown as replayed"
        );
    }
}

//! The command line. Each command is a file with its arguments and its code.

mod account;
mod changelog;
mod check;
mod completions;
mod dead_letter;
mod demo;
mod healthcheck;
mod init;
mod man;
mod offsets;
mod repartition;
mod run;
mod secret;
mod send;
mod sink;
mod terminal;
mod topics;
mod trace;
mod verify;
mod webhook;

use crate::accounts::Incremental;
use crate::allocator;
use crate::app::{self, StoredAccounts};
use crate::config::{self, Accounts, Faults, Settings};
use crate::exit::ExitCode;
use crate::inspect::InspectError;
use crate::log::{self, LogError, Missing, NeededBy, Right, Unavailable};
use crate::telemetry::{LogFormat, err_line, logging, output, with_causes};
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use tracing::level_filters::LevelFilter;

/// The exit code of a command that failed.
const FAILED: u8 = 1;
/// The exit code for wrong usage, the same as clap's.
const USAGE: u8 = 2;
/// The exit code when a one-shot command can't reach a dependency (`EX_TEMPFAIL`).
const UNAVAILABLE: u8 = 75;
/// The exit code for a wrong configuration (`EX_CONFIG`).
const CONFIGURATION: u8 = 78;

/// Delivers two-phase webhooks from Kafka: once when a flow completes, and again when the delivery status of its SMS is
/// known.
///
/// State is exactly-once in Kafka and RocksDB. HTTP is at-least-once, with a stable webhook-id.
#[derive(Parser)]
#[command(
    name = "ringback",
    version,
    max_term_width = 100,
    after_help = "Example:\n  ringback demo"
)]
struct Cli {
    /// The configuration file. Default: the file that RINGBACK_CONFIG names, otherwise the first that exists of
    /// config/ringback.toml and /etc/ringback/ringback.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The format of the log on stderr: auto means text on a terminal and JSON otherwise
    #[arg(long, global = true, default_value = "auto", value_name = "auto|text|json")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(init::Arguments),
    Run(run::Arguments),
    Check(check::Arguments),
    Topics(topics::Arguments),
    Demo(demo::Arguments),
    Healthcheck(healthcheck::Arguments),
    Send(send::Arguments),
    Trace(trace::Arguments),
    Verify(verify::Arguments),
    #[command(subcommand)]
    Account(account::Command),
    #[command(subcommand)]
    Webhook(webhook::Command),
    #[command(subcommand, name = "dead-letter")]
    DeadLetter(Box<dead_letter::Command>),
    #[command(subcommand)]
    Changelog(changelog::Command),
    Repartition(repartition::Arguments),
    #[command(subcommand)]
    Offsets(offsets::Command),
    #[command(subcommand)]
    Sink(sink::Command),
    #[command(subcommand)]
    Secret(secret::Command),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// Parses the arguments of this process and runs the command.
pub fn main() -> ExitCode {
    allocator::return_freed_memory_soon();
    let cli = Cli::parse();
    // The demo reports on stdout. Its log shows only warnings and errors, so that nothing is reported twice.
    let quiet = matches!(cli.command, Command::Demo(_));
    let level = if quiet { LevelFilter::WARN } else { LevelFilter::INFO };
    if let Err(error) = logging::init(cli.log_format, level) {
        err_line!("ringback: {error}");
        return ExitCode::from(FAILED);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            err_line!("ringback: can't start threads: {error}");
            return ExitCode::from(FAILED);
        }
    };
    let config = config_file(cli.config);
    let code = match cli.command {
        Command::Init(arguments) => init::run(&arguments),
        Command::Run(arguments) => runtime.block_on(run::run(&config, &arguments)),
        Command::Check(arguments) => runtime.block_on(check::run(&config, &arguments)),
        Command::Topics(arguments) => runtime.block_on(topics::run(&config, &arguments)),
        Command::Demo(arguments) => runtime.block_on(demo::run(&arguments)),
        Command::Healthcheck(arguments) => healthcheck::run(&config, &arguments),
        Command::Send(arguments) => runtime.block_on(send::run(&config, arguments)),
        Command::Trace(arguments) => runtime.block_on(trace::run(&config, &arguments)),
        Command::Verify(arguments) => runtime.block_on(verify::run(&config, arguments)),
        Command::Account(command) => runtime.block_on(account::run(&config, &command)),
        Command::Webhook(command) => runtime.block_on(webhook::run(&config, &command)),
        Command::DeadLetter(command) => runtime.block_on(dead_letter::run(&config, *command)),
        Command::Changelog(command) => runtime.block_on(changelog::run(&config, command)),
        Command::Repartition(arguments) => runtime.block_on(repartition::run(&config, arguments)),
        Command::Offsets(command) => runtime.block_on(offsets::run(&config, command)),
        Command::Sink(command) => runtime.block_on(sink::run(&config, &command)),
        Command::Secret(command) => secret::run(&command),
        Command::Completions(arguments) => completions::run::<Cli>(&arguments),
        Command::Man(arguments) => man::run::<Cli>(&arguments),
    };
    // Attempts that hang must not keep the process alive: the next start repeats them.
    runtime.shutdown_background();
    match output::out_failure() {
        None => code,
        Some(error) => {
            err_line!(
                "ringback: stdout can't be written, so that the output is incomplete: {error}"
            );
            if code == ExitCode::SUCCESS { ExitCode::from(FAILED) } else { code }
        }
    }
}

/// The places where the configuration is searched, in this order, if neither `--config` nor the environment names a
/// file.
const CONFIG_FILES: [&str; 2] = ["config/ringback.toml", "/etc/ringback/ringback.toml"];

/// Returns the configuration file: the given one, else the one that the environment names, else the first that exists.
fn config_file(given: Option<PathBuf>) -> PathBuf {
    let named = || std::env::var_os("RINGBACK_CONFIG").filter(|it| !it.is_empty()).map(Into::into);
    given.or_else(named).unwrap_or_else(|| {
        let [first, ..] = CONFIG_FILES;
        let found = CONFIG_FILES.into_iter().find(|file| Path::new(file).exists());
        found.unwrap_or(first).into()
    })
}

/// Loads the configuration and the accounts of a file. Prints every fault on stderr if they are wrong.
fn load(file: &Path) -> Result<(Settings, Accounts), ExitCode> {
    config::load(file).map_err(|faults| refuse(&faults))
}

/// Loads the configuration and the accounts, whether they are in a file or in a database.
async fn load_all(file: &Path) -> Result<(Settings, Accounts), ExitCode> {
    let (settings, of_file) = load(file)?;
    let accounts = stored(&settings).await?.map_or(of_file, |rows| rows.accounts().clone());
    Ok((settings, accounts))
}

/// Reads the accounts of the database, if they are in one. Prints a warning if they come from the snapshot.
async fn stored(settings: &Settings) -> Result<Option<Incremental>, ExitCode> {
    match app::stored_accounts(settings).await {
        Ok(None) => Ok(None),
        Ok(Some(StoredAccounts { rows, outdated, .. })) => {
            if let Some(error) = outdated {
                err_line!("ringback: warning: {error}; the accounts are those of the snapshot");
            }
            Ok(Some(rows))
        }
        Err(error) => {
            err_line!("ringback: {error}");
            Err(ExitCode::from(UNAVAILABLE))
        }
    }
}

fn refuse(faults: &Faults) -> ExitCode {
    err_line!("{faults}");
    ExitCode::from(CONFIGURATION)
}

/// Prints why a request to Kafka failed, and which rights `command` lacks if that is the cause. Returns 78 for missing
/// rights and for properties that the client refuses, else 75.
fn kafka_failed(settings: &Settings, command: NeededBy, error: &Unavailable) -> ExitCode {
    let log = error.log();
    let kafka = &settings.kafka;
    let mut rights = match log {
        Some(log) if log.is_away() => Vec::new(),
        Some(_) | None => {
            let wanted = command.rights(kafka, &settings.topics);
            tokio::task::block_in_place(|| log::missing(kafka, &wanted)).unwrap_or_default()
        }
    };
    if let Some(LogError::Denied(denied)) = log {
        let is_new = |right: &&Right| !rights.iter().any(|known| known.resource == right.resource);
        let more: Vec<Right> = denied.iter().filter(is_new).cloned().collect();
        rights.extend(more);
    }
    if rights.is_empty() {
        let is_away = log.is_some_and(LogError::is_away);
        if is_away {
            tokio::task::block_in_place(|| log::look_for_cause(kafka));
        }
        let cause = log::last_cause().filter(|_| is_away);
        let cause = cause.map_or_else(String::new, |cause| format!(" ({cause})"));
        err_line!("Kafka at {}: {}{cause}", kafka.bootstrap_servers, with_causes(error));
        return kafka_code(log);
    }
    err_line!("Kafka at {}: {}", kafka.bootstrap_servers, Missing(&rights, kafka));
    ExitCode::from(CONFIGURATION)
}

/// Returns 78 for errors that stay until somebody corrects the configuration, else 75.
fn kafka_code(log: Option<&LogError>) -> ExitCode {
    let is_final = log.is_some_and(LogError::is_final);
    ExitCode::from(if is_final { CONFIGURATION } else { UNAVAILABLE })
}

/// Prints on stderr why a question has no answer.
fn inspect_failed(settings: &Settings, command: NeededBy, error: &InspectError) -> ExitCode {
    match error {
        InspectError::Kafka(error) => kafka_failed(settings, command, error),
        InspectError::Row(..) => {
            err_line!("{}", with_causes(error));
            ExitCode::from(FAILED)
        }
        InspectError::Receiver(..) => {
            err_line!("{}", with_causes(error));
            ExitCode::from(USAGE)
        }
        InspectError::Store(_) | InspectError::NoTopic(_) | InspectError::Interrupted => {
            err_line!("ringback: {}", with_causes(error));
            ExitCode::from(FAILED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CONFIGURATION, ExitCode, UNAVAILABLE, kafka_code};
    use crate::log::LogError;
    use rdkafka::error::{KafkaError, RDKafkaErrorCode};

    #[test]
    fn lasting_errors_exit_with_78_and_others_with_75() {
        let code = |error: &LogError| kafka_code(Some(error));
        let refused = KafkaError::ClientCreation("no such mechanism".to_owned());
        for error in [
            LogError::Client(refused),
            LogError::NoInputs("changelog".to_owned()),
            LogError::Denied(Vec::new()),
        ] {
            assert_eq!(code(&error), ExitCode::from(CONFIGURATION), "{error}");
        }
        let source = KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure);
        let away = LogError::Request { what: "Kafka does not answer".to_owned(), source };
        assert_eq!(code(&away), ExitCode::from(UNAVAILABLE));
        assert_eq!(kafka_code(None), ExitCode::from(UNAVAILABLE));
    }
}

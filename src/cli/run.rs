//! `ringback run`

use super::{CONFIGURATION, FAILED};
use crate::app::{App, AppError, StartOptions};
use crate::clock;
use crate::config::{Faults, Loaded};
use crate::engine::EngineError;
use crate::exit::ExitCode;
use crate::log::Begin;
use crate::replay::When;
use crate::shutdown::HangUps;
use crate::telemetry::{logging, with_causes};
use clap::Args;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;

/// Runs the daemon
///
/// The daemon raises its limit of open files as far as the system allows, and logs a warning if that is too little for
/// the configuration. It waits for services that it can't reach; /readyz says for which. SIGHUP reads both
/// configuration files again, and the log names the keys that need a restart. SIGTERM drains and stops.
#[derive(Args)]
#[command(after_help = "Example:\n  ringback run --config /etc/ringback/ringback.toml")]
pub(super) struct Arguments {
    /// Takes over the changelog of another consumer group, if that group has no members
    ///
    /// A changelog belongs to one [kafka] group_id. Stop all instances of the other group first; after the takeover
    /// they refuse to start on this changelog.
    #[arg(long)]
    adopt: bool,
    /// Continues although state is lost, and moves the store aside
    ///
    /// Use it when the changelog was deleted, emptied or replaced, and no store is left from which `ringback changelog
    /// rebuild` could write it. Deliveries that waited in the changelog are not sent. The store's directory is renamed,
    /// and nothing in it is deleted.
    #[arg(long)]
    accept_loss: bool,
    /// Where to start reading inputs that were deleted and created again
    ///
    /// `beginning`, `end`, an RFC 3339 time, or an age such as `2h`.
    #[arg(long, value_name = "WHERE", default_value = "beginning", value_parser = begin)]
    from: Begin,
}

fn begin(text: &str) -> Result<Begin, String> {
    match text {
        "beginning" => Ok(Begin::Beginning),
        "end" => Ok(Begin::End),
        _ => When::parse(text, clock::now()).map(|when| Begin::Time(when.at)).map_err(|_| {
            "write `beginning`, `end`, an RFC 3339 time, or an age such as `2h`".to_owned()
        }),
    }
}

/// The longest time that reporting a panic may take.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Ends the process on every panic: a task that panics loses its work in progress, and only a new start from durable
/// state is safe. The process ends even if the panic can't be reported: errors of stderr are ignored, and a report that
/// blocks on a full pipe is abandoned after [`REPORT_TIMEOUT`].
pub(super) fn end_on_panic() {
    std::panic::set_hook(Box::new(move |panic| {
        let end = || {
            std::thread::sleep(REPORT_TIMEOUT);
            std::process::abort();
        };
        // If no thread can be started, the process ends after the report.
        let _ = std::thread::Builder::new().name("end".to_owned()).spawn(end);
        logging::report_panic(panic);
        std::process::abort();
    }));
}

pub(super) async fn run(file: &Path, arguments: &Arguments) -> ExitCode {
    end_on_panic();
    // This comes first: without a handler, SIGHUP would end the process.
    let hang_ups = match HangUps::new() {
        Ok(hang_ups) => hang_ups,
        Err(error) => {
            logging::last_words(&format!("ringback: {}", with_causes(&AppError::System(error))));
            return ExitCode::from(FAILED);
        }
    };
    // The first call starts the process's clock.
    let _ = clock::now();
    let loaded = match Loaded::load(file) {
        Ok(loaded) => loaded,
        Err(faults) => return refuse(&faults),
    };
    let (_stop, stopped) = watch::channel(false);
    let result = match App::new(loaded) {
        Ok(app) => {
            let start = StartOptions {
                adopt: arguments.adopt,
                accept_loss: arguments.accept_loss,
                begin: arguments.from,
            };
            app.with_start(start).run(hang_ups, stopped).await
        }
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(AppError::Configuration(faults)) => refuse(&faults),
        Err(
            error @ (AppError::Topics(_)
            | AppError::Kafka(_)
            | AppError::Mismatch(_)
            | AppError::InUse { .. }
            | AppError::Engine(EngineError::Mismatch(_) | EngineError::Fenced { .. })
            | AppError::Endpoint(_)
            | AppError::Files(_)
            | AppError::Tls(_)),
        ) => {
            logging::last_words(&format!("{}: {}", file.display(), with_causes(&error)));
            ExitCode::from(CONFIGURATION)
        }
        Err(
            error @ (AppError::Listen(..)
            | AppError::Store(_)
            | AppError::System(_)
            | AppError::Engine(_)
            | AppError::Impatient),
        ) => {
            logging::last_words(&format!("ringback: {}", with_causes(&error)));
            ExitCode::from(FAILED)
        }
    }
}

/// Prints every fault in the format of the log.
pub(super) fn refuse(faults: &Faults) -> ExitCode {
    logging::last_words(&faults.to_string());
    ExitCode::from(CONFIGURATION)
}

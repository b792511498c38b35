//! `ringback run`

use super::{CONFIGURATION, FAILED, chain, load, refuse};
use crate::app::{App, AppError};
use crate::clock;
use crate::telemetry::err_line;
use clap::Args;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::watch;

/// Runs the daemon
///
/// It waits for whatever it needs and can't reach; /readyz says for what. SIGHUP reads the accounts file again, SIGTERM
/// drains and stops.
#[derive(Args)]
#[command(after_help = "Example:\n  ringback run --config /etc/ringback/ringback.toml")]
pub(super) struct Arguments {}

/// Nobody waits longer for a panic to be reported.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Whoever panics has lost what it had in hand, and nobody would know: the process ends, and begins again from what is durable.
/// It does so whether the panic can be reported or not: the standard library's report ignores what stderr refuses, and where
/// nobody reads a pipe that is full, it is given up.
fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let end = || {
            std::thread::sleep(REPORT_TIMEOUT);
            std::process::abort();
        };
        // Without a thread there is nobody who could end it earlier.
        let _ = std::thread::Builder::new().name("end".to_owned()).spawn(end);
        report(panic);
        std::process::abort();
    }));
}

pub(super) async fn run(file: &Path) -> ExitCode {
    end_on_panic();
    // The daemon's time begins with it.
    let _ = clock::now();
    let (settings, accounts) = match load(file) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let (_stop, stopped) = watch::channel(false);
    let result = match App::new(settings, &accounts) {
        Ok(app) => app.run(stopped).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(AppError::Configuration(faults)) => refuse(&faults),
        Err(
            error @ (AppError::Topics(_)
            | AppError::Kafka(_)
            | AppError::Endpoint(_)
            | AppError::Tls(_)),
        ) => {
            err_line!("{}: {}", file.display(), chain(&error));
            ExitCode::from(CONFIGURATION)
        }
        Err(
            error @ (AppError::Listen(..)
            | AppError::Store(_)
            | AppError::System(_)
            | AppError::Engine(_)
            | AppError::Impatient),
        ) => {
            tracing::error!(error = &error as &dyn std::error::Error, "stopped");
            err_line!("ringback: {}", chain(&error));
            ExitCode::from(FAILED)
        }
    }
}

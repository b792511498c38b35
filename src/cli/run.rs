//! `ringback run`

use super::{CONFIGURATION, FAILED, chain, load, refuse};
use crate::app::{App, AppError};
use clap::Args;
use std::path::Path;
use std::process::ExitCode;
use tokio::sync::watch;

/// Runs the daemon
///
/// It raises its limit of open files as far as it may, and says so when that is too little for the configuration. It waits for
/// whatever it needs and can't reach; /readyz says for what. SIGHUP reads the accounts file again, SIGTERM
/// drains and stops.
#[derive(Args)]
#[command(after_help = "Example:\n  ringback run --config /etc/ringback/ringback.toml")]
pub(super) struct Arguments {}

/// Whoever panics has lost what it had in hand, and nobody would know: the process ends, and begins again from what is durable.
fn end_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::abort();
    }));
}

pub(super) async fn run(file: &Path) -> ExitCode {
    end_on_panic();
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
            | AppError::Files(_)
            | AppError::Tls(_)),
        ) => {
            eprintln!("{}: {}", file.display(), chain(&error));
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
            eprintln!("ringback: {}", chain(&error));
            ExitCode::from(FAILED)
        }
    }
}

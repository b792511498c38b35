//! `ringback demo`

use crate::exit::ExitCode;
use clap::Args;

/// Shows the whole pipeline without any server: an embedded broker, a receiver and sample flows
#[derive(Args)]
#[command(after_help = "Example:\n  ringback demo --once")]
pub(super) struct Arguments {
    /// Ends when every step was shown. Exits with 0 if all succeeded, otherwise with 1
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(arguments: &Arguments) -> ExitCode {
    crate::demo::run(arguments.once).await
}

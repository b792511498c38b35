//! `ringback demo`

use crate::exit::ExitCode;
use clap::Args;

/// Shows everything at work, without any server: an embedded broker, a receiver, the sample flows
#[derive(Args)]
#[command(after_help = "Example:\n  ringback demo --once")]
pub(super) struct Arguments {
    /// Ends once everything has been seen: 0, or else 1
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(arguments: &Arguments) -> ExitCode {
    crate::demo::run(arguments.once).await
}

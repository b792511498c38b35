//! `ringback completions`

use crate::exit::ExitCode;
use crate::telemetry::output;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Prints the completion script of a shell
#[derive(Args)]
#[command(after_help = "Example:\n  ringback completions bash > /etc/bash_completion.d/ringback")]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run<C: CommandFactory>(arguments: &Arguments) -> ExitCode {
    // `generate` panics when it can't write. It writes into memory, so that it can't fail.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut C::command(), "ringback", &mut script);
    output::out(format_args!("{}", String::from_utf8_lossy(&script)));
    ExitCode::SUCCESS
}

//! `ringback man`

use super::FAILED;
use crate::exit::ExitCode;
use crate::telemetry::err_line;
use clap::{Args, CommandFactory};
use std::path::PathBuf;

/// Writes the man pages, one for each command
#[derive(Args)]
#[command(after_help = "Example:\n  ringback man /usr/local/share/man/man1")]
pub(super) struct Arguments {
    /// The directory, which is created if it is missing
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(super) fn run<C: CommandFactory>(arguments: &Arguments) -> ExitCode {
    let directory = &arguments.directory;
    let written = std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(C::command(), directory));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            err_line!("ringback: {} can't be written: {error}", directory.display());
            ExitCode::from(FAILED)
        }
    }
}

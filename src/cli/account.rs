//! `ringback account`

mod list;
mod show;

use super::{refuse, stored};
use crate::config::{Listing, Loaded};
use crate::exit::ExitCode;
use clap::Subcommand;
use std::path::Path;
use std::sync::Arc;

/// Shows the accounts with their webhooks, flows and rules, wherever they are stored
#[derive(Subcommand)]
#[command(after_help = "Example:\n  ringback account show 28")]
pub(super) enum Command {
    List(list::Arguments),
    Show(show::Arguments),
}

pub(super) async fn run(file: &Path, command: &Command) -> ExitCode {
    let listing = match load(file).await {
        Ok(listing) => listing,
        Err(code) => return code,
    };
    match command {
        Command::List(arguments) => list::run(&listing, arguments),
        Command::Show(arguments) => show::run(&listing, arguments),
    }
}

async fn load(file: &Path) -> Result<Listing, ExitCode> {
    let loaded = Loaded::load(file).map_err(|faults| refuse(&faults))?;
    let rows = stored(&loaded.settings).await?;
    let accounts = rows.as_ref().map_or(loaded.accounts, |rows| rows.accounts().clone());
    Ok(Listing::new(accounts, Arc::new(loaded.effective), rows))
}

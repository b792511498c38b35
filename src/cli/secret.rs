//! `ringback secret new`

use super::FAILED;
use base64::Engine as _;
use clap::Subcommand;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::process::ExitCode;

const SECRET_BYTES: usize = 32;

/// Makes signing secrets
#[derive(Subcommand)]
pub(super) enum Command {
    /// Prints a new signing secret of the Standard Webhooks specification
    ///
    /// Keep it in a file or an environment variable, name that in the webhook's signing_secrets, and give it to the
    /// endpoint's owner.
    #[command(after_help = "Example:\n  (umask 077; ringback secret new > /run/secrets/crm)")]
    New,
}

pub(super) fn run(command: &Command) -> ExitCode {
    match command {
        Command::New => {
            let mut bytes = [0; SECRET_BYTES];
            if SystemRandom::new().fill(&mut bytes).is_err() {
                eprintln!("ringback: the system gives no randomness");
                return ExitCode::from(FAILED);
            }
            println!("whsec_{}", base64::engine::general_purpose::STANDARD.encode(bytes));
            ExitCode::SUCCESS
        }
    }
}

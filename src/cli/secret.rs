//! `ringback secret new`

use super::FAILED;
use crate::exit::ExitCode;
use crate::telemetry::{err_line, out_line};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use ring::rand::{SystemRandom, generate};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

const SECRET_BYTES: usize = 32;

/// Makes signing secrets
#[derive(Subcommand)]
pub(super) enum Command {
    New(Arguments),
}

/// Prints a new signing secret of the Standard Webhooks specification
///
/// Keep it in a file or an environment variable, name that in the webhook's signing_secrets, and give it to the
/// endpoint's owner.
///
/// With --ed25519 it is a pair of keys, and the owner of the endpoint gets the public one only, so that nobody but
/// Ringback can sign. The private key, whsk_…, goes to stdout, and the public key, whpk_…, to stderr: a file that
/// stdout is sent to holds the secret and nothing else. Not every library can verify such signatures (v1a) yet; a
/// webhook may have secrets of both kinds, and each of them signs.
#[derive(Args)]
#[command(after_help = "\
Example:
  (umask 077; ringback secret new > /run/secrets/crm)
  (umask 077; ringback secret new --ed25519 > /run/secrets/crm 2> crm.public)")]
pub(super) struct Arguments {
    /// Makes an Ed25519 pair: a private key that signs (v1a), and a public one that verifies
    #[arg(long)]
    ed25519: bool,
}

pub(super) fn run(command: &Command) -> ExitCode {
    let Command::New(arguments) = command;
    let Ok(secret) = generate::<[u8; SECRET_BYTES]>(&SystemRandom::new()) else {
        err_line!("ringback: the system gives no randomness");
        return ExitCode::from(FAILED);
    };
    let secret = secret.expose();
    if !arguments.ed25519 {
        out_line!("whsec_{}", STANDARD.encode(secret));
        return ExitCode::SUCCESS;
    }
    let Ok(pair) = Ed25519KeyPair::from_seed_unchecked(&secret) else {
        err_line!("ringback: the system's randomness makes no key");
        return ExitCode::from(FAILED);
    };
    let public = pair.public_key().as_ref();
    out_line!("whsk_{}", STANDARD.encode([secret.as_slice(), public].concat()));
    err_line!("whpk_{}", STANDARD.encode(public));
    ExitCode::SUCCESS
}

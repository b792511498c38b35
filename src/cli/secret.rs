//! `ringback secret new`

use super::FAILED;
use crate::exit::ExitCode;
use crate::telemetry::{err_line, out_line};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use ring::rand::{SystemRandom, generate};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const SECRET_BYTES: usize = 32;
/// The permissions of a file with a secret.
pub(super) const OWNER_ONLY: u32 = 0o600;

/// Makes signing secrets
#[derive(Subcommand)]
#[command(after_help = "Example:\n  ringback secret new /run/secrets/crm")]
pub(super) enum Command {
    New(Arguments),
}

/// Creates a signing secret of the Standard Webhooks specification
///
/// Keep it in a file or an environment variable, name that in the webhook's signing_secrets, and give the secret to the
/// endpoint's owner. With FILE, the secret is written there, readable by this user only (mode 0600); an existing file
/// is not overwritten. Without FILE, it is printed on stdout.
///
/// With --ed25519, the secret is a pair of keys. The endpoint's owner gets only the public key, so that only Ringback
/// can sign. The private key, whsk_…, goes to FILE or stdout, and the public key, whpk_…, to stderr: a file that holds
/// the private key holds nothing else. Some libraries can't verify these signatures (v1a) yet. A webhook may have
/// secrets of both kinds; it signs with each of them.
#[derive(Args)]
#[command(after_help = "\
Example:
  ringback secret new /run/secrets/crm
  ringback secret new --ed25519 /run/secrets/crm 2> crm.public")]
pub(super) struct Arguments {
    /// The file for the secret; default: stdout
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Creates an Ed25519 pair: a private key that signs (v1a) and a public key that verifies
    #[arg(long)]
    ed25519: bool,
}

/// Returns a new symmetric secret. `None` if the system provides no random bytes.
pub(super) fn new() -> Option<String> {
    random().map(|secret| symmetric(&secret))
}

fn symmetric(secret: &[u8; SECRET_BYTES]) -> String {
    format!("whsec_{}", STANDARD.encode(secret))
}

fn random() -> Option<[u8; SECRET_BYTES]> {
    generate::<[u8; SECRET_BYTES]>(&SystemRandom::new()).ok().map(|random| random.expose())
}

pub(super) fn run(command: &Command) -> ExitCode {
    let Command::New(arguments) = command;
    let Some(secret) = random() else {
        err_line!("ringback: the system provides no random bytes");
        return ExitCode::from(FAILED);
    };
    if !arguments.ed25519 {
        return keep(&symmetric(&secret), arguments.file.as_deref());
    }
    let Ok(pair) = Ed25519KeyPair::from_seed_unchecked(&secret) else {
        err_line!("ringback: no key can be made of the system's random bytes");
        return ExitCode::from(FAILED);
    };
    let public = pair.public_key().as_ref();
    let private = format!("whsk_{}", STANDARD.encode([secret.as_slice(), public].concat()));
    let code = keep(&private, arguments.file.as_deref());
    if code == ExitCode::SUCCESS {
        err_line!("whpk_{}", STANDARD.encode(public));
    }
    code
}

/// Writes `text` to a file that does not exist yet, with these permissions.
pub(super) fn write_new(file: &Path, mode: u32, text: &str) -> std::io::Result<()> {
    let mut open = File::options().write(true).create_new(true).mode(mode).open(file)?;
    open.write_all(text.as_bytes())?;
    open.sync_all()
}

/// Writes the secret to `file`, or to stdout.
fn keep(secret: &str, file: Option<&Path>) -> ExitCode {
    let Some(file) = file else {
        out_line!("{secret}");
        return ExitCode::SUCCESS;
    };
    match write_new(file, OWNER_ONLY, &format!("{secret}\n")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            err_line!(
                "ringback: {} exists, and a secret is never overwritten: name another file",
                file.display()
            );
            ExitCode::from(FAILED)
        }
        Err(error) => {
            err_line!("ringback: {} can't be written: {error}", file.display());
            ExitCode::from(FAILED)
        }
    }
}

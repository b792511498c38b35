//! `ringback verify`

mod read;
mod receiver;
mod show;

use super::{FAILED, UNAVAILABLE, USAGE, chain, load};
use clap::Args;
use read::VerifyError;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Checks that nothing is lost, doubled, out of order or overdue, by what the topics and this machine's store say of each other
///
/// It reads the inputs and the inbox, the events, the dead letters, the changelog, the group's offsets and, if [store]
/// directory is here, the store; it writes nothing, and may run beside daemons: what changes while it reads is not judged.
/// It knows no rules: whatever the configuration was, each record that was read has one word among the events, each event
/// follows from those before, the rows are what the events make, dead letters and events are one to one, and the store is
/// what the changelog makes of it. What retention has taken is not asked for.
///
/// With the log of a receiver it also checks that each delivery was seen, with one body, phase 2 after phase 1, and counts
/// what was sent more than once. A log has one JSON object per line, for each request of ours and from the first one on:
///
///   {"at": "2026-01-31T12:00:00.000Z", "webhook_id": "msg_…", "status": 200, "body": "…"}
///
/// `at` is when the request had come, `status` what it was answered, and `body` its body, or `body_sha256` its hash in
/// hexadecimal digits; other members are ignored.
///
/// It takes about 350 MB of memory per million of uuids that the events tell of, and a byte per record of the inputs.
///
/// Exits with 0 when it finds no violation, with 1 when it finds any, and with 75 when Kafka can't be reached.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  ringback verify --config /etc/ringback/ringback.toml
  ringback verify --at-rest --receiver-log requests.jsonl --repeats-max 100
  ringback verify --json | jq -r '.violations[] | select(.what == \"lost\") | .uuid'"
)]
pub(super) struct Arguments {
    /// The requests that a receiver saw, a JSON object per line; may be given more than once
    #[arg(long, value_name = "FILE")]
    receiver_log: Vec<PathBuf>,
    /// Nothing is under way: all inputs are read to their ends, and nothing waits that was due a minute ago
    #[arg(long)]
    at_rest: bool,
    /// More requests than attempts, by so many, are a violation too
    #[arg(long, value_name = "N", requires = "receiver_log")]
    repeats_max: Option<u64>,
    /// Prints one JSON object: violations, and counts of what was looked at
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(file: &Path, arguments: Arguments) -> ExitCode {
    let settings = match load(file) {
        Ok((settings, _)) => settings,
        Err(code) => return code,
    };
    let bootstrap = settings.kafka.bootstrap_servers.clone();
    let json = arguments.json;
    let runtime = tokio::runtime::Handle::current();
    let reading =
        tokio::task::spawn_blocking(move || read::verify(&settings, &arguments, &runtime)).await;
    let report = match reading {
        Ok(Ok(report)) => report,
        Ok(Err(VerifyError::Log(error))) => {
            eprintln!("Kafka at {bootstrap}: {}", chain(&error));
            return ExitCode::from(UNAVAILABLE);
        }
        Ok(Err(error @ VerifyError::Receiver(..))) => {
            eprintln!("{}", chain(&error));
            return ExitCode::from(USAGE);
        }
        Ok(Err(error @ (VerifyError::Store(_) | VerifyError::Missing(_)))) => {
            eprintln!("ringback: {}", chain(&error));
            return ExitCode::from(FAILED);
        }
        Err(error) => {
            eprintln!("ringback: {error}");
            return ExitCode::from(FAILED);
        }
    };
    super::terminal::print(if json { vec![show::json(&report)] } else { show::lines(&report) });
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

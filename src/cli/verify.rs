//! `ringback verify`

mod show;

use super::terminal::{Bars, json, print};
use super::{FAILED, inspect_failed, load};
use crate::exit::ExitCode;
use crate::inspect::verification::{self, Asked};
use crate::log::{NeededBy, Progress};
use crate::telemetry::err_line;
use clap::Args;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  ringback verify --config /etc/ringback/ringback.toml
  ringback verify --at-rest --receiver-log requests.jsonl --repeats-max 100
  ringback verify --json | jq -r '.violations[] | select(.what == \"lost\") | .uuid'";

const VIOLATIONS: &str = "\
Violations:
  lost               a record was read and no event tells what became of it; an accepted report ended in no webhook, no event
                     and no dead letter; or a replay led to nothing
  missed             Kafka deleted records of an input before they were read
  twice              something is told again that happens once: a record's end, a delivery, its attempt, its end
  order              an event does not follow from those before it
  early              phase 2 was attempted before the end of phase 1, which it had to wait for
  unexplained_event  an event tells of a record or a replay that is not there, or that the group has not committed
  unexplained_state  the changelog's row of a uuid is not what its events make of it
  dead_letter        dead letters and the events about them are not one to one, or give different reasons
  offsets            the changelog and the group disagree about how far the inputs are read
  identity           a position or a row belongs to another topic, changelog, cluster or group than the one that is there
  partition          a row stands in a partition that does not own its uuid
  unreadable         an event, a dead letter or a row is not as this version writes it
  stuck              a row waits for what can't come
  store              a row, an index, the tally or the checkpoint of the store is not what the changelog makes of it, or
                     the store is damaged
  overdue, unread    at rest: something waits that is due, or a record that nobody has read
  unseen             a delivery is told to be delivered, and the receiver answered no request of it so
  unscheduled        the receiver saw a delivery that no event tells of
  body, repeats      requests of one delivery had different bodies; too many requests were repeated

What was wrong with one execution shows `ringback trace UUID`.";

/// Checks that nothing is lost, doubled, out of order or overdue, by what topics and store say of each other
///
/// It reads the inputs and the inbox, the events, the dead letters, the changelog, the group's offsets and, if `[store]
/// directory` is here, the store. It writes nothing and may run beside daemons: what changes while it reads is not judged,
/// nor is what retention has taken. It knows no rules: whatever the configuration was, each record that was read has one word
/// among the events, each event follows from those before it, and the rows are what the events make.
///
/// With the log of a receiver it also checks that each delivery was seen, with one body, and phase 2 after phase 1, and counts
/// what was sent more than once. A log has a JSON object per line for each request, from the first one on:
///
/// {"at": "2026-01-31T12:00:00.000Z", "webhook_id": "msg_…", "status": 200, "body": "…"}
///
/// `at` is when the request had come, `status` what it was answered, and `body` its body, or `body_sha256` its hash in
/// hexadecimal digits; other members are ignored.
///
/// Stores that were set aside are named: remove them once nothing is found any more.
///
/// Notes say what could not be seen or judged: topics that were deleted and created again, offsets that were moved, what
/// retention has taken. They are no violations.
///
/// It takes about 500 MB of memory per million of uuids that the events tell of, and two bytes per record of the inputs.
///
/// Exits with 0 when it finds no violation, with 1 when it finds any, and with 75 when Kafka can't be reached.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{VIOLATIONS}\n\n{EXAMPLES}"))]
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
    /// Prints one JSON object: violations, notes, and counts of what was looked at
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(file: &Path, arguments: Arguments) -> ExitCode {
    let settings = match load(file) {
        Ok((settings, _)) => settings,
        Err(code) => return code,
    };
    let Arguments { receiver_log, at_rest, repeats_max, json: as_json } = arguments;
    let asked = Asked { receiver_logs: receiver_log, at_rest, repeats_max };
    let (of_command, runtime) = (settings.clone(), tokio::runtime::Handle::current());
    let reading = tokio::task::spawn_blocking(move || {
        let mut bars = Bars::default();
        let mut watch = |progress: Progress<'_>| bars.see(progress);
        let (kafka, topics, store) = (&of_command.kafka, &of_command.topics, &of_command.store);
        verification::verify(kafka, topics, &store.directory, &asked, &runtime, &mut watch)
    });
    let found = match reading.await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return inspect_failed(&settings, NeededBy::Verify, &error),
        Err(error) => {
            err_line!("ringback: {error}");
            return ExitCode::from(FAILED);
        }
    };
    print(if as_json { vec![json(&found.view())] } else { show::lines(&found) });
    if found.report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

#[cfg(test)]
mod tests {
    use super::VIOLATIONS;
    use crate::verify::What;

    #[test]
    fn the_help_explains_every_violation() {
        let words: Vec<&str> = VIOLATIONS.split([' ', ',', '\n']).collect();
        for what in What::ALL {
            assert!(words.contains(&what.as_str()), "{}", what.as_str());
        }
    }
}

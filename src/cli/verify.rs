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
  lost               a record was read and no event reports its result; an accepted report ended in no webhook, no event
                     and no dead letter; or a replay led to nothing
  missed             Kafka deleted records of an input before they were read
  twice              events report something twice that happens once: a record's result, a delivery, its attempt, its end
  order              an event does not follow from those before it
  early              phase 2 was attempted before the end of phase 1, which it had to wait for
  unexplained_event  an event is about a record or a replay that does not exist, or that the group has not committed
  unexplained_state  the changelog's row of a uuid does not match its events
  dead_letter        dead letters and their events are not one to one, or give different reasons
  offsets            the changelog and the group disagree about how far the inputs are read
  identity           a position or a row belongs to another topic, changelog, cluster or group than the current one
  partition          a row is in a partition that does not own its uuid
  unreadable         an event, a dead letter or a row does not have the format of this version
  stuck              a row waits for something that can't happen
  store              a row, an index, the tally or the checkpoint of the store does not match the changelog, or the store
                     is damaged
  overdue, unread    at rest: something that is due still waits, or a record was not read
  unseen             an event reports a delivery, but the receiver's log has no such answer to a request of it
  unscheduled        the receiver saw a delivery that no event mentions
  body, repeats      requests of one delivery had different bodies; too many requests were repeated

`ringback trace UUID` shows the history of one execution.";

/// Checks that no record or webhook is lost, repeated, out of order or overdue, by comparing topics and store
///
/// It reads the inputs and the inbox, the events, the dead letters, the changelog, the group's offsets and, if `[store]
/// directory` exists on this machine, the store. It writes nothing and may run beside daemons: it does not judge data
/// that changes while it reads, or that retention has removed. It needs no rules, so that it works for any
/// configuration. Each record that was read must have one result among the events, each event must follow from those
/// before it, and the rows must match the events.
///
/// With the log of a receiver it also checks that each delivery arrived, with one body, and phase 2 after phase 1, and
/// counts the repeated requests. The log has a JSON object per line for each request, from the first one on:
///
/// {"at": "2026-01-31T12:00:00.000Z", "webhook_id": "msg_…", "status": 200, "body": "…"}
///
/// `at` is the time at which the request had arrived. `status` is the status of the answer. `body` is the request's
/// body; a log may have its hash `body_sha256`, in hexadecimal digits, instead. Other members are ignored.
///
/// The command lists stores that were set aside: remove them when it finds no more violations.
///
/// Notes report what could not be read or judged, such as topics that were deleted and created again, offsets that were
/// moved, and records that retention has removed. Notes are not violations.
///
/// It needs about 500 MB of memory per million uuids in the events, and two bytes per record of the inputs.
///
/// Exits with 0 if it finds no violation, with 1 if it finds any, and with 75 if it can't reach Kafka.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{VIOLATIONS}\n\n{EXAMPLES}"))]
pub(super) struct Arguments {
    /// A log of the requests that a receiver saw, a JSON object per line; may be given more than once
    #[arg(long, value_name = "FILE")]
    receiver_log: Vec<PathBuf>,
    /// Also checks that nothing is pending: all inputs are read to their ends, and nothing waits that was due a minute
    /// ago
    #[arg(long)]
    at_rest: bool,
    /// The number of requests beyond the attempts that is allowed; more are a violation
    #[arg(long, value_name = "N", requires = "receiver_log")]
    repeats_max: Option<u64>,
    /// Prints one JSON object: violations, notes, and counts of the data that was checked
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

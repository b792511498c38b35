//! `ringback trace`

mod state;

use super::terminal::{Bars, json, print, table};
use super::{FAILED, USAGE, inspect_failed, load};
use crate::clock;
use crate::domain::PhononUuid;
use crate::exit::ExitCode;
use crate::inspect::trace::{self, COLUMNS, Row, Trace};
use crate::log::{NeededBy, Progress};
use crate::telemetry::err_line;
use crate::telemetry::escape::one_line;
use clap::Args;
use std::path::Path;

/// Shows everything about one phonon-uuid, oldest first, and what it waits for
///
/// The facts are its events, its dead letters, and the records that were forwarded to the partition that owns it. The
/// state is its latest row in the changelog, which is authoritative whatever a daemon holds in memory. The command
/// reads only the partitions that can hold the uuid, as far back as the retention of the topics.
///
/// Bodies contain customer data, so that they are shown only with --bodies. URLs are shown without their query.
///
/// Exits with 1 if nothing is known about the uuid.
#[derive(Args)]
#[command(after_help = "\
Example:
  ringback trace bd706f90-aa14-47ea-9844-3d1e1123f4ee --config /etc/ringback/ringback.toml
  ringback trace bd706f90-aa14-47ea-9844-3d1e1123f4ee --json | jq 'select(.fact.type == \"delivered\")'")]
pub(super) struct Arguments {
    /// The phonon-uuid, exactly as the records spell it
    #[arg(value_name = "UUID")]
    uuid: String,
    /// Prints a JSON object per fact, each on a line, and the state on the last line
    #[arg(long)]
    json: bool,
    /// Also shows the bodies of requests, answers and records
    #[arg(long)]
    bodies: bool,
    /// Reads every partition, to find facts that are older than a change of the number of partitions
    #[arg(long)]
    all_partitions: bool,
}

pub(super) async fn run(file: &Path, arguments: &Arguments) -> ExitCode {
    let settings = match load(file) {
        Ok((settings, _)) => settings,
        Err(code) => return code,
    };
    let Some(uuid) = PhononUuid::spelt(&arguments.uuid) else {
        err_line!("a phonon-uuid has 1 to {} bytes", PhononUuid::BYTES_MAX);
        return ExitCode::from(USAGE);
    };
    let (of_command, whose, all) = (settings.clone(), uuid.clone(), arguments.all_partitions);
    let reading = tokio::task::spawn_blocking(move || {
        let mut bars = Bars::default();
        let mut watch = |progress: Progress<'_>| bars.see(progress);
        trace::read_either(&of_command.kafka, &of_command.topics, &whose, all, &mut watch)
    });
    let traced = match reading.await {
        Ok(Ok(traced)) => traced,
        Ok(Err(error)) => return inspect_failed(&settings, NeededBy::Trace, &error),
        Err(error) => {
            err_line!("ringback: {error}");
            return ExitCode::from(FAILED);
        }
    };
    for topic in &traced.missing {
        err_line!("topic {topic} is missing; `ringback topics --create` creates it");
    }
    if traced.is_empty() {
        err_line!("nothing is known about {}", one_line(uuid.as_str()));
        err_line!(
            "Check the spelling. Facts that are older than the topics' retention are deleted."
        );
        return ExitCode::from(FAILED);
    }
    let lines = if arguments.json { json_lines } else { text_lines };
    print(lines(&traced, arguments.bodies));
    ExitCode::SUCCESS
}

/// Returns a line per fact, then a line for the state.
fn json_lines(traced: &Trace, bodies: bool) -> Vec<String> {
    let facts = traced.facts.iter().map(|fact| json(&fact.view(bodies)));
    facts.chain([json(&traced.now(bodies))]).collect()
}

fn text_lines(traced: &Trace, bodies: bool) -> Vec<String> {
    let facts =
        traced.facts.iter().map(|fact| fact.columns().map(|text| one_line(&text).into_owned()));
    let rows: Vec<_> = std::iter::once(COLUMNS.map(str::to_owned)).chain(facts).collect();
    let mut aligned = table(&rows).into_iter();
    let mut lines: Vec<String> = aligned.next().into_iter().collect();
    for (fact, line) in traced.facts.iter().zip(aligned) {
        lines.push(line);
        let shown = fact.bodies().into_iter().filter(|_| bodies);
        lines.extend(shown.map(|(name, body)| format!("    {name}: {body}")));
    }
    lines.push(String::new());
    let Some(Row { partition, offset, state }) = &traced.row else {
        lines.push("Now: nothing is stored about it".to_owned());
        return lines;
    };
    lines.push(format!("Now, by the changelog's partition {partition} at offset {offset}:"));
    let now = clock::wall();
    let endpoints = traced.endpoints.iter();
    let endpoints = endpoints.filter_map(|(name, known)| state::endpoint_line(name, known, now));
    let sentences = state::lines(state, now).into_iter().chain(endpoints);
    lines.extend(sentences.map(|sentence| format!("  {}", one_line(&sentence))));
    lines.extend(state.deliveries.iter().filter(|_| bodies).map(|delivery| {
        let body = String::from_utf8_lossy(&delivery.body);
        format!("  body of {}: {body}", delivery.id)
    }));
    lines
}

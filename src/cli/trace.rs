//! `ringback trace`

mod fact;
mod read;
mod state;

use super::terminal::{one_line, printable, table};
use super::{FAILED, UNAVAILABLE, USAGE, chain, load};
use crate::domain::PhononUuid;
use crate::engine;
use clap::Args;
use fact::COLUMNS;
use read::{TraceError, Traced};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

/// Shows everything that is known of one phonon-uuid, oldest first, and what it is waiting for
///
/// The facts are its events and its dead letters, and what was forwarded to the partition that owns it; the state is its
/// latest row in the changelog, which is the truth whatever a daemon holds in memory. Nothing but the partitions that can
/// hold it is read, as far back as the topics' retention goes.
///
/// Bodies hold a customer's data, so that they are shown on demand only. URLs show without their query.
///
/// Exits with 1 when nothing is known of it.
#[derive(Args)]
#[command(after_help = "\
Example:
  ringback trace bd706f90-aa14-47ea-9844-3d1e1123f4ee --config /etc/ringback/ringback.toml
  ringback trace bd706f90-aa14-47ea-9844-3d1e1123f4ee --json | jq 'select(.fact.type == \"delivered\")'")]
pub(super) struct Arguments {
    /// The phonon-uuid, as the records spell it
    #[arg(value_name = "UUID")]
    uuid: String,
    /// Prints a JSON object per fact, each on a line, and the state as the last
    #[arg(long)]
    json: bool,
    /// Shows the bodies of requests, answers and records too
    #[arg(long)]
    bodies: bool,
    /// Reads every partition, for facts older than a change of the number of partitions
    #[arg(long)]
    all_partitions: bool,
}

pub(super) async fn run(file: &Path, arguments: &Arguments) -> ExitCode {
    let settings = match load(file) {
        Ok((settings, _)) => settings,
        Err(code) => return code,
    };
    let Some(uuid) = PhononUuid::new(&arguments.uuid) else {
        eprintln!("a phonon-uuid has 1 to {} bytes", PhononUuid::BYTES_MAX);
        return ExitCode::from(USAGE);
    };
    let bootstrap = settings.kafka.bootstrap_servers.clone();
    let (whose, all) = (uuid.clone(), arguments.all_partitions);
    let reading = tokio::task::spawn_blocking(move || read::read(&settings, &whose, all)).await;
    let traced = match reading {
        Ok(Ok(traced)) => traced,
        Ok(Err(TraceError::Log(error))) => {
            eprintln!("Kafka at {bootstrap}: {}", chain(&error));
            return ExitCode::from(UNAVAILABLE);
        }
        Ok(Err(error @ TraceError::Row(..))) => {
            eprintln!("{}", chain(&error));
            return ExitCode::from(FAILED);
        }
        Err(error) => {
            eprintln!("ringback: {error}");
            return ExitCode::from(FAILED);
        }
    };
    for topic in &traced.missing {
        eprintln!("topic {topic} is missing; `ringback topics --create` creates it");
    }
    if traced.facts.is_empty() && traced.row.is_none() {
        eprintln!("nothing is known of {}", one_line(uuid.as_str()));
        eprintln!("Check the spelling; what is older than the topics' retention is gone.");
        return ExitCode::from(FAILED);
    }
    if arguments.json {
        print_json(&traced, arguments.bodies)
    } else {
        print_text(&traced, arguments.bodies)
    }
    ExitCode::SUCCESS
}

fn print_json(traced: &Traced, bodies: bool) {
    for fact in &traced.facts {
        println!("{}", fact.to_json(bodies));
    }
    // No row: it is not known any more.
    let row = traced.row.as_ref();
    let state = row.map(|row| state::to_json(&row.state, bodies));
    let endpoints = traced.endpoints.iter();
    let endpoints = endpoints.map(|(name, known)| (name.to_string(), state::endpoint_json(known)));
    println!(
        "{}",
        json!({
            "from": "changelog",
            "partition": row.map(|row| row.partition),
            "offset": row.map(|row| row.offset),
            "state": state,
            "endpoints": Value::Object(endpoints.collect()),
        })
    );
}

fn print_text(traced: &Traced, bodies: bool) {
    let facts = traced.facts.iter().map(|fact| fact.columns().map(|text| one_line(&text)));
    let rows: Vec<_> = std::iter::once(COLUMNS.map(str::to_owned)).chain(facts).collect();
    let mut lines = table(&rows).into_iter();
    println!("{}", lines.next().unwrap_or_default());
    for (fact, line) in traced.facts.iter().zip(lines) {
        println!("{line}");
        for (name, body) in fact.bodies().into_iter().filter(|_| bodies) {
            println!("    {name}: {}", printable(&body));
        }
    }
    println!();
    let Some(row) = &traced.row else {
        println!("Now: nothing is kept of it");
        return;
    };
    println!("Now, by the changelog's partition {} at offset {}:", row.partition, row.offset);
    let now = engine::now();
    let endpoints = traced.endpoints.iter();
    let endpoints = endpoints.filter_map(|(name, known)| state::endpoint_line(name, known, now));
    for line in state::lines(&row.state, now).into_iter().chain(endpoints) {
        println!("  {}", one_line(&line));
    }
    if bodies {
        for delivery in &row.state.deliveries {
            let body = String::from_utf8_lossy(&delivery.body);
            println!("  body of {}: {}", delivery.id, printable(&body));
        }
    }
}

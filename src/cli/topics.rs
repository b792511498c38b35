//! `ringback topics`

use super::{FAILED, UNAVAILABLE, chain, load};
use crate::config::Settings;
use crate::log::{self, LogError, TopicState};
use clap::Args;
use std::path::Path;
use std::process::ExitCode;

/// Shows the wanted and the real settings of every topic
///
/// Exits with 1 while something is wrong.
#[derive(Args)]
#[command(after_help = "Example:\n  ringback topics --config /etc/ringback/ringback.toml --create")]
pub(super) struct Arguments {
    /// Creates those of Ringback's own topics that are missing
    #[arg(long)]
    create: bool,
    /// Corrects settings that are wrong, and gives an inbox the partitions that it lacks
    #[arg(long)]
    mend: bool,
}

pub(super) async fn run(file: &Path, arguments: &Arguments) -> ExitCode {
    let settings = match load(file) {
        Ok((settings, _)) => settings,
        Err(code) => return code,
    };
    match show(&settings, arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => {
            eprintln!("Kafka at {}: {}", settings.kafka.bootstrap_servers, chain(&error));
            ExitCode::from(UNAVAILABLE)
        }
    }
}

async fn show(settings: &Settings, arguments: &Arguments) -> Result<bool, LogError> {
    let (kafka, names) = (&settings.kafka, &settings.topics);
    if arguments.create {
        for topic in log::create_missing(kafka, names).await? {
            println!("created {topic}");
        }
    }
    if arguments.mend {
        for topic in log::mend(kafka, names).await? {
            println!("corrected {topic}");
        }
    }
    let states = log::survey(kafka, names).await?;
    let mut faults = 0;
    for state in &states {
        faults += print(state);
    }
    Ok(faults == 0)
}

fn print(state: &TopicState) -> usize {
    let partitions =
        state.partitions.map_or("missing".to_owned(), |count| format!("{count} partitions"));
    println!("{} ({}): {partitions}", state.name, state.role);
    for (key, wanted, real) in &state.settings {
        println!("  {key} = {} (wanted: {wanted})", real.as_deref().unwrap_or("-"));
    }
    let faults = state.faults();
    for fault in &faults {
        println!("  ! {}", fault.text);
    }
    faults.len()
}

//! `ringback topics`

use super::{FAILED, kafka_failed, load, terminal};
use crate::clock;
use crate::config::Settings;
use crate::exit::ExitCode;
use crate::log::{self, KafkaSettings, LogError, NeededBy, TopicNames, TopicState};
use crate::telemetry::{err_line, out_line};
use clap::Args;
use std::num::NonZeroU16;
use std::path::Path;
use std::time::Duration;

/// Brokers show an accepted change within this time.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

/// Shows the wanted and the actual settings of every topic
///
/// Exits with 1 while a setting is wrong or a topic is missing.
#[derive(Args)]
#[command(
    after_help = "Example:\n  ringback topics --config /etc/ringback/ringback.toml --create\n  ringback topics --create --with-inputs 6"
)]
pub(super) struct Arguments {
    /// Creates Ringback's own topics that are missing
    #[arg(long)]
    create: bool,
    /// Also creates the inputs that are missing, with N partitions each. For development: on the platform, its
    /// producers own the inputs
    #[arg(long, requires = "create", value_name = "N")]
    with_inputs: Option<NonZeroU16>,
    /// Corrects wrong settings, and adds missing partitions to the inbox
    #[arg(long)]
    mend: bool,
    /// Does not ask for confirmation before it corrects anything
    #[arg(long, short, requires = "mend")]
    yes: bool,
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
            let command = match arguments {
                Arguments { mend: true, .. } => NeededBy::Alter,
                Arguments { create: true, .. } => NeededBy::Create,
                Arguments { .. } => NeededBy::Topics,
            };
            kafka_failed(&settings, command, &error.into())
        }
    }
}

async fn show(settings: &Settings, arguments: &Arguments) -> Result<bool, LogError> {
    let (kafka, names) = (&settings.kafka, &settings.topics);
    let mut changed = Vec::new();
    if arguments.create {
        let created = match arguments.with_inputs {
            Some(partitions) => log::create_with_inputs(kafka, names, partitions.get()).await?,
            None => log::create_missing(kafka, names).await?,
        };
        for topic in created {
            out_line!("created {topic}");
            changed.push(topic);
        }
    }
    if arguments.mend {
        if !terminal::confirm("Correct what is wrong with the topics?", arguments.yes) {
            err_line!("nothing was corrected");
            return Ok(false);
        }
        for topic in log::repair(kafka, names).await? {
            out_line!("corrected {topic}");
            changed.push(topic);
        }
    }
    let states = survey_after(kafka, names, &changed).await?;
    let mut faults = 0;
    for state in &states {
        faults += print(state);
    }
    Ok(faults == 0)
}

/// Returns the topics once Kafka shows the `changed` ones without faults: brokers show a change some time after they
/// accept it. After [`SHOWN_WITHIN`] it returns the topics with the faults that remain.
async fn survey_after(
    kafka: &KafkaSettings,
    names: &TopicNames,
    changed: &[String],
) -> Result<Vec<TopicState>, LogError> {
    let began = clock::instant();
    loop {
        let states = log::survey(kafka, names).await?;
        let mut ours = states.iter().filter(|state| changed.contains(&state.name));
        if ours.all(|state| state.faults().is_empty()) || clock::since(began) > SHOWN_WITHIN {
            return Ok(states);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn print(state: &TopicState) -> usize {
    let partitions =
        state.partitions.map_or("missing".to_owned(), |count| format!("{count} partitions"));
    out_line!("{} ({}): {partitions}", state.name, state.role);
    for (key, wanted, real) in &state.settings {
        out_line!("  {key} = {} (wanted: {wanted})", real.as_deref().unwrap_or("-"));
    }
    let faults = state.faults();
    for fault in &faults {
        out_line!("  ! {}", fault.text);
    }
    faults.len()
}

//! `ringback sink`

use super::run::{end_on_panic, refuse};
use super::{CONFIGURATION, FAILED};
use crate::app::{self, SinkFailure};
use crate::clock;
use crate::config::{Fault, Faults, Settings};
use crate::exit::ExitCode;
use crate::shutdown::HangUps;
use crate::telemetry::{logging, with_causes};
use clap::{Args, Subcommand};
use std::path::Path;

/// Stores the answers of endpoints in a database
#[derive(Subcommand)]
#[command(after_help = "Example:\n  ringback sink mongodb --config /etc/ringback/ringback.toml")]
pub(super) enum Command {
    Mongodb(MongoDb),
}

/// Writes the answer of each delivery into the documents of its SMS in MongoDB
///
/// It reads the events in a consumer group of its own, and runs until SIGTERM or SIGINT. Several processes with the same
/// configuration and different kafka.instance_id share the partitions. It waits for Kafka and for the database; /readyz
/// says for which.
#[derive(Args)]
#[command(after_help = "Example:\n  ringback sink mongodb --config /etc/ringback/ringback.toml")]
pub(super) struct MongoDb;

pub(super) async fn run(file: &Path, command: &Command) -> ExitCode {
    let Command::Mongodb(MongoDb) = command;
    end_on_panic();
    // This comes first: without a handler, SIGHUP would end the process.
    let hang_ups = match HangUps::new() {
        Ok(hang_ups) => hang_ups,
        Err(error) => {
            logging::last_words(&format!("ringback: {}", with_causes(&SinkFailure::from(error))));
            return ExitCode::from(FAILED);
        }
    };
    // The first call starts the process's clock.
    let _ = clock::now();
    let (settings, effective, warnings) = match Settings::listed(file) {
        Ok(listed) => listed,
        Err(faults) => return refuse(&faults),
    };
    let Some(mongo) = &settings.sink else {
        let fix = "set uri = \"mongodb://HOST:27017\" and database = \"NAME\" under it";
        let fault = Fault::missing(&settings.file, "sink.mongodb", fix);
        return refuse(&Faults(vec![fault]));
    };
    match app::run_sink(&settings, mongo, &effective, &warnings, hang_ups).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::last_words(&format!("{}: {}", file.display(), with_causes(&error)));
            ExitCode::from(if error.is_final() { CONFIGURATION } else { FAILED })
        }
    }
}

//! `ringback webhook enable`

use super::find;
use crate::cli::terminal::{confirm, print};
use crate::cli::{CONFIGURATION, FAILED, kafka_failed, load_all};
use crate::codec::command::{COMMAND_HEADER, ENABLE_ENDPOINT, write_enable_endpoint};
use crate::exit::ExitCode;
use crate::log::{self, BroadcastError, NeededBy};
use crate::telemetry::err_line;
use clap::Args;
use serde_json::json;
use std::path::Path;

/// Enables a disabled webhook
///
/// It writes a command for every partition to the inbox. A running daemon obeys it at once, and otherwise when it
/// starts. Deliveries that became dead letters meanwhile stay dead letters; `ringback dead-letter replay` sends them.
#[derive(Args)]
#[command(after_help = "\
Example:
  ringback webhook enable crm --config /etc/ringback/ringback.toml
  ringback dead-letter replay --webhook crm --reason endpoint_disabled --dry-run")]
pub(in crate::cli) struct Arguments {
    /// The webhook's name in the accounts file
    #[arg(value_name = "NAME")]
    name: String,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
    /// Does not ask for confirmation, even on a terminal
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(file: &Path, arguments: &Arguments) -> ExitCode {
    let (settings, accounts) = match load_all(file).await {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let webhook = match find(&accounts, &arguments.name) {
        Ok(webhook) => webhook.clone(),
        Err(code) => return code,
    };
    let (name, url) = (webhook.name.as_str(), webhook.shown_url());
    if !confirm(&format!("Enable {name} ({url})?"), arguments.yes) {
        return ExitCode::from(FAILED);
    }
    let mut value = Vec::new();
    write_enable_endpoint(&mut value, &webhook.name);
    let (kafka, topic, key) =
        (settings.kafka.clone(), settings.topics.inbox.clone(), webhook.name.clone());
    let headers = [(COMMAND_HEADER, ENABLE_ENDPOINT.to_owned())];
    let sent = tokio::task::spawn_blocking(move || {
        log::broadcast(&kafka, &topic, key.as_str().as_bytes(), &value, &headers)
    });
    match sent.await {
        Ok(Ok(partitions)) if arguments.json => {
            print([json!({"webhook": name, "partitions": partitions}).to_string()]);
            ExitCode::SUCCESS
        }
        Ok(Ok(partitions)) => {
            print([format!(
                "{name}: the command was written to all {partitions} partitions of the inbox"
            )]);
            ExitCode::SUCCESS
        }
        Ok(Err(error @ BroadcastError::NoTopic(_))) => {
            err_line!("{error}");
            ExitCode::from(CONFIGURATION)
        }
        Ok(Err(BroadcastError::Kafka(error))) => kafka_failed(&settings, NeededBy::Enable, &error),
        Err(error) => {
            err_line!("ringback: {error}");
            ExitCode::from(FAILED)
        }
    }
}

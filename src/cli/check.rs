//! `ringback check`

mod database;
mod files;
mod rights;

use super::{CONFIGURATION, UNAVAILABLE, kafka_failed, refuse};
use crate::app;
use crate::config::{Accounts, Loaded, Settings};
use crate::delivery::{Endpoint, Names, Trust};
use crate::exit::ExitCode;
use crate::log::{self, LogError, NeededBy, Registry, TopicState};
use crate::sink::Writer;
use crate::telemetry::{err_line, out_line, with_causes};
use clap::Args;
use std::path::Path;
use std::sync::Arc;

/// Checks the configuration, the accounts and the webhooks, and prints every fault
#[derive(Args)]
#[command(after_help = "Example:\n  ringback check --config /etc/ringback/ringback.toml --online")]
pub(super) struct Arguments {
    /// Also checks the store's directory, the permissions of secret files, Kafka, the schema registry, the accounts'
    /// database with its rows, and the sink's database. In Kafka, it checks the rights, the settings of the topics, and
    /// the owner of the rows in changelog and store
    #[arg(long)]
    online: bool,
}

pub(super) async fn run(file: &Path, arguments: &Arguments) -> ExitCode {
    let loaded = match Loaded::load(file) {
        Ok(loaded) => loaded,
        Err(faults) => return refuse(&faults),
    };
    let Loaded { settings, accounts, warnings, notes, .. } = loaded;
    for warning in &warnings {
        err_line!("{warning}");
    }
    for note in &notes {
        err_line!("{note}");
    }
    let trust = match Trust::new() {
        Ok(trust) => trust,
        Err(error) => {
            err_line!("{}", with_causes(&error));
            return ExitCode::from(CONFIGURATION);
        }
    };
    let files = match app::file_plan(&settings, &accounts) {
        Ok(files) => files,
        Err(error) => {
            err_line!("{}: {}", file.display(), with_causes(&error));
            return ExitCode::from(CONFIGURATION);
        }
    };
    // This is a warning: the daemon may run under another limit than this command, and works with fewer files.
    if let Some(shortcoming) = files.shortcoming() {
        err_line!("{}: warning: {shortcoming}", file.display());
    }
    let mut faults = 0_usize;
    for (webhook, _) in accounts.webhooks.values() {
        let file = settings.accounts_file.display();
        match Endpoint::new(webhook.clone(), &trust, &settings.delivery.addresses) {
            Ok(endpoint) => {
                // This is a warning: `allow_addresses` is in the other file, which may differ between machines.
                if let Some(blocked) = endpoint.blocked() {
                    err_line!(
                        "{file}: warning: webhook {}: {blocked}; delivery.allow_addresses can open it",
                        webhook.name
                    );
                }
            }
            Err(error) => {
                err_line!("{file}: {}", with_causes(&error));
                faults += 1;
            }
        }
    }
    if let Err(refusal) = log::try_clients(&settings.kafka) {
        err_line!("{}: kafka.client: librdkafka refuses it: {}", file.display(), refusal.text);
        faults += 1;
    }
    if faults > 0 {
        return ExitCode::from(CONFIGURATION);
    }
    say_good(file, &settings, &accounts);
    if !arguments.online {
        return ExitCode::SUCCESS;
    }
    let rows = database::check(&settings).await;
    let accounts = rows.as_ref().ok().and_then(Option::as_ref).unwrap_or(&accounts);
    let is_usable = files::check(&settings, accounts);
    let code = online(&settings, &trust).await;
    match rows {
        Err(code) => code,
        Ok(_) if !is_usable => ExitCode::from(CONFIGURATION),
        Ok(_) => code,
    }
}

/// Prints that the files have no faults.
fn say_good(file: &Path, settings: &Settings, accounts: &Accounts) {
    match settings.accounts_database {
        None => out_line!(
            "{}: {} accounts and {} webhooks, no faults",
            file.display(),
            accounts.accounts.len(),
            accounts.webhooks.len()
        ),
        Some(_) => {
            out_line!("{}: no faults; --online checks the accounts' database", file.display())
        }
    }
}

/// Checks that the rows of changelog and store belong to this group, cluster and changelog.
async fn owners(settings: &Settings) -> Result<(), ExitCode> {
    let stored = app::stored_partitions(settings).map_err(|error| {
        err_line!("{}", with_causes(&error));
        ExitCode::from(CONFIGURATION)
    })?;
    let found =
        app::inspect(settings, stored).await.map_err(|error| unanswered(settings, error))?;
    for mismatch in &found {
        err_line!("{mismatch}");
    }
    if !found.is_empty() {
        return Err(ExitCode::from(CONFIGURATION));
    }
    out_line!("changelog and store: no rows of another group, cluster or changelog");
    Ok(())
}

async fn online(settings: &Settings, trust: &Trust) -> ExitCode {
    let mut code = match rights::check(settings).await {
        Ok(true) => match topics(settings).await {
            code if code == ExitCode::from(UNAVAILABLE) => code,
            code => owners(settings).await.err().unwrap_or(code),
        },
        Ok(false) => ExitCode::from(CONFIGURATION),
        Err(error) => unanswered(settings, error),
    };
    if let Some(registry) = &settings.schema_registry {
        let client = app::service_client(trust, &Names::new(&settings.delivery.name_servers));
        let runtime = tokio::runtime::Handle::current();
        let probe =
            Registry::new(client, app::registry_settings(registry), runtime, Arc::new(|_| {}));
        match probe.probe().await {
            Ok(()) => out_line!("schema registry at {}: it answers", registry.url),
            Err(error) => {
                err_line!("schema registry at {}: {error}", registry.url);
                code = ExitCode::from(UNAVAILABLE);
            }
        }
    }
    if let Some(mongo) = &settings.sink {
        match Writer::connect(mongo).await {
            Ok(_) => out_line!("MongoDB at {}: it answers", mongo.shown),
            Err(error) => {
                err_line!("MongoDB at {}: {error}", mongo.shown);
                code = ExitCode::from(UNAVAILABLE);
            }
        }
    }
    code
}

fn unanswered(settings: &Settings, error: LogError) -> ExitCode {
    kafka_failed(settings, NeededBy::Run, &error.into())
}

async fn topics(settings: &Settings) -> ExitCode {
    match log::survey(&settings.kafka, &settings.topics).await {
        Ok(states) => {
            let faults: Vec<_> = states.iter().flat_map(TopicState::faults).collect();
            for fault in &faults {
                err_line!("topic {}: {}", fault.topic, fault.text);
            }
            if !faults.is_empty() {
                return ExitCode::from(CONFIGURATION);
            }
            out_line!(
                "Kafka at {}: all topics have the wanted settings",
                settings.kafka.bootstrap_servers
            );
            ExitCode::SUCCESS
        }
        Err(error) => unanswered(settings, error),
    }
}

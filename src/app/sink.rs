//! The process of a sink: built from its configuration, and run until it is stopped.

use super::reload::{self, config_pages};
use super::serve;
use super::stop::SHUTDOWN_TIMEOUT;
use super::topics::{KAFKA_PAUSE, KAFKA_TIMEOUT, show_failure, show_missing};
use crate::admin::Admin;
use crate::config::{Effective, Settings, Warning};
use crate::log::{self, Cluster, LogError, NeededBy, Operation, Resource, sink_group};
use crate::shutdown::{HangUps, Signals};
use crate::sink::{MongoSettings, Sink, SinkError, SinkHandle, SinkParts, Writer};
use crate::telemetry::{Health, STALL_DEADLINE, SinkMetrics, Waiting};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The pause between two tries to reach the database at the start.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);

/// The reason why the sink could not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum SinkFailure {
    /// A Kafka client can't be created.
    #[error("[kafka] is wrong")]
    Kafka(#[source] LogError),
    /// The address of the sink's own API can't be bound.
    #[error("sink.mongodb.listen: can't listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The system refused a request.
    #[error("the system refused a request")]
    System(#[from] std::io::Error),
    /// The sink stopped with an error.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A second signal asked to stop at once.
    #[error("stopped at once by a second signal")]
    Impatient,
}

impl SinkFailure {
    /// Returns whether somebody has to correct the configuration.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Kafka(error) => error.is_final(),
            Self::Sink(error) => error.is_final(),
            Self::Listen(..) | Self::System(_) | Self::Impatient => false,
        }
    }
}

/// Runs the sink to MongoDB until a signal. `mongo` is `[sink.mongodb]` of `settings`. `hang_ups` must have been created
/// before the configuration was read, so that no SIGHUP ends the process.
///
/// # Errors
/// The sink can't start, or stopped with an error.
pub async fn run_sink(
    settings: &Settings,
    mongo: &MongoSettings,
    effective: &Effective,
    warnings: &[Warning],
    hang_ups: HangUps,
) -> Result<(), SinkFailure> {
    let mut signals = Signals::new()?;
    tokio::spawn(explain(hang_ups));
    reload::log_warnings(warnings);
    let group = sink_group(&settings.kafka.group_id);
    let metrics = SinkMetrics::new(&settings.kafka.instance_id, &group);
    let health = Health::new(STALL_DEADLINE);
    health.begin([Waiting::Kafka(settings.kafka.bootstrap_servers.clone())]);
    let admin = Admin {
        metrics: metrics.clone(),
        health: health.clone(),
        config: Arc::new(config_pages(effective)),
        console: None,
        token: settings.http.token.clone(),
    };
    let served = serve(mongo.listen, admin, std::future::pending()).await;
    served.map_err(|error| SinkFailure::Listen(mongo.listen, error))?;
    let starting = async {
        wait_for_topics(settings, &health).await?;
        let writer = wait_for_database(mongo, &health).await;
        Ok::<_, SinkFailure>(SinkParts {
            kafka: settings.kafka.clone(),
            topics: settings.topics.clone(),
            settings: mongo.clone(),
            writer,
            runtime: tokio::runtime::Handle::current(),
            metrics,
            health: health.clone(),
        })
    };
    let parts = tokio::select! {
        started = starting => started?,
        // Nothing was read yet, so there is nothing to finish.
        () = signals.next() => return Ok(()),
    };
    let (handle, mut ended) = start(parts)?;
    tokio::select! {
        result = &mut ended => return ending(result),
        () = signals.next() => {}
    }
    stop(&handle, ended, &health, &mut signals).await
}

/// Logs at each SIGHUP that the sink does not reload.
async fn explain(mut hang_ups: HangUps) {
    loop {
        hang_ups.next().await;
        tracing::warn!(
            "SIGHUP has no effect: the sink reads its configuration only at its start, so restart it to apply changes"
        );
    }
}

/// Joins the group, and starts the sink's thread.
fn start(
    parts: SinkParts,
) -> Result<(SinkHandle, oneshot::Receiver<Result<(), SinkError>>), SinkFailure> {
    let sink = Sink::join(parts)?;
    let handle = sink.handle();
    let (end, ended) = oneshot::channel();
    // The sink blocks, so it runs in a separate thread.
    std::thread::Builder::new().name("sink".to_owned()).spawn(move || {
        let _ = end.send(sink.run());
    })?;
    Ok((handle, ended))
}

async fn stop(
    handle: &SinkHandle,
    ended: oneshot::Receiver<Result<(), SinkError>>,
    health: &Health,
    signals: &mut Signals,
) -> Result<(), SinkFailure> {
    tracing::info!("stopping: the write in progress gets a moment to finish");
    health.wait(Waiting::Shutdown);
    handle.stop();
    tokio::select! {
        result = ended => ending(result),
        () = signals.next() => Err(SinkFailure::Impatient),
        () = tokio::time::sleep(SHUTDOWN_TIMEOUT) => {
            tracing::warn!("the last write did not finish in time: its events are read again after the next start");
            Ok(())
        }
    }
}

/// Returns the sink's result. A thread that ended without a result has panicked.
fn ending(
    result: Result<Result<(), SinkError>, oneshot::error::RecvError>,
) -> Result<(), SinkFailure> {
    match result {
        Ok(ended) => ended.map_err(SinkFailure::from),
        Err(_) => Err(SinkFailure::System(std::io::Error::other("the sink's thread panicked"))),
    }
}

/// Waits until Kafka answers, the rights are granted and the topics exist.
async fn wait_for_topics(settings: &Settings, health: &Health) -> Result<(), SinkFailure> {
    let mut reported = Vec::new();
    loop {
        let asked = settings.clone();
        match log::blocking(move || missing_topics(&asked)).await {
            Ok(missing) if missing.is_empty() => {
                log::back();
                return Ok(());
            }
            Ok(missing) => {
                log::back();
                show_missing(health, missing);
            }
            Err(error) => {
                let shown = show_failure(&settings.kafka, health, error, &mut reported).await;
                shown.map_err(SinkFailure::Kafka)?;
            }
        }
        tokio::time::sleep(KAFKA_PAUSE).await;
    }
}

/// Checks the rights, and returns the topics that do not exist yet: the daemon creates them. Blocks.
fn missing_topics(settings: &Settings) -> Result<Vec<String>, LogError> {
    let (kafka, names) = (&settings.kafka, &settings.topics);
    let wanted = NeededBy::Sink.rights(kafka, names);
    let mut missing = log::missing(kafka, &wanted)?;
    for right in wanted {
        // The first dead letter would show it too, possibly months later.
        if let Resource::TransactionalId(id) = &right.resource
            && !log::check_transactional(kafka, id)?
        {
            missing.push(right);
        }
    }
    if !missing.is_empty() {
        return Err(LogError::Denied(missing));
    }
    let wanted = [names.events.as_str(), names.dead_letter.as_str()];
    let cluster = Cluster::new(kafka)?;
    let counts = cluster.partition_counts(wanted, Operation::Describe, KAFKA_TIMEOUT)?;
    let missing = wanted.into_iter().filter(|name| !counts.contains_key(*name));
    Ok(missing.map(str::to_owned).collect())
}

/// Waits until the database answers.
async fn wait_for_database(mongo: &MongoSettings, health: &Health) -> Writer {
    let reason = format!("waiting for MongoDB at {}", mongo.shown);
    health.wait_only([Waiting::Other(reason.clone())]);
    loop {
        match Writer::connect(mongo).await {
            Ok(writer) => {
                health.wait_only([]);
                tracing::info!(servers = mongo.shown, "the database answers");
                return writer;
            }
            Err(error) => {
                let what = format!("{reason}: {error}");
                if log::is_due(&what) {
                    tracing::warn!("{what}");
                }
                health.wait_only([Waiting::Other(what)]);
            }
        }
        tokio::time::sleep(DATABASE_PAUSE).await;
    }
}

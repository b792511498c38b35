//! Waits for Kafka, rights and topics before the daemon joins its group, and checks topics and rows.

use super::{App, AppError, ownership};
use crate::config::Settings;
use crate::engine::Permissions;
use crate::log::{
    self, Cluster, KafkaSettings, LogError, Missing, NeededBy, Operation, Right, Role, TopicFault,
    Topics,
};
use crate::store::Store;
use crate::telemetry::{Health, Waiting};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub(super) const KAFKA_PAUSE: Duration = Duration::from_secs(1);
pub(super) const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);

impl App {
    pub(super) fn waiting_for_kafka(&self) -> Waiting {
        Waiting::Kafka(self.settings.kafka.bootstrap_servers.clone())
    }

    /// Waits until Kafka answers, the rights are granted and the inputs exist. Creates missing topics of the daemon.
    /// Fails if a topic's settings are wrong or if rows belong to another daemon.
    pub(super) async fn wait_for_topics(
        &self,
        store: Store,
    ) -> Result<(Topics, Store, Permissions), AppError> {
        let mut store = Some(store);
        let mut reported = Vec::new();
        loop {
            let surveyed = self.survey(&mut store).await;
            if surveyed.is_ok() {
                log::back();
            }
            match surveyed {
                Ok(Ok((topics, permissions))) => {
                    self.health.wait_only([]);
                    let store = match store {
                        Some(store) => store,
                        None => Store::open(&self.settings.store.directory)?,
                    };
                    return Ok((topics, store, permissions));
                }
                Ok(Err(missing)) => show_missing(&self.health, missing),
                Err(AppError::Kafka(error)) => {
                    let kafka = &self.settings.kafka;
                    let shown = show_failure(kafka, &self.health, error, &mut reported).await;
                    shown.map_err(AppError::Kafka)?;
                }
                Err(other) => return Err(other),
            }
            tokio::time::sleep(KAFKA_PAUSE).await;
        }
    }

    /// Returns the topics, or the names of inputs that do not exist yet.
    async fn survey(
        &self,
        store: &mut Option<Store>,
    ) -> Result<Result<(Topics, Permissions), Vec<String>>, AppError> {
        let (kafka, names) = (&self.settings.kafka, &self.settings.topics);
        if self.check_topics {
            insist_on_rights(&self.settings).await?;
        }
        let counts = counts(&self.settings).await?;
        let inputs = || names.sources().map(|(name, _)| name);
        let missing: Vec<String> =
            inputs().filter(|name| !counts.contains_key(*name)).cloned().collect();
        if !missing.is_empty() {
            return Ok(Err(missing));
        }
        let mut permissions = Permissions::default();
        if self.check_topics {
            permissions = ownership::permit(&self.settings, &self.start, store).await?;
            for topic in log::create_missing(kafka, names).await.map_err(AppError::Kafka)? {
                tracing::info!(topic, "topic created");
            }
            let states = log::survey(kafka, names).await.map_err(AppError::Kafka)?;
            let (fatal, passing): (Vec<_>, Vec<_>) =
                states.iter().flat_map(log::TopicState::faults).partition(|fault| fault.fatal);
            for TopicFault { topic, text, .. } in passing {
                tracing::warn!(topic, "{text}");
            }
            if !fatal.is_empty() {
                return Err(AppError::Topics(fatal));
            }
        }
        let partitions = counts_now(&self.settings, &names.changelog).await?;
        let inbox = counts_now(&self.settings, &names.inbox).await?;
        let differs = |name: &&String| counts.get(*name).is_some_and(|count| *count != inbox);
        let other_partition_counts: BTreeSet<Arc<str>> =
            inputs().filter(differs).map(|name| name.as_str().into()).collect();
        for topic in &other_partition_counts {
            tracing::warn!(
                topic = topic.as_ref(),
                inbox,
                "the topic and the inbox have different numbers of partitions, so all records of the topic are \
                 forwarded, which costs speed: see ops/guide/partitions.md"
            );
        }
        let sources = names.sources().map(|(name, kind)| (name, Role::Source(kind)));
        let roles = sources.chain([(&names.inbox, Role::Inbox)]);
        let roles: BTreeMap<Arc<str>, Role> =
            roles.map(|(name, role)| (name.as_str().into(), role)).collect();
        Ok(Ok((
            Topics {
                roles,
                partitions,
                other_partition_counts,
                unwrap: names.unwrap,
                continues_traces: self.settings.traces.is_some(),
            },
            permissions,
        )))
    }
}

/// Shows that the process waits for topics.
pub(super) fn show_missing(health: &Health, missing: Vec<String>) {
    if log::is_due(&format!("waiting for topics {missing:?}")) {
        let topics = missing.join(", ");
        tracing::info!(topics, "waiting for topics that their producers create");
    }
    health.wait_only(missing.into_iter().map(Waiting::Topic));
}

/// Shows why the process waits for Kafka. `reported` are the missing rights that the log has named.
///
/// # Errors
/// Waiting is useless: a client can't be created.
pub(super) async fn show_failure(
    kafka: &KafkaSettings,
    health: &Health,
    error: LogError,
    reported: &mut Vec<Right>,
) -> Result<(), LogError> {
    match error {
        LogError::Client(_) => return Err(error),
        LogError::Denied(rights) => {
            health.wait_only(rights.iter().map(waiting_for_right));
            if *reported != rights {
                let missing = Missing(&rights, kafka).to_string();
                tracing::warn!(
                    "waiting for rights in Kafka: {}; see ops/guide/rights.md",
                    missing.replace('\n', "; ")
                );
                *reported = rights;
            }
        }
        LogError::Request { .. }
        | LogError::NoInputs(_)
        | LogError::Thread(..)
        | LogError::Topic { .. } => {
            health.wait_only([Waiting::Kafka(kafka.bootstrap_servers.clone())]);
            tracing::debug!(error = &error as &dyn std::error::Error, "waiting for Kafka");
            drop(error);
            let asked = kafka.clone();
            // The result is not needed: the cause is stored for `say_away`.
            let _ = tokio::task::spawn_blocking(move || log::look_for_cause(&asked)).await;
            log::say_away(&kafka.bootstrap_servers);
        }
    }
    Ok(())
}

async fn counts(settings: &Settings) -> Result<BTreeMap<String, u32>, AppError> {
    let (kafka, names) = (settings.kafka.clone(), settings.topics.clone());
    ask(move || {
        let cluster = Cluster::new(&kafka)?;
        cluster.partition_counts(names.all(), Operation::Describe, KAFKA_TIMEOUT)
    })
    .await
}

/// Checks all rights first, because Kafka lets a client start consuming even if it may not write its results.
async fn insist_on_rights(settings: &Settings) -> Result<(), AppError> {
    let (kafka, names) = (settings.kafka.clone(), settings.topics.clone());
    let missing = ask(move || log::missing(&kafka, &NeededBy::Run.rights(&kafka, &names))).await?;
    if missing.is_empty() { Ok(()) } else { Err(AppError::Kafka(LogError::Denied(missing))) }
}

/// Runs a blocking request to Kafka on a thread for blocking work.
async fn ask<T: Send + 'static>(
    question: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, AppError> {
    log::blocking(question).await.map_err(AppError::Kafka)
}

fn waiting_for_right(right: &Right) -> Waiting {
    Waiting::Other(format!("waiting for the right {right}"))
}

/// Returns the topic's number of partitions. Waits while the brokers don't show a new topic yet.
async fn counts_now(settings: &Settings, topic: &str) -> Result<u32, AppError> {
    loop {
        if let Some(count) = counts(settings).await?.get(topic).filter(|count| **count > 0) {
            return Ok(*count);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

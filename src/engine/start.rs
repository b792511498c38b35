//! The start of the daemon's engine: it opens the producer, which may wait for Kafka, and joins the group.

use super::channels::Channels;
use super::committer::Trouble;
use super::config::EngineSettings;
use super::{Engine, EngineError, Parts, Pieces, Shell};
use crate::clock;
use crate::delivery::{InstanceLimits, Lanes};
use crate::log::{KafkaLog, KafkaParts, LogError, Missing, Producers};
use crate::store::RowKey;
use crate::telemetry::{Health, Waiting};
use std::time::Duration;

/// The shortest pause between two attempts to open the producer.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    /// Opens the producer and joins the group. Then the engine is ready to [`Engine::run`]. Blocks.
    ///
    /// # Errors
    /// Kafka can't be used with this configuration.
    pub fn new(parts: Parts) -> Result<Self, EngineError> {
        let Parts { settings, config, store, topics, registry, accounts, .. } = parts;
        let Parts { runtime, metrics, health, traces, .. } = parts;
        let transactions = first_transactions(&settings, &health)?;
        let channels = Channels::default();
        let limits = InstanceLimits {
            in_flight_max: settings.in_flight_max,
            uncommitted_max: settings.uncommitted_max,
            rate_per_second: settings.rate_per_second,
        };
        let lanes = Lanes::new(limits, channels.watch(&metrics), runtime, traces.clone());
        let (seen, kafka) = (health.clone(), settings.kafka.bootstrap_servers.clone());
        let sink = channels.sink(move |away| match away {
            true => seen.wait(Waiting::Kafka(kafka.clone())),
            false => seen.resume(&Waiting::Kafka(kafka.clone())),
        });
        let log = KafkaLog::open(KafkaParts {
            settings: settings.kafka.clone(),
            names: settings.topics.clone(),
            partitions: settings.partitions,
            meta_key: RowKey::META,
            topics,
            registry,
            accounts,
            landmarks: settings.is_identified.then(|| channels.landmarks.clone()),
            sink,
        })?;
        let pieces = Pieces {
            settings,
            config,
            store,
            log,
            transactions,
            lanes,
            channels,
            metrics,
            health,
            traces,
        };
        Ok(Self(Shell::new(pieces)))
    }
}

/// Opens the producer. Waits while the broker is unreachable or denies rights, but fails at once for a wrong property.
fn first_transactions(
    settings: &EngineSettings,
    health: &Health,
) -> Result<Producers, EngineError> {
    let kafka = Waiting::Kafka(settings.kafka.bootstrap_servers.clone());
    let mut waiting = kafka.clone();
    let trouble = Trouble::default();
    loop {
        match Producers::open(&settings.kafka, &settings.topics, settings.partitions) {
            Ok(transactions) => {
                health.resume(&waiting);
                trouble.over(health);
                return Ok(transactions);
            }
            Err(error @ LogError::Client(_)) => return Err(error.into()),
            Err(LogError::Denied(rights)) => {
                let missing = Missing(&rights, &settings.kafka).to_string();
                let right = Waiting::Other(format!("waiting: {missing}"));
                // The same missing rights are logged once.
                if waiting != right {
                    health.resume(&waiting);
                    tracing::warn!(
                        "waiting for rights in Kafka: {missing}; see ops/guide/rights.md"
                    );
                    waiting = right;
                }
                health.wait(waiting.clone());
                clock::sleep(REOPEN_PAUSE);
            }
            Err(error) => {
                health.resume(&waiting);
                waiting = kafka.clone();
                health.wait(waiting.clone());
                clock::sleep(trouble.failed(&error.cause(), health).max(REOPEN_PAUSE));
            }
        }
    }
}

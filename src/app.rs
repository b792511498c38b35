//! Building the daemon from its configuration, and running it until it is told to stop.

mod files;
mod ownership;
mod registry;
mod reload;

pub use files::file_plan;
pub use ownership::{StartOptions, inspect, stored_partitions};
pub use registry::{registry_client, registry_settings};

use crate::admin::{self, Admin};
use crate::clock;
use crate::codec::body;
use crate::config::{self, Accounts, Faults, Settings, StoreSettings};
use crate::delivery::{Endpoint, EndpointError, TlsError, Trust};
use crate::engine::{
    Engine, EngineConfig, EngineError, EngineHandle, EngineSettings, Mismatch, Parts, Permissions,
};
use crate::log::{
    self, Cluster, LogError, Missing, NeededBy, Operation, Registry, Right, Role, TopicFault,
    Topics,
};
use crate::shutdown::{Asked, Signals};
use crate::store::{Store, StoreError};
use crate::system::{FilePlan, TooFewFiles};
use crate::telemetry::{Health, Metrics, STALL_DEADLINE, Waiting};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

const KAFKA_PAUSE: Duration = Duration::from_secs(1);
const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);
/// A drain takes less; what hangs on after it is made again by whoever runs next.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(4500);

/// Why the daemon could not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration is wrong.
    #[error("{0}")]
    Configuration(Faults),
    /// A topic is wrong, and nothing can run before it is mended.
    #[error("{}", .0.iter().map(|fault| format!("topic {}: {}", fault.topic, fault.text)).collect::<Vec<_>>().join("\n"))]
    Topics(Vec<TopicFault>),
    /// The rows in Kafka or in the store are not to be used.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Mismatch(Vec<Mismatch>),
    /// The changelog belongs to a group that is at work.
    #[error(
        "the changelog belongs to the consumer group {group}, which has {members} members: stop all its instances before \
         `ringback run --adopt` (Kafka removes an instance that was killed once its session has timed out), see \
         ops/guide/group.md"
    )]
    InUse {
        /// The group.
        group: Arc<str>,
        /// How many members it has.
        members: usize,
    },
    /// A Kafka client can't be made.
    #[error("[kafka] is wrong")]
    Kafka(#[source] LogError),
    /// The address of `[http] listen` can't be used.
    #[error("http.listen: {0} can't be listened on")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// TLS can't be set up.
    #[error("TLS can't be set up")]
    Tls(#[from] TlsError),
    /// A webhook can't be called.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The process may not open enough files.
    #[error(transparent)]
    Files(#[from] TooFewFiles),
    /// The system refuses something.
    #[error("the system refuses")]
    System(#[from] std::io::Error),
    /// The engine stopped.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Told twice to stop.
    #[error("stopped at once by a second signal")]
    Impatient,
}

/// A daemon that is about to run.
pub struct App {
    settings: Settings,
    config: Arc<EngineConfig>,
    trust: Trust,
    files: FilePlan,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    /// An embedded broker knows nothing of topics' settings.
    check_topics: bool,
    start: StartOptions,
}

impl App {
    /// Builds what needs no server.
    ///
    /// # Errors
    /// When a webhook's certificates or credentials can't be used, or the process may not open enough files.
    pub fn new(settings: Settings, accounts: &Accounts) -> Result<Self, AppError> {
        let files = file_plan(&settings, accounts)?;
        if let Some(shortcoming) = files.shortcoming() {
            tracing::warn!("{shortcoming}");
        }
        let trust = Trust::new()?;
        let config = Arc::new(engine_config(&settings, accounts, &trust, &files)?);
        let topics = &settings.topics;
        let inputs = topics.sources().map(|(name, _)| name).chain([&topics.inbox]);
        let inputs: Vec<_> = inputs.cloned().collect();
        let metrics = Metrics::with_endpoints(&inputs, settings.http.endpoint_labels_max);
        metrics.config_loaded(clock::wall());
        let health = Health::new(STALL_DEADLINE);
        let start = StartOptions::default();
        Ok(Self { settings, config, trust, files, metrics, health, check_topics: true, start })
    }

    /// What an operator allows at this start.
    #[must_use]
    pub fn with_start(mut self, start: StartOptions) -> Self {
        self.start = start;
        self
    }

    /// Takes the broker's topics as they are.
    #[must_use]
    pub fn without_topic_checks(mut self) -> Self {
        self.check_topics = false;
        self
    }

    /// The daemon's metrics.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// The daemon's health.
    #[must_use]
    pub fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// Runs until a signal, or `stop`, ends it.
    ///
    /// # Errors
    /// When it can't start, or can't go on.
    pub async fn run(self, stop: watch::Receiver<bool>) -> Result<(), AppError> {
        let mut signals = Signals::new()?;
        self.health.wait_only([self.waiting_for_kafka()]);
        self.serve(stop.clone()).await?;
        let StoreSettings { directory, on_corruption } = &self.settings.store;
        let store = Store::open_or_restore(directory, *on_corruption, &self.metrics)?;
        let starting = async {
            let (topics, store, permissions) = self.wait_for_topics(store).await?;
            self.start(store, topics, permissions).await
        };
        tokio::pin!(starting);
        let mut stopped = stop.clone();
        // What was read at the start may have been changed before anybody could apply it.
        let mut is_asked = false;
        let (handle, mut ended) = loop {
            tokio::select! {
                started = &mut starting => break started?,
                asked = signals.next() => match asked {
                    // Nothing has begun that would have to be ended.
                    Asked::Stop => return Ok(()),
                    Asked::Reload => is_asked = true,
                },
                _ = stopped.wait_for(|stop| *stop) => return Ok(()),
            }
        };
        if is_asked {
            self.reload(&handle);
        }
        loop {
            tokio::select! {
                result = &mut ended => return ending(result),
                asked = signals.next() => match asked {
                    Asked::Reload => self.reload(&handle),
                    Asked::Stop => break,
                },
                _ = stopped.wait_for(|stop| *stop) => break,
            }
        }
        self.stop(&handle, ended, signals).await
    }

    async fn stop(
        &self,
        handle: &EngineHandle,
        ended: oneshot::Receiver<Result<(), EngineError>>,
        mut signals: Signals,
    ) -> Result<(), AppError> {
        tracing::info!("stopping: what is on its way gets a moment to end");
        self.health.wait(Waiting::Shutdown);
        handle.shut_down();
        let impatient = async { while signals.next().await != Asked::Stop {} };
        tokio::select! {
            result = ended => ending(result),
            () = impatient => Err(AppError::Impatient),
            () = tokio::time::sleep(SHUTDOWN_TIMEOUT) => {
                tracing::warn!("not all could be ended in time; it will be done again after the next start");
                Ok(())
            }
        }
    }

    async fn serve(&self, mut stop: watch::Receiver<bool>) -> Result<(), AppError> {
        let address = self.settings.http.listen;
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|error| AppError::Listen(address, error))?;
        let admin = Admin {
            metrics: self.metrics.clone(),
            health: self.health.clone(),
            token: self.settings.http.token.clone(),
        };
        tracing::info!(%address, token = admin.token.is_some(), "metrics, health and API are served");
        let shutdown = async move {
            let _ = stop.wait_for(|stop| *stop).await;
        };
        tokio::spawn(async move {
            if let Err(error) = admin::serve(listener, admin, shutdown).await {
                tracing::error!(%error, "metrics, health and API are served no more");
            }
        });
        Ok(())
    }

    fn waiting_for_kafka(&self) -> Waiting {
        Waiting::Kafka(self.settings.kafka.bootstrap_servers.clone())
    }

    /// Waits until Kafka answers and the inputs exist; creates our own topics; refuses those that are wrong, and rows that are
    /// not ours.
    async fn wait_for_topics(
        &self,
        store: Store,
    ) -> Result<(Topics, Store, Permissions), AppError> {
        let mut store = Some(store);
        let mut told = Vec::new();
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
                Ok(Err(missing)) => {
                    if log::is_due(&format!("waiting for topics {missing:?}")) {
                        let topics = missing.join(", ");
                        tracing::info!(topics, "waiting for topics that their producers create");
                    }
                    self.health.wait_only(missing.into_iter().map(Waiting::Topic));
                }
                Err(AppError::Kafka(error @ LogError::Client(_))) => {
                    return Err(AppError::Kafka(error));
                }
                Err(AppError::Kafka(LogError::Denied(rights))) => {
                    self.health.wait_only(rights.iter().map(waiting_for_right));
                    if told != rights {
                        let missing = Missing(&rights, &self.settings.kafka).to_string();
                        tracing::warn!(
                            "waiting for rights in Kafka: {}; see ops/guide/rights.md",
                            missing.replace('\n', "; ")
                        );
                        told = rights;
                    }
                }
                Err(AppError::Kafka(error)) => {
                    self.health.wait_only([self.waiting_for_kafka()]);
                    tracing::debug!(error = &error as &dyn std::error::Error, "waiting for Kafka");
                    drop(error);
                    let kafka = self.settings.kafka.clone();
                    // Nobody waits longer for a cause than for Kafka itself.
                    let _ = tokio::task::spawn_blocking(move || log::look_for_cause(&kafka)).await;
                    log::say_away(&self.settings.kafka.bootstrap_servers);
                }
                Err(other) => return Err(other),
            }
            tokio::time::sleep(KAFKA_PAUSE).await;
        }
    }

    /// The topics, or the inputs that do not exist yet.
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
        let is_unlike = |name: &&String| counts.get(*name).is_some_and(|count| *count != inbox);
        let unlike: BTreeSet<Arc<str>> =
            inputs().filter(is_unlike).map(|name| name.as_str().into()).collect();
        for topic in &unlike {
            tracing::warn!(
                topic = topic.as_ref(),
                inbox,
                "the topic has not as many partitions as the inbox, so that all its records are forwarded, which costs \
                 speed: see ops/guide/partitions.md"
            );
        }
        let sources = names.sources().map(|(name, kind)| (name, Role::Source(kind)));
        let roles = sources.chain([(&names.inbox, Role::Inbox)]);
        let roles: BTreeMap<Arc<str>, Role> =
            roles.map(|(name, role)| (name.as_str().into(), role)).collect();
        Ok(Ok((Topics { roles, partitions, unlike }, permissions)))
    }

    async fn start(
        &self,
        store: Store,
        topics: Topics,
        permissions: Permissions,
    ) -> Result<(EngineHandle, oneshot::Receiver<Result<(), EngineError>>), AppError> {
        let runtime = tokio::runtime::Handle::current();
        let settings = EngineSettings {
            kafka: self.settings.kafka.clone(),
            topics: self.settings.topics.clone(),
            partitions: topics.partitions,
            is_identified: self.check_topics,
            permissions,
            unlike: topics.unlike.clone(),
            in_flight_max: self.files.in_flight_max,
            uncommitted_max: usize::try_from(self.settings.delivery.uncommitted_max)
                .unwrap_or(usize::MAX),
            rate_per_second: self.settings.delivery.rate_per_second,
        };
        let registry = self
            .settings
            .schema_registry
            .as_ref()
            .map(|settings| self.registry(settings, &runtime));
        let parts = Parts {
            settings,
            config: self.config.clone(),
            store,
            topics,
            registry,
            runtime,
            metrics: self.metrics.clone(),
            health: self.health.clone(),
        };
        let (started, start) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        // The engine blocks, and so it has a thread of its own.
        std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
            let result = match Engine::new(parts) {
                Ok(engine) => {
                    let _ = started.send(Ok(engine.handle()));
                    engine.run()
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                    Ok(())
                }
            };
            let _ = end.send(result);
        })?;
        match start.await {
            Ok(handle) => Ok((handle?, ended)),
            Err(_) => Err(AppError::System(std::io::Error::other("the engine's thread ended"))),
        }
    }

    fn registry(
        &self,
        settings: &config::RegistrySettings,
        runtime: &tokio::runtime::Handle,
    ) -> Registry {
        let health = self.health.clone();
        let waiting =
            Waiting::Other(format!("waiting for the schema registry at {}", settings.url));
        let unreachable =
            move |is: bool| if is { health.wait(waiting.clone()) } else { health.resume(&waiting) };
        let client = registry_client(&self.trust);
        Registry::new(client, registry_settings(settings), runtime.clone(), Arc::new(unreachable))
    }
}

/// How the engine's thread ended; one that says nothing has panicked.
fn ending(
    result: Result<Result<(), EngineError>, oneshot::error::RecvError>,
) -> Result<(), AppError> {
    match result {
        Ok(ended) => ended.map_err(AppError::from),
        Err(_) => Err(AppError::System(std::io::Error::other("the engine's thread panicked"))),
    }
}

fn engine_config(
    settings: &Settings,
    accounts: &Accounts,
    trust: &Trust,
    files: &FilePlan,
) -> Result<EngineConfig, AppError> {
    let kept = files.kept_per_webhook(accounts.webhooks.len());
    let rules = config::rules(settings, accounts, body::render_phase2, body::render_unknown);
    let endpoints = accounts.webhooks.values().map(|(webhook, _)| {
        let addresses = &settings.delivery.addresses;
        let endpoint = Endpoint::keeping(webhook.clone(), trust, addresses, kept)?;
        if let Some(error) = endpoint.blocked() {
            tracing::warn!(webhook = %webhook.name, %error, "all deliveries to it will be given up");
        }
        Ok(Arc::new(endpoint))
    });
    Ok(EngineConfig {
        rules,
        endpoints: endpoints.collect::<Result<_, EndpointError>>()?,
        account_rates: accounts.account_rates.clone(),
    })
}

async fn counts(settings: &Settings) -> Result<BTreeMap<String, u32>, AppError> {
    let (kafka, names) = (settings.kafka.clone(), settings.topics.clone());
    ask(move || {
        let cluster = Cluster::new(&kafka)?;
        cluster.partition_counts(names.all(), Operation::Describe, KAFKA_TIMEOUT)
    })
    .await
}

/// Kafka lets a client begin that may not write its results; so all rights are asked for first.
async fn insist_on_rights(settings: &Settings) -> Result<(), AppError> {
    let (kafka, names) = (settings.kafka.clone(), settings.topics.clone());
    let missing = ask(move || log::missing(&kafka, &NeededBy::Run.rights(&kafka, &names))).await?;
    if missing.is_empty() { Ok(()) } else { Err(AppError::Kafka(LogError::Denied(missing))) }
}

/// What blocks is asked elsewhere.
async fn ask<T: Send + 'static>(
    question: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, AppError> {
    let answer = tokio::task::spawn_blocking(question).await;
    answer.map_err(|error| AppError::System(std::io::Error::other(error)))?.map_err(AppError::Kafka)
}

fn waiting_for_right(right: &Right) -> Waiting {
    Waiting::Other(format!("waiting for the right {right}"))
}

/// The partitions of a topic that exists, or is just coming to be known.
async fn counts_now(settings: &Settings, topic: &str) -> Result<u32, AppError> {
    loop {
        if let Some(count) = counts(settings).await?.get(topic).filter(|count| **count > 0) {
            return Ok(*count);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

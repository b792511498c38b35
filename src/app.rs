//! Building the daemon from its configuration, and running it until it is told to stop.

mod endpoints;
mod files;
mod letters;
mod ownership;
mod registry;
mod reload;
mod requests;
mod topics;

pub use files::file_plan;
pub use ownership::{StartOptions, inspect, stored_partitions};
pub use registry::{registry_client, registry_settings};
pub use requests::ReloadRequests;

use endpoints::Shared;
use letters::Counting;

use crate::admin::{self, Admin, ConfigPages};
use crate::clock;
use crate::config::{self, Effective, Faults, Loaded, Settings, StoreSettings};
use crate::delivery::{EndpointError, FailedLookUp, Names, TlsError, Trust};
use crate::engine::{
    Engine, EngineConfig, EngineError, EngineHandle, EngineSettings, Mismatch, Parts, Permissions,
};
use crate::log::{LogError, Registry, TopicFault, Topics};
use crate::shutdown::{HangUps, Signals};
use crate::store::{Store, StoreError};
use crate::system::TooFewFiles;
use crate::telemetry::{Health, LookUpFailure, Metrics, STALL_DEADLINE, Waiting};
use reload::{Reading, Shown};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// Another daemon with the same `instance_id` takes less to fence this one again.
const FENCED_AGAIN: Duration = Duration::from_secs(600);
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
    effective: Arc<Effective>,
    config: Arc<EngineConfig>,
    pages: Arc<ConfigPages>,
    shared: Shared,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    requests: ReloadRequests,
    reading: Reading,
    /// Variables of this process count at a reload.
    has_variables: bool,
    /// An embedded broker knows nothing of topics' settings.
    check_topics: bool,
    start: StartOptions,
}

impl App {
    /// Builds what needs no server.
    ///
    /// # Errors
    /// When a webhook's certificates or credentials can't be used, or the process may not open enough files.
    pub fn new(loaded: Loaded) -> Result<Self, AppError> {
        let Loaded { settings, accounts, effective, warnings } = loaded;
        reload::log_warnings(&warnings);
        let files = file_plan(&settings, &accounts)?;
        if let Some(shortcoming) = files.shortcoming() {
            tracing::warn!("{shortcoming}");
        }
        let trust = Arc::new(Trust::new()?);
        let topics = &settings.topics;
        let inputs = topics.sources().map(|(name, _)| name).chain([&topics.inbox]);
        let inputs: Vec<_> = inputs.cloned().collect();
        let metrics = Metrics::with_endpoints(&inputs, settings.http.endpoint_labels_max);
        let names = watched_names(&settings, &metrics);
        let shared = Shared { trust, names, files };
        let (config, _) = shared.engine_config(&settings, &accounts, &[])?;
        let config = Arc::new(config);
        let pages = Arc::default();
        Shown::of(&effective).show(&metrics, &pages);
        let health = Health::new(STALL_DEADLINE);
        let start = StartOptions::default();
        let check_topics = true;
        Ok(Self {
            settings,
            effective: Arc::new(effective),
            config,
            pages,
            shared,
            metrics,
            health,
            requests: ReloadRequests::default(),
            reading: Reading::default(),
            has_variables: true,
            check_topics,
            start,
        })
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

    /// Reads the configuration again without the variables of this process, as it was loaded.
    #[must_use]
    pub fn without_variables(mut self) -> Self {
        self.has_variables = false;
        self
    }

    /// The way to have the daemon apply another configuration while it runs.
    #[must_use]
    pub fn reload_requests(&self) -> ReloadRequests {
        self.requests.clone()
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

    /// Runs until a signal, or `stop`, ends it. `hang_ups`: since before the configuration was read.
    ///
    /// # Errors
    /// When it can't start, or can't go on.
    pub async fn run(
        mut self,
        hang_ups: HangUps,
        stop: watch::Receiver<bool>,
    ) -> Result<(), AppError> {
        let mut signals = Signals::new()?;
        let _forwarding = reload::Forwarding::begin(hang_ups, self.requests.clone());
        self.health.begin([self.waiting_for_kafka()]);
        self.serve(stop.clone()).await?;
        let mut joined_again = None::<Instant>;
        loop {
            let ended = self.run_engine(&stop, &mut signals).await;
            // Whoever is fenced twice in a row does have a double.
            let is_second = joined_again.is_some_and(|at| at.elapsed() < FENCED_AGAIN);
            match ended {
                Err(AppError::Engine(error @ EngineError::Fenced { was_disturbed: true, .. }))
                    if !is_second =>
                {
                    tracing::warn!(%error, "Kafka was away, so that it may be a former join of this instance: it joins again, once");
                    joined_again = Some(clock::instant());
                    self.start.adopt = false;
                    self.start.accept_loss = false;
                    self.health.begin([self.waiting_for_kafka()]);
                }
                ended => return ended,
            }
        }
    }

    /// Runs one engine, from an open store to its end.
    async fn run_engine(
        &mut self,
        stop: &watch::Receiver<bool>,
        signals: &mut Signals,
    ) -> Result<(), AppError> {
        let StoreSettings { directory, on_corruption } = &self.settings.store;
        let store = Store::open_or_restore(directory, *on_corruption, &self.metrics)?;
        let starting = async {
            let (topics, store, permissions) = self.wait_for_topics(store).await?;
            let partitions = topics.partitions;
            Ok::<_, AppError>((self.start(store, topics, permissions).await?, partitions))
        };
        let mut stopped = stop.clone();
        // Requests for a reload wait until somebody can apply it.
        let ((handle, mut ended), partitions) = tokio::select! {
            started = starting => started?,
            // Nothing has begun that would have to be ended.
            () = signals.next() => return Ok(()),
            _ = stopped.wait_for(|stop| *stop) => return Ok(()),
        };
        let requests = self.requests.clone();
        let _counting = self.count_letters(partitions);
        loop {
            tokio::select! {
                result = &mut ended => return ending(result),
                read = self.reading.end() => self.reloaded(read, &handle),
                request = requests.next(), if !self.reading.is_running() => self.reload(request),
                () = signals.next() => break,
                _ = stopped.wait_for(|stop| *stop) => break,
            }
        }
        self.stop(&handle, ended, signals).await
    }

    /// Counts the open dead letters as long as what it returns lives; an embedded broker has none for long. Without the count the
    /// daemon works as well.
    fn count_letters(&self, partitions: u32) -> Option<Counting> {
        if !self.check_topics {
            return None;
        }
        let (kafka, topics) = (&self.settings.kafka, &self.settings.topics);
        let (health, metrics) = (self.health.clone(), self.metrics.clone());
        Counting::begin((kafka, topics), partitions, health, metrics)
            .inspect_err(|error| tracing::warn!(%error, "open dead letters are not counted"))
            .ok()
    }

    async fn stop(
        &self,
        handle: &EngineHandle,
        ended: oneshot::Receiver<Result<(), EngineError>>,
        signals: &mut Signals,
    ) -> Result<(), AppError> {
        tracing::info!("stopping: what is on its way gets a moment to end");
        self.health.wait(Waiting::Shutdown);
        handle.shut_down();
        tokio::select! {
            result = ended => ending(result),
            () = signals.next() => Err(AppError::Impatient),
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
            config: self.pages.clone(),
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
            in_flight_max: self.shared.files.in_flight_max,
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
        let client = registry_client(&self.shared.trust, &self.shared.names);
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

/// Whose failed look-ups are counted.
fn watched_names(settings: &Settings, metrics: &Arc<Metrics>) -> Names {
    let metrics = metrics.clone();
    let failed = move |failed| {
        metrics.look_up_failed(match failed {
            FailedLookUp::Missing => LookUpFailure::Missing,
            FailedLookUp::Late => LookUpFailure::Timeout,
            FailedLookUp::Refused => LookUpFailure::Refused,
        });
    };
    Names::watched(&settings.delivery.name_servers, Arc::new(failed))
}

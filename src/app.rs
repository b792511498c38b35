//! The daemon: built from its configuration, and run until it is stopped.

mod accounts;
mod certificates;
mod database;
mod endpoints;
mod files;
mod letters;
mod look_ups;
mod ownership;
mod registry;
mod reload;
mod requests;
mod sink;
mod stop;
mod stored;
mod topics;

pub use files::file_plan;
pub use ownership::{StartOptions, inspect, stored_partitions};
pub use registry::{registry_settings, service_client};
pub use requests::ReloadRequests;
pub use sink::{SinkFailure, run_sink};
pub use stored::{StoredAccounts, stored_accounts};

use accounts::ShownAccounts;
use database::Stored;
use endpoints::Shared;
use letters::Counting;

use crate::admin::{self, Admin, ConfigPages};
use crate::clock;
use crate::config::{self, Accounts, Effective, Faults, Loaded, Settings, StoreSettings};
use crate::console::Console;
use crate::delivery::{CertificateFile, EndpointError, FailedLookUp, Names, TlsError, Trust};
use crate::engine::{
    Engine, EngineConfig, EngineError, EngineHandle, EngineSettings, Mismatch, Parts, Permissions,
};
use crate::log::{AccountSource, LogError, Registry, TopicFault, Topics};
use crate::shutdown::{HangUps, Signals};
use crate::store::{Store, StoreError};
use crate::system::TooFewFiles;
use crate::telemetry::{
    Exporting, Health, LookUpFailure, Metrics, STALL_DEADLINE, Traces, Waiting,
};
use reload::{Reading, Shown};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stop::ending;
use tokio::sync::{oneshot, watch};

/// If this instance is fenced again within this time, another daemon with the same `instance_id` runs.
const FENCED_AGAIN: Duration = Duration::from_secs(600);
/// The reason why the daemon could not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration is wrong.
    #[error("{0}")]
    Configuration(Faults),
    /// Topics have settings with which the daemon can't run.
    #[error("{}", .0.iter().map(|fault| format!("topic {}: {}", fault.topic, fault.text)).collect::<Vec<_>>().join("\n"))]
    Topics(Vec<TopicFault>),
    /// The rows in Kafka or in the store don't belong to this daemon.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Mismatch(Vec<Mismatch>),
    /// The changelog belongs to a consumer group that has members.
    #[error(
        "the changelog belongs to the consumer group {group}, which has {members} members: stop all its instances before \
         `ringback run --adopt` (Kafka removes an instance that was killed once its session has timed out), see \
         ops/guide/group.md"
    )]
    InUse {
        group: Arc<str>,
        /// The number of its members.
        members: usize,
    },
    /// A Kafka client can't be created, or Kafka refused a request.
    #[error("[kafka] is wrong")]
    Kafka(#[source] LogError),
    /// The address of `[http] listen` can't be bound.
    #[error("http.listen: can't listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// TLS can't be set up.
    #[error("TLS can't be set up")]
    Tls(#[from] TlsError),
    /// The client of a webhook can't be built.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The limit of open files is too low.
    #[error(transparent)]
    Files(#[from] TooFewFiles),
    /// The system refused a request.
    #[error("the system refused a request")]
    System(#[from] std::io::Error),
    /// The engine stopped with an error.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A second signal asked to stop at once.
    #[error("stopped at once by a second signal")]
    Impatient,
}

/// A daemon that is ready to run.
pub struct App {
    settings: Settings,
    effective: Arc<Effective>,
    /// The accounts of the file.
    accounts: Accounts,
    /// The accounts of the database, if they are in one.
    stored: Option<Stored>,
    config: Arc<EngineConfig>,
    pages: Arc<ConfigPages>,
    account_pages: Arc<ShownAccounts>,
    shared: Shared,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    requests: ReloadRequests,
    reading: Reading,
    /// The certificates of the settings.
    certificates: Vec<CertificateFile>,
    /// Whether environment variables are read again at a reload.
    has_variables: bool,
    /// Whether rights, topics and the owner of the rows are checked. The embedded broker does not support that.
    check_topics: bool,
    start: StartOptions,
    /// Takes the spans, if traces are recorded.
    traces: Option<Traces>,
}

impl App {
    /// Builds the parts that need no server.
    ///
    /// # Errors
    /// A webhook's certificates or credentials can't be used, TLS can't be set up, or the limit of open files is too
    /// low.
    pub fn new(loaded: Loaded) -> Result<Self, AppError> {
        let Loaded { settings, accounts, effective, warnings, .. } = loaded;
        reload::log_warnings(&warnings);
        let files = file_plan(&settings, &accounts)?;
        if let Some(shortcoming) = files.shortcoming() {
            tracing::warn!("{shortcoming}");
        }
        let trust = Arc::new(Trust::new()?);
        let topics = &settings.topics;
        let inputs = topics.sources().map(|(name, _)| name).chain([&topics.inbox]);
        let inputs: Vec<_> = inputs.cloned().collect();
        let metrics = Metrics::with_webhooks(&inputs, settings.http.endpoint_labels_max);
        metrics.identify(&settings.kafka.instance_id, &settings.kafka.group_id);
        let names = watched_names(&settings, &metrics);
        let shared = Shared { trust, names, files };
        let (config, _) = shared.engine_config(&settings, &accounts, &Default::default())?;
        let config = Arc::new(config);
        let pages = Arc::default();
        Shown::of(&effective).show(&metrics, &pages);
        let health = Health::new(STALL_DEADLINE);
        let start = StartOptions::default();
        let check_topics = true;
        let database = settings.accounts_database.as_ref();
        let app = Self {
            certificates: certificates::of_settings(&settings),
            stored: database.map(|database| Stored::new(database.unknown_account_wait)),
            settings,
            effective: Arc::new(effective),
            accounts,
            config,
            pages,
            account_pages: Arc::default(),
            shared,
            metrics,
            health,
            requests: ReloadRequests::default(),
            reading: Reading::default(),
            has_variables: true,
            check_topics,
            start,
            traces: None,
        };
        app.show_accounts();
        Ok(app)
    }

    /// Sets the operator's options for this start.
    #[must_use]
    pub fn with_start(mut self, start: StartOptions) -> Self {
        self.start = start;
        self
    }

    /// Skips the checks of rights, topics and the owner of the rows, which the embedded broker does not support.
    #[must_use]
    pub fn without_topic_checks(mut self) -> Self {
        self.check_topics = false;
        self
    }

    /// Ignores environment variables at a reload. For a configuration that was loaded without them.
    #[must_use]
    pub fn without_variables(mut self) -> Self {
        self.has_variables = false;
        self
    }

    /// Returns the way to have the daemon apply another configuration while it runs.
    #[must_use]
    pub fn reload_requests(&self) -> ReloadRequests {
        self.requests.clone()
    }

    /// Returns the daemon's metrics.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// Returns the daemon's health.
    #[must_use]
    pub fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// Runs until a signal or `stop`. `hang_ups` must have been created before the configuration was read, so that no
    /// SIGHUP is lost.
    ///
    /// # Errors
    /// The daemon can't start, or the engine stopped with an error.
    pub async fn run(
        mut self,
        hang_ups: HangUps,
        stop: watch::Receiver<bool>,
    ) -> Result<(), AppError> {
        let signals = Signals::new()?;
        let _forwarding = reload::Forwarding::begin(hang_ups, self.requests.clone());
        self.health.begin([self.waiting_for_kafka()]);
        self.serve(stop.clone()).await?;
        let exporting = self.begin_traces();
        self.traces = exporting.as_ref().map(Exporting::traces);
        let ended = self.run_engines(signals, stop).await;
        if let Some(exporting) = exporting.filter(|_| !matches!(ended, Err(AppError::Impatient))) {
            exporting.finish().await;
        }
        ended
    }

    /// Starts the export of traces, if they are configured.
    fn begin_traces(&self) -> Option<Exporting> {
        let settings = self.settings.traces.as_ref()?;
        let Shared { trust, names, .. } = &self.shared;
        tracing::info!(collector = settings.endpoint.as_str(), "traces are exported");
        Some(Traces::begin(settings, service_client(trust, names), self.metrics.clone()))
    }

    /// Runs the engine, and a second one if the first was fenced by its own earlier join.
    async fn run_engines(
        &mut self,
        mut signals: Signals,
        stop: watch::Receiver<bool>,
    ) -> Result<(), AppError> {
        let mut stopped = stop.clone();
        let database = tokio::select! {
            database = self.first_accounts() => database?,
            // No engine runs yet, so there is nothing to drain.
            () = signals.next() => return Ok(()),
            _ = stopped.wait_for(|stop| *stop) => return Ok(()),
        };
        let _polling = self.poll(database);
        let mut joined_again = None::<Instant>;
        loop {
            let ended = self.run_engine(&stop, &mut signals).await;
            // An instance that is fenced twice within this time is fenced by another one with the same `instance_id`,
            // not by its own former join.
            let is_second = joined_again.is_some_and(|at| at.elapsed() < FENCED_AGAIN);
            match ended {
                Err(AppError::Engine(error @ EngineError::Fenced { was_disturbed: true, .. }))
                    if !is_second =>
                {
                    tracing::warn!(%error, "Kafka was unreachable, so the instance may have been fenced by its own earlier join: it joins again, once");
                    joined_again = Some(clock::instant());
                    self.start.adopt = false;
                    self.start.accept_loss = false;
                    self.health.begin([self.waiting_for_kafka()]);
                }
                ended => return ended,
            }
        }
    }

    /// Runs one engine from its start to its end.
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
        // Requests for a reload wait until the engine can apply it.
        let ((handle, mut ended), partitions) = tokio::select! {
            started = starting => started?,
            // No engine runs yet, so there is nothing to drain.
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

    /// Counts open dead letters until the result is dropped. The embedded broker is not counted. If the count can't
    /// start, the daemon runs without it.
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

    async fn serve(&self, mut stop: watch::Receiver<bool>) -> Result<(), AppError> {
        let kafka = (&self.settings.kafka, &self.settings.topics);
        let (metrics, health) = (self.metrics.clone(), self.health.clone());
        let console =
            Console::new(kafka, metrics.clone(), health.clone(), self.account_pages.clone());
        let admin = Admin {
            metrics,
            health,
            config: self.pages.clone(),
            console: Some(console),
            token: self.settings.http.token.clone(),
        };
        let shutdown = async move {
            let _ = stop.wait_for(|stop| *stop).await;
        };
        let address = self.settings.http.listen;
        let served = serve(address, admin, shutdown).await;
        served.map_err(|error| AppError::Listen(address, error))
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
            other_partition_counts: topics.other_partition_counts.clone(),
            in_flight_max: self.shared.files.in_flight_max,
            uncommitted_max: usize::try_from(self.settings.delivery.uncommitted_max)
                .unwrap_or(usize::MAX),
            rate_per_second: self.settings.delivery.rate_per_second,
        };
        self.metrics.set_limits(settings.in_flight_max, settings.uncommitted_max);
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
            accounts: self.stored.as_ref().map(|stored| {
                let look_ups: Arc<dyn AccountSource> = stored.look_ups.clone();
                look_ups
            }),
            runtime,
            metrics: self.metrics.clone(),
            health: self.health.clone(),
            traces: self.traces.clone(),
        };
        let (started, start) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        // The engine blocks, so it runs in a separate thread.
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
        let client = service_client(&self.shared.trust, &self.shared.names);
        Registry::new(client, registry_settings(settings), runtime.clone(), Arc::new(unreachable))
    }
}

/// Serves metrics, health and API at `address` until `shutdown` completes. The error is that of binding the address.
async fn serve(
    address: SocketAddr,
    admin: Admin,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    tracing::info!(%address, token = admin.token.is_some(), "metrics, health and API are served");
    tokio::spawn(async move {
        if let Err(error) = admin::serve(listener, admin, shutdown).await {
            tracing::error!(%error, "metrics, health and API are no longer served");
        }
    });
    Ok(())
}

/// Creates the resolver and counts its failed look-ups.
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

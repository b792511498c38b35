//! The connections to the accounts' database, and why it can't be read.

use super::DatabaseSettings;
use crate::delivery::{Secret, Tls};
use mysql_async::{
    ClientIdentity, Conn, DriverError, Error, IoError, Opts, OptsBuilder, Pool, PoolConstraints,
    PoolOpts, SslOpts,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// An idle connection is closed after this time.
const IDLE: Duration = Duration::from_secs(600);
/// The beginning of the keys of queries, which messages about a refused query contain.
const QUERIES: &str = "accounts.mysql.";
/// The end of the message about a wrong user or password.
const DENIED: &str = "(error 1045)";

/// Why the database can't be read. The text contains no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DatabaseError(String);

impl DatabaseError {
    pub(super) fn new(problem: String) -> Self {
        Self(problem)
    }

    /// Returns whether the database refuses a configured query.
    #[must_use]
    pub fn is_of_query(&self) -> bool {
        self.0.contains(QUERIES)
    }
}

/// Opens connections, one at a time.
pub(super) struct Connector {
    settings: DatabaseSettings,
    /// The address as messages show it.
    address: String,
    pool: Option<Pool>,
    /// Whether the last connection was refused because of the user or the password.
    is_denied: bool,
    /// The connections that may be in use at the same time, of all clones.
    permits: Arc<Semaphore>,
}

impl Clone for Connector {
    /// Returns a connector with connections of its own.
    fn clone(&self) -> Self {
        let (settings, address) = (self.settings.clone(), self.address.clone());
        Self { settings, address, pool: None, is_denied: false, permits: self.permits.clone() }
    }
}

impl Connector {
    pub(super) fn new(settings: DatabaseSettings) -> Self {
        let address = reqwest::Url::parse(settings.url.reveal()).ok();
        let address = address.map_or_else(String::new, |url| {
            format!("{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or(3306))
        });
        let permits = Arc::new(Semaphore::new(settings.pool_size.max(1)));
        Self { settings, address, pool: None, is_denied: false, permits }
    }

    pub(super) fn settings(&self) -> &DatabaseSettings {
        &self.settings
    }

    /// Returns host and port.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Calls `act` with a connection. Waits for at most `limit`, from the connection on.
    pub(super) async fn with<T>(
        &mut self,
        limit: Duration,
        act: impl AsyncFnOnce(&mut Conn) -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        self.refresh().await;
        let permits = self.permits.clone();
        // The semaphore is never closed.
        let _permit = permits.acquire().await;
        let conn = self.connection();
        let acting = async { act(&mut conn.await?).await };
        let late = |_| DatabaseError(format!("no whole answer within {} s", limit.as_secs()));
        let result = tokio::time::timeout(limit, acting).await.map_err(late).flatten();
        result.map_err(|error| self.failed(error))
    }

    /// Returns an error with the address.
    pub(super) fn error(&self, problem: &str) -> DatabaseError {
        DatabaseError(format!("the accounts' database at {}: {problem}", self.address))
    }

    fn connection(&mut self) -> impl Future<Output = Result<Conn, DatabaseError>> + use<> {
        let pool = match &self.pool {
            Some(pool) => Ok(pool.clone()),
            None => options(&self.settings).map(Pool::new),
        };
        if let Ok(pool) = &pool {
            self.pool = Some(pool.clone());
        }
        async move { pool?.get_conn().await.map_err(|error| text(&error)) }
    }

    /// Drops the connections, because one of them may still wait for an answer.
    fn failed(&mut self, error: DatabaseError) -> DatabaseError {
        self.is_denied = error.0.contains(DENIED);
        self.pool = None;
        let hint = hint(&error.0, self.settings.tls.as_ref());
        self.error(&format!("{}{hint}", error.0))
    }

    /// Reads the file with the URL again if the password was refused: it may have been changed.
    async fn refresh(&mut self) {
        let Some(file) = self.settings.url_file.clone().filter(|_| self.is_denied) else { return };
        let read =
            tokio::time::timeout(self.settings.read_timeout, tokio::fs::read_to_string(&file));
        let Ok(Ok(text)) = read.await else { return };
        let url = text.trim_end();
        if reqwest::Url::parse(url).is_ok_and(|url| url.scheme() == "mysql") {
            self.settings.url = Secret::new(url.to_owned());
        }
    }
}

/// Returns what to check. Servers report several causes with the same words.
fn hint(problem: &str, tls: Option<&Tls>) -> &'static str {
    let is_denied = problem.contains(DENIED);
    match tls {
        None if is_denied => {
            "; check the password, and whether the user needs TLS (accounts.mysql.tls)"
        }
        Some(Tls { client_pem: None, .. }) if is_denied => {
            "; check the password, and whether the user needs a client certificate"
        }
        Some(_) if problem.contains("UnknownIssuer") || problem.contains("BadSignature") => {
            "; name the server's authority in accounts.mysql.ca_file"
        }
        Some(_) | None => "",
    }
}

fn options(settings: &DatabaseSettings) -> Result<Opts, DatabaseError> {
    // The library uses the default provider of the process. Another part may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = Opts::from_url(settings.url.reveal());
    let opts = url.map_err(|_| DatabaseError("the URL is not one of MySQL".to_owned()))?;
    let constraints = PoolConstraints::new(1, 1).unwrap_or_default();
    let pool = PoolOpts::default().with_constraints(constraints).with_inactive_connection_ttl(IDLE);
    let tls = settings.tls.as_ref().map(|tls| {
        let buffer = |bytes: &[u8]| bytes.to_vec().into();
        let roots = tls.ca_pem.iter().map(|pem| buffer(pem)).collect();
        let identity = tls.client_pem.as_ref().map(|(certificate, key)| {
            ClientIdentity::new(buffer(certificate), buffer(key.reveal().as_bytes()))
        });
        SslOpts::default()
            .with_disable_built_in_roots(tls.ca_pem.is_some())
            .with_root_certs(roots)
            .with_client_identity(identity)
    });
    // A reading sees one state of all tables.
    let isolation = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ".to_owned();
    // The server ends a query whose result is not awaited any more. MariaDB executes the first comment, MySQL the second.
    let seconds = settings.read_timeout.as_secs() + 1;
    let limits = format!(
        "SET SESSION lock_wait_timeout = {seconds} /*M!100100 , SESSION max_statement_time = {seconds} */ \
         /*!50708 , SESSION max_execution_time = {seconds}000 */"
    );
    let builder = OptsBuilder::from_opts(opts).pool_opts(pool).ssl_opts(tls);
    Ok(builder.prefer_socket(false).setup(vec![isolation, limits]).into())
}

pub(super) fn in_query(error: &Error, query: &str) -> DatabaseError {
    match error {
        Error::Server(_) => DatabaseError(format!("{QUERIES}{query}: {}", text(error))),
        Error::Driver(_) | Error::Io(_) | Error::Other(_) | Error::Url(_) => text(error),
    }
}

/// Returns the cause in the words of the server or of the system.
pub(super) fn text(error: &Error) -> DatabaseError {
    DatabaseError(match error {
        Error::Server(error) => format!("{} (error {})", error.message, error.code),
        Error::Io(IoError::Io(error)) => {
            let is_of_tls = error.get_ref().is_some_and(|cause| cause.is::<rustls::Error>());
            if is_of_tls { format!("TLS: {error}") } else { error.to_string() }
        }
        Error::Io(IoError::Tls(error)) => format!("TLS: {error}"),
        Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            "it does not offer TLS; enable TLS there, or set accounts.mysql.tls = \"off\" if the network is trusted"
                .to_owned()
        }
        Error::Driver(error) => error.to_string(),
        Error::Other(error) => error.to_string(),
        Error::Url(error) => error.to_string(),
    })
}

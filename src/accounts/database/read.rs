//! Reads rows from the database. Rows that are known already are not stored a second time.

use super::row::{Cell, Kind, Row, Shape};
use super::{DatabaseSettings, Queries};
use crate::clock;
use crate::delivery::Tls;
use crate::domain::{AccountId, Timestamp};
use mysql_async::consts::ColumnType;
use mysql_async::prelude::Queryable as _;
use mysql_async::{
    ClientIdentity, Conn, DriverError, Error, IoError, Opts, OptsBuilder, Pool, PoolConstraints,
    PoolOpts, SslOpts, Value,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A query that returns more rows reads a wrong table.
const ROWS_MAX: usize = 5_000_000;
/// After this number of rows, other tasks of the thread get their turn.
const ROWS_AT_ONCE: usize = 500;
/// A query that returned this number of rows and returns none any more reads a table that is being restored.
const SUDDEN_ROWS_MIN: usize = 10;
/// If such a query returns none for longer, then the rows were deleted.
const EMPTY_MAX: Duration = Duration::from_secs(60);
/// An idle connection is closed after this time.
const IDLE: Duration = Duration::from_secs(600);

/// Why the database can't be read. The text contains no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DatabaseError(String);

/// The rows of a reading.
#[derive(Debug, Default)]
pub struct Reading {
    /// The rows of each account, in the order of the queries.
    pub(super) rows: BTreeMap<AccountId, Vec<Arc<Row>>>,
    /// The rows that name no account.
    pub(super) strays: Vec<Arc<Row>>,
    /// The accounts that were looked up, or `None` if all rows were read.
    pub(super) only: Option<Vec<AccountId>>,
}

impl Reading {
    pub(super) fn add(&mut self, row: Arc<Row>) {
        match row.account() {
            Some(account) => self.rows.entry(account).or_default().push(row),
            None => self.strays.push(row),
        }
    }

    /// Returns the number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.values().map(Vec::len).sum::<usize>() + self.strays.len()
    }

    /// Returns the number of webhooks.
    #[must_use]
    pub fn webhooks(&self) -> usize {
        let is_webhook = |row: &&Arc<Row>| row.kind() == Kind::Webhook;
        self.rows.values().flatten().filter(is_webhook).count()
    }

    /// Returns the number of rows of each kind that has any.
    fn counts(&self) -> BTreeMap<Kind, usize> {
        let mut counts = BTreeMap::new();
        for row in self.rows.values().flatten().chain(&self.strays) {
            *counts.entry(row.kind()).or_default() += 1;
        }
        counts
    }

    /// Returns whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.strays.is_empty()
    }
}

/// A database with accounts.
pub struct Database {
    settings: DatabaseSettings,
    /// The address as messages show it.
    address: String,
    pool: Option<Pool>,
    /// The rows of the last whole reading, by their hashes.
    known: HashMap<u128, Arc<Row>>,
    shapes: BTreeMap<Kind, Arc<Shape>>,
    /// The number of rows of each kind in the last whole reading.
    counts: BTreeMap<Kind, usize>,
    /// Since when a query returns no row any more, if its result is not used yet.
    empty_since: Option<Instant>,
    has_failed: bool,
    /// The answer to the version query when all rows were read last.
    version: Option<String>,
    /// When the database last answered.
    answered_at: Option<Timestamp>,
}

impl Database {
    /// Creates a client that has no connection yet.
    #[must_use]
    pub fn new(settings: DatabaseSettings) -> Self {
        let address = reqwest::Url::parse(settings.url.reveal()).ok();
        let address = address.map_or_else(String::new, |url| {
            format!("{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or(3306))
        });
        Self {
            settings,
            address,
            pool: None,
            known: HashMap::new(),
            shapes: BTreeMap::new(),
            counts: BTreeMap::new(),
            empty_since: None,
            has_failed: false,
            version: None,
            answered_at: None,
        }
    }

    /// Returns host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the wall clock's time of the last answer.
    #[must_use]
    pub fn answered_at(&self) -> Option<Timestamp> {
        self.answered_at
    }

    /// Takes over the shapes and the number of rows that were read from a snapshot, so that accounts can be looked up,
    /// and a table without rows is noticed.
    pub fn learn(&mut self, reading: &Reading) {
        for row in reading.rows.values().flatten() {
            self.shapes.entry(row.kind()).or_insert_with(|| row.shape.clone());
        }
        self.counts = reading.counts();
    }

    /// Reads all rows, or returns `None` if they have not changed since the last call.
    ///
    /// # Errors
    /// The database can't be reached, refuses a query, or does not answer within `limit`. Or a query returns no row any
    /// more, as while a table is dropped and restored.
    pub async fn read(&mut self, limit: Duration) -> Result<Option<Reading>, DatabaseError> {
        let settings = self.settings.clone();
        let (known, version) = (std::mem::take(&mut self.known), self.version.take());
        let conn = self.connection();
        let reading = async {
            let mut conn = conn.await?;
            let mut session = Session { conn: &mut conn, known: &known, shapes: BTreeMap::new() };
            let read = session.all(&settings.queries, version.as_deref()).await?;
            let shapes = std::mem::take(&mut session.shapes);
            Ok((read, shapes))
        };
        match bounded(limit, reading).await {
            Ok((Some((reading, version)), shapes)) => {
                if let Some(error) = self.is_emptied(&reading) {
                    self.known = known;
                    return Err(error);
                }
                let rows = reading.rows.values().flatten().chain(&reading.strays);
                self.known = rows.map(|row| (row.hash, row.clone())).collect();
                (self.version, self.shapes) = (version, shapes);
                (self.counts, self.has_failed, self.empty_since) = (reading.counts(), false, None);
                self.answered_at = Some(clock::wall());
                Ok(Some(reading))
            }
            Ok((None, _)) => {
                (self.known, self.version, self.has_failed) = (known, version, false);
                self.answered_at = Some(clock::wall());
                Ok(None)
            }
            Err(error) => {
                // The version is forgotten: the rows are read again once the database answers.
                self.known = known;
                Err(self.failed(error))
            }
        }
    }

    /// Reads the rows of these accounts.
    ///
    /// # Errors
    /// The database can't be reached, refuses a query, or does not answer in time.
    pub async fn look_up(&mut self, accounts: &[AccountId]) -> Result<Reading, DatabaseError> {
        let (settings, shapes) = (self.settings.clone(), self.shapes.clone());
        let conn = self.connection();
        let reading = async {
            let mut conn = conn.await?;
            let known = HashMap::new();
            let mut session = Session { conn: &mut conn, known: &known, shapes };
            session.some(&settings.queries, accounts).await
        };
        let reading = bounded(settings.read_timeout, reading).await;
        let reading = reading.map_err(|error| self.failed(error))?;
        self.answered_at = Some(clock::wall());
        Ok(reading)
    }

    /// Returns an error if a query returns no row any more, and that may be a table that is being restored.
    fn is_emptied(&mut self, reading: &Reading) -> Option<DatabaseError> {
        let min = if self.has_failed { 1 } else { SUDDEN_ROWS_MIN };
        let counts = reading.counts();
        let is_emptied =
            |(kind, count): &(&Kind, &usize)| **count >= min && !counts.contains_key(kind);
        let (kind, count) = self.counts.iter().find(is_emptied)?;
        let since = *self.empty_since.get_or_insert_with(clock::instant);
        if clock::instant().saturating_duration_since(since) >= EMPTY_MAX {
            return None;
        }
        self.has_failed = true;
        Some(DatabaseError(format!(
            "the accounts' database at {}: accounts.mysql.{}s_query returned {count} rows, and returns none now. If this lasts {} s, the rows count as deleted",
            self.address,
            kind.key(),
            EMPTY_MAX.as_secs(),
        )))
    }

    /// Drops the connections, because one of them may still wait for an answer.
    fn failed(&mut self, error: DatabaseError) -> DatabaseError {
        (self.pool, self.has_failed) = (None, true);
        let hint = hint(&error.0, self.settings.tls.as_ref());
        DatabaseError(format!("the accounts' database at {}: {}{hint}", self.address, error.0))
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
}

/// Returns what to check. Servers report several causes with the same words.
fn hint(problem: &str, tls: Option<&Tls>) -> &'static str {
    let is_denied = problem.contains("(error 1045)");
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

async fn bounded<T>(
    limit: Duration,
    reading: impl Future<Output = Result<T, DatabaseError>>,
) -> Result<T, DatabaseError> {
    let late = |_| DatabaseError(format!("no whole answer within {} s", limit.as_secs()));
    tokio::time::timeout(limit, reading).await.map_err(late)?
}

fn options(settings: &DatabaseSettings) -> Result<Opts, DatabaseError> {
    // The library uses the default provider of the process. Another part may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = Opts::from_url(settings.url.reveal());
    let opts = url.map_err(|_| DatabaseError("the URL is not one of MySQL".to_owned()))?;
    let constraints = PoolConstraints::new(1, settings.pool_size.max(1)).unwrap_or_default();
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
    let builder = OptsBuilder::from_opts(opts).pool_opts(pool).ssl_opts(tls);
    Ok(builder.prefer_socket(false).setup(vec![isolation]).into())
}

/// A connection during a reading.
struct Session<'a> {
    conn: &'a mut Conn,
    known: &'a HashMap<u128, Arc<Row>>,
    shapes: BTreeMap<Kind, Arc<Shape>>,
}

impl Session<'_> {
    /// Reads all rows and their version, unless it is `version`.
    async fn all(
        &mut self,
        queries: &Queries,
        version: Option<&str>,
    ) -> Result<Option<(Reading, Option<String>)>, DatabaseError> {
        self.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await?;
        let now = match &queries.version {
            Some(query) => self.version(query).await?,
            None => None,
        };
        let mut read = None;
        if now.is_none() || now.as_deref() != version {
            let mut reading = Reading::default();
            for kind in Kind::ALL {
                self.rows(kind, query_of(queries, kind), &mut reading).await?;
            }
            read = Some((reading, now));
        }
        self.execute("COMMIT").await?;
        Ok(read)
    }

    /// Reads the rows of some accounts.
    async fn some(
        &mut self,
        queries: &Queries,
        accounts: &[AccountId],
    ) -> Result<Reading, DatabaseError> {
        let ids: Vec<String> = accounts.iter().map(ToString::to_string).collect();
        let mut reading = Reading { only: Some(accounts.to_vec()), ..Reading::default() };
        self.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await?;
        for kind in Kind::ALL {
            // Without a shape, the query returned no row so far, and its columns are unknown.
            let column = match (self.shapes.get(&kind), kind) {
                (Some(shape), _) => shape.account_column().replace('`', "``"),
                (None, Kind::Account) => "id".to_owned(),
                (None, Kind::Webhook | Kind::Flow | Kind::Rule) => "account".to_owned(),
            };
            let query = query_of(queries, kind).trim().trim_end_matches(';');
            let query = format!(
                "SELECT * FROM ({query}) AS ringback_rows WHERE `{column}` IN ({})",
                ids.join(", ")
            );
            self.rows(kind, &query, &mut reading).await?;
        }
        self.execute("COMMIT").await?;
        Ok(reading)
    }

    async fn execute(&mut self, statement: &str) -> Result<(), DatabaseError> {
        self.conn.query_drop(statement).await.map_err(|error| text(&error))
    }

    /// Returns the values of the first row of the version query as one text, or `None` if there is no row.
    async fn version(&mut self, query: &str) -> Result<Option<String>, DatabaseError> {
        let row = self.conn.query_first::<mysql_async::Row, _>(query).await;
        let row = row.map_err(|error| in_query(&error, "version_query"))?;
        Ok(row.map(|row| {
            let values = row.unwrap_raw();
            let values: Vec<String> =
                values.iter().flatten().map(|value| value.as_sql(true)).collect();
            values.join(", ")
        }))
    }

    /// Adds the rows of a query to `reading`.
    async fn rows(
        &mut self,
        kind: Kind,
        query: &str,
        reading: &mut Reading,
    ) -> Result<(), DatabaseError> {
        let name = format!("{}s_query", kind.key());
        let failed = |error: Error| in_query(&error, &name);
        let mut result = self.conn.query_iter(query).await.map_err(failed)?;
        let columns = result.columns().unwrap_or_default();
        let names: Vec<Arc<str>> =
            columns.iter().map(|column| Arc::from(&*column.name_str())).collect();
        let is_bits: Vec<bool> = columns
            .iter()
            .map(|column| column.column_type() == ColumnType::MYSQL_TYPE_BIT)
            .collect();
        let shape = match self.shapes.get(&kind).filter(|shape| shape.names() == names) {
            Some(shape) => shape.clone(),
            None => {
                let mut tables = columns.iter().map(|column| column.org_table_str().into_owned());
                let table = tables.find(|table| !table.is_empty()).unwrap_or_else(|| name.clone());
                Arc::new(Shape::new(kind, &table, &names).map_err(DatabaseError)?)
            }
        };
        self.shapes.insert(kind, shape.clone());
        let mut count = 0;
        while let Some(row) = result.next().await.map_err(failed)? {
            let values = row.unwrap_raw();
            let cells =
                values.into_iter().zip(&is_bits).map(|(value, is_bits)| cell(value, *is_bits));
            let row = Row::new(shape.clone(), cells.collect());
            let row = self.known.get(&row.hash).cloned().unwrap_or_else(|| Arc::new(row));
            reading.add(row);
            count += 1;
            if count > ROWS_MAX {
                let problem = format!("{name} returns more than {ROWS_MAX} rows");
                return Err(DatabaseError(problem));
            }
            if count % ROWS_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

fn query_of(queries: &Queries, kind: Kind) -> &str {
    match kind {
        Kind::Account => &queries.accounts,
        Kind::Webhook => &queries.webhooks,
        Kind::Flow => &queries.flows,
        Kind::Rule => &queries.rules,
    }
}

/// Returns the value as text, as all values of a query without parameters arrive.
fn cell(value: Option<Value>, is_bits: bool) -> Cell {
    match value {
        None | Some(Value::NULL) => Cell::Null,
        Some(Value::Bytes(bytes)) if is_bits => {
            let number = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            Cell::Text(number.to_string().into())
        }
        Some(Value::Bytes(bytes)) => {
            String::from_utf8(bytes).map_or(Cell::Binary, |text| Cell::Text(text.into()))
        }
        Some(
            other @ (Value::Int(_)
            | Value::UInt(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Date(..)
            | Value::Time(..)),
        ) => Cell::Text(other.as_sql(true).trim_matches('\'').into()),
    }
}

fn in_query(error: &Error, query: &str) -> DatabaseError {
    match error {
        Error::Server(_) => DatabaseError(format!("accounts.mysql.{query}: {}", text(error))),
        Error::Driver(_) | Error::Io(_) | Error::Other(_) | Error::Url(_) => text(error),
    }
}

/// Returns the cause in the words of the server or of the system.
fn text(error: &Error) -> DatabaseError {
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

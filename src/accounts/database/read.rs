//! Reads rows from the database. Rows that are known already are not stored a second time.

use super::DatabaseSettings;
use super::connection::{Connector, DatabaseError};
use super::row::{Kind, Row, Shape};
use super::session::Session;
use crate::clock;
use crate::domain::{AccountId, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A query that returned this number of rows and returns none any more reads a table that is being restored.
const SUDDEN_ROWS_MIN: usize = 10;
/// If such a query returns none for longer, then the rows were deleted.
const EMPTY_MAX: Duration = Duration::from_secs(60);

/// The rows of a reading.
#[derive(Debug, Default)]
pub struct Reading {
    /// The rows of each account, in the order of the queries.
    pub(super) rows: BTreeMap<AccountId, Vec<Arc<Row>>>,
    /// The rows that name no account.
    pub(super) strays: Vec<Arc<Row>>,
    /// The accounts that were looked up, or `None` if all rows were read.
    pub(super) only: Option<Vec<AccountId>>,
    /// When the reading began, or `None` if the rows come from a snapshot.
    pub(super) begun: Option<Instant>,
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

/// The state of the database that a [`Database`] and its [`Finder`] share.
#[derive(Default)]
struct Seen {
    shapes: BTreeMap<Kind, Arc<Shape>>,
    /// Since when a query returns no row any more, if its result is not used yet.
    empty_since: Option<Instant>,
    /// The answer to the version query when all rows were read last.
    version: Option<String>,
    /// Whether accounts were found since the last reading of all rows began.
    has_found: bool,
    /// When the database last answered.
    answered_at: Option<Timestamp>,
}

type SharedSeen = Arc<Mutex<Seen>>;

fn lock(seen: &SharedSeen) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A database with accounts.
pub struct Database {
    connector: Connector,
    seen: SharedSeen,
    /// The rows of the last whole reading, by their hashes.
    known: HashMap<u128, Arc<Row>>,
    /// The number of rows of each kind in the last whole reading.
    counts: BTreeMap<Kind, usize>,
    has_failed: bool,
}

impl Database {
    /// Creates a client that has no connection yet.
    #[must_use]
    pub fn new(settings: DatabaseSettings) -> Self {
        Self {
            connector: Connector::new(settings),
            seen: SharedSeen::default(),
            known: HashMap::new(),
            counts: BTreeMap::new(),
            has_failed: false,
        }
    }

    /// Returns a client that looks up single accounts, also while all rows are being read.
    #[must_use]
    pub fn finder(&self) -> Finder {
        Finder { connector: self.connector.clone(), seen: self.seen.clone() }
    }

    /// Returns host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        self.connector.address()
    }

    /// Returns the wall clock's time of the last answer.
    #[must_use]
    pub fn answered_at(&self) -> Option<Timestamp> {
        lock(&self.seen).answered_at
    }

    /// Has the next call of [`read`](Self::read) return all rows, whether they have changed or not.
    pub fn forget(&mut self) {
        lock(&self.seen).version = None;
    }

    /// Takes over the shapes and the number of rows that were read from a snapshot, so that accounts can be looked up,
    /// and a table without rows is noticed.
    pub fn learn(&mut self, reading: &Reading) {
        let mut seen = lock(&self.seen);
        for row in reading.rows.values().flatten() {
            seen.shapes.entry(row.kind()).or_insert_with(|| row.shape.clone());
        }
        // As after a failure, a table without rows is not trusted at once.
        (self.counts, self.has_failed) = (reading.counts(), true);
    }

    /// Reads all rows, or returns `None` if they have not changed since the last call.
    ///
    /// # Errors
    /// The database can't be reached, refuses a query, or does not answer within `limit`. Or a query returns no row any
    /// more, as while a table is dropped and restored.
    pub async fn read(&mut self, limit: Duration) -> Result<Option<Reading>, DatabaseError> {
        let queries = self.connector.settings().queries.clone();
        let begun = clock::instant();
        // If this fails, the version is forgotten: the rows are read again once the database answers.
        let version = {
            let mut seen = lock(&self.seen);
            seen.has_found = false;
            seen.version.take()
        };
        let known = &self.known;
        let reading = self.connector.with(limit, async |conn| {
            let mut session = Session { conn, known, shapes: BTreeMap::new() };
            let read = session.all(&queries, version.as_deref()).await?;
            Ok((read, session.shapes))
        });
        let (read, shapes) = match reading.await {
            Ok(done) => done,
            Err(error) => {
                self.has_failed = true;
                lock(&self.seen).empty_since = None;
                return Err(error);
            }
        };
        let Some((reading, version)) = read else {
            self.has_failed = false;
            let mut seen = lock(&self.seen);
            seen.version = version.filter(|_| !seen.has_found);
            seen.answered_at = Some(clock::wall());
            return Ok(None);
        };
        if let Some(error) = self.is_emptied(&reading) {
            return Err(error);
        }
        let rows = reading.rows.values().flatten().chain(&reading.strays);
        self.known = rows.map(|row| (row.hash, row.clone())).collect();
        (self.counts, self.has_failed) = (reading.counts(), false);
        let mut seen = lock(&self.seen);
        let version = version.filter(|_| !seen.has_found);
        (seen.version, seen.shapes, seen.empty_since) = (version, shapes, None);
        seen.answered_at = Some(clock::wall());
        Ok(Some(Reading { begun: Some(begun), ..reading }))
    }

    /// Returns an error if a query returns no row any more, and that may be a table that is being restored.
    fn is_emptied(&mut self, reading: &Reading) -> Option<DatabaseError> {
        let min = if self.has_failed { 1 } else { SUDDEN_ROWS_MIN };
        let counts = reading.counts();
        let is_emptied =
            |(kind, count): &(&Kind, &usize)| **count >= min && !counts.contains_key(kind);
        let (kind, count) = self.counts.iter().find(is_emptied)?;
        let since = *lock(&self.seen).empty_since.get_or_insert_with(clock::instant);
        if clock::instant().saturating_duration_since(since) >= EMPTY_MAX {
            return None;
        }
        self.has_failed = true;
        Some(self.connector.error(&format!(
            "accounts.mysql.{}s_query returned {count} rows, and returns none now. If this lasts {} s, the rows count as deleted",
            kind.key(),
            EMPTY_MAX.as_secs(),
        )))
    }
}

/// Looks up single accounts.
pub struct Finder {
    connector: Connector,
    seen: SharedSeen,
}

impl Finder {
    /// Reads the rows of these accounts. Without any, checks that the queries are valid as the subqueries that this needs.
    ///
    /// # Errors
    /// The database can't be reached, refuses a query, or does not answer in time.
    pub async fn find(&mut self, accounts: &[AccountId]) -> Result<Reading, DatabaseError> {
        let shapes = {
            let seen = lock(&self.seen);
            if seen.empty_since.is_some() {
                let problem =
                    "a query returns no rows any more, so that no account counts as missing";
                return Err(self.connector.error(problem));
            }
            seen.shapes.clone()
        };
        let (queries, begun) = (self.connector.settings().queries.clone(), clock::instant());
        let limit = self.connector.settings().read_timeout;
        let known = HashMap::new();
        let reading = self.connector.with(limit, async |conn| {
            Session { conn, known: &known, shapes }.some(&queries, accounts).await
        });
        let reading = reading.await?;
        let mut seen = lock(&self.seen);
        seen.answered_at = Some(clock::wall());
        if !reading.is_empty() {
            // The next reading removes an account that is deleted meanwhile, and sorts the rows.
            (seen.version, seen.has_found) = (None, true);
        }
        Ok(Reading { begun: Some(begun), ..reading })
    }
}

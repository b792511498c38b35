//! Accounts from a database of MySQL or MariaDB.
//!
//! A [`Database`] reads *rows* by the configured queries. A row has a *shape*: its table, and the key that each column
//! stands for. `entry` makes entries of rows, so that the builder checks them like those of a file. [`Incremental`]
//! builds only the accounts whose rows have changed, and keeps the last good row where a new one is wrong. A
//! [`Snapshot`] has the rows in force on disk, for a start while the database is unreachable.

mod connection;
mod entry;
mod incremental;
mod read;
mod row;
mod session;
mod settle;
mod snapshot;

pub use connection::DatabaseError;
pub use incremental::{Building, Changes, Incremental, Kept};
pub use read::{Database, Finder, Reading};
pub use snapshot::{Snapshot, SnapshotError};

use crate::delivery::{Secret, Tls};
use std::path::PathBuf;
use std::time::Duration;

/// `[accounts.mysql]`
#[derive(Clone, Debug, PartialEq)]
pub struct DatabaseSettings {
    /// The address with its credentials.
    pub url: Secret,
    /// The file that has the address. It is read again if the password is refused.
    pub url_file: Option<PathBuf>,
    /// The certificates for TLS, or `None` if the connection does not use it.
    pub tls: Option<Tls>,
    /// The maximum number of connections.
    pub pool_size: usize,
    /// The time between two readings.
    pub poll_interval: Duration,
    /// The time limit of a reading.
    pub read_timeout: Duration,
    /// How long a record of an unknown account waits while the database can't be asked.
    pub unknown_account_wait: Duration,
    /// Whether rows can refer to files and environment variables.
    pub references: bool,
    pub queries: Queries,
}

/// The queries whose rows are the entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queries {
    pub accounts: String,
    pub webhooks: String,
    pub flows: String,
    pub rules: String,
    /// The query whose first row changes with every change of the others' rows.
    pub version: Option<String>,
}

impl Default for Queries {
    /// Returns the queries of the ready tables in `schemas/mysql`.
    fn default() -> Self {
        // A sum changes even if a transaction with an earlier time is committed later, unlike a maximum.
        let version =
            ["Accountconfig", "ringback_webhook", "ringback_flow", "ringback_rule"].map(|table| {
                format!(
                    "(SELECT CONCAT(COUNT(*), ':', SUM(UNIX_TIMESTAMP(updated_at))) FROM {table})"
                )
            });
        Self {
            accounts: "SELECT * FROM Accountconfig".to_owned(),
            webhooks: "SELECT * FROM ringback_webhook".to_owned(),
            flows: "SELECT * FROM ringback_flow".to_owned(),
            rules: "SELECT * FROM ringback_rule ORDER BY id".to_owned(),
            version: Some(format!("SELECT {}", version.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests;

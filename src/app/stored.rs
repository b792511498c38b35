//! The accounts of the database for commands, which need no running daemon.

use crate::accounts::{Building, Database, DatabaseError, Incremental, Snapshot};
use crate::config::{self, Settings};
use crate::delivery::{Endpoint, Trust, Webhook};
use crate::telemetry::with_causes;
use std::sync::Arc;

/// The accounts of the database.
pub struct StoredAccounts {
    pub rows: Incremental,
    /// The client that has read them.
    pub database: Database,
    /// Why they are those of the snapshot, if the database can't be read.
    pub outdated: Option<DatabaseError>,
}

/// Reads the accounts of the database as the daemon would: where a row is wrong, the last good one of the snapshot counts.
/// Returns `None` if the accounts are in a file.
///
/// # Errors
/// The database can't be read, and there is no snapshot.
pub async fn stored_accounts(settings: &Settings) -> Result<Option<StoredAccounts>, DatabaseError> {
    let Some(database) = &settings.accounts_database else { return Ok(None) };
    let variables = config::variables();
    let trust = Trust::new();
    let mut check = |webhook: &Arc<Webhook>| match &trust {
        Ok(trust) => Endpoint::new(webhook.clone(), trust, &settings.delivery.addresses)
            .map(drop)
            .map_err(|error| with_causes(&error)),
        Err(error) => Err(with_causes(error)),
    };
    let mut with = Building { basis: settings.basis(), variables: &variables, check: &mut check };
    let mut rows = Incremental::default();
    let directory = settings.store.directory.clone();
    let snapshot = tokio::task::spawn_blocking(move || Snapshot::read(&directory)).await;
    let snapshot = snapshot.ok().and_then(Result::ok).flatten();
    let has_snapshot = snapshot.is_some();
    let mut client = Database::new(database.clone());
    if let Some(Snapshot { reading, .. }) = snapshot {
        rows.apply(reading, &mut with);
    }
    let outdated = match client.read(database.read_timeout).await {
        Ok(reading) => {
            if let Some(reading) = reading {
                rows.apply(reading, &mut with);
            }
            None
        }
        Err(error) if has_snapshot => Some(error),
        Err(error) => return Err(error),
    };
    Ok(Some(StoredAccounts { rows, database: client, outdated }))
}

//! Checks the rows of the accounts' database.

use crate::app::{self, StoredAccounts};
use crate::cli::{CONFIGURATION, UNAVAILABLE};
use crate::config::{Accounts, Settings};
use crate::exit::ExitCode;
use crate::telemetry::{err_line, out_line};

/// Reads the database, and prints each fault with its table, row and column. Returns the accounts, if they are in a
/// database.
pub(super) async fn check(settings: &Settings) -> Result<Option<Accounts>, ExitCode> {
    let (rows, database) = match app::stored_accounts(settings).await {
        Ok(None) => return Ok(None),
        Ok(Some(StoredAccounts { rows, database, outdated: None })) => (rows, database),
        Ok(Some(StoredAccounts { outdated: Some(error), .. })) | Err(error) => {
            err_line!("{error}");
            return Err(ExitCode::from(UNAVAILABLE));
        }
    };
    // Accounts that are not read yet are looked up one by one.
    if let Err(error) = database.finder().find(&[]).await {
        err_line!("{error}");
        let code = if error.is_of_query() { CONFIGURATION } else { UNAVAILABLE };
        return Err(ExitCode::from(code));
    }
    for fault in rows.faults() {
        err_line!("{fault}");
    }
    if rows.faults().next().is_some() {
        return Err(ExitCode::from(CONFIGURATION));
    }
    let accounts = rows.accounts();
    out_line!(
        "the accounts' database: {} accounts and {} webhooks, no faults",
        accounts.accounts.len(),
        accounts.webhooks.len()
    );
    Ok(Some(accounts.clone()))
}

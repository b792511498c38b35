//! The accounts of records, as far as the reader needs to know them.

use super::record::{Record, RecordBody};
use crate::domain::{AccountId, Command};

/// Knows which accounts are configured, and looks unknown ones up where they are stored.
pub trait AccountSource: Send + Sync {
    /// Returns whether records of `account` can be decided now. If not, the account is being looked up: the caller keeps
    /// the record, and asks again.
    fn is_settled(&self, account: AccountId) -> bool;
}

/// Returns whether all accounts that `record` names are settled. Asks for all of them.
pub(super) fn are_settled(source: &dyn AccountSource, record: &Record) -> bool {
    match &record.body {
        RecordBody::Command { command, .. } => {
            account(command).is_none_or(|account| source.is_settled(account))
        }
        RecordBody::Items(items) => {
            let unsettled = items.iter().filter(|item| !are_settled(source, item));
            unsettled.count() == 0
        }
        RecordBody::Endpoint { .. }
        | RecordBody::Note
        | RecordBody::Skipped
        | RecordBody::Bad(_) => true,
    }
}

/// Returns the account of a record of the platform.
fn account(command: &Command) -> Option<AccountId> {
    match command {
        Command::AcceptStart(start, _) => Some(start.account),
        Command::AcceptFlow(flow, _) => Some(flow.account),
        Command::AcceptReport(report, _) => Some(report.account),
        Command::RecordOutcome { .. }
        | Command::GiveUp { .. }
        | Command::FireTimer(_)
        | Command::Replay(_) => None,
    }
}

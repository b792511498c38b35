//! The accounts of records, as far as the reader needs to know them.

use super::record::{Record, RecordBody};
use crate::domain::{AccountId, Command};
use std::collections::BTreeSet;

/// Knows which accounts are configured, and looks unknown ones up where they are stored.
pub trait AccountSource: Send + Sync {
    /// Returns whether a record of these accounts can be decided now. If not, some of them are being looked up: the caller
    /// keeps the record, and asks again.
    fn are_settled(&self, accounts: &[AccountId]) -> bool;
}

/// Returns whether all accounts that `record` names are settled. Asks for all of them.
pub(super) fn are_settled(source: &dyn AccountSource, record: &Record) -> bool {
    match &record.body {
        RecordBody::Command { command, .. } => {
            account(command).is_none_or(|account| source.are_settled(&[account]))
        }
        RecordBody::Items(items) => {
            let accounts: BTreeSet<AccountId> = items.iter().filter_map(account_of).collect();
            source.are_settled(&Vec::from_iter(accounts))
        }
        RecordBody::Endpoint { .. }
        | RecordBody::Note
        | RecordBody::Skipped
        | RecordBody::Bad(_) => true,
    }
}

/// Returns the account of an item of an array.
fn account_of(item: &Record) -> Option<AccountId> {
    match &item.body {
        RecordBody::Command { command, .. } => account(command),
        RecordBody::Items(_)
        | RecordBody::Endpoint { .. }
        | RecordBody::Note
        | RecordBody::Skipped
        | RecordBody::Bad(_) => None,
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
        | Command::Replay(_)
        | Command::Notify(_) => None,
    }
}

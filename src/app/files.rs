//! The number of files that the configuration needs.

use crate::config::{Accounts, Settings};
use crate::system::{FileNeeds, FilePlan, OpenFiles, TooFewFiles};

/// Raises the limit of open files to its maximum, and divides the files among the daemon's parts.
///
/// # Errors
/// The limit is too low.
pub fn file_plan(settings: &Settings, accounts: &Accounts) -> Result<FilePlan, TooFewFiles> {
    plan_for(settings, accounts.webhooks.len())
}

/// Like [`file_plan`], for a number of webhooks.
pub(super) fn plan_for(settings: &Settings, webhooks: usize) -> Result<FilePlan, TooFewFiles> {
    let limits = OpenFiles::raise().unwrap_or_else(|error| {
        let limits = OpenFiles::now();
        tracing::warn!(
            %error,
            soft = limits.soft,
            hard = limits.hard,
            "the soft limit of open files (RLIMIT_NOFILE) can't be raised to the hard limit, and stays in force"
        );
        limits
    });
    let needs = FileNeeds {
        in_flight_max: usize::try_from(settings.delivery.in_flight_max).unwrap_or(usize::MAX),
        webhooks,
        brokers: settings.kafka.bootstrap_servers.split(',').count(),
    };
    FilePlan::new(limits.soft, needs)
}

//! The metrics of accounts that are in a database.

use super::super::definitions as define;
use super::super::family::{Family, Maker};
use super::super::labels::{AccountLookUp, AccountReading};
use super::super::since::Since;
use super::{EPOCH, Metrics, add};
use crate::domain::Timestamp;
use prometheus::{Gauge, IntCounter, IntGauge};
use std::time::Duration;

pub(super) struct AccountMetrics {
    faults: IntGauge,
    age: Since,
    applied_at: Gauge,
    readings: Family<AccountReading, IntCounter>,
    look_ups: Family<AccountLookUp, IntCounter>,
}

impl AccountMetrics {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        Self {
            faults: make.gauge(&define::ACCOUNT_FAULTS),
            age: Since::new(make.seconds(&define::ACCOUNTS_AGE)),
            applied_at: make.seconds(&define::ACCOUNTS_APPLIED_AT),
            readings: make.counters(&define::ACCOUNT_READINGS),
            look_ups: make.counters(&define::ACCOUNT_LOOK_UPS),
        }
    }

    pub(super) fn show(&self, now: Timestamp) {
        self.age.show(now);
    }
}

impl Metrics {
    /// Sets the number of faults in the rows of the accounts' database.
    pub fn set_account_faults(&self, count: usize) {
        self.accounts.faults.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Sets the time at which the database had the accounts in force.
    pub fn set_accounts_confirmed(&self, at: Timestamp) {
        self.accounts.age.set(Some(at));
    }

    /// Records that changes of the database were applied at `now`.
    pub fn accounts_applied(&self, now: Timestamp) {
        let seconds = Duration::from_millis(now.ms_since(EPOCH)).as_secs_f64();
        self.accounts.applied_at.set(seconds);
    }

    /// Counts a reading of the database.
    pub fn account_reading(&self, result: AccountReading) {
        add(self.accounts.readings.at(result), 1);
    }

    /// Counts accounts that were looked up because a record named them.
    pub fn account_look_ups(&self, result: AccountLookUp, count: usize) {
        add(self.accounts.look_ups.at(result), u64::try_from(count).unwrap_or(u64::MAX));
    }
}

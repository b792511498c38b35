//! The accounts in force, as the console shows them.

use super::App;
use crate::config::Listing;
use crate::console::{Current, InForce};
use crate::domain::AccountId;
use crate::inspect::accounts::{AccountLine, AccountView, FaultView};
use std::sync::{Arc, PoisonError, RwLock};

/// The accounts in force, as the console shows them.
#[derive(Default)]
pub(super) struct ShownAccounts(RwLock<Option<Shown>>);

#[derive(Clone)]
struct Shown {
    listing: Arc<Listing>,
    current: Current,
}

impl ShownAccounts {
    fn listing(&self) -> Option<Arc<Listing>> {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        shown.as_ref().map(|shown| shown.listing.clone())
    }
}

impl InForce for ShownAccounts {
    fn current(&self) -> Option<Current> {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        shown.as_ref().map(|shown| shown.current.clone())
    }

    fn lines(&self, after: Option<AccountId>, max: usize) -> Vec<AccountLine> {
        self.listing().map_or_else(Vec::new, |listing| listing.lines(after, max))
    }

    fn faults(&self, max: usize) -> Vec<FaultView> {
        self.listing()
            .map_or_else(Vec::new, |listing| listing.faults().into_iter().take(max).collect())
    }

    fn account(&self, account: AccountId) -> Option<AccountView> {
        self.listing()?.view(account)
    }
}

impl App {
    /// Shows the accounts in force from now on, and looks up the others.
    pub(super) fn show_accounts(&self) {
        let rows = self.stored.as_ref().map(|stored| stored.lock().clone());
        let accounts = rows.as_ref().map_or(&self.accounts, |rows| rows.accounts()).clone();
        if let (Some(stored), Some(rows)) = (&self.stored, &rows) {
            stored.look_ups.know(&accounts);
            self.metrics.set_account_faults(rows.faults().count());
        }
        self.show_certificates(&accounts);
        let current = Current {
            accounts: accounts.clone(),
            trust: self.shared.trust.clone(),
            addresses: self.settings.delivery.addresses.clone(),
            names: self.shared.names.clone(),
        };
        let listing = Arc::new(Listing::new(accounts, self.effective.clone(), rows));
        let shown = &self.account_pages.0;
        *shown.write().unwrap_or_else(PoisonError::into_inner) = Some(Shown { listing, current });
    }
}

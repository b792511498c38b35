//! The pages of the accounts in force.

use super::App;
use crate::admin::AccountPages;
use crate::config::Listing;
use crate::domain::AccountId;
use serde_json::json;
use std::sync::{Arc, PoisonError, RwLock};

/// The accounts in force, as the API shows them.
#[derive(Default)]
pub(super) struct ShownAccounts(RwLock<Option<Arc<Listing>>>);

impl ShownAccounts {
    fn listing(&self) -> Option<Arc<Listing>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl AccountPages for ShownAccounts {
    fn list(&self, after: Option<AccountId>, max: usize) -> String {
        let listing = self.listing();
        let lines = listing.iter().flat_map(|listing| listing.lines(after, max));
        let faults = listing.iter().flat_map(|listing| listing.faults());
        let page = json!({
            "accounts": lines.collect::<Vec<_>>(),
            "faults": faults.take(max).collect::<Vec<_>>(),
        });
        format!("{page}\n")
    }

    fn account(&self, account: AccountId) -> Option<String> {
        let view = self.listing()?.view(account)?;
        Some(format!("{}\n", json!(view)))
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
        let listing = Listing::new(accounts, self.effective.clone(), rows);
        let shown = &self.account_pages.0;
        *shown.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(listing));
    }
}

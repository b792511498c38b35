//! What SIGHUP applies of `ringback.toml`.

use super::{DeliverySettings, Settings};

impl Settings {
    /// These settings, with what SIGHUP applies of `written`; `effective/keys.rs` lists the keys, and a test compares the two.
    pub(in crate::config) fn reloaded(&self, written: Self) -> Self {
        let old = self.delivery.clone();
        Self {
            accounts_file: written.accounts_file,
            correlation: written.correlation,
            statuses: written.statuses,
            delivery: DeliverySettings {
                defaults: written.delivery.defaults,
                addresses: written.delivery.addresses,
                ..old
            },
            secret_files: written.secret_files,
            ..self.clone()
        }
    }
}

//! The settings of `ringback.toml` that SIGHUP applies.

use super::{DeliverySettings, Settings};

impl Settings {
    /// Returns these settings with the ones of `written` that SIGHUP applies. `effective/keys.rs` lists the keys, and a
    /// test compares the two.
    pub(in crate::config) fn reloaded(&self, written: Self) -> Self {
        let old = self.delivery.clone();
        Self {
            accounts_file: written.accounts_file,
            methods: written.methods,
            correlation: written.correlation,
            statuses: written.statuses,
            delivery: DeliverySettings {
                defaults: written.delivery.defaults,
                addresses: written.delivery.addresses,
                ..old
            },
            // The daemon does not use it.
            sink: written.sink,
            secret_files: written.secret_files,
            secret_variables: written.secret_variables,
            ..self.clone()
        }
    }
}

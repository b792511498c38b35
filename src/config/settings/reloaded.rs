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
                request_timeout: written.delivery.request_timeout,
                connect_timeout: written.delivery.connect_timeout,
                in_flight_max_webhook: written.delivery.in_flight_max_webhook,
                addresses: written.delivery.addresses,
                proxy: written.delivery.proxy,
                bounds: written.delivery.bounds,
                retry: written.delivery.retry,
                breaker: written.delivery.breaker,
                ..old
            },
            secret_files: written.secret_files,
            ..self.clone()
        }
    }
}

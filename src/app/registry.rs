//! The client of the configured schema registry.

use crate::config;
use crate::delivery::{Names, Trust};
use crate::log::RegistrySettings;

/// Converts the configured settings for the registry's client.
#[must_use]
pub fn registry_settings(settings: &config::RegistrySettings) -> RegistrySettings {
    let password =
        || settings.password.as_ref().map_or_else(String::new, |secret| secret.reveal().to_owned());
    RegistrySettings {
        url: settings.url.clone(),
        credentials: settings.username.clone().map(|username| (username, password())),
    }
}

/// Creates the HTTP client for the schema registry. `names` resolves its host name.
#[must_use]
pub fn registry_client(trust: &Trust, names: &Names) -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let builder = builder.dns_resolver(names.clone());
    // An error does not happen: the settings were made by the same library.
    builder.tls_backend_preconfigured(trust.plain()).build().unwrap_or_default()
}

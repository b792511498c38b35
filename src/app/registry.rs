//! The HTTP client for services that the operator chose, and the settings of the schema registry.

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

/// Creates the HTTP client for a service that the operator chose: the schema registry, or a collector of traces. `names`
/// resolves its host name.
#[must_use]
pub fn service_client(trust: &Trust, names: &Names) -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let builder = builder.dns_resolver(names.clone());
    // An error does not happen: the settings were made by the same library.
    builder.tls_backend_preconfigured(trust.plain()).build().unwrap_or_default()
}

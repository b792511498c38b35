//! The schema registry as the configuration names it.

use crate::config;
use crate::delivery::{Names, Trust};
use crate::log::RegistrySettings;

/// The registry's settings as its client wants them.
#[must_use]
pub fn registry_settings(settings: &config::RegistrySettings) -> RegistrySettings {
    let password =
        || settings.password.as_ref().map_or_else(String::new, |secret| secret.reveal().to_owned());
    RegistrySettings {
        url: settings.url.clone(),
        credentials: settings.username.clone().map(|username| (username, password())),
    }
}

/// The client that talks to the schema registry, whose name `names` looks up.
#[must_use]
pub fn registry_client(trust: &Trust, names: &Names) -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let builder = builder.dns_resolver(names.clone());
    let with_tls = trust.plain().map(|tls| builder.tls_backend_preconfigured(tls).build());
    match with_tls {
        Ok(Ok(client)) => client,
        // The same settings have built every endpoint's client before.
        Ok(Err(_)) | Err(_) => reqwest::Client::new(),
    }
}

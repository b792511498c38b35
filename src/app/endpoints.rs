//! The endpoints of a configuration. An endpoint whose definition did not change is kept over a reload, with its
//! connections and its token.

use super::AppError;
use crate::config::{self, Accounts, Settings};
use crate::delivery::{Endpoint, EndpointError, Names, Trust};
use crate::engine::EngineConfig;
use crate::system::FilePlan;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The parts that all endpoints of the process share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) trust: Arc<Trust>,
    pub(super) names: Names,
    pub(super) files: FilePlan,
}

impl Shared {
    /// Returns the engine's part of the configuration, and the number of endpoints of `former` that it keeps.
    pub(super) fn engine_config(
        &self,
        settings: &Settings,
        accounts: &Accounts,
        former: &[Arc<Endpoint>],
    ) -> Result<(EngineConfig, usize), AppError> {
        let former: BTreeMap<_, _> =
            former.iter().map(|endpoint| (&endpoint.webhook().name, endpoint)).collect();
        let addresses = &settings.delivery.addresses;
        let kept_max = self.files.kept_per_webhook(accounts.webhooks.len());
        let mut kept = 0;
        let endpoints = accounts.webhooks.iter().map(|(name, (webhook, _))| {
            let former = former.get(name).copied();
            let endpoint = match former.filter(|it| it.serves(webhook, addresses, kept_max)) {
                Some(endpoint) => {
                    kept += 1;
                    endpoint.clone()
                }
                None => Arc::new(Endpoint::keeping(
                    webhook.clone(),
                    &self.trust,
                    addresses,
                    &self.names,
                    kept_max,
                )?),
            };
            if let Some(error) = endpoint.blocked() {
                tracing::warn!(webhook = %name, %error, "all deliveries to it become dead letters");
            }
            Ok(endpoint)
        });
        let endpoints = endpoints.collect::<Result<_, EndpointError>>()?;
        let policy = config::policy(settings, accounts);
        let account_rates = accounts.account_rates.clone();
        Ok((EngineConfig { policy, endpoints, account_rates }, kept))
    }
}

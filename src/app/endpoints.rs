//! The endpoints of a configuration. An endpoint whose definition did not change is kept over a reload, with its
//! connections and its token.

use super::AppError;
use super::database::Built;
use crate::accounts::Changes;
use crate::config::{self, Accounts, Settings};
use crate::delivery::{AddressPolicy, Endpoint, EndpointError, LaneChanges, Names, Trust, Webhook};
use crate::domain::Policy;
use crate::engine::EngineConfig;
use crate::system::FilePlan;
use crate::telemetry::with_causes;
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
        former: &Built,
    ) -> Result<(EngineConfig, usize), AppError> {
        let addresses = &settings.delivery.addresses;
        let kept_max = self.files.kept_per_webhook(accounts.webhooks.len());
        let mut kept = 0;
        let endpoints = accounts.webhooks.iter().map(|(name, (webhook, _))| {
            let endpoint =
                match former.get(name).filter(|it| it.serves(webhook, addresses, kept_max)) {
                    Some(endpoint) => {
                        kept += 1;
                        endpoint.clone()
                    }
                    None => Arc::new(self.endpoint(webhook, addresses, kept_max)?),
                };
            warn_if_blocked(&endpoint);
            Ok((name.clone(), endpoint))
        });
        let endpoints = endpoints.collect::<Result<_, EndpointError>>()?;
        let policy = config::policy(settings, accounts);
        let account_rates = accounts.account_rates.clone();
        Ok((EngineConfig { policy, endpoints, account_rates }, kept))
    }

    /// Returns the configuration `former` with the accounts and webhooks of `changes` taken from `accounts`, and what
    /// the lanes need of it. `built` has the endpoints of all webhooks that were built again. Also returns the number of
    /// endpoints that are kept although their account was built again.
    pub(super) fn changed_config(
        &self,
        former: &EngineConfig,
        accounts: &Accounts,
        changes: &Changes,
        built: &Built,
    ) -> (EngineConfig, LaneChanges, usize) {
        let Policy { correlation, statuses, webhook_defaults, .. } = former.policy.clone();
        let mut webhooks = former.policy.webhooks.clone();
        let mut endpoints = former.endpoints.clone();
        let (mut lanes, mut kept) = (LaneChanges::default(), 0);
        for name in &changes.webhooks {
            let Some((_, policy)) = accounts.webhooks.get(name) else {
                webhooks.remove(name);
                if endpoints.remove(name).is_some() {
                    lanes.endpoints.push((name.clone(), None));
                }
                continue;
            };
            webhooks.insert(name.clone(), policy.clone());
            let Some(endpoint) = built.get(name) else { continue };
            if endpoints.get(name).is_some_and(|former| former.is_like(endpoint)) {
                kept += 1;
                continue;
            }
            warn_if_blocked(endpoint);
            endpoints.insert(name.clone(), endpoint.clone());
            lanes.endpoints.push((name.clone(), Some(endpoint.clone())));
        }
        for id in &changes.accounts {
            let (was, is) = (former.account_rates.get(id), accounts.account_rates.get(id));
            if was != is {
                lanes.account_rates.push((*id, is.copied()));
            }
        }
        let policy = Policy {
            correlation,
            statuses,
            webhook_defaults,
            accounts: accounts.accounts.clone(),
            webhooks,
            definitions: Arc::new(accounts.definitions.clone()),
        };
        let account_rates = accounts.account_rates.clone();
        (EngineConfig { policy, endpoints, account_rates }, lanes, kept)
    }

    /// Creates an endpoint that keeps at most `kept_max` idle connections.
    pub(super) fn endpoint(
        &self,
        webhook: &Arc<Webhook>,
        addresses: &AddressPolicy,
        kept_max: usize,
    ) -> Result<Endpoint, EndpointError> {
        Endpoint::keeping(webhook.clone(), &self.trust, addresses, &self.names, kept_max)
    }

    /// Like `endpoint`, if there are `count` webhooks. The error is for people.
    pub(super) fn endpoint_of(
        &self,
        webhook: &Arc<Webhook>,
        settings: &Settings,
        count: usize,
    ) -> Result<Endpoint, String> {
        let kept_max = self.files.kept_per_webhook(count);
        self.endpoint(webhook, &settings.delivery.addresses, kept_max)
            .map_err(|error| with_causes(&error))
    }
}

fn warn_if_blocked(endpoint: &Endpoint) {
    if let Some(error) = endpoint.blocked() {
        let webhook = &endpoint.webhook().name;
        tracing::warn!(%webhook, %error, "all deliveries to it become dead letters");
    }
}
